"""The sender: everything in the store reaches every sink, and no sink delays another."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from testbed.slack import SlackStandIn
from tests.support.waiting import HUNG_SECONDS
from tests.unit.store.alerts import a_filing, record
from vaultwatch.dispatch.notification import ALL_DISPOSITIONS, NOTIFIED, Notification
from vaultwatch.errors import DeliveryError, SinkBusy, SinkRefused
from vaultwatch.notify.sender import Sender
from vaultwatch.notify.sink import Sink, route
from vaultwatch.notify.slack.webhook import SlackWebhook
from vaultwatch.rules.facts import Level
from vaultwatch.store import StoreError, Unsent
from vaultwatch.store.sqlite import SqliteStore


class ListSink:
    """A sink that keeps its notifications; `fault` may raise for any of them."""

    minimum_level = Level.INFORMATIONAL

    def __init__(self, name: str, fault: Callable[[Notification], None] = lambda _: None) -> None:
        self.name = name
        self.dispositions = ALL_DISPOSITIONS if name == "archive" else NOTIFIED
        self.sent: list[Notification] = []
        self.tried: list[str] = []
        self._fault = fault
        self._changed = threading.Condition()

    def send(self, message: Notification) -> None:
        with self._changed:
            self.tried.append(message.rule)
            self._changed.notify_all()
        self._fault(message)
        with self._changed:
            self.sent.append(message)
            self._changed.notify_all()

    def wait_for(self, sent: int = 0, tried: int = 0) -> list[Notification]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.sent) >= sent and len(self.tried) >= tried, HUNG_SECONDS)
            return list(self.sent)


Starter = Callable[..., tuple[SqliteStore, Sender]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    """Open the store and start a sender on it; each call stops the previous one."""
    running: list[tuple[SqliteStore, Sender]] = []

    def starter(*sinks: Sink) -> tuple[SqliteStore, Sender]:
        stop()
        store = SqliteStore(tmp_path / "alerts.sqlite", [route(sink) for sink in sinks])
        sender = Sender(store, sinks, pause_seconds=0.05)
        sender.start()
        running.append((store, sender))
        return store, sender

    def stop() -> None:
        for store, sender in running:
            sender.stop()
            store.close()
        running.clear()

    yield starter
    stop()


def raising(error: DeliveryError, rule: str = "", times: int = 10**9) -> Callable[[Notification], None]:
    left = [times]

    def fault(message: Notification) -> None:
        if (not rule or message.rule == rule) and left[0] > 0:
            left[0] -= 1
            raise error

    return fault


def test_every_notification_is_sent_to_every_sink_that_wants_it(start: Starter) -> None:
    people, archive = ListSink("people"), ListSink("archive")
    store, sender = start(people, archive)
    record(store, [a_filing("e1"), a_filing("e2", staged=True), a_filing("e3")], time.time())
    sender.notify()
    assert [message.disposition for message in people.wait_for(sent=1)] == ["first"]
    assert sorted(message.disposition for message in archive.wait_for(sent=3)) == ["first", "staged", "suppressed"]


def test_a_summary_is_sent_when_its_suppression_window_ends(start: Starter) -> None:
    people = ListSink("people")
    store, sender = start(people)
    now = time.time()
    filings = [replace(a_filing(f"e{n}", remote_address=f"192.0.2.{n}"), window_seconds=0.1) for n in range(3)]
    record(store, filings, now - 60.0)
    record(store, [replace(a_filing("e9", rule="other"), window_seconds=0.2)], now)
    sender.notify()
    people.wait_for(sent=3)
    assert sorted((message.disposition, message.rule, message.merged_count) for message in people.sent) == [
        ("first", "audit_root_policy_used", 0),
        ("first", "other", 0),
        ("summary", "audit_root_policy_used", 2),
    ]


def test_a_window_is_closed_on_time_without_further_alerts(start: Starter) -> None:
    people = ListSink("people")
    store, sender = start(people)
    begun = time.time()
    # Its first was sent a minute ago, so its rule may send again when the window ends.
    record(
        store,
        [replace(a_filing(f"e{n}", remote_address=f"192.0.2.{n}"), window_seconds=60.4) for n in range(2)],
        begun - 60.0,
    )
    sender.notify()
    people.wait_for(sent=2)
    assert time.time() - begun >= 0.4


def test_unsent_notifications_are_sent_at_once_after_a_restart(start: Starter) -> None:
    dead = ListSink("people", raising(DeliveryError("away")))
    store, sender = start(dead)
    record(store, [a_filing("e1"), a_filing("e2", rule="other")], time.time())
    sender.notify()
    dead.wait_for(tried=1)
    alive = ListSink("people")
    start(alive)
    assert len(alive.wait_for(sent=2)) == 2


class TestFailingSinks:
    def test_one_that_hangs_delays_only_its_own_notifications(self, start: Starter) -> None:
        released = threading.Event()
        hanging = ListSink("hanging", lambda _: (released.wait(), None)[1])
        people = ListSink("people")
        store, sender = start(hanging, people)
        for n in range(3):
            record(store, [a_filing(f"e{n}", rule=f"r{n}")], time.time())
            sender.notify()
        people.wait_for(sent=3)
        assert hanging.sent == []
        released.set()
        hanging.wait_for(sent=3)

    def test_a_notification_that_is_refused_does_not_block_those_behind_it(self, start: Starter) -> None:
        people = ListSink("people", raising(SinkRefused("never"), rule="refused"))
        store, sender = start(people)
        refused = a_filing("e0", rule="refused", level=Level.CRITICAL)
        record(store, [refused, *[a_filing(f"e{n}", rule=f"r{n}") for n in range(1, 4)]], time.time())
        sender.notify()
        people.wait_for(sent=3)
        assert not sender.stop(5)
        assert people.tried.count("refused") == 1
        (kept,) = store.unsent("people", time.time() + 61)
        assert kept.notification.rule == "refused"

    def test_one_that_hits_a_bug_in_the_sink_does_not_block_those_behind_it(self, start: Starter) -> None:
        def broken(message: Notification) -> None:
            if message.rule == "refused":
                raise ZeroDivisionError("SECRET")

        people = ListSink("people", broken)
        store, sender = start(people)
        record(store, [a_filing("e0", rule="refused", level=Level.CRITICAL), a_filing("e1", rule="r1")], time.time())
        sender.notify()
        people.wait_for(sent=1)
        assert not sender.stop(5)
        assert len(store.unsent("people", time.time() + 61)) == 1

    def test_one_that_always_fails_does_not_block_those_behind_it(self, start: Starter) -> None:
        people = ListSink("people", raising(DeliveryError("500"), rule="refused"))
        store, sender = start(people)
        record(store, [a_filing("e0", rule="refused", level=Level.CRITICAL), a_filing("e1", rule="r1")], time.time())
        sender.notify()
        assert [message.rule for message in people.wait_for(sent=1)] == ["r1"]

    def test_a_notification_that_failed_is_sent_again(self, start: Starter) -> None:
        people = ListSink("people", raising(DeliveryError("500"), times=1))
        store, sender = start(people)
        record(store, [a_filing("e1")], time.time())
        sender.notify()
        assert len(people.wait_for(sent=1)) == 1
        assert len(people.tried) == 2

    def test_a_sink_that_asks_to_wait_gets_nothing_meanwhile(self, start: Starter) -> None:
        people = ListSink("people", raising(SinkBusy("429", 0.5), times=1))
        store, sender = start(people)
        begun = time.monotonic()
        record(store, [a_filing("e1")], time.time())
        sender.notify()
        people.wait_for(sent=1)
        assert time.monotonic() - begun >= 0.5

    def test_its_failure_and_its_recovery_are_logged_once(
        self, start: Starter, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        people = ListSink("people", raising(DeliveryError("away"), times=2))
        store, sender = start(people)
        record(store, [a_filing(f"e{n}", rule=f"r{n}") for n in range(2)], time.time())
        sender.notify()
        people.wait_for(sent=2)
        sender.stop(drain_seconds=5)
        assert caplog.messages == [
            "sending to people: away",
            "sending to people: works again after 2 failures",
        ]


class TestFailingStores:
    def test_a_notification_that_cannot_be_marked_is_not_sent_repeatedly(
        self, start: Starter, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        marked = threading.Event()
        calls: list[str] = []
        mark = SqliteStore.mark_sent

        def failing_once(store: SqliteStore, message_id: str, sink: str, now: float) -> None:
            calls.append(message_id)
            if len(calls) == 1:
                raise StoreError("disk full")
            mark(store, message_id, sink, now)
            marked.set()

        monkeypatch.setattr(SqliteStore, "mark_sent", failing_once)
        people = ListSink("people")
        store, sender = start(people)
        record(store, [a_filing("e1")], time.time())
        sender.notify()
        assert marked.wait(HUNG_SECONDS)
        assert len(people.tried) == 1

    def test_the_threads_continue_whatever_it_raises(
        self, start: Starter, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        unsent = SqliteStore.unsent
        faults = [ZeroDivisionError("SECRET")]

        def failing_once(store: SqliteStore, sink: str, now: float, *, limit: int = 10) -> list[Unsent]:
            if faults:
                raise faults.pop()
            return unsent(store, sink, now, limit=limit)

        monkeypatch.setattr(SqliteStore, "unsent", failing_once)
        people = ListSink("people")
        store, sender = start(people)
        record(store, [a_filing("e1")], time.time())
        sender.notify()
        people.wait_for(sent=1)
        assert "unexpected ZeroDivisionError" in caplog.text
        assert "SECRET" not in caplog.text

    def test_a_store_that_fails_for_a_moment_stops_no_thread(self, start: Starter, tmp_path: Path) -> None:
        people = ListSink("people")
        store, sender = start(people)
        (tmp_path / "alerts.sqlite").write_bytes(b"broken" * 10_000)
        with store._database._lock:
            store._database._disconnect()
        for _ in range(3):
            try:
                record(store, [a_filing("e1")], time.time())
                break
            except StoreError:
                continue
        sender.notify()
        people.wait_for(sent=1)


class TestStopping:
    def test_sends_what_it_can_within_the_time(self, start: Starter) -> None:
        people = ListSink("people")
        store, sender = start(people)
        record(store, [a_filing(f"e{n}", rule=f"r{n}") for n in range(15)], time.time())
        assert sender.stop(drain_seconds=10)
        assert len(people.sent) == 15

    def test_does_not_wait_for_a_sink_that_fails(self, start: Starter) -> None:
        people, dead = ListSink("people"), ListSink("dead", raising(DeliveryError("away")))
        store, sender = start(people, dead)
        record(store, [a_filing(f"e{n}", rule=f"r{n}") for n in range(5)], time.time())
        assert not sender.stop(drain_seconds=3600)
        assert len(people.sent) == 5
        assert len(store.unsent("dead", time.time() + 100)) == 5

    def test_abandons_a_send_that_hangs(self, start: Starter) -> None:
        released = threading.Event()
        hanging = ListSink("hanging", lambda _: (released.wait(), None)[1])
        store, sender = start(hanging)
        record(store, [a_filing("e1")], time.time())
        sender.notify()
        hanging.wait_for(tried=1)
        assert not sender.stop(drain_seconds=0.1)
        released.set()

    def test_a_sender_that_never_started_has_nothing_to_end(self, tmp_path: Path) -> None:
        store = SqliteStore(tmp_path / "alerts.sqlite")
        Sender(store, [ListSink("people")]).stop(1)
        store.close()


def test_a_slack_that_recovers_gets_everything(start: Starter) -> None:
    with SlackStandIn(interval_seconds=0) as slack:
        slack.behave("500", times=2)
        sink = SlackWebhook(slack.webhook_url, interval_seconds=0)
        store, sender = start(sink)
        record(store, [a_filing("e1"), a_filing("e2", rule="other")], time.time())
        sender.notify()
        assert len(slack.wait_for(2)) == 2
        assert slack.turned_away == 2
        assert sender.stop(5)
        sink.close()
