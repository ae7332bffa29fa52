"""Whatever happens in whatever order: every alert is published once and told once, in a message or in a count."""

from __future__ import annotations

import contextlib
import itertools
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.unit.store.alerts import a_filing
from tests.unit.store.conftest import ROUTES
from vaultwatch.dispatch.groups import group_key
from vaultwatch.dispatch.notification import Filing, Notification
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
    # An event belongs to one principal, whoever delivers it and however often.
    event = draw(st.integers(0, 60))
    return a_filing(
        f"e{event}",
        rule=name,
        level=LEVELS[name],
        principal=f"p{event % 3}",
        staged=event % 10 == 9,
        outcome=draw(st.sampled_from(["unknown", "failed"])),
    )


class Deliveries(RuleBasedStateMachine):
    """A store under batches, redelivery, closing, sending, failing and killing, against plain bookkeeping."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.now = 1_000_000.0
        self.told: Counter[str] = Counter()
        self.published: Counter[str] = Counter()
        self.known: dict[str, Filing] = {}
        self.made_at: defaultdict[str, list[float]] = defaultdict(list)
        self.seen: set[str] = set()

    @initialize()
    def begin(self) -> None:
        self.store = self.reopened()

    def reopened(self) -> SqliteStore:
        return SqliteStore(Path(self.directory.name) / "alerts.sqlite", ROUTES)

    @rule(batch=st.lists(filings(), max_size=6))
    def record(self, batch: list[Filing]) -> None:
        results = self.store.record(batch, self.now)
        for filing, result in zip(batch, results, strict=True):
            assert result.new == (filing.alert.id not in self.known)
            self.known.setdefault(filing.alert.id, filing)

    @rule(batch=st.lists(filings(), min_size=1, max_size=4), steps=st.integers(1, 400))
    def fail_somewhere_within_recording(self, batch: list[Filing], steps: int) -> None:
        self.failing(steps, lambda: self.record(batch))

    @rule(steps=st.integers(1, 400))
    def fail_somewhere_within_closing(self, steps: int) -> None:
        self.failing(steps, self.close_due)

    def failing(self, steps: int, action: Callable[[], Any]) -> None:
        """Do it on a database that gives up after some more of its instructions; then as killed and started anew."""
        with self.store._reading() as db:
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
        due_at = self.store.close_due(self.now)
        assert due_at is None or due_at > self.now

    @rule(limit=st.integers(1, 5))
    def send_a_page(self, limit: int) -> None:
        for unsent in self.store.unsent("archive", self.now, limit=limit):
            self.count(unsent.message)
            self.store.mark_sent(unsent.message.id, "archive")

    def count(self, message: Notification) -> None:
        assert message.id not in self.seen
        self.seen.add(message.id)
        assert message.created_at <= self.now
        self.published.update(alert.id for alert in message.alerts)
        listed = sum(merged.count for merged in message.merged)
        assert listed == message.merged_count
        for merged in message.merged:
            self.told[group_key(merged.latest)] += merged.count
        if message.disposition in ("first", "summary"):
            self.told.update(group_key(alert) for alert in message.alerts)
            for name in {alert.rule for alert in message.alerts} | {merged.latest.rule for merged in message.merged}:
                self.made_at[name].append(message.created_at)

    @invariant()
    def never_two_messages_of_a_rule_within_a_minute(self) -> None:
        for moments in self.made_at.values():
            ordered = sorted(moments)
            assert all(later - earlier >= 60 for earlier, later in itertools.pairwise(ordered))

    @precondition(lambda self: hasattr(self, "store"))
    @invariant()
    def nothing_is_told_that_was_not_stored(self) -> None:
        assert self.told.total() <= len(self.known)
        assert set(self.published) <= set(self.known)

    def teardown(self) -> None:
        try:
            if hasattr(self, "store"):
                self.finish()
        finally:
            self.store.close()
            self.directory.cleanup()

    def finish(self) -> None:
        """Let every period end, send the rest, and hold the sums against the books."""
        for _ in range(20):
            due_at = self.store.close_due(self.now)
            if due_at is None:
                break
            self.now = due_at
        assert self.store.close_due(self.now) is None
        while self.store.unsent("archive", self.now, limit=1):
            self.send_a_page(limit=5)
        self.never_two_messages_of_a_rule_within_a_minute()
        assert self.published == Counter(list(self.known))
        assert self.told == Counter(filing.group for filing in self.known.values() if filing.told)


TestDeliveries = Deliveries.TestCase
TestDeliveries.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
