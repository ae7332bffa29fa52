"""Decide about new alerts, windows that end, and held alerts: pure functions on rows.

A store reads the rows concerned into a `State`, calls one function, and writes the changed rows and the drafts in one
transaction.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from vaultwatch.alerts import Alert
from vaultwatch.dispatch import held as holding
from vaultwatch.dispatch.drafts import Draft, head_of
from vaultwatch.dispatch.groups import Window, count_repeat, is_urgent, open_window, was_denied
from vaultwatch.dispatch.held import Held
from vaultwatch.dispatch.limits import (
    FIRSTS_A_MINUTE,
    MINUTE_SECONDS,
    NOTIFICATIONS_A_MINUTE,
    URGENT_A_MINUTE,
    URGENT_REPEATS,
    Limit,
)
from vaultwatch.dispatch.notification import Disposition, Filing, Recorded
from vaultwatch.dispatch.same_fact import Sightings, cover, family_of, sight
from vaultwatch.dispatch.tallies import counts_urgent, ordered, tally_of

ALERTS_PER_NOTIFICATION = 16


@dataclass
class State:
    """The rows of one decision: the store reads them, dispatch changes them, and the store writes them."""

    windows: dict[str, Window] = field(default_factory=dict)
    held: dict[str, Held] = field(default_factory=dict)
    sightings: dict[str, Sightings] = field(default_factory=dict)
    ordinary: Limit = field(default_factory=Limit)
    urgent: Limit = field(default_factory=Limit)
    drafts: list[Draft] = field(default_factory=list)


def split_events(filings: Iterable[Filing], size: int = ALERTS_PER_NOTIFICATION) -> list[list[int]]:
    """Return the positions of filings by event, in order of arrival, in portions that fit into one notification."""
    events: dict[str, list[int]] = {}
    for position, filing in enumerate(filings):
        events.setdefault(filing.alert.event_key, []).append(position)
    return [event[at : at + size] for event in events.values() for at in range(0, len(event), size)]


def file_event(event: Sequence[Filing], state: State, now: float) -> list[Recorded]:
    """Decide about the new alerts of one event, and draft notifications that publish each of them once."""
    dispositions: dict[str, Disposition] = {}
    notified: list[Filing] = []
    for filing in sorted(event, key=_importance):
        if _is_notified_now(filing, state, now, has_company=bool(notified)):
            notified.append(filing)
            dispositions[filing.alert.id] = "first"
        else:
            dispositions[filing.alert.id] = "staged" if filing.alert.staged else "suppressed"
            state.drafts.append(_publication(filing, dispositions[filing.alert.id], now))
    if notified:
        state.drafts.append(_notification(notified, state, now))
    return [Recorded(filing.alert.id, new=True, disposition=dispositions[filing.alert.id]) for filing in event]


def close_window(window: Window, state: State, now: float) -> None:
    """End a suppression window: its repeats wait for their rule's next notification."""
    if window.tally is not None:
        held = state.held.get(window.head.rule) or Held(window.head)
        state.held[window.head.rule] = holding.hold(held, window.tally, window.head, now, urgent=window.urgent)


def flush(held: Held, state: State, now: float) -> None:
    """Draft the summary of the alerts that a rule holds, if it is due; postpone it while the limit has no room."""
    if held.due_at is None or held.due_at > now:
        return
    if not any(map(counts_urgent, held.tallies)):
        if not state.ordinary.has_room(now, NOTIFICATIONS_A_MINUTE):
            due_at = state.ordinary.frees_at(now, NOTIFICATIONS_A_MINUTE)
            state.held[held.head.rule] = replace(held, due_at=due_at)
            return
        state.ordinary = state.ordinary.taken(now)
    state.held[held.head.rule] = holding.emptied(held, now)
    state.drafts.append(_summary(held, now))


def _is_notified_now(filing: Filing, state: State, now: float, *, has_company: bool) -> bool:
    """Return whether an alert is notified at once; if not, count it, unless people are never notified of it."""
    if not filing.notify:
        return False
    if filing.deferred:
        _hold(filing, state, now)
        return False
    window = state.windows.get(filing.group)
    if window is not None and window.is_open(now):
        return _is_repeat_notified(filing, window, state, now, has_company=has_company)
    if window is not None:
        close_window(window, state, now)
    state.windows[filing.group] = open_window(filing, now)
    if _has_been_notified_by_another_rule(filing, state, now):
        return False
    _sight(filing.alert, state, now)
    if _has_room(filing, state, now, has_company=has_company):
        return True
    _hold(filing, state, now)
    return False


def _is_repeat_notified(filing: Filing, window: Window, state: State, now: float, *, has_company: bool) -> bool:
    """Return whether an alert is notified although its window is open, as urgent acts are (see `limits`)."""
    alert = filing.alert
    is_act = is_urgent(alert) and alert.service == "audit"
    if is_act and window.notified < URGENT_REPEATS and _has_room(filing, state, now, has_company=has_company):
        state.windows[filing.group] = replace(window, notified=window.notified + 1)
        _sight(alert, state, now)
        return True
    counted = count_repeat(window, alert)
    if is_act:
        counted = replace(counted, urgent=True, closes_at=min(window.closes_at, now + MINUTE_SECONDS))
    state.windows[filing.group] = counted
    return False


def _has_been_notified_by_another_rule(filing: Filing, state: State, now: float) -> bool:
    alert = filing.alert
    if not alert.same_as:
        return False
    family = family_of(alert)
    used = cover(state.sightings.get(family) or Sightings(family), alert, now)
    if used is None:
        return False
    state.sightings[family] = used
    state.windows[filing.group] = replace(state.windows[filing.group], tally=tally_of(alert, filing.group))
    return True


def _sight(alert: Alert, state: State, now: float) -> None:
    if alert.same_as:
        family = family_of(alert)
        state.sightings[family] = sight(state.sightings.get(family) or Sightings(family), alert, now)


def _has_room(filing: Filing, state: State, now: float, *, has_company: bool) -> bool:
    """Return whether the limits allow notifying at once; another alert of the same event needs no further room."""
    alert = filing.alert
    if is_urgent(alert):
        return has_company or state.urgent.has_room(now, URGENT_A_MINUTE)
    held = state.held.get(alert.rule)
    if held is not None and not holding.may_notify(held, alert.principal, now):
        return False
    return has_company or state.ordinary.has_room(now, FIRSTS_A_MINUTE)


def _hold(filing: Filing, state: State, now: float) -> None:
    """Add an alert of a group without a notification to its rule's next notification."""
    alert, head = filing.alert, head_of(filing.alert)
    held = state.held.get(alert.rule) or Held(head)
    tally = tally_of(alert, filing.group, announced=False)
    state.held[alert.rule] = holding.hold(held, tally, head, now, urgent=is_urgent(alert))


def _notification(notified: Sequence[Filing], state: State, now: float) -> Draft:
    """Draft one notification of an event, which includes the alerts that its rules hold."""
    lead = notified[0]
    if is_urgent(lead.alert):
        state.urgent = state.urgent.taken(now)
    else:
        state.ordinary = state.ordinary.taken(now)
    along = [state.held.get(filing.alert.rule) or Held(head_of(filing.alert)) for filing in notified]
    for filing, held in zip(notified, along, strict=True):
        left = holding.emptied(held, now)
        if not is_urgent(filing.alert):
            left = holding.notified(left, filing.alert.principal, now)
        state.held[filing.alert.rule] = left
    return Draft(
        id=lead.alert.id,
        disposition="first",
        head=head_of(lead.alert),
        created_at=now,
        group=lead.group,
        alert_ids=tuple(filing.alert.id for filing in notified),
        merged=ordered(tally for held in along for tally in held.tallies),
        merged_count=sum(held.count for held in along),
    )


def _publication(filing: Filing, disposition: Disposition, now: float) -> Draft:
    """Draft the publication of an alert about which people are not notified."""
    alert = filing.alert
    return Draft(
        id=alert.id,
        disposition=disposition,
        head=head_of(alert),
        created_at=now,
        group=filing.group,
        alert_ids=(alert.id,),
    )


def _summary(held: Held, now: float) -> Draft:
    first = held.tallies[0]
    return Draft(
        id=_summary_id(held, now),
        disposition="summary",
        head=held.head,
        created_at=now,
        group=first.group if first.count == held.count else "",
        merged=held.tallies,
        merged_count=held.count,
    )


def _summary_id(held: Held, now: float) -> str:
    # Different from every alert id, and from other summaries of the rule, which are at least a minute apart.
    text = f"summary\0{held.head.rule}\0{now!r}\0{held.tallies[0].latest}\0{held.count}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _importance(filing: Filing) -> tuple[int, bool]:
    """Return a sort key, the most important first: the highest level, then acts that were not denied."""
    return -filing.alert.level.rank, was_denied(filing.alert)
