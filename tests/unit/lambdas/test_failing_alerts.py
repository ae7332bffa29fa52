"""An alert whose content makes our own code raise, at whatever step, costs at most its own texts.

All others are stored and notified, and so is that alert, without its texts. It is kept, counted and logged.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import zstandard
from botocore.exceptions import ClientError

from tests.support.faults import raise_on
from tests.support.functions import ARCHIVE, Context, World, entry, kinesis, object_created, total, watching, world
from vaultwatch.dispatch import decisions, groups
from vaultwatch.dispatch.notification import NOTIFIED
from vaultwatch.errors import VaultwatchError
from vaultwatch.notify import history, machine, publisher, text
from vaultwatch.store.dynamodb import filing, rows
from vaultwatch.store.dynamodb.table import Table

STORING: dict[str, tuple[Any, str]] = {
    "group": (groups, "group_key"),
    "window": (groups, "window_seconds"),
    "size of the row": (rows, "encode_alert"),
    "row": (filing, "encode_alert"),
    "decision": (filing, "file_event"),
    "importance": (decisions, "importance"),
    "head": (decisions, "head_of"),
}
PUBLISHING: dict[str, tuple[Any, str]] = {
    "publication": (publisher, "publication"),
    "text": (text, "summary_line"),
    "facts": (text, "facts"),
    "json": (machine, "machine_json"),
}
NAMES = ("alice", "bob", "mallory", "carol")


def names(*texts: object) -> set[str]:
    return {name for name in NAMES for one in texts if name in str(one)}


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with world(monkeypatch, few=True) as made:
        yield made


def frame(aws: World) -> bytes:
    return aws.frame(*(entry(number, principal=name) for number, name in enumerate(NAMES)))


def notified(aws: World) -> list[Any]:
    """Run digest as in the next minutes, and return everything of which people were notified."""
    for _ in range(2):
        aws.now += 61
        aws.digest()
    return [one for one in aws.published() if one.disposition in NOTIFIED]


@pytest.mark.parametrize("step", STORING)
def test_an_alert_that_cannot_be_stored_is_stored_without_its_texts_and_kept(
    aws: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], step: str
) -> None:
    evaluate = aws.function("evaluate")
    raise_on(monkeypatch, *STORING[step], "mallory")
    assert evaluate.handler(kinesis(frame(aws)), Context()) == {"batchItemFailures": []}

    assert total(capsys.readouterr().out, "FailedAlerts") == 1
    alerts = aws.alerts().values()
    assert len(alerts) == 4
    assert names(*(alert.summary for alert in alerts)) == {"alice", "bob", "carol"}
    [kept] = aws.objects("rejected/alerts/").values()
    written = json.loads(kept["Body"].read())
    assert written["reason"] == "ZeroDivisionError"
    assert written["id"] in aws.alerts()
    messages = notified(aws)
    assert names(*messages) == {"alice", "bob", "carol"}
    assert {alert.id for one in messages for alert in one.alerts} == set(aws.alerts())
    assert aws.unsent() == 0


@pytest.mark.parametrize("step", PUBLISHING)
def test_an_alert_that_cannot_be_written_is_published_without_its_texts(
    aws: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], step: str
) -> None:
    evaluate = aws.function("evaluate")
    raise_on(monkeypatch, *PUBLISHING[step], "mallory")
    evaluate.handler(kinesis(frame(aws)), Context())

    assert total(capsys.readouterr().out, "FailedAlerts") >= 1
    assert names(*(alert.summary for alert in aws.alerts().values())) == set(NAMES)
    messages = notified(aws)
    assert names(*messages) == {"alice", "bob", "carol"}
    assert {alert.id for one in messages for alert in one.alerts} == set(aws.alerts())
    assert aws.unsent() == 0


def test_an_alert_that_cannot_be_written_for_the_history_is_put_there_without_its_texts(
    aws: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate = aws.function("evaluate")
    raise_on(monkeypatch, history, "machine_json", "mallory")
    for number in range(0, 8, 4):  # the second of each name is suppressed
        lines = (entry(number + place, principal=name) for place, name in enumerate(NAMES))
        evaluate.handler(kinesis(aws.frame(*lines)), Context())
    kept = aws.kept()
    assert len(kept) == 4
    assert names(*kept) == {"alice", "bob", "carol"}


def test_a_counted_alert_that_cannot_be_written_does_not_take_the_others_with_it(
    aws: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate = aws.function("evaluate")
    lines = [entry(number, f"sys/audit/{number}", principal=name) for number, name in enumerate(NAMES * 6)]
    for line in lines:
        evaluate.handler(kinesis(aws.frame(line)), Context())
    aws.published()
    raise_on(monkeypatch, text, "_merged_lines", "mallory")
    aws.now += 3700
    aws.function("digest")
    messages = notified(aws)
    assert names(*(merged for one in messages for merged in one.merged)) == {"alice", "bob", "carol"}
    assert sum(one.merged_count for one in messages) == 20


def _plain(body: bytes) -> bytes:
    """The JSON of a row, whose alert may be compressed."""
    return zstandard.decompress(body) if body.startswith(zstandard.FRAME_HEADER) else body


def test_an_alert_that_dynamodb_refuses_is_no_failure_of_the_infrastructure(
    aws: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate = aws.function("evaluate")
    item = Table._item

    def refused(table: Table, row: Any) -> Any:
        if b"mallory" in _plain(row.body):
            raise ClientError({"Error": {"Code": "ValidationException"}}, "TransactWriteItems")
        return item(table, row)

    monkeypatch.setattr(Table, "_item", refused)
    evaluate.handler(kinesis(frame(aws)), Context())
    assert names(*(alert.summary for alert in aws.alerts().values())) == {"alice", "bob", "carol"}
    assert len(aws.alerts()) == 4


def test_a_table_that_refuses_everything_is_retried(aws: World) -> None:
    def refuse(number: int, name: str, made: bool) -> None:
        if name == "DynamoDB.TransactWriteItems":
            raise ClientError({"Error": {"Code": "ValidationException"}}, name)

    with watching(refuse), pytest.raises(VaultwatchError):
        aws.evaluate(frame(aws))
    aws.evaluate(frame(aws))
    assert len(aws.alerts()) == 4


def test_sweep_keeps_such_an_alert_too(aws: World, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = aws.function("sweep")
    raise_on(monkeypatch, groups, "group_key", "mallory")
    key = aws.archive("00000002-20261121T075958", b"\n".join(entry(n, principal=name) for n, name in enumerate(NAMES)))

    sweep.handler(object_created(ARCHIVE, key), Context(900_000))
    assert len(aws.alerts()) == 4
    assert len(aws.objects("rejected/alerts/")) == 1


def test_the_text_of_an_exception_is_in_no_alert(aws: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def loose(alert: Any) -> str:
        raise ValueError("s3cr3t " + alert.principal)

    evaluate = aws.function("evaluate")
    monkeypatch.setattr(groups, "group_key", lambda alert: loose(alert) if alert.principal else "g")
    evaluate.handler(kinesis(frame(aws)), Context())
    assert not any("s3cr3t" in repr(alert) for alert in aws.alerts().values())
