"""evaluate and sweep count across batches, segments, processes and each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.functions import ARCHIVE, AUDIT_TAG, SOCKET_TAG, Context, World, entry, event_key, kinesis, total
from vaultwatch.alerts import alert_of
from vaultwatch.detection.detector import Detector
from vaultwatch.detection.evaluator import Ruleset
from vaultwatch.rules.pack import shipped_rules

RECORDING = Path(__file__).parents[2] / "data" / "recordings" / "openbao-2.6.2" / "mass-read" / "audit.jsonl"
LINES = RECORDING.read_bytes().splitlines()
RULE = "audit_secrets_read_in_bulk"
BATCHES = 10


@pytest.fixture(scope="module")
def expected() -> list[str]:
    """Return the id of the one alert that `check` raises on the recording."""
    detector = Detector(Ruleset(shipped_rules()))
    verdicts = [*detector.feed([line + b"\n" for line in LINES]), *detector.flush()]
    return [alert_of(verdict).id for verdict in verdicts if verdict.rule.name == RULE]


def parts(lines: Sequence[bytes] = LINES) -> list[Sequence[bytes]]:
    size = -(-len(lines) // BATCHES)
    return [lines[at : at + size] for at in range(0, len(lines), size)]


def raised(aws: World) -> list[str]:
    return [id_ for id_, alert in aws.alerts().items() if alert.rule == RULE]


def notified(aws: World) -> int:
    return sum(RULE in str(one) for one in aws.published())


def test_ten_batches_raise_the_alert_of_check_once(aws: World, expected: list[str]) -> None:
    for part in parts()[:-1]:
        frame = aws.frame(*(lane + line for lane in (SOCKET_TAG, AUDIT_TAG) for line in part))
        for _ in range(2):
            aws.evaluate(frame)
    aws.evaluate(aws.frame(*(AUDIT_TAG + line for line in parts()[-1])))
    assert len(expected) == 1
    assert raised(aws) == expected
    assert notified(aws) == 1


def test_evaluate_and_sweep_count_together_and_later_processes_raise_it_no_second_time(
    aws: World, expected: list[str]
) -> None:
    halves = [b"\n".join(AUDIT_TAG + line for line in part) for part in (LINES[:90], LINES[90:])]
    aws.evaluate(aws.frame(*halves[0].splitlines()))
    assert raised(aws) == []
    segment = aws.archive("00000002-20261121T075958", b"\n".join(LINES[90:]))
    aws.sweep(ARCHIVE, segment)
    assert raised(aws) == expected
    for half in halves:
        aws.function("evaluate").handler(kinesis(aws.frame(*half.splitlines())), Context())
    assert raised(aws) == expected
    assert notified(aws) <= 1


def test_ten_thousand_groups_in_a_batch_end_no_count(aws: World, capsys: pytest.CaptureFixture[str]) -> None:
    aws.evaluate(aws.frame(*(AUDIT_TAG + line for line in LINES[:90])))
    crowd = [crowded(number) for number in range(10_000)]
    aws.evaluate(aws.frame(*crowd))
    assert total(capsys.readouterr().out, "GroupsDropped") > 0
    aws.evaluate(aws.frame(*(AUDIT_TAG + line for line in LINES[90:])))
    assert len(raised(aws)) == 1


def crowded(number: int) -> bytes:
    """Return the entry of a secret that somebody else reads for each number."""
    read = {"operation": "read", "mount_type": "kv", "path": "secret/data/app"}
    return entry(number, "secret/data/app", principal=f"n{number}", request={"id": event_key(number), **read})


@pytest.mark.parametrize("way", ["evaluate", "sweep"])
def test_entries_with_times_to_come_are_not_counted_and_an_alarm_says_so(
    aws: World, capsys: pytest.CaptureFixture[str], way: str
) -> None:
    forged = [line.replace(b'"time":"2', b'"time":"3') for line in LINES]
    if way == "evaluate":
        aws.evaluate(aws.frame(*(AUDIT_TAG + line for line in forged)))
    else:
        aws.sweep(ARCHIVE, aws.archive("00000002-20261121T075958", b"\n".join(forged)))
    assert raised(aws) == []
    assert total(capsys.readouterr().out, "GroupsDropped") > 0
