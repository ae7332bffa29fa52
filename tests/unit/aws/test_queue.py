"""Delivery from a queue to a sink: no notification is lost, and none that is known to be sent is repeated."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.unit.notify.samples import a_message
from vaultwatch.aws.queue import Delivery, NotificationQueue, QueueMessage
from vaultwatch.dispatch.notification import Notification
from vaultwatch.errors import DeliveryError, SettingError, SinkBusy, SinkMisconfigured, SinkRefused
from vaultwatch.notify.machine import is_sealed, machine_json, sealed_json
from vaultwatch.seals import Seal
from vaultwatch.store import StoreError

ARN = "arn:aws:sqs:eu-west-1:123456789012:slack"
DAY_SECONDS = 86_400
SEAL = Seal("the key of this deployment, which nobody else has")


@dataclass
class ScriptedSink:
    """Raises the next of `failures`, or accepts."""

    failures: list[Exception] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)
    attempts: int = 0

    def send(self, notification: Notification) -> None:
        self.attempts += 1
        if self.failures:
            raise self.failures.pop(0)
        self.accepted.append(notification.id)


@dataclass
class Sqs:
    """Records which messages were hidden, and for how long."""

    hidden: dict[str, int] = field(default_factory=dict)
    failure: Exception | None = None
    meta: Any = field(default_factory=lambda: SimpleNamespace(endpoint_url="https://sqs"))

    def change_message_visibility(self, *, QueueUrl: str, ReceiptHandle: str, VisibilityTimeout: int) -> None:  # noqa: N803
        assert QueueUrl == "https://sqs/123456789012/slack"
        if self.failure:
            raise self.failure
        self.hidden[ReceiptHandle] = VisibilityTimeout


@dataclass
class Sent:
    """The notifications that the sink has accepted."""

    ids: set[str] = field(default_factory=set)
    works: bool = True

    def known(self, notification_ids: Iterable[str]) -> set[str]:
        self._check()
        return self.ids & set(notification_ids)

    def add(self, notification_id: str, now: float) -> None:  # noqa: ARG002 (as the real one)
        self._check()
        self.ids.add(notification_id)

    def _check(self) -> None:
        if not self.works:
            raise StoreError("DynamoDB is unavailable")


@dataclass
class World:
    """A queue with stand-ins for its collaborators; time passes only while it sleeps."""

    sink: ScriptedSink = field(default_factory=ScriptedSink)
    sqs: Sqs = field(default_factory=Sqs)
    sent: Sent = field(default_factory=Sent)
    seconds_left: float = 60.0
    slept: list[float] = field(default_factory=list)
    opened: int = 0

    def __post_init__(self) -> None:
        self.queue = NotificationQueue(cast("Any", self.sqs), self.open, cast("Any", self.sent), SEAL, self.sleep)

    def open(self) -> Any:
        self.opened += 1
        return self.sink

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds_left -= seconds

    def deliver(self, *messages: QueueMessage) -> Delivery:
        return self.queue.deliver(messages, lambda: self.seconds_left)


@pytest.fixture
def world() -> World:
    return World()


def message(number: int, receives: int = 1, body: str | None = None) -> QueueMessage:
    """Return a message with the notification of this number."""
    text = sealed_json(msgspec.structs.replace(a_message(), id=f"n{number}"), 100_000, SEAL).decode()
    return QueueMessage(f"m{number}", f"h{number}", ARN, receives, text if body is None else body)


def ids(delivery: Delivery) -> list[str]:
    return [failed.id for failed in delivery.failed]


def test_each_notification_is_sent_once(world: World) -> None:
    assert world.deliver(message(0), message(1), message(0)) == Delivery(sent=2)
    assert world.deliver(message(1)) == Delivery()
    assert world.sink.accepted == ["n0", "n1"]


def test_the_envelope_of_sns_is_opened(world: World) -> None:
    envelope = json.dumps({"Type": "Notification", "Message": message(0).body})
    assert world.deliver(message(0, body=envelope)) == Delivery(sent=1)


_DEEP = "[" * 100_000 + "]" * 100_000


def sealed(content: str) -> str:
    """Return an object with the seal of the deployment."""
    return f'{content[:-1]},"seal":"{SEAL.of_message(content.encode())}"}}'


@pytest.mark.parametrize("content", ['{"alerts":1}', '{"merged":' + _DEEP + "}"])
def test_a_notification_of_another_version_returns_to_the_queue_alone(world: World, content: str) -> None:
    delivery = world.deliver(message(0, body=sealed(content)), message(1))
    assert (ids(delivery), world.sink.accepted, delivery.foreign) == (["m0"], ["n1"], 0)


UNSEALED_JSON = machine_json(a_message(), 100_000).decode()
FOREIGN = {
    "no JSON": "no json",
    "a list": "[1]",
    "an envelope of nothing": '{"Message": "x"}',
    "deep": _DEEP,
    "a deep envelope": json.dumps({"Message": '{"merged":' + _DEEP}),
    "without a seal": UNSEALED_JSON,
    "with the seal of another key": sealed_json(a_message(), 100_000, Seal("x" * 64)).decode(),
    "with a seal that anybody can make": sealed_json(a_message(), 100_000, Seal("")).decode(),
    "with the seal of another notification": UNSEALED_JSON[:-1] + message(1).body[-43:],
    "with the seal in another place": "{" + message(0).body[-42:-1] + "," + UNSEALED_JSON[1:],
    "in the envelope, without a seal": json.dumps({"Message": UNSEALED_JSON}),
    "a surrogate": UNSEALED_JSON[:-1] + "\ud800}",
}


@pytest.mark.parametrize("body", FOREIGN.values(), ids=FOREIGN)
def test_what_vaultwatch_has_not_published_is_dropped_counted_and_shown_in_the_log(
    world: World, body: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is not in the name of the real one either, which comes after it."""
    delivery = world.deliver(message(0, body=body), message(1), replace(message(0), id="m2"))
    assert delivery == Delivery(sent=2, foreign=1)
    assert world.sink.accepted == ["n1", "n0"]
    (shown,) = [record.getMessage() for record in caplog.records]
    assert shown.startswith("message m0 was not published by Vaultwatch")
    assert len(shown) < 700
    assert "\n" not in shown


@given(st.integers(0, 100_000), st.integers(1, 255))
def test_no_byte_of_a_notification_can_be_changed(place: int, by: int) -> None:
    body = bytearray(sealed_json(a_message(), 100_000, SEAL))
    assert is_sealed(bytes(body), SEAL)
    body[place % len(body)] ^= by
    assert not is_sealed(bytes(body), SEAL)


def test_without_its_table_it_sends_twice_rather_than_not_at_all(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.sent.works = False
    for _ in range(2):
        assert world.deliver(message(0)) == Delivery(sent=1)
    assert "DynamoDB is unavailable" in caplog.text


def test_it_waits_as_long_as_the_sink_asks(world: World) -> None:
    world.sink.failures = [SinkBusy("429", 3.0), SinkBusy("429", 4.0)]
    assert world.deliver(message(0), message(1)) == Delivery(sent=2)
    assert world.slept == [3.0, 4.0]


def test_without_time_to_wait_the_messages_stay_hidden(world: World) -> None:
    world.seconds_left, world.sink.failures = 15.5, [SinkBusy("429", 1.0)]
    assert ids(world.deliver(message(0), message(1))) == ["m0", "m1"]
    assert (world.slept, world.sqs.hidden) == ([], {"h0": 2, "h1": 2})


@pytest.mark.parametrize("seconds_left", [15.5, 17.5])  # no time to wait, or too little
def test_a_sink_that_is_busy_for_a_day_moves_no_message_to_the_dead_letters(world: World, seconds_left: float) -> None:
    pauses = []
    for receives in range(1, 401):
        world.seconds_left, world.sink.failures = seconds_left, [SinkBusy("429", 1.0)] * 10
        assert ids(world.deliver(message(0, receives))) == ["m0"]
        pauses.append(world.sqs.hidden["h0"])
    assert pauses[:3] == [2, 3, 5]
    assert sum(pauses) > DAY_SECONDS


@pytest.mark.parametrize(("receives", "seconds"), [(1, 31), (2, 61), (5, 361), (200, 361)])
def test_while_the_sink_fails_messages_stay_hidden_longer_and_longer(world: World, receives: int, seconds: int) -> None:
    world.sink.failures = [DeliveryError("500")]
    assert ids(world.deliver(*(message(number, receives) for number in range(3)))) == ["m0", "m1", "m2"]
    assert world.sqs.hidden == {"h0": 2 * seconds - 1, "h1": seconds, "h2": seconds}
    assert world.sink.attempts == 1


def test_a_notification_on_which_the_sink_always_fails_delays_the_others_once(world: World) -> None:
    world.sink.failures = [DeliveryError("timeout")]
    world.deliver(message(0), message(1), message(2))
    returned = [number for number in (0, 1, 2) if world.sqs.hidden[f"h{number}"] <= 31]
    assert world.deliver(*(message(number, 2) for number in returned)) == Delivery(sent=2)


def test_one_that_has_failed_for_long_delays_a_new_one_for_half_a_minute(world: World) -> None:
    world.sink.failures = [DeliveryError("timeout")]
    world.deliver(message(0, 100), message(1))
    assert world.sqs.hidden == {"h0": 721, "h1": 31}


def test_no_message_stays_hidden_longer_than_sqs_allows(world: World) -> None:
    world.sink.failures = [SinkBusy("429", 3 * DAY_SECONDS)]
    world.deliver(message(0))
    assert world.sqs.hidden == {"h0": 43_200}


def test_messages_that_cannot_be_hidden_still_return_to_the_queue(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.sink.failures, world.sqs.failure = [DeliveryError("500")], OSError("secret")
    assert ids(world.deliver(message(0), message(1))) == ["m0", "m1"]
    assert "visibility: OSError" in caplog.text
    assert "secret" not in caplog.text


def test_a_refused_notification_returns_to_the_queue_alone(world: World) -> None:
    world.sink.failures = [SinkRefused("400")]
    assert ids(world.deliver(message(0), message(1))) == ["m0"]
    assert world.sink.accepted == ["n1"]


@pytest.mark.parametrize("error", [SinkMisconfigured("404"), SettingError("not a URL")])
def test_a_misconfigured_sink_keeps_all_messages_in_the_queue_and_is_opened_again(
    world: World, error: Exception
) -> None:
    world.sink.failures = [error]
    assert ids(world.deliver(message(0), message(1))) == ["m0", "m1"]
    assert world.sqs.hidden == {"h0": 31, "h1": 31}
    assert world.deliver(message(0), message(1)) == Delivery(sent=2)
    assert world.opened == 2


def test_the_sink_is_opened_once_and_when_it_is_first_needed(world: World) -> None:
    world.deliver(message(0, body="no json"))
    assert world.opened == 0
    world.deliver(message(0))
    world.deliver(message(1))
    assert world.opened == 1
