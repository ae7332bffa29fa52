"""A clock that is set forth or back by a minute, an hour or a day, at any time in any sequence of alerts."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.dynamodb import SEAL, TABLE, local_aws, make_client, make_table
from tests.unit.store.alerts import a_filing
from tests.unit.store.conftest import ROUTES
from vaultwatch.dispatch.groups import WINDOW_SECONDS
from vaultwatch.dispatch.notification import NOTIFIED, Notification
from vaultwatch.rules.facts import Level
from vaultwatch.store import Store
from vaultwatch.store.dynamodb.adapter import DynamoStore
from vaultwatch.store.sqlite import SqliteStore

T0 = 1_700_000_000.0
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
WINDOW = WINDOW_SECONDS[Level.HIGH]
EXAMPLES = {"sqlite": 150, "dynamodb": 8}

waits = st.tuples(st.just("wait"), st.sampled_from([0.0, 1.0, 59.0, 61.0, 400.0, WINDOW, 4000.0]))
steps = st.tuples(st.just("step"), st.sampled_from([sign * by for by in (MINUTE, HOUR, DAY) for sign in (-1, 1)]))
alerts = st.tuples(st.just("file"), st.sampled_from(["alice", "bob"]))
sequences = st.lists(st.one_of(waits, steps, alerts, st.just(("settle", 0))), max_size=20)


@contextmanager
def open_store(name: str) -> Iterator[Store]:
    if name == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            store = SqliteStore(Path(folder) / "alerts.sqlite", ROUTES)
            yield store
            store.close()
        return
    with local_aws():
        make_table(make_client("dynamodb"))
        yield DynamoStore(make_client("dynamodb"), TABLE, SEAL, ROUTES)


@dataclass
class Run:
    """A sequence on a store: what was filed, and what people were notified of."""

    store: Store
    now: float = T0
    latest: float = T0
    filed: list[str] = field(default_factory=list)
    notified: list[Notification] = field(default_factory=list)

    def act(self, acts: Sequence[tuple[str, Any]]) -> None:
        for act, value in acts:
            if act in ("wait", "step"):
                self.go(value)
            elif act == "file":
                self.file(principal=value)
            else:
                self.settle()

    def go(self, seconds: float) -> None:
        self.now += seconds
        self.latest = max(self.latest, self.now)

    def file(self, **changes: Any) -> Sequence[Notification]:
        """File an alert, and return the notifications for people."""
        filing = a_filing(f"e{len(self.filed)}", **changes)
        self.filed.append(filing.alert.id)
        return self._note(self.store.file([filing], self.now).notifications)

    def settle(self) -> Sequence[Notification]:
        return self._note(self.store.settle(self.now))

    def _note(self, made: Sequence[Notification]) -> Sequence[Notification]:
        people = [one for one in made if one.disposition in NOTIFIED]
        self.notified += people
        return people

    @property
    def counted(self) -> int:
        return sum(len(one.alerts) + one.merged_count for one in self.notified)


def shown(notifications: Sequence[Notification]) -> set[str]:
    listed = (alerts for one in notifications for alerts in (one.alerts, *(merged.alerts for merged in one.merged)))
    return {alert.id for alerts in listed for alert in alerts}


@pytest.fixture(params=["sqlite", "dynamodb"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def check(kind: str, body: Callable[[Run, Any], None], strategy: st.SearchStrategy[Any]) -> None:
    """Check a property of runs on a kind of store."""

    @settings(max_examples=EXAMPLES[kind], deadline=None, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def prop(value: Any) -> None:
        with open_store(kind) as store:
            body(Run(store), value)

    prop()


def test_no_alert_is_lost_or_counted_twice(kind: str) -> None:
    def body(run: Run, acts: Sequence[tuple[str, Any]]) -> None:
        run.act(acts)
        run.now = run.latest + DAY
        for _ in range(3):
            run.settle()
            run.go(HOUR)
        run.file(principal="carol")  # takes along what says nothing new
        assert run.counted == len(run.filed)

    check(kind, body, sequences)


def test_a_critical_act_that_succeeded_is_notified_at_once(kind: str) -> None:
    def body(run: Run, parts: Sequence[Sequence[tuple[str, Any]]]) -> None:
        for acts in parts:
            run.act(acts)
            made = run.file(principal="mallory", level=Level.CRITICAL)  # five repeats of one group are urgent
            assert run.filed[-1] in {alert.id for one in made for alert in one.alerts}

    check(kind, body, st.lists(sequences, min_size=1, max_size=5))


def test_no_window_is_longer_than_its_rule_says(kind: str) -> None:
    """Of two alerts that are a window and a minute apart, people learn of the second within two minutes."""

    def body(run: Run, acts: Sequence[tuple[str, Any]]) -> None:
        run.act(acts)
        run.file(principal="alice")
        run.go(WINDOW + MINUTE)
        made = [*run.file(principal="alice")]
        for _ in range(2):
            run.go(MINUTE)
            made += run.settle()
        assert run.filed[-1] in shown(made)

    check(kind, body, sequences)
