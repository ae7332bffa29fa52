"""`vaultwatch rules replay`: what other rules would have changed about the alerts of existing logs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.unit.rules.sigma import sigma
from vaultwatch.cli import main
from vaultwatch.cli.common import SHIPPED_FILES

AUDIT = Path(__file__).parents[2] / "data/recordings/vault-1.14.2/audit-device-changes/audit.jsonl"


class Ran(NamedTuple):
    status: int
    out: list[str]
    err: list[str]


Replay = Callable[..., Ran]


@pytest.fixture
def replay(capfd: pytest.CaptureFixture[str]) -> Replay:
    def run(*arguments: object) -> Ran:
        status = main(["rules", "replay", *map(str, arguments)])
        out, err = capfd.readouterr()
        return Ran(status, out.splitlines(), err.splitlines())

    return run


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A rule of one's own, and a level that was changed."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "own.yml").write_text(sigma("s: {request.path: sys/audit/x, type: response}\ncondition: s", name="own"))
    overrides = "audit_device_disabled: {level: high}\naudit_hash_computed: {enabled: false}\n"
    (folder / "overrides.yml").write_text(overrides)
    return folder


def test_the_shipped_rules_change_nothing_about_themselves(replay: Replay) -> None:
    found = replay("--rules", "shipped", AUDIT)
    assert (found.status, found.out) == (0, [])
    assert found.err == ["9 alerts before, 9 with these rules: 0 new, 0 changed, 0 gone"]


def test_alerts_that_are_new_changed_or_gone_are_shown_with_their_place(replay: Replay, mine: Path) -> None:
    found = replay("--rules", SHIPPED_FILES, "--rules", mine, AUDIT)
    assert found.status == 1
    assert [line.split()[0] for line in found.out] == ["new", *["changed"] * 3, "new", "changed", "gone"]
    assert "(audit.jsonl:23); it was critical: Audit device disabled" in found.out[1]
    assert "audit_hash_computed" in found.out[-1]
    assert found.err == ["9 alerts before, 10 with these rules: 2 new, 4 changed, 1 gone"]


def test_json_has_the_whole_alert_and_what_it_was(replay: Replay, mine: Path) -> None:
    out = replay("--format", "json", "--rules", SHIPPED_FILES, "--rules", mine, AUDIT).out
    new, changed, *_, gone = map(json.loads, out)
    assert [one["change"] for one in (new, changed, gone)] == ["new", "changed", "gone"]
    assert changed["was"] == {"level": "critical", "title": "Audit device disabled"}
    assert (changed["level"], changed["source"]["line"], new["was"]) == ("high", 23, None)


def test_two_folders_can_be_compared(replay: Replay, mine: Path) -> None:
    (mine / "overrides.yml").unlink()
    found = replay("--against", mine, "--rules", mine, AUDIT)
    assert (found.status, found.err[-1]) == (0, "2 alerts before, 2 with these rules: 0 new, 0 changed, 0 gone")


@pytest.mark.parametrize(
    ("place", "why"), [("-", "stdin only once: give a file"), ("missing.log", "No such file or directory")]
)
def test_what_cannot_be_read_twice_or_at_all_is_status_2(replay: Replay, place: str, why: str) -> None:
    found = replay("--rules", SHIPPED_FILES, place)
    assert (found.status, found.out, len(found.err)) == (2, [], 1)
    assert found.err[0].endswith(why)


def test_a_rule_that_raises_is_named(replay: Replay, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    raising = 'from vaultwatch.rules.python_rules import rule\n\n@rule(title="t", level="low", service="audit")\n'
    (tmp_path / "mine" / "bad.py").write_text(raising + "def bad(entry):\n    return 1 / 0\n")
    found = replay("--rules", tmp_path / "mine", AUDIT)
    assert (found.status, found.err) == (2, ["rule bad raised: ZeroDivisionError: division by zero"])


def test_what_cannot_be_read_is_named_once_though_it_is_read_twice(replay: Replay, tmp_path: Path) -> None:
    (tmp_path / "audit.log").write_bytes(AUDIT.read_bytes())
    (tmp_path / "notes.txt").write_text("no log\n")
    named = [line for line in replay(tmp_path).err if "notes.txt" in line]
    assert len(named) == 1
