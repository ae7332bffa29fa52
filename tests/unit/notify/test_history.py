"""Alerts that notify nobody reach Firehose in few calls, within its limits, and none that it leaves out is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from msgspec.structs import replace

from testbed.aws.firehose import MAX_CALL_BYTES, MAX_RECORD_BYTES, MAX_RECORDS
from tests.unit.notify.samples import a_message
from tests.unit.store.alerts import an_alert
from vaultwatch.dispatch.notification import Notification
from vaultwatch.notify.history import HistoryPublisher, history_lines
from vaultwatch.notify.machine import decode_notification


class Firehose:
    """Accepts what `accepts` says, and checks the limits."""

    def __init__(self, accepts: Callable[[int, int], bool] = lambda call, place: True) -> None:
        self.calls: list[list[bytes]] = []
        self.accepts = accepts

    def put_record_batch(self, **given: Any) -> Any:
        data = [record["Data"] for record in given["Records"]]
        assert 0 < len(data) <= MAX_RECORDS
        assert sum(map(len, data)) <= MAX_CALL_BYTES
        assert max(map(len, data)) <= MAX_RECORD_BYTES
        self.calls.append(data)
        taken = [self.accepts(len(self.calls), place) for place in range(len(data))]
        answers = [{"RecordId": "1"} if one else {"ErrorCode": "ServiceUnavailableException"} for one in taken]
        return {"FailedPutCount": taken.count(False), "RequestResponses": answers}


def publisher(firehose: Any, marked: list[str], **options: Any) -> HistoryPublisher:
    may_go_on = options.get("may_go_on", lambda: True)
    return HistoryPublisher(lambda: firehose, "history", marked.extend, may_go_on, lambda seconds: None)


def suppressed(count: int, **fields: Any) -> list[Notification]:
    alerts = [an_alert(f"e{number}", **fields) for number in range(count)]
    return [replace(a_message(alert), disposition="suppressed") for alert in alerts]


def test_a_thousand_alerts_are_two_calls() -> None:
    firehose, marked = Firehose(), list[str]()
    publisher(firehose, marked).publish(notifications := suppressed(1_000))
    assert [len(call) for call in firehose.calls] == [500, 500]
    assert marked == [one.id for one in notifications]


def test_large_alerts_of_any_characters_stay_within_the_limits_of_a_call() -> None:
    firehose, marked = Firehose(), list[str]()
    for text in ("x", '"', "\\", "\n", "\x01", "\u2028", "\U0001f511"):
        publisher(firehose, marked).publish(suppressed(70, record={"data": text * 30_000}, path=text * 30_000))
    assert len(marked) == 7 * 70


def test_a_line_is_like_those_of_sns() -> None:
    [notification] = suppressed(1)
    [line] = map(json.loads, history_lines(notification))
    assert decode_notification(line["Message"].encode()).alerts == notification.alerts
    assert line["MessageAttributes"]["disposition"] == {"Type": "String", "Value": "suppressed"}


def test_only_what_firehose_left_out_is_put_again() -> None:
    firehose, marked = Firehose(lambda call, place: call > 1 or place % 3 != 0), list[str]()
    made = publisher(firehose, marked)
    made.publish(suppressed(10))
    assert [len(call) for call in firehose.calls] == [10, 4]
    assert firehose.calls[1] == firehose.calls[0][::3]
    assert (made.sent, len(marked), made.failure) == (10, 10, None)


def test_what_firehose_never_accepts_stays_unsent() -> None:
    firehose, marked = Firehose(lambda call, place: place != 0), list[str]()
    made = publisher(firehose, marked)
    notifications = suppressed(600)
    made.publish(notifications)
    assert marked == [one.id for one in notifications[1:500]]
    assert str(made.failure) == "Firehose did not accept 1 record in 4 attempts"


def test_an_error_ends_it_and_quotes_nothing() -> None:
    class Unavailable(Firehose):
        def put_record_batch(self, **given: Any) -> Any:
            super().put_record_batch(**given)
            raise ClientError({"Error": {"Code": "ServiceUnavailableException", "Message": "x"}}, "PutRecordBatch")

    marked: list[str] = []
    made = publisher(Unavailable(), marked)
    made.publish(suppressed(2))
    assert (marked, str(made.failure)) == ([], "Firehose answered ServiceUnavailableException")


@pytest.mark.parametrize("calls", [0, 1])
def test_without_time_it_puts_no_more(calls: int) -> None:
    firehose, marked = Firehose(), list[str]()
    made = publisher(firehose, marked, may_go_on=lambda: len(firehose.calls) < calls)
    made.publish(suppressed(1_200))
    assert (len(firehose.calls), len(marked)) == (calls, 500 * calls)
