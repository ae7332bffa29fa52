"""The runner: it measures processes, stops if one fails, and compares medians with goals."""

from __future__ import annotations

import json
import platform
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bench.__main__ import main
from bench.measure import SHIPPED_PACK
from bench.processes import BenchError, measure, python
from bench.results import Result, ratios, table, write
from bench.rules import pack, rule

FAST = Result("fast", (5.0, 1.0, 4.0), "times", "at_least", 3.5)
SLOW = Result("slow", (130.0, 110.0, 125.0), "ms", "at_most", 120)


def test_the_median_of_the_rounds_decides() -> None:
    assert (FAST.median, FAST.met) == (4.0, True)
    assert (SLOW.median, SLOW.met) == (125.0, False)
    assert not replace(FAST, values=(5.0, 1.0, 3.0)).met
    assert replace(SLOW, values=(130.0, 110.0, 115.0)).met


def test_each_round_is_compared_with_itself() -> None:
    assert ratios([6.0, 9.0], [2.0, 9.0]) == (3.0, 1.0)


def test_the_table_marks_what_is_missed_and_shows_the_spread() -> None:
    fast, slow = table([FAST, SLOW]).splitlines()[1:]
    assert "4.00   (1.00 .. 5.00)" in fast
    assert fast.endswith(">= 3.5 times")
    assert slow.endswith("<= 120 ms   MISSED")


def test_a_figure_without_a_goal_is_shown_and_not_judged() -> None:
    shown = Result("shown", (0.5,), "times")
    assert shown.met
    assert table([shown]).splitlines()[1].endswith("(0.50 .. 0.50)        times")


def test_results_contain_no_host_name(tmp_path: Path) -> None:
    write(tmp_path / "results.json", {"entries": 1}, [FAST], {})
    text = (tmp_path / "results.json").read_text()
    assert platform.node() not in text
    assert json.loads(text)["results"][0]["median"] == 4.0


def test_cpu_time_and_memory_are_those_of_the_child_process() -> None:
    burn = "from time import *; x = bytearray(80 << 20); end = 5 * process_time()\nwhile process_time() < end: pass"
    burned, idle = measure(python("-c", burn)), measure(python("-c", "pass"))
    assert burned.cpu_seconds > 2 * idle.cpu_seconds > 0
    assert burned.peak_kib > 80 * 1024


def test_a_process_that_fails_stops_the_bench_with_its_last_line() -> None:
    with pytest.raises(BenchError, match=r"exit status 1: ValueError: no\Z"):
        measure(python("-c", "raise ValueError('no')"))


def test_generated_rules_are_reproducible_and_all_different() -> None:
    assert [rule(number) for number in range(50)] == [rule(number) for number in range(50)]
    assert len({rule(number) for number in range(1_000)}) == 1_000


def test_a_pack_has_the_requested_number_of_rules(tmp_path: Path) -> None:
    assert len(json.loads(pack(300, tmp_path))["rules"]) == 300


def test_a_pack_in_place_of_the_shipped_one_is_that_of_the_command(tmp_path: Path) -> None:
    first, rest = SHIPPED_PACK.read_text().split("\n", 1)
    path, output = tmp_path / "few.json", tmp_path / "rules.txt"
    path.write_text(first + "\n" + rest.split("\n", 1)[0].rstrip(",") + "\n]}\n")
    measure(python("-m", "bench.with_pack", path, "rules", "list"), stdout=output)
    assert [line.split()[0] for line in output.read_text().splitlines()] == ["audit_access_outside_hours"]


@pytest.mark.long
def test_quick_runs_everything_and_judges_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--quick", "--folder", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "results.json").read_text())["results"]
    assert len(found) == len(capsys.readouterr().out.splitlines()) - 1 == 53
    assert all(len(result["values"]) >= 1 for result in found)
    assert sys.executable not in (tmp_path / "results.json").read_text()
