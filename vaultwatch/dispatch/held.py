"""The alerts that a rule holds for its next notification, and when that may be sent."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from vaultwatch.dispatch.drafts import Head
from vaultwatch.dispatch.limits import MINUTE_SECONDS, URGENT_OF_A_PRINCIPAL, is_recent
from vaultwatch.dispatch.tallies import Tally, listed, outcome_weight, principal_digest, says_something_new


class Held(msgspec.Struct, frozen=True):
    """One row for a rule, bounded in size.

    `notified` are digests of the principals of the last minute's ordinary notifications, each with its time, `urgent`
    those of its urgent ones; the limits bound their number. `tallies` are the worst of the groups that wait, `count` is
    the exact number of alerts that wait, the first of them since `since`. `due_at` is when a summary of them may be
    sent; None while it would say nothing new.
    """

    head: Head
    last_at: float = 0.0
    notified: tuple[tuple[str, float], ...] = ()
    tallies: tuple[Tally, ...] = ()
    count: int = 0
    due_at: float | None = None
    urgent: tuple[tuple[str, float], ...] = ()
    since: float = 0.0


def may_notify(held: Held, principal: str, now: float, *, urgent: bool) -> bool:
    """Return whether the limits for the rule and this principal allow a notification now."""
    marks, size = (held.urgent, URGENT_OF_A_PRINCIPAL) if urgent else (held.notified, 1)
    name = principal_digest(principal)
    return sum(one == name and is_recent(at, now) for one, at in marks) < size


def hold(held: Held, tally: Tally, head: Head, now: float, *, is_due: bool = False) -> Held:
    """Count alerts in the rule's next notification; if they are new or due, it is sent a minute after the last."""
    return joined(held, Held(head, tallies=(tally,), count=tally.count, due_at=now if is_due else None, since=now), now)


def joined(held: Held, added: Held, now: float) -> Held:
    """Return the row with the alerts of another one, which may be due.

    Whatever the row says, it is due within a minute, in case the clock was set back.
    """
    tallies, is_due = held.tallies, added.due_at is not None
    for tally in added.tallies:
        tallies, whole = listed(tallies, tally)
        is_due = is_due or says_something_new(whole)
    due_at = held.due_at
    if due_at is None and is_due:
        due_at = held.last_at + MINUTE_SECONDS if is_recent(held.last_at, now) else now
    return replace(
        held,
        head=added.head if not held.count or added.head.level.rank >= held.head.level.rank else held.head,
        tallies=tallies,
        count=held.count + added.count,
        due_at=None if due_at is None else min(due_at, now + MINUTE_SECONDS),
        since=held.since if held.count else added.since,
    )


def without_alerts(held: Held) -> Held:
    """Return the row as if it held no alerts: with its notifications of the last minute."""
    return Held(held.head, held.last_at, held.notified, urgent=held.urgent)


def has_notified(held: Held, before: Held) -> bool:
    """Return whether the rule has notified since `before`; otherwise alerts were added to the row at most."""
    return (held.last_at, held.notified, held.urgent) != (before.last_at, before.notified, before.urgent)


def emptied(held: Held, now: float) -> Held:
    """Return the row after a notification that includes all held alerts."""
    return Held(held.head, now, _recent(held.notified, now), urgent=_recent(held.urgent, now))


def notified(held: Held, principal: str, now: float, *, urgent: bool) -> Held:
    """Return the row after a notification about this principal."""
    mark = (principal_digest(principal), now)
    if urgent:
        return replace(held, urgent=(*held.urgent, mark))
    return replace(held, notified=(*held.notified, mark))


def by_urgency(held: Held) -> tuple[int, int, float]:
    """Return a sort key, the most urgent first: by outcome, then by level, then the one that has waited longest.

    By outcome first: otherwise denied acts under many rules of a higher level would delay one that succeeded for as
    long as they last.
    """
    worst = min((outcome_weight(tally.outcome) for tally in held.tallies), default=0)
    return worst, -held.head.level.rank, held.since


def _recent(marks: tuple[tuple[str, float], ...], now: float) -> tuple[tuple[str, float], ...]:
    return tuple(mark for mark in marks if is_recent(mark[1], now))
