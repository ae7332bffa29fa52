"""What is told when: the decisions behind every Store adapter, as pure functions on the rows it read.

An adapter loads the periods and slots that an event's alerts need into `Books`, calls one function, and writes back
what changed together with the drafts, in the same transaction.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import msgspec
from msgspec.structs import replace

from vaultwatch.alerts import Alert
from vaultwatch.dispatch.notification import NOTIFIED, Disposition, Filing, Merged, Notification, Recorded
from vaultwatch.encoding import encodable
from vaultwatch.rules.facts import Level, Service

RULE_INTERVAL_SECONDS = 60.0
GROUPS_LISTED = 20
ALERTS_PER_MESSAGE = 25
_CLOCK_STEP_SECONDS = 60.0


class Head(msgspec.Struct, frozen=True):
    """What a message says of itself, taken from its most important alert."""

    rule: str
    title: str
    level: Level
    service: Service
    cluster: str


class Listed(msgspec.Struct, frozen=True):
    """One group in a count, by the id of its first alert."""

    alert_id: str
    firsts: int
    followed: int


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """A message as it is stored: its alerts by id, so that an outcome completed before it is sent is told."""

    id: str
    disposition: Disposition
    head: Head
    created_at: float
    alert_ids: tuple[str, ...] = ()
    merged: tuple[Listed, ...] = ()
    merged_firsts: int = 0
    merged_followed: int = 0


class Period(msgspec.Struct, frozen=True):
    """A group's quiet period, and how many alerts followed its first."""

    group: str
    rule: str
    first_id: str
    opened_at: float
    closes_at: float
    followed: int = 0


class RuleSlot(msgspec.Struct, frozen=True):
    """When a rule may send again, and what its next message has to count."""

    head: Head
    next_at: float = 0.0
    held: tuple[Listed, ...] = ()
    firsts: int = 0
    followed: int = 0


@dataclass
class Books:
    """The rows one decision works on: read by the adapter, changed here, written back by the adapter."""

    periods: dict[str, Period] = field(default_factory=dict)
    slots: dict[str, RuleSlot] = field(default_factory=dict)
    drafts: list[Draft] = field(default_factory=list)


def is_open(period: Period, now: float) -> bool:
    """Whether the period still counts; not so before it began, or a clock set back would keep its group quiet."""
    return period.opened_at - _CLOCK_STEP_SECONDS <= now < period.closes_at


def is_free(slot: RuleSlot, now: float) -> bool:
    """Whether the rule may send now; also when its turn is so far ahead that the clock must have been set back."""
    return now >= slot.next_at or now < slot.next_at - RULE_INTERVAL_SECONDS - _CLOCK_STEP_SECONDS


def split_events(filings: Iterable[Filing], size: int = ALERTS_PER_MESSAGE) -> list[list[int]]:
    """The positions of one call's filings by event, in order of arrival, in portions that one message can carry."""
    events: dict[str, list[int]] = {}
    for position, filing in enumerate(filings):
        events.setdefault(filing.alert.event_key, []).append(position)
    return [event[at : at + size] for event in events.values() for at in range(0, len(event), size)]


def file_event(event: Sequence[Filing], books: Books, now: float) -> list[Recorded]:
    """Count the new alerts of one event, and draft the messages that publish each of them once."""
    ranked = sorted(event, key=lambda filing: -filing.alert.level.rank)
    results = {filing.alert.id: _count(filing, books, now) for filing in ranked}
    told = [filing.alert for filing in ranked if results[filing.alert.id].disposition == "first"]
    if told:
        books.drafts.append(_first(told, books, now))
    for filing in ranked:
        tell = results[filing.alert.id].disposition
        if tell != "first":
            books.drafts.append(_single(filing.alert, tell, now))
    return [results[filing.alert.id] for filing in event]


def close_period(period: Period, books: Books) -> None:
    """End a quiet period: what followed waits in its rule's slot for the next message."""
    slot = books.slots[period.rule]
    if period.followed:
        books.slots[period.rule] = _hold(slot, Listed(period.first_id, 0, period.followed))


def empty_slot(slot: RuleSlot, books: Books, now: float) -> None:
    """Disposition what a rule's slot holds, if the rule may send now."""
    if not (slot.firsts or slot.followed) or not is_free(slot, now):
        return
    books.slots[slot.head.rule] = RuleSlot(slot.head, now + RULE_INTERVAL_SECONDS)
    books.drafts.append(
        Draft(
            id=_summary_id(slot, now),
            disposition="summary",
            head=slot.head,
            created_at=now,
            merged=slot.held,
            merged_firsts=slot.firsts,
            merged_followed=slot.followed,
        )
    )


def assemble(draft: Draft, find: Callable[[str], Alert | None]) -> Notification:
    """The message that a draft stands for, its alerts as `find` knows them now; one that is forgotten is left out."""
    merged = ((find(listed.alert_id), listed) for listed in draft.merged)
    return Notification(
        id=draft.id,
        disposition=draft.disposition,
        rule=draft.head.rule,
        title=draft.head.title,
        level=draft.head.level,
        service=draft.head.service,
        cluster=draft.head.cluster,
        created_at=draft.created_at,
        alerts=tuple(alert for alert in map(find, draft.alert_ids) if alert is not None),
        merged=tuple(
            Merged(
                group="",
                count=listed.firsts + listed.followed,
                first_time=alert.time,
                last_time=alert.time,
                outcomes={alert.outcome: listed.firsts + listed.followed},
                announced=not listed.firsts,
                alerts=(replace(alert, record={}, actions=()),),
            )
            for alert, listed in merged
            if alert is not None
        ),
        merged_count=draft.merged_firsts + draft.merged_followed,
    )


def urgency(draft: Draft) -> int:
    """Orders what waits, -4 to 10: what people are told goes before what is only published, and then by level."""
    return (0 if draft.disposition in NOTIFIED else 10) - draft.head.level.rank


def _count(filing: Filing, books: Books, now: float) -> Recorded:
    alert = filing.alert
    if not filing.told:
        return Recorded(alert.id, new=True, disposition="staged" if alert.staged else "suppressed")
    if filing.summed:
        slot = books.slots.get(alert.rule) or RuleSlot(_head(alert), now)
        books.slots[alert.rule] = _hold(slot, Listed(alert.id, 1, 0))
        return Recorded(alert.id, new=True)
    period = books.periods.get(filing.group)
    if period is not None and is_open(period, now):
        books.periods[filing.group] = replace(period, followed=period.followed + 1)
        return Recorded(alert.id, new=True)
    if period is not None:
        close_period(period, books)
    books.periods[filing.group] = Period(filing.group, alert.rule, alert.id, now, now + filing.window_seconds)
    return Recorded(alert.id, new=True, first=True, disposition=_first_or_held(alert, books, now))


def _first_or_held(alert: Alert, books: Books, now: float) -> Disposition:
    known = books.slots.get(alert.rule)
    slot = RuleSlot(_head(alert)) if known is None else replace(known, head=_head(alert))
    if is_free(slot, now):
        # What the slot holds goes with this message; `_first` takes it out.
        books.slots[alert.rule] = replace(slot, next_at=now + RULE_INTERVAL_SECONDS)
        return "first"
    books.slots[alert.rule] = _hold(slot, Listed(alert.id, 1, 0))
    return "suppressed"


def _first(told: Sequence[Alert], books: Books, now: float) -> Draft:
    slots = [books.slots[rule] for rule in dict.fromkeys(alert.rule for alert in told)]
    for slot in slots:
        books.slots[slot.head.rule] = RuleSlot(slot.head, slot.next_at)
    return Draft(
        id=told[0].id,
        disposition="first",
        head=_head(told[0]),
        created_at=now,
        alert_ids=tuple(alert.id for alert in told),
        merged=tuple(listed for slot in slots for listed in slot.held)[:GROUPS_LISTED],
        merged_firsts=sum(slot.firsts for slot in slots),
        merged_followed=sum(slot.followed for slot in slots),
    )


def _single(alert: Alert, disposition: Disposition, now: float) -> Draft:
    return Draft(id=alert.id, disposition=disposition, head=_head(alert), created_at=now, alert_ids=(alert.id,))


def _hold(slot: RuleSlot, listed: Listed) -> RuleSlot:
    return replace(
        slot,
        held=_list(slot.held, listed),
        firsts=slot.firsts + listed.firsts,
        followed=slot.followed + listed.followed,
    )


def _list(held: tuple[Listed, ...], listed: Listed) -> tuple[Listed, ...]:
    for at, other in enumerate(held):
        if other.alert_id == listed.alert_id:
            both = Listed(listed.alert_id, other.firsts + listed.firsts, other.followed + listed.followed)
            return (*held[:at], both, *held[at + 1 :])
    return (*held, listed) if len(held) < GROUPS_LISTED else held


def _head(alert: Alert) -> Head:
    return Head(alert.rule, alert.title, alert.level, alert.service, encodable(alert.cluster))


def _summary_id(slot: RuleSlot, now: float) -> str:
    # Distinct from every alert id and from every other summary of the rule, which is a minute away.
    text = f"summary\0{slot.head.rule}\0{now!r}\0{slot.held[0].alert_id}\0{slot.firsts}\0{slot.followed}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
