"""What only somebody can send who is no Vault: an alert behind it is stored and notified all the same."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.dynamodb import TABLE, all_rows, make_client
from tests.support.functions import AUDIT_TAG, Context, World, entry, kinesis, total
from vaultwatch.dispatch.notification import NOTIFIED
from vaultwatch.frames import Counter, Heartbeat

MOST = 2**63 - 1
HEARTBEATS = {
    "numbers as large as they can be": tuple(Counter("prod", f"v{n}", "file", MOST, MOST) for n in range(3)),
    "an origin twice": (Counter("prod", "v1", "file", 1, 1),) * 2,
    "thousands of origins": tuple(Counter("prod", f"v{n}", "file", 1, 1) for n in range(3_000)),
    "names that are no dimensions": (
        Counter("\x00", ":", "file", 1, 1),
        Counter("x" * 9_000, "\U0001f600", "", 1, 1),
    ),
    "nothing": (),
}


def notified(aws: World) -> set[str]:
    """Return the principals of all alerts of which people were notified since the last call."""
    return {alert.principal for one in aws.published() if one.disposition in NOTIFIED for alert in one.alerts}


@pytest.mark.parametrize("counters", HEARTBEATS.values(), ids=HEARTBEATS)
def test_a_forged_heartbeat_delays_nothing(aws: World, counters: tuple[Counter, ...]) -> None:
    frames = [aws.heartbeat(Heartbeat(counters, final=True)), aws.frame(entry(1))]
    assert aws.evaluate(*frames) == {"batchItemFailures": []}
    assert notified(aws) == {"alice"}


def test_a_frame_with_the_process_and_the_number_of_another_hides_nothing(aws: World) -> None:
    aws.evaluate(aws.heartbeat(Heartbeat(())), aws.frame(entry(1), sequence=0), aws.frame(entry(2), sequence=0))
    assert len(aws.alerts()) == 2


ENTRY = entry(1).removeprefix(AUDIT_TAG)
PATH = b'"path": "sys/audit/ops"'
LINES: dict[str, Callable[[], bytes]] = {
    "a byte order mark": lambda: AUDIT_TAG + b"\xef\xbb\xbf" + ENTRY,
    "a byte order mark before the tag": lambda: b"\xef\xbb\xbf" + entry(1),
    "two tags": lambda: b"@prod/other/socket " + entry(1),
    "a path twice, the act last": lambda: AUDIT_TAG + ENTRY.replace(PATH, b'"path": "kv/a", ' + PATH),
    "a request twice, the act last": lambda: AUDIT_TAG + ENTRY.replace(b'"request":', b'"request": {}, "request":'),
    "NULs around it": lambda: AUDIT_TAG + b"\0\0" + ENTRY + b"\0",
    "a carriage return": lambda: entry(1) + b"\r",
    "twice on one line": lambda: AUDIT_TAG + ENTRY + ENTRY,
    "behind a part of itself": lambda: AUDIT_TAG + ENTRY[:-9] + ENTRY,
    "a syslog header": lambda: AUDIT_TAG + b"<134>1 2026-11-21T07:59:58Z h vault - - - " + ENTRY,
}


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_an_entry_in_a_form_that_vault_never_writes_raises_its_alert(aws: World, line: Callable[[], bytes]) -> None:
    aws.evaluate(aws.frame(line(), entry(2, principal="bob")))
    assert notified(aws) == {"alice", "bob"}


@pytest.mark.parametrize(
    ("line", "alerting"),
    [(AUDIT_TAG + ENTRY + b"x", {"alice", "bob"}), (AUDIT_TAG + ENTRY[:-1], {"bob"})],
    ids=["text behind it", "no end"],
)
def test_what_is_no_entry_is_rejected_kept_and_counted(
    aws: World, capsys: pytest.CaptureFixture[str], line: bytes, alerting: set[str]
) -> None:
    aws.evaluate(aws.frame(line, entry(2, principal="bob")))
    assert notified(aws) == alerting
    assert total(capsys.readouterr().out, "RejectedLines") == 1
    assert len(aws.objects("rejected/")) == 1


def test_of_another_object_and_an_entry_the_object_is_rejected_and_the_entry_evaluated(
    aws: World, capsys: pytest.CaptureFixture[str]
) -> None:
    aws.evaluate(aws.frame(AUDIT_TAG + b'{"a":1}' + ENTRY, entry(2, principal="bob")))
    assert notified(aws) == {"alice", "bob"}
    assert total(capsys.readouterr().out, "RejectedLines") == 1
    assert len(aws.objects("rejected/")) == 1


def test_rows_that_vaultwatch_did_not_write_are_counted(aws: World, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate = aws.function("evaluate")
    evaluate.handler(kinesis(aws.frame(entry(1))), Context())
    assert notified(aws) == {"alice"}
    assert total(capsys.readouterr().out, "ForeignRows") == 0
    for row in all_rows():
        if row["sk"]["S"] == "window":
            make_client("dynamodb").put_item(TableName=TABLE, Item={**row, "body": {"B": b"garbage"}})
    evaluate.handler(kinesis(aws.frame(entry(2))), Context())
    assert total(capsys.readouterr().out, "ForeignRows") == 1
    evaluate.handler(kinesis(aws.frame(entry(3))), Context())
    assert total(capsys.readouterr().out, "ForeignRows") == 0
