"""In any order of events, every alert is published once, and counted once where people see it."""

from __future__ import annotations

import contextlib
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.unit.store.alerts import a_filing, record, settle
from tests.unit.store.conftest import ROUTES
from vaultwatch.contradictions import under_own_id
from vaultwatch.dispatch.groups import is_urgent
from vaultwatch.dispatch.held import Held
from vaultwatch.dispatch.notification import Filing, Notification
from vaultwatch.dispatch.tallies import Tally, says_something_new
from vaultwatch.rules.facts import Level
from vaultwatch.store import StoreError
from vaultwatch.store.sqlite import SqliteStore

LEVELS = {
    "informational": Level.INFORMATIONAL,
    "low": Level.LOW,
    "high": Level.HIGH,
    "critical": Level.CRITICAL,
    "critical_too": Level.CRITICAL,
}


@st.composite
def filings(draw: st.DrawFn) -> Filing:
    name = draw(st.sampled_from(sorted(LEVELS)))
    # An event has one principal, however often it is delivered.
    event = draw(st.integers(0, 60))
    return a_filing(
        f"e{event}",
        rule=name,
        level=LEVELS[name],
        principal=f"p{event % 3}",
        same_as=("low",) if name == "high" else ("high",) if name == "low" else (),
        staged=event % 10 == 9,
        outcome=draw(st.sampled_from(["unknown", "failed", "succeeded"])),
    )


class Deliveries(RuleBasedStateMachine):
    """A store under batches, redelivery, closing, sending, failures and kills, compared with simple counting."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.now = 1_000_000.0
        self.notified: Counter[str] = Counter()
        self.published: Counter[str] = Counter()
        self.known: dict[str, Filing] = {}
        self.moments: list[float] = []
        self.ordinary: list[tuple[float, set[tuple[str, str]]]] = []
        self.seen: set[str] = set()

    @initialize()
    def begin(self) -> None:
        self.store = self.reopened()

    def reopened(self) -> SqliteStore:
        return SqliteStore(Path(self.directory.name) / "alerts.sqlite", ROUTES)

    @rule(batch=st.lists(filings(), max_size=6))
    def record(self, batch: list[Filing]) -> None:
        results = record(self.store, batch, self.now)
        new = [(result.alert_id, filing) for filing, result in zip(batch, results, strict=True) if result.new]
        plain = [(id_, filing) for id_, filing in new if id_ == filing.alert.id]
        assert Counter(id_ for id_, _ in plain) == Counter({one.alert.id for one in batch} - set(self.known))
        self.known.update(plain)
        for id_, filing in new:
            if id_ != filing.alert.id:  # it contradicts one that was stored as denied
                assert (filing.alert.outcome, id_) == ("succeeded", under_own_id(filing.alert).id)
                assert id_ not in self.known
                self.known[id_] = filing

    @rule(batch=st.lists(filings(), min_size=1, max_size=4), steps=st.integers(1, 400))
    def fail_somewhere_within_recording(self, batch: list[Filing], steps: int) -> None:
        self.failing(steps, lambda: self.record(batch))

    @rule(steps=st.integers(1, 400))
    def fail_somewhere_within_closing(self, steps: int) -> None:
        self.failing(steps, self.close_due)

    def failing(self, steps: int, action: Callable[[], Any]) -> None:
        """Run it on a database that fails after some of its instructions, then restart as after a kill."""
        with self.store._database.reading() as db:
            db.set_progress_handler(lambda: 1, steps)
        with contextlib.suppress(StoreError):
            action()
        self.kill()

    @rule()
    def kill(self) -> None:
        self.store.close()
        self.store = self.reopened()

    @rule(seconds=st.sampled_from([0.5, 1.0, 30.0, 59.5, 60.0, 61.0, 300.0, 900.0, 3600.0]))
    def time_goes_by(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def close_due(self) -> None:
        due_at = settle(self.store, self.now)
        assert due_at is None or due_at > self.now

    @rule(limit=st.integers(1, 5))
    def send_a_page(self, limit: int) -> None:
        for unsent in self.store.unsent("archive", self.now, limit=limit):
            self.count(unsent.notification)
            self.store.mark_sent([unsent.notification.id], "archive", self.now)

    def count(self, notification: Notification) -> None:
        assert notification.id not in self.seen
        self.seen.add(notification.id)
        assert notification.created_at <= self.now
        self.published.update(alert.id for alert in notification.alerts)
        assert sum(merged.count for merged in notification.merged) == notification.merged_count
        assert all(sum(merged.outcomes.values()) == merged.count for merged in notification.merged)
        for merged in notification.merged:
            self.notified[merged.group] += merged.count
        if notification.disposition in ("first", "summary"):
            self.notified.update(self.known[alert.id].group for alert in notification.alerts)
            self.note_moment(notification)

    def note_moment(self, notification: Notification) -> None:
        """Record when people were notified, except for notifications that are exempt from the limits."""
        carried = [self.known[alert.id] for alert in notification.alerts]
        listed = [self.known[alert.id] for merged in notification.merged for alert in merged.alerts]
        if any(is_urgent(filing.alert) for filing in carried or listed):
            return
        self.moments.append(notification.created_at)
        if carried:
            self.ordinary.append((notification.created_at, {(one.alert.rule, one.alert.principal) for one in carried}))

    @invariant()
    def never_a_notification_with_only_rules_and_principals_of_the_last_minute(self) -> None:
        for moment, shown in self.ordinary:
            recent = [others for at, others in self.ordinary if moment - 60 < at < moment]
            assert shown - set().union(*recent)

    @invariant()
    def never_more_than_twenty_within_a_minute(self) -> None:
        ordered = sorted(self.moments)
        assert all(later - earlier >= 60 for earlier, later in zip(ordered, ordered[20:]))

    @precondition(lambda self: hasattr(self, "store"))
    @invariant()
    def nothing_is_notified_that_was_not_stored(self) -> None:
        assert self.notified.total() <= len(self.known)
        assert set(self.published) <= set(self.known)

    def teardown(self) -> None:
        try:
            if hasattr(self, "store"):
                self.finish()
        finally:
            self.store.close()
            self.directory.cleanup()

    def finish(self) -> None:
        """Let every window end, send the rest, and compare the sums."""
        for _ in range(50):
            due_at = settle(self.store, self.now)
            if due_at is None:
                break
            self.now = due_at
        assert settle(self.store, self.now) is None
        while self.store.unsent("archive", self.now, limit=1):
            self.send_a_page(limit=5)
        assert self.published == Counter(list(self.known))
        counted = self.notified + Counter({tally.group: tally.count for tally in self.carried()})
        assert counted == Counter(filing.group for filing in self.known.values() if filing.notify)

    def carried(self) -> list[Tally]:
        """Return the counts that wait for the next notification of their rule, none of which is new."""
        with self.store._database.reading() as db:
            rows = db.execute("SELECT body FROM held").fetchall()
        held = [msgspec.json.decode(body, type=Held) for (body,) in rows]
        assert not any(says_something_new(tally) for one in held for tally in one.tallies)
        return [tally for one in held for tally in one.tallies]


TestDeliveries = Deliveries.TestCase
TestDeliveries.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
