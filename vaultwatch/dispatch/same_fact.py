"""Let rules that match on the same fact share one notification.

The end of a root generation is in the audit log and in the server log, and there is a rule for each. Such rules name
each other in `same_as`. The first of their alerts is notified; an alert of another rule within a minute, or of the
other log within two seconds, on the same node and, if both name one, on the same thing, is published as `suppressed`
and counted in its own group. A notified alert covers at most one alert of each other rule, so that a second fact is
never hidden, and never covers an alert of a higher level or one that differs in whether it was denied.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from vaultwatch.alerts import Alert
from vaultwatch.dispatch.groups import was_denied
from vaultwatch.printable import encodable
from vaultwatch.reading.identity import parse_time
from vaultwatch.rules.facts import Level, Service

SAME_FACT_SECONDS = 60.0
OF_BOTH_LOGS_SECONDS = 2.0
"""A server writes both logs within 15 ms (measured). An earlier message, of somebody else, must not hide who did it."""
MAX_SIGHTINGS = 16
_PATH_CHARACTERS = 200


class Sighting(msgspec.Struct, frozen=True, array_like=True):
    """An alert that was notified, or held for its rule's next notification, and the rules of alerts that it covered."""

    rule: str
    node: str
    at: float | None
    filed_at: float
    level: Level
    denied: bool
    covered: tuple[str, ...] = ()
    service: Service = "server"
    path: str = ""


class Sightings(msgspec.Struct, frozen=True):
    """The latest sightings of one family of rules in one cluster."""

    family: str
    seen: tuple[Sighting, ...] = ()


def family_of(alert: Alert) -> str:
    """Return the key of an alert's family: 32 hex digits over its rule, its `same_as` and the cluster."""
    names = sorted({alert.rule, *alert.same_as})
    return hashlib.sha256(msgspec.json.encode([encodable(alert.cluster), *names])).hexdigest()[:32]


def cover(sightings: Sightings, alert: Alert, now: float) -> Sightings | None:
    """Return the sightings after one of them has covered this alert; None if none does."""
    for index, sighting in enumerate(sightings.seen):
        if _is_same(sighting, alert, now):
            used = replace(sighting, covered=(*sighting.covered, alert.rule))
            return replace(sightings, seen=(*sightings.seen[:index], used, *sightings.seen[index + 1 :]))
    return None


def sight(sightings: Sightings, alert: Alert, now: float) -> Sightings:
    """Return the sightings with this alert, which is notified."""
    seen: Sequence[Sighting] = (*sightings.seen, _sighting(alert, now))
    return replace(sightings, seen=tuple(seen[-MAX_SIGHTINGS:]))


def _sighting(alert: Alert, now: float) -> Sighting:
    return Sighting(
        alert.rule,
        encodable(alert.node),
        _at(alert),
        now,
        alert.level,
        was_denied(alert),
        service=alert.service,
        path=_end_of_path(alert),
    )


def _is_same(sighting: Sighting, alert: Alert, now: float) -> bool:
    return (
        sighting.rule in alert.same_as
        and alert.rule not in sighting.covered
        and sighting.level.rank >= alert.level.rank
        and sighting.denied == was_denied(alert)
        and (not sighting.node or not alert.node or sighting.node == encodable(alert.node))
        and (sighting.service == alert.service or _is_same_thing(sighting.path, _end_of_path(alert)))
        and _seconds_apart(sighting, alert, now) <= _most_seconds_apart(sighting, alert)
    )


def _is_same_thing(one: str, other: str) -> bool:
    """Return whether one path is the end of the other: the server log has `ldap/`, the audit log `sys/auth/ldap`."""
    short, long = sorted((one.rstrip("/"), other.rstrip("/")), key=len)
    return not (one and other) or (bool(short) and f"/{long}".endswith(f"/{short}"))


def _end_of_path(alert: Alert) -> str:
    return encodable(alert.path)[-_PATH_CHARACTERS:]


def _most_seconds_apart(sighting: Sighting, alert: Alert) -> float:
    are_timed = sighting.at is not None and _at(alert) is not None
    return OF_BOTH_LOGS_SECONDS if are_timed and sighting.service != alert.service else SAME_FACT_SECONDS


def _seconds_apart(sighting: Sighting, alert: Alert, now: float) -> float:
    """Return the difference of their own times, or of the times of filing if one has no time of its own."""
    at = _at(alert)
    return abs(sighting.filed_at - now if at is None or sighting.at is None else sighting.at - at)


def _at(alert: Alert) -> float | None:
    moment = parse_time(alert.time)
    return None if moment is None else moment.timestamp()
