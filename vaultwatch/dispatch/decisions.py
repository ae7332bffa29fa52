"""Decide about new alerts, windows that end, and held alerts: pure functions on rows.

A store reads the rows concerned into a `State`, calls one function, and writes the changed rows and the drafts in one
transaction.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from vaultwatch.alerts import Alert
from vaultwatch.dispatch import held as holding
from vaultwatch.dispatch.drafts import Draft, head_of
from vaultwatch.dispatch.groups import Window, count_repeat, importance, is_urgent, open_window, see, was_denied
from vaultwatch.dispatch.held import Held
from vaultwatch.dispatch.limits import (
    EARLY_SECONDS,
    NOTIFICATIONS_A_MINUTE,
    URGENT_A_MINUTE,
    URGENT_REPEATS,
    URGENT_UNKNOWN_A_MINUTE,
    Limit,
    is_recent,
)
from vaultwatch.dispatch.notification import Disposition, Filing, Recorded
from vaultwatch.dispatch.same_fact import Sightings, cover, family_of, sight
from vaultwatch.dispatch.tallies import counts_urgent, ordered, tally_of


@dataclass
class State:
    """The rows of one decision: the store reads them, dispatch changes them, and the store writes them."""

    windows: dict[str, Window] = field(default_factory=dict)
    held: dict[str, Held] = field(default_factory=dict)
    sightings: dict[str, Sightings] = field(default_factory=dict)
    ordinary: Limit = field(default_factory=Limit)
    urgent: Limit = field(default_factory=Limit)
    drafts: list[Draft] = field(default_factory=list)


def file_event(event: Sequence[Filing], state: State, now: float) -> list[Recorded]:
    """Decide about the new alerts of one portion, and draft notifications that publish each of them once."""
    notified = _choose(event, state, now)
    dispositions: dict[str, Disposition] = {filing.alert.id: "first" for filing in notified}
    if notified:
        state.drafts.append(_notification(notified, state, now))
    for filing in event:
        if filing.alert.id not in dispositions:
            dispositions[filing.alert.id] = "staged" if filing.alert.staged else "suppressed"
            state.drafts.append(_publication(filing, dispositions[filing.alert.id], now))
    return [Recorded(filing.alert.id, new=True, disposition=dispositions[filing.alert.id]) for filing in event]


def close_window(window: Window, state: State, now: float) -> None:
    """End a suppression window: its repeats wait for their rule's next notification."""
    if window.tally is not None:
        held = state.held.get(window.head.rule) or Held(window.head)
        state.held[window.head.rule] = holding.hold(held, window.tally, window.head, now)


def flush(held: Held, state: State, now: float) -> None:
    """Draft the summary of the alerts that a rule holds, if it is due; postpone it while the limit has no room."""
    if held.due_at is None or held.due_at > now:
        return
    if not any(map(counts_urgent, held.tallies)):
        if not state.ordinary.has_room(now, NOTIFICATIONS_A_MINUTE):
            due_at = state.ordinary.frees_at(now, NOTIFICATIONS_A_MINUTE)
            state.held[held.head.rule] = replace(held, due_at=due_at)
            if not is_recent(held.since, now):
                state.ordinary = state.ordinary.waited(now)
            return
        state.ordinary = state.ordinary.taken(now - EARLY_SECONDS)
    state.held[held.head.rule] = holding.emptied(held, now)
    state.drafts.append(_summary(held, now))


def _choose(event: Sequence[Filing], state: State, now: float) -> list[Filing]:
    """Return the alerts of which one notification is made now; count the others, unless people are never notified.

    If the limits allow a notification of one of them, the others need no further room beside it. What was not denied
    comes first, whatever the level of what was: one of them may be forged.
    """
    ranked = sorted(event, key=lambda filing: (was_denied(filing.alert), importance(filing.alert)))
    wanted = [filing for filing in ranked if filing.notify and _is_wanted_now(filing, state, now)]
    payer = next((filing for filing in wanted if _has_room(filing.alert, state, now)), None)
    if payer is None:
        for filing in wanted:
            _hold(filing, state, now)
        return []
    _take_room(payer.alert, state, now)
    for filing in wanted:
        state.windows[filing.group], _ = see(state.windows[filing.group], filing.alert)
    for group in {filing.group for filing in wanted}:
        window = state.windows[group]
        state.windows[group] = replace(window, notified=window.notified + 1)
    return wanted


def _is_wanted_now(filing: Filing, state: State, now: float) -> bool:
    """Return whether an alert is notified at once if the limits allow it; if not, count it."""
    if filing.deferred:
        _hold(filing, state, now)
        return False
    window = state.windows.get(filing.group)
    if window is not None and window.suppresses(filing, now):
        return _is_repeat_wanted(filing, window, state, now)
    if window is not None and window.head.rule == filing.alert.rule:
        close_window(window, state, now)
    state.windows[filing.group] = open_window(filing, now)
    if _has_been_notified_by_another_rule(filing, state, now):
        return False
    _sight(filing.alert, state, now)
    return True


def _is_repeat_wanted(filing: Filing, window: Window, state: State, now: float) -> bool:
    """Return whether an alert is notified although its window is open, as some acts are (see `limits`)."""
    alert = filing.alert
    is_urgent_act = is_urgent(alert) and alert.service == "audit"
    if not is_urgent_act and not filing.is_each:
        state.windows[filing.group] = count_repeat(window, alert)
        return False
    if is_urgent_act and window.notified >= URGENT_REPEATS:
        _hold(filing, state, now)
        return False
    _sight(alert, state, now)
    return True


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


def _has_room(alert: Alert, state: State, now: float) -> bool:
    """Return whether the limits allow a notification of this alert now."""
    urgent = is_urgent(alert)
    held = state.held.get(alert.rule)
    if held is not None and not holding.may_notify(held, alert.principal, now, urgent=urgent):
        return False
    if not urgent:
        return state.ordinary.has_room_for_first(now)
    is_lone_request = alert.service == "audit" and alert.outcome == "unknown"
    return state.urgent.has_room(now, URGENT_UNKNOWN_A_MINUTE if is_lone_request else URGENT_A_MINUTE)


def _take_room(alert: Alert, state: State, now: float) -> None:
    if is_urgent(alert):
        state.urgent = state.urgent.taken(now)
    else:
        state.ordinary = state.ordinary.taken(now)


def _hold(filing: Filing, state: State, now: float) -> None:
    """Add an alert to its rule's next notification."""
    alert, head, group = filing.alert, head_of(filing.alert), filing.group
    is_due = is_urgent(alert) or filing.is_each
    announced = novel = False
    if not filing.deferred:
        announced = state.windows[group].notified > 0
        state.windows[group], novel = see(state.windows[group], alert)
    tally = tally_of(alert, group, announced=announced, novel=novel)
    held = state.held.get(alert.rule) or Held(head)
    state.held[alert.rule] = holding.hold(held, tally, head, now, is_due=is_due)


def _notification(notified: Sequence[Filing], state: State, now: float) -> Draft:
    """Draft one notification of these alerts, which includes the alerts that their rules hold."""
    lead = notified[0]
    along = {filing.alert.rule: state.held.get(filing.alert.rule) or Held(head_of(filing.alert)) for filing in notified}
    for rule, held in along.items():
        state.held[rule] = holding.emptied(held, now)
    for rule, principal, urgent in dict.fromkeys(map(_mark, notified)):
        state.held[rule] = holding.notified(state.held[rule], principal, now, urgent=urgent)
    return Draft(
        id=lead.alert.id,
        disposition="first",
        head=head_of(*(filing.alert for filing in notified)),
        created_at=now,
        group=lead.group,
        alert_ids=tuple(filing.alert.id for filing in notified),
        merged=ordered(tally for held in along.values() for tally in held.tallies),
        merged_count=sum(held.count for held in along.values()),
    )


def _mark(filing: Filing) -> tuple[str, str, bool]:
    return filing.alert.rule, filing.alert.principal, is_urgent(filing.alert)


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
