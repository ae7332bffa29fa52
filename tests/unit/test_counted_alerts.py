"""Every way raises the same alert of a rule that counts, on a recording of secrets that are read in bulk."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from tests.support.watching import Watching, alerts_in, options
from vaultwatch.batches import EncodedFrame, Evaluation
from vaultwatch.cli import main
from vaultwatch.detection.evaluator import Ruleset
from vaultwatch.frames import Frame, Records, encode
from vaultwatch.rules.pack import shipped_rules

ROOT = Path(__file__).parents[2]
RECORDING = ROOT / "tests" / "data" / "recordings" / "openbao-2.6.2" / "mass-read" / "audit.jsonl"
RULE = "audit_secrets_read_in_bulk"
LINES = RECORDING.read_bytes().splitlines()
FILE, SOCKET = b"@c/n/file ", b"@c/n/socket "
NOW = datetime(2026, 11, 21, 8, tzinfo=UTC)


def checked(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    main(["check", "--format", "json", "--rule", RULE, *arguments])
    return [json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()]


@pytest.fixture
def expected(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return the id of the one alert that `check` raises."""
    found = checked(capsys, str(RECORDING))
    assert len(found) == 1
    return found


def evaluation() -> Evaluation:
    return Evaluation(Ruleset(shipped_rules()), UTC, claim=lambda _: b"")


def frame(sequence: int, *lines: bytes) -> EncodedFrame:
    content = Records(b"".join(line + b"\n" for line in lines))
    encoded = encode(Frame("audit", "log-1", UUID(int=1), sequence, NOW, NOW, content))
    return EncodedFrame(str(sequence), encoded)


def test_watch_raises_it(expected: list[str], tmp_path: Path) -> None:
    with Watching(options(tmp_path)) as watching:
        watching.write(RECORDING.read_bytes())
        watching.wait_for_alerts(1)
    found = [alert for alert in alerts_in(tmp_path / "audit.alert") if alert["rule"] == RULE]
    assert [alert["id"] for alert in found] == expected
    assert "userpass-alice: at least 50 different paths in the 10 minutes" in found[0]["summary"]


def test_evaluate_raises_it_from_frames_of_both_lanes_that_arrive_twice(expected: list[str]) -> None:
    halves = (LINES[: len(LINES) // 2], LINES[len(LINES) // 2 :])
    frames = [frame(n, *(lane + line for lane in (SOCKET, FILE) for line in half)) for n, half in enumerate(halves)]
    raised = [alert for part in evaluation().frames([*frames, *frames]) for alert in part]
    assert [alert.id for alert in raised if alert.rule == RULE] == expected


def test_sweep_raises_it_from_a_segment(expected: list[str]) -> None:
    raised = [alert for part in evaluation().segment([RECORDING.read_bytes()], FILE, "") for alert in part]
    assert [alert.id for alert in raised if alert.rule == RULE] == expected


def test_check_counts_over_several_files(
    expected: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(4):
        (tmp_path / f"{3 - number}.log").write_bytes(b"".join(line + b"\n" for line in LINES[number::4]))
    assert checked(capsys, str(tmp_path)) == expected
