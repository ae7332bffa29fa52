"""Dispatch without a store: rows in memory, alerts of real recordings, and the notifications."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import heappop, heappush

from testbed.recorded import load
from vaultwatch.alerts import Alert, alert_of
from vaultwatch.detection.detector import Detector
from vaultwatch.dispatch.decisions import State, close_window, file_event, flush
from vaultwatch.dispatch.drafts import assemble
from vaultwatch.dispatch.groups import Window, file_alert
from vaultwatch.dispatch.held import by_urgency
from vaultwatch.dispatch.notification import NOTIFIED, Notification
from vaultwatch.dispatch.portions import capped, split_events
from vaultwatch.reading.identity import parse_time
from vaultwatch.rules.pack import shipped_rules


class Windows(dict[str, Window]):
    """The windows by group; they know which ends first, as the index of a store does."""

    def __init__(self) -> None:
        super().__init__()
        self._ends: list[tuple[float, str]] = []

    def __setitem__(self, group: str, window: Window) -> None:
        heappush(self._ends, (window.closes_at, group))
        super().__setitem__(group, window)

    def first(self) -> Window | None:
        """Return the window that ends first."""
        while self._ends:
            closes_at, group = self._ends[0]
            window = self.get(group)
            if window is not None and window.closes_at == closes_at:
                return window
            heappop(self._ends)
        return None


class Desk:
    """Applies the decisions of dispatch, like a store, but in memory."""

    def __init__(self) -> None:
        self.alerts: dict[str, Alert] = {}
        self.windows = Windows()
        self.state = State(self.windows)

    def file(self, alerts: Iterable[Alert], now: float) -> list[str]:
        """Decide about alerts, and return the disposition of each new one."""
        new = [alert for alert in alerts if self.alerts.setdefault(alert.id, alert) is alert]
        filings = capped([file_alert(alert) for alert in new])
        results: dict[int, str] = {}
        for positions in split_events(filings):
            recorded = file_event([filings[at] for at in positions], self.state, now)
            results.update(zip(positions, (one.disposition for one in recorded), strict=True))
        return [results[at] for at in range(len(filings))]

    def settle(self, now: float) -> None:
        """Close the windows that have ended, and flush what is due."""
        while (window := self.windows.first()) is not None and window.closes_at <= now:
            close_window(window, self.state, now)
            del self.windows[window.group]
        for held in sorted(self.state.held.values(), key=by_urgency):
            flush(held, self.state, now)

    def next_due(self) -> float | None:
        """Return when `settle` has something to do."""
        window = self.windows.first()
        held = [held.due_at for held in self.state.held.values() if held.due_at is not None]
        return min([*held, window.closes_at] if window else held, default=None)

    def run_out(self, now: float) -> None:
        """Settle whenever something is due, until nothing is."""
        while (moment := self.next_due()) is not None:
            now = max(now, moment)
            self.settle(now)

    def notifications(self) -> list[Notification]:
        """Return the notifications so far, in order."""
        return [assemble(draft, self.alerts.get) for draft in self.state.drafts if draft.disposition in NOTIFIED]


def replay(desk: Desk, recordings: Iterable[str], *, seconds_each: float | None = None) -> None:
    """File the alerts of recordings, at their own times, or each recording in some seconds, as `make demo` does."""
    start = 1_800_000_000.0
    now = start
    for name in recordings:
        found = list(alerts_of(name))
        for place, alert in enumerate(found):
            moment = parse_time(alert.time)
            if seconds_each is not None:
                now = start + seconds_each * place / len(found)
            elif moment is not None:
                now = moment.timestamp()
            desk.settle(now)
            desk.file([alert], now)
        start += seconds_each or 0.0


def alerts_of(name: str) -> Iterator[Alert]:
    """The alerts of both logs of a recording, in the order of their times."""
    audit, server = Detector(shipped_rules(), source="audit"), Detector(shipped_rules(), source="server")
    lines = load(name).lines
    found = [
        alert_of(verdict)
        for detector, service in ((audit, "audit"), (server, "server"))
        for verdict in [*detector.feed([line for one, line in lines if one == service]), *detector.flush()]
    ]
    return iter(sorted(found, key=lambda alert: alert.time))
