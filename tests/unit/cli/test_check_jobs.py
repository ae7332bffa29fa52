"""`vaultwatch check` in several processes: the same results as in one, and no result if one of them ends."""

from __future__ import annotations

import gc
import gzip
import io
import json
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory
from typing import Any
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.unit.detection.records import rule
from vaultwatch.cli import check, check_jobs, main
from vaultwatch.cli.check_run import Manner, Run
from vaultwatch.crew import Work
from vaultwatch.detection.evaluator import Ruleset
from vaultwatch.findings.found import Findings
from vaultwatch.findings.reader import Reader, Settings
from vaultwatch.findings.selection import Selection
from vaultwatch.inputs.decompression import CHUNK_BYTES
from vaultwatch.inputs.errors import Unreadable
from vaultwatch.inputs.parts import Part, logs_of, parts_of
from vaultwatch.inputs.rejects import Rejects
from vaultwatch.rules.conditions import Never, Text
from vaultwatch.rules.correlations import Correlation, CorrelationType
from vaultwatch.rules.facts import Level, silenced_name
from vaultwatch.rules.pack import Rule, shipped_rules

UPDATES = rule(Text("request.operation", "eq", "update", False), "updates")
SEALS = rule(Text("request.path", "eq", "sys/seal", False), "seals")
FAILED = rule(Text("level", "eq", "error", False), "errors", "server")


def counting(name: str, kind: CorrelationType, *base: Rule, threshold: int = 2, **members: Any) -> Rule:
    names = tuple(one.name for one in base)
    correlation = Correlation(type=kind, rules=names, threshold=threshold, timespan_seconds=10, **members)
    group_by = correlation.group_by
    return rule(Never(), name, base[0].service, correlation=correlation, group_by=group_by)


COUNTING = [
    counting("many_updates", "event_count", UPDATES, threshold=3, generate=True),
    counting("one_path", "event_count", UPDATES, group_by=("request.path",), generate=True),
    counting("many_paths", "value_count", UPDATES, fields=("request.path",), generate=True),
    counting("most_updates", "event_count", UPDATES, threshold=5, group_by=("request.path",), generate=True),
    counting("many_errors", "event_count", FAILED),
    counting("in_order", "temporal_ordered", UPDATES, SEALS, generate=True),
    counting("missing", "absence", UPDATES, threshold=0, group_by=("node",), generate=True),
    counting("new_path", "first_seen", UPDATES, threshold=1, group_by=("request.path",), generate=True),
]
SILENCED = [
    Rule(msgspec.structs.replace(one.compiled, name=silenced_name(one.name, "f.yml"), silenced_by="f.yml"))
    for one in (rule(Text("request.path", "prefix", "sys/", False), "quiet"), FAILED)
]
RULES = Ruleset([*shipped_rules(), UPDATES, SEALS, FAILED, *COUNTING, *SILENCED])
SETTINGS = Settings(RULES, "auto", None, Selection(Level.INFORMATIONAL))
WHOLE = 1 << 30
READ = Reader.read


def entry(kind: str, event: str | None, path: str, second: int = 41, **members: Any) -> str:
    request = {"id": event, "operation": "update", "path": path} if event else {"operation": "update", "path": path}
    return json.dumps({"type": kind, "time": f"2026-11-21T07:29:{second:02}.1Z", "request": request, **members})


ENTRIES = st.builds(
    entry,
    st.sampled_from(["request", "response"]),
    st.sampled_from(["a", "b", "c", None]),
    st.sampled_from(["sys/seal", "sys/audit/file", "p", "p" * 200]),
    st.sampled_from([2, 3, 4, 9, 12, 41]),
) | st.just(entry("response", "a", "sys/seal", error="permission denied", auth={"client_token": "hvs." + "x" * 24}))
OTHERS = st.sampled_from(
    [
        *("", "  ", "plain text", '{"type":', "  error=", "  | x", "* y", "\0\1", '{"a":1}', "}", "{", '  "b": {},'),
        "2026-11-21T07:29:41.933Z [ERROR] core: failed: a=b",
        "2026-11-21T07:29:41.933Z [INFO]  core: vault is sealed",
        "Nov 21 07:29:41 host vault[12]: " + entry("request", "b", "sys/seal"),
        "@c/n/file " + entry("response", "b", "sys/seal"),
        json.dumps({"log": entry("request", "c", "sys/seal") + "\n", "stream": "stdout"}),
        "2026-11-21T07:29:41Z stdout P " + entry("request", "a", "sys/seal")[:40],
        "2026-11-21T07:29:41Z stdout F " + entry("request", "a", "sys/seal")[40:],
        entry("request", "a", "sys/seal") + entry("response", "a", "sys/seal"),
        *json.dumps(json.loads(entry("response", "a", "sys/seal")), indent=1).split("\n"),
    ]
)
LOGS = st.tuples(
    st.lists(ENTRIES, max_size=6),
    st.lists(st.one_of(ENTRIES, ENTRIES, OTHERS), max_size=12),
    st.sampled_from(["", "\n"]),
).map(lambda log: "\n".join([*log[0], *log[1]]) + log[2])
SPLIT = "\n".join([entry("request", "a", "sys/seal"), *[entry("request", "b", "p" * 200)] * 3])


class Inline(AbstractContextManager["Inline"]):
    """A crew that works in this process."""

    done = 0

    def __init__(self, work: Work, _count: int) -> None:
        self._work = work

    def __exit__(self, *_: object) -> None:
        pass

    def results(self, pieces: Iterable[int], tick: Callable[[], None]) -> Iterator[bytes]:
        tick()
        return (self._work(piece, lambda _size: None) for piece in pieces)


def outcome(places: list[str], jobs: int, part_bytes: int) -> dict[str, Any]:
    """Return everything that a run finds."""
    rejected = io.BytesIO()
    run = Run(SETTINGS, Manner(jobs, False, False, part_bytes), Rejects(rejected))
    with Findings(SETTINGS.selection, run.detector.count_rule_error) as findings:
        run.read(places, findings)
        counts = run.detector.counts
        return {
            "alerts": list(findings.lines()),
            "silenced": findings.silenced,
            "staged": findings.staged,
            "counts": (counts.audit, counts.server, counts.rejected, counts.partial, counts.undecided, counts.undated),
            "unclear": (counts.unclear, run.notes),
            "errors": (run.reader.errors, counts.rule_errors),
            "names": run.reader.names,
            "failed": run.failed,
            "reasons": list(run.reader.rejects.reasons.items()),
            "rejected": rejected.getvalue(),
        }


class TestPartsAreReadAhead:
    @given(st.lists(LOGS, min_size=1, max_size=3), st.integers(20, 700))
    @settings(max_examples=50, deadline=None)
    @example([SPLIT + "\n" + entry("response", "a", "sys/seal")], 300)
    @example([entry("request", "a", "sys/seal"), entry("response", "a", "p")], 1)
    def test_with_the_same_results_wherever_logs_are_divided(self, logs: list[str], part_bytes: int) -> None:
        with TemporaryDirectory() as folder, patch("vaultwatch.crew.Crew", Inline):
            places = [f"{folder}/{number}" for number in range(len(logs))]
            for place, log in zip(places, logs, strict=True):
                Path(place).write_text(log)
            assert outcome(places, 2, part_bytes) == outcome(places, 1, WHOLE)

    def test_and_most_are_not_read_again(self, tmp_path: Path) -> None:
        lines = [entry(kind, f"e{number}", "sys/seal") for number in range(99) for kind in ("request", "response")]
        (tmp_path / "log").write_text("\n".join(lines))
        with patch("vaultwatch.crew.Crew", Inline), patch.object(Reader, "read", autospec=True) as read:
            read.side_effect = READ
            outcome([str(tmp_path / "log")], 2, 1_000)
        parts = parts_of(str(tmp_path / "log"), lambda _: True, 1_000)
        again = len(read.mock_calls) - len(parts)
        assert 0 < again < len(parts) * 3 / 4  # a request is at the end of every second part

    def test_unless_a_log_is_not_of_lines(self, tmp_path: Path) -> None:
        pretty = "\n".join(json.dumps(json.loads(entry("response", f"e{n}", "sys/seal")), indent=1) for n in range(9))
        server = "2026-11-21T07:29:41.933Z [INFO]  core: vault is sealed\n" * 20
        utf_16, packed = entry("request", "a", "p").encode("utf-16") * 9, gzip.compress(os.urandom(999))
        for content in (pretty.encode(), server.encode(), utf_16, packed):
            (tmp_path / "log").write_bytes(content)
            assert parts_of(str(tmp_path / "log"), Reader(SETTINGS, Rejects(None)).detector.divides, 100) == [
                Part(str(tmp_path / "log"), len(content))
            ]


class TestRangesOfAFile:
    @given(st.lists(st.integers(0, 12), max_size=9), st.booleans(), st.integers(1, 40))
    def test_have_each_line_once(self, lengths: list[int], ends: bool, part_bytes: int) -> None:
        lines = [b"%d%s" % (number, b"x" * length) for number, length in enumerate(lengths)]
        content = b"\n".join(lines) + b"\n" * ends
        with NamedTemporaryFile() as file:
            file.write(content)
            file.flush()
            parts = parts_of(file.name, lambda _: True, part_bytes)
            found = [b"".join(chunk for log in logs_of(part) for chunk, _ in log.chunks()) for part in parts]
        assert b"".join(found) == content
        assert all(piece.endswith(b"\n") for piece in list(filter(None, found))[:-1])
        assert sum(part.size for part in parts) == len(content)

    @pytest.mark.parametrize("size", [999, 1_000, 1_049, 1_050, 1_500, 2_049])
    def test_are_of_one_size_but_for_the_last_of_at_least_half(self, tmp_path: Path, size: int) -> None:
        """A last one of twice the size would keep one process busy when the others are done."""
        path = tmp_path / "log"
        path.write_bytes(b"x\n" * (size // 2) + b"\n" * (size % 2))
        *others, last = [part.size for part in parts_of(str(path), lambda _: True, 100)]
        assert set(others) == {100}
        assert 50 <= last < 150

    @pytest.mark.parametrize("part_bytes", [CHUNK_BYTES, WHOLE])
    def test_that_are_gone_before_they_are_read_are_missed(self, tmp_path: Path, part_bytes: int) -> None:
        path = tmp_path / "log"
        path.write_bytes(b"x\n" * 2 * CHUNK_BYTES)
        parts = parts_of(str(path), lambda _: True, part_bytes)
        chunks = (chunk for part in parts for log in logs_of(part) for chunk, _ in log.chunks())
        assert next(chunks)
        os.truncate(path, 2 * CHUNK_BYTES)
        with pytest.raises(Unreadable, match="became shorter while it was read"):
            list(chunks)


@pytest.fixture
def logs(tmp_path: Path) -> list[str]:
    """Two logs, and a command that reads each as a part."""
    places = [tmp_path / "a", tmp_path / "b"]
    for place in places:
        place.write_text(entry("response", place.name, "sys/seal") + "\n")
    return [str(place) for place in places]


class TestProcesses:
    @pytest.fixture(autouse=True)
    def small_parts(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.setattr(check, "Manner", partial(Manner, part_bytes=10))
        threshold = gc.get_threshold()
        yield
        gc.set_threshold(*threshold)
        gc.unfreeze()

    def test_print_what_one_prints(self, logs: list[str], capfd: pytest.CaptureFixture[str]) -> None:
        printed = []
        for jobs in ("1", "2"):
            assert main(["check", "--jobs", jobs, "--format", "json", "--level", "informational", *logs]) == 1
            out, err = capfd.readouterr()
            printed.append((out, err.rpartition(",")[0]))
        assert printed[0] == printed[1]
        assert "2 audit entries" in printed[0][1]

    def test_show_the_progress_of_all(self, logs: list[str], capfd: pytest.CaptureFixture[str]) -> None:
        main(["check", "--jobs", "2", "--progress", *logs])
        assert "2 files  " in capfd.readouterr().err

    def test_that_end_leave_no_answer(
        self, logs: list[str], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def end(*_: object, **__: object) -> bytes:
            os.kill(os.getpid(), signal.SIGKILL)
            return b""

        monkeypatch.setattr(check_jobs, "read_ahead", end)
        assert main(["check", "--jobs", "2", *logs]) == 2
        out, err = capfd.readouterr()
        assert out == ""
        assert err.startswith("vaultwatch: a child process did not finish its work: it was ended by signal 9")
        assert "no alerts are shown" in err
        assert err.count("\n") == 1

    def test_that_are_interrupted_with_the_command_say_so(
        self, logs: list[str], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupt(_: object, part: Part, *__: object, **___: object) -> bytes:
            os.kill(os.getpid(), signal.SIGINT)  # which a process of a crew ignores
            if part.name == logs[0] and part.is_first:  # twice would also interrupt how the first one is handled
                os.kill(os.getppid(), signal.SIGINT)
            signal.pause()
            return b""

        monkeypatch.setattr(check_jobs, "read_ahead", interrupt)
        assert main(["check", "--jobs", "2", *logs]) == 130
        assert "interrupted: no record was evaluated yet" in capfd.readouterr().err
        assert not multiprocessing.active_children()
