"""Find what is wrong with the segments of an archive: missing, altered, doubled, cut off, or in a wrong place.

The segments of one source and one host are numbered from 1, and each names the digest of the one before it. Whoever may
write segments could also write a whole new chain. So what was known of it before counts more: the notes of `sweep`,
which no host may write, and a list that was kept elsewhere.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

import msgspec

from vaultwatch.aws.keys import Fingerprint, Place, place_of, segment_start

Known = Mapping[Place, frozenset[Fingerprint]]
"""By place what a segment there is known to have had."""
HIDDEN = "hidden by a delete marker"
"""What S3's lifecycle does first to a segment that expires, and what whoever wants to remove one can do."""
_EXPIRY_TAKES = timedelta(days=3)
"""S3 expires objects once a day, and deletes hidden versions a day later."""


class Segment(msgspec.Struct, frozen=True):
    """A segment as it is stored. A list of them is a manifest: `verify` compares an archive with it.

    Attributes:
        key: Its key.
        sha256: The digest of what is stored; "" if it could not be read.
        previous: The digest of the segment before it, as its writer says; None if that is unknown.
        size: The bytes that are stored.
        lines: How many lines it has, as its writer says; 0 if that is unknown.
        faults: What is wrong with this object by itself.
        stored_at: When S3 stored it, RFC 3339 in UTC; "" if that is unknown.
    """

    key: str
    sha256: str
    previous: str | None = None
    size: int = 0
    lines: int = 0
    faults: tuple[str, ...] = ()
    stored_at: str = ""


class Fault(NamedTuple):
    """What is wrong, and where: a key, or the name of a missing segment."""

    where: str
    what: str


def faults(segments: Iterable[Segment], known: Known, kept_since: datetime | None = None) -> Iterator[Fault]:
    """Yield everything that is wrong with an archive.

    Args:
        segments: Everything that is stored.
        known: What is known to have been stored.
        kept_since: What was stored before this moment has expired, and may be hidden or missing; None if nothing has.
    """
    logs: dict[tuple[str, str], dict[int, list[Segment]]] = defaultdict(lambda: defaultdict(list))
    for place in known:
        logs[place.source, place.node][place.number] = []
    for segment in segments:
        expired = _are_before([_stored_at(segment)], kept_since)
        yield from (Fault(segment.key, what) for what in segment.faults if not (expired and what == HIDDEN))
        found = place_of(segment.key)
        if found is None:
            yield Fault(segment.key, "not the key of a segment")
        else:
            logs[found.source, found.node][found.number].append(segment)
    for (source, node), numbers in sorted(logs.items()):
        yield from _of_log(source, node, numbers, known, kept_since)
    yield from _doubled(segment for _, log in sorted(logs.items()) for stored in log.values() for segment in stored)


def not_evaluated(
    segments: Iterable[Segment], seen: Known, before: datetime, kept_since: datetime | None = None
) -> Iterator[Fault]:
    """Yield each segment that was stored before this moment, and that `sweep` has not noted since.

    Args:
        segments: Everything that is stored on S3.
        seen: What `sweep` has noted.
        before: The moment, in UTC.
        kept_since: As in `faults`: notes expire as segments do.
    """
    for segment in segments:
        place = place_of(segment.key)
        expired = _are_before([_stored_at(segment)], kept_since)
        if place and place not in seen and not expired and segment.stored_at < before.isoformat():
            yield Fault(segment.key, "not evaluated: sweep has not noted it")


def _of_log(
    source: str, node: str, numbers: Mapping[int, list[Segment]], known: Known, kept_since: datetime | None
) -> Iterator[Fault]:
    # What expired longer ago has no note either: the next segment of which anything is left says how old it was.
    expires_soon = kept_since and kept_since + _EXPIRY_TAKES
    last = 0
    for number, stored in sorted(numbers.items()):
        place = Place(source, node, number)
        moments = [*map(_stored_at, stored), *(it.start for it in known.get(place, ()) if not stored)]
        if number - 1 > last and not _are_before(moments, expires_soon):
            yield Fault(_name(Place(source, node, last + 1), up_to=number - 1), "missing")
        last = number
        if not stored and not _are_before(moments, kept_since):
            yield Fault(_name(place), f"missing; it was there, with the SHA-256 {_digests(known[place])}")
        for segment in stored:
            yield from _compared(segment, known.get(place, frozenset()))
        if len(stored) > 1:
            yield Fault(_name(place), f"there are {len(stored)} segments with this number")
    yield from _chained(numbers)


def _stored_at(segment: Segment) -> datetime | None:
    """Return from when S3 counts the age of a segment; of a copy, when it begins, as its key says."""
    return datetime.fromisoformat(segment.stored_at) if segment.stored_at else segment_start(segment.key)


def _are_before(moments: Iterable[datetime | None], kept_since: datetime | None) -> bool:
    return kept_since is not None and all(moment is not None and moment < kept_since for moment in moments)


def _name(place: Place, up_to: int = 0) -> str:
    more = f" to {up_to}" if up_to > place.number else ""
    return f"source={place.source}/node={place.node} segment {place.number}{more}"


def _compared(segment: Segment, known: frozenset[Fingerprint]) -> Iterator[Fault]:
    others = frozenset(it for it in known if it.sha256 != segment.sha256)
    if others and segment.sha256:
        yield Fault(segment.key, f"altered: its SHA-256 is {segment.sha256}, and was {_digests(others)}")
    moved = {it.start for it in known if it.start} - {segment_start(segment.key)}
    if moved:
        times = ", ".join(f"{it:%Y-%m-%d %H:%M:%S}" for it in sorted(moved))
        yield Fault(segment.key, f"moved: the time in its key was {times}")


def _digests(known: frozenset[Fingerprint]) -> str:
    return ", ".join(sorted({it.sha256 for it in known}))


def _chained(numbers: Mapping[int, list[Segment]]) -> Iterator[Fault]:
    for segment in numbers.get(1, ()):
        if segment.previous:
            yield Fault(segment.key, "it names a segment before it, but is the first")
    for number, following in pairwise(sorted(numbers)):
        before = {segment.sha256 for segment in numbers[number]}
        if following != number + 1 or not before or "" in before:
            continue
        for segment in numbers[following]:
            if segment.previous is not None and segment.previous not in before:
                yield Fault(
                    segment.key, "it follows another segment than the one before it: one of the two was altered"
                )


def _doubled(segments: Iterable[Segment]) -> Iterator[Fault]:
    keys: dict[str, str] = {}
    for segment in segments:
        if segment.sha256 and keys.setdefault(segment.sha256, segment.key) != segment.key:
            yield Fault(segment.key, f"doubled: its contents are those of {keys[segment.sha256]}")
