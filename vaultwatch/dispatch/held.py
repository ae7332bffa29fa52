"""The alerts that a rule holds for its next notification, and when that may be sent."""

from __future__ import annotations

import hashlib

import msgspec
from msgspec.structs import replace

from vaultwatch.dispatch.drafts import Head
from vaultwatch.dispatch.limits import MINUTE_SECONDS, is_recent
from vaultwatch.dispatch.tallies import Tally, listed, says_something_new
from vaultwatch.printable import encodable


class Held(msgspec.Struct, frozen=True):
    """One row for a rule, bounded in size.

    `notified` are digests of the principals of the last minute's notifications, each with its time; the limits bound
    their number. `tallies` are the worst of the groups that wait, `count` is the exact number of alerts that wait.
    `due_at` is when a summary of them may be sent; None while it would say nothing new.
    """

    head: Head
    last_at: float = 0.0
    notified: tuple[tuple[str, float], ...] = ()
    tallies: tuple[Tally, ...] = ()
    count: int = 0
    due_at: float | None = None


def may_notify(held: Held, principal: str, now: float) -> bool:
    """Return whether the rule has sent no notification about this principal within the last minute."""
    name = _name(principal)
    return not any(one == name and is_recent(at, now) for one, at in held.notified)


def hold(held: Held, tally: Tally, head: Head, now: float, *, urgent: bool = False) -> Held:
    """Count alerts in the rule's next notification; if they are new or urgent, it is due a minute after the last."""
    tallies, whole = listed(held.tallies, tally)
    due_at = held.due_at
    if due_at is None and (urgent or says_something_new(whole)):
        due_at = held.last_at + MINUTE_SECONDS if is_recent(held.last_at, now) else now
    top = head if not held.count or head.level.rank >= held.head.level.rank else held.head
    return replace(held, head=top, tallies=tallies, count=held.count + tally.count, due_at=due_at)


def emptied(held: Held, now: float) -> Held:
    """Return the row after a notification that includes all held alerts."""
    return Held(held.head, now, tuple(pair for pair in held.notified if is_recent(pair[1], now)))


def notified(held: Held, principal: str, now: float) -> Held:
    """Return the row after a notification about this principal."""
    return replace(held, notified=(*held.notified, (_name(principal), now)))


def _name(principal: str) -> str:
    return hashlib.sha256(encodable(principal).encode()).hexdigest()[:16]
