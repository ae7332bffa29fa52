"""Count the alerts of a group exactly, in a few hundred bytes, whatever their number."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from operator import itemgetter

import msgspec

from vaultwatch.alerts import Alert
from vaultwatch.printable import encodable
from vaultwatch.reading.bounds import brief
from vaultwatch.reading.identity import Outcome, parse_time
from vaultwatch.rules.facts import Level

MAX_LISTED = 20
REPEATS_WORTH_A_SUMMARY = 5
MAX_NOVEL = 2
_MAX_TIME_CHARACTERS = 40
_BY_WEIGHT: tuple[Outcome, ...] = ("succeeded", "unknown", "failed")


class Tally(msgspec.Struct, frozen=True, array_like=True):
    """The count of some alerts of one group; `latest`, `worst` and `novel` are ids of alerts among them.

    `principal` is a digest of the group's principal.
    """

    group: str
    level: Level
    count: int
    first_time: str
    last_time: str
    outcomes: dict[Outcome, int]
    latest: str
    worst: str
    novel: tuple[str, ...] = ()
    announced: bool = True
    principal: str = ""

    @property
    def outcome(self) -> Outcome:
        """The most important outcome among its alerts."""
        return next(outcome for outcome in _BY_WEIGHT if outcome in self.outcomes)


def tally_of(alert: Alert, group: str, *, announced: bool = True, novel: bool = False) -> Tally:
    """Return the tally of one alert."""
    time = encodable(brief(alert.time, _MAX_TIME_CHARACTERS))
    return Tally(
        group=group,
        level=alert.level,
        count=1,
        first_time=time,
        last_time=time,
        outcomes={alert.outcome: 1},
        latest=alert.id,
        worst=alert.id,
        novel=(alert.id,) if novel else (),
        announced=announced,
        principal=principal_digest(alert.principal),
    )


def principal_digest(principal: str) -> str:
    """Return 16 hex digits that identify a principal, whatever the characters and the length of its name."""
    return hashlib.sha256(encodable(principal).encode()).hexdigest()[:16]


def count_alert(tally: Tally | None, alert: Alert, group: str, *, announced: bool, novel: bool) -> Tally:
    """Return the tally with one more alert."""
    one = tally_of(alert, group, announced=announced, novel=novel)
    return one if tally is None else add(tally, one)


def add(one: Tally, other: Tally) -> Tally:
    """Return the sum of two tallies of one group; if their alerts are equally bad or late, that of `other` is shown."""
    earliest = min(one, other, key=lambda tally: _moment(tally.first_time, float("inf")))
    latest = max(other, one, key=lambda tally: _moment(tally.last_time, float("-inf")))
    worst = min(other, one, key=_weight)
    return Tally(
        group=one.group,
        level=max(one.level, other.level, key=lambda level: level.rank),
        count=one.count + other.count,
        first_time=earliest.first_time,
        last_time=latest.last_time,
        outcomes={
            outcome: count
            for outcome in _BY_WEIGHT
            if (count := one.outcomes.get(outcome, 0) + other.outcomes.get(outcome, 0))
        },
        latest=latest.latest,
        worst=worst.worst,
        novel=(*one.novel, *other.novel)[:MAX_NOVEL],
        announced=one.announced and other.announced,
        principal=one.principal,
    )


def says_something_new(tally: Tally) -> bool:
    """Return whether a summary of these alerts says something new.

    It does if no notification has shown the group yet, if a path, an address or an outcome is new, or if there are at
    least five repeats.
    """
    return not tally.announced or bool(tally.novel) or tally.count >= REPEATS_WORTH_A_SUMMARY


def counts_urgent(tally: Tally) -> bool:
    """Return whether it counts a critical alert that was not denied."""
    return tally.level is Level.CRITICAL and tally.outcome != "failed"


def listed(tallies: Iterable[Tally], tally: Tally) -> tuple[tuple[Tally, ...], Tally]:
    """Return a bounded list with one more tally, the worst first, and that tally as it is in the list."""
    others = {one.group: one for one in tallies}
    known = others.pop(tally.group, None)
    whole = tally if known is None else add(known, tally)
    return ordered([*others.values(), whole]), whole


def ordered(tallies: Iterable[Tally]) -> tuple[Tally, ...]:
    """Return the twenty most important tallies: by outcome and level, principals in turn, then by novelty and count.

    One tally of each principal comes before the second of any, so that nobody can displace another's act by a number
    of acts of their own.
    """
    turns: Counter[tuple[object, ...]] = Counter()
    ranked: list[tuple[tuple[int, ...], Tally]] = []
    for tally in sorted(tallies, key=_rank):
        weight = _weight(tally)
        turn = turns[*weight, tally.principal]
        turns[*weight, tally.principal] += 1
        ranked.append(((*weight, turn, *_rank(tally)), tally))
    return tuple(tally for _, tally in sorted(ranked, key=itemgetter(0))[:MAX_LISTED])


def _rank(tally: Tally) -> tuple[int, int, int, int]:
    novelty = 2 if not tally.announced else 1 if tally.novel else 0
    return (*_weight(tally), -novelty, -tally.count)


def outcome_weight(outcome: Outcome) -> int:
    """Return a sort key, the worst first: succeeded, no response logged, denied or failed."""
    return _BY_WEIGHT.index(outcome)


def _weight(tally: Tally) -> tuple[int, int]:
    """Return a sort key, the worst first: alerts that succeeded before denied ones, then the highest level."""
    return outcome_weight(tally.outcome), -tally.level.rank


def _moment(time: str, otherwise: float) -> float:
    moment = parse_time(time)
    return otherwise if moment is None else moment.timestamp()
