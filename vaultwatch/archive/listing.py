"""Find the archived segments that can contain a given moment."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from vaultwatch.aws.keys import ARCHIVE, place_of, segment_start, segments_of_day, segments_of_source

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_OUT_OF_ORDER = timedelta(minutes=1)  # lines of several nodes and lanes arrive this far out of order
_DAY = timedelta(days=1)


class Copy(NamedTuple):
    """The segments of one source that can contain lines of a span of time.

    Attributes:
        keys: Their keys.
        is_passed: Whether a segment begins at the end of the span or later: the writer has come so far.
    """

    keys: list[str]
    is_passed: bool


def segments_near(s3: S3Client, bucket: str, moment: datetime) -> list[str]:
    """Return the keys of the segments that can contain lines of this moment, for every source and node.

    A segment has the lines from its own start to the start of the next one. Segments that begin on the day of the
    moment, the day before or the day after are considered: rotation makes a new one at least once an hour.

    Args:
        s3: The client.
        bucket: The archive bucket.
        moment: The time to look for.
    """
    sources = _folders(s3, bucket, ARCHIVE)
    nodes = (node for source in sources for node in _folders(s3, bucket, source))
    return [key for node in nodes for key in _between(_of_days(s3, bucket, node, moment, moment), moment, moment)]


def copy_of(s3: S3Client, bucket: str, source: str, begin: datetime, end: datetime) -> Copy:
    """Return the segments of one source, of every node, that can contain lines of a span of time.

    As for `segments_near`, those are considered that begin from the day before until the day after.

    Args:
        s3: The client.
        bucket: The archive bucket.
        source: The source, as in the keys.
        begin: The beginning of the span.
        end: Its end.
    """
    keys, is_passed = list[str](), False
    for node in _folders(s3, bucket, segments_of_source(source)):
        found = _of_days(s3, bucket, node, begin, end)
        keys += _between(found, begin, end)
        is_passed = is_passed or any(start >= end for start, _ in found)
    return Copy(keys, is_passed)


def segments_below(s3: S3Client, bucket: str, prefix: str, begin: datetime | None, end: datetime | None) -> list[str]:
    """Return the keys of the segments below a prefix that can contain lines of a span of time.

    Args:
        s3: The client.
        bucket: The archive bucket.
        prefix: The prefix, such as `archive/source=audit/`; "" for all segments.
        begin: The beginning of the span; None for all that came before its end.
        end: Its end; None for all that came after its beginning.
    """
    first = None if begin is None else begin - _DAY
    last = None if end is None else end + _OUT_OF_ORDER
    starts = _starts(s3, bucket, prefix or ARCHIVE)
    return [key for start, key in starts if (first is None or start >= first) and (last is None or start <= last)]


def _folders(s3: S3Client, bucket: str, prefix: str) -> Iterator[str]:
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, Delimiter="/"):
        yield from (found["Prefix"] for found in page.get("CommonPrefixes", ()))


def _of_days(s3: S3Client, bucket: str, folder: str, begin: datetime, end: datetime) -> list[tuple[datetime, str]]:
    """Return the start and the key of each segment of a node, from the day before a span to the day after."""
    days = [begin - _DAY]
    while days[-1].date() <= end.date():
        days.append(days[-1] + _DAY)
    prefixes = [segments_of_day(folder, day) for day in days]
    return sorted(found for prefix in prefixes for found in _starts(s3, bucket, prefix))


def _between(segments: list[tuple[datetime, str]], begin: datetime, end: datetime) -> Iterator[str]:
    """Yield the keys of segments, sorted by their starts, that can contain lines of a span of time.

    A segment has the lines up to the start of the one with the next number. Somebody with the credential of the host
    can add others, and hides none: of several with the next number, the last one counts.
    """
    endless: Any = (None, "")
    followed = {place.number - 1: start for start, key in segments if (place := place_of(key))}
    for (start, key), (next_start, _) in pairwise([*segments, endless]):
        place = place_of(key)
        ends = followed.get(place.number, next_start) if place else next_start
        if start <= end + _OUT_OF_ORDER and (ends is None or ends >= begin - _OUT_OF_ORDER):
            yield key


def _starts(s3: S3Client, bucket: str, prefix: str) -> Iterator[tuple[datetime, str]]:
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for found in page.get("Contents", ()):
            if start := segment_start(found["Key"]):
                yield start, found["Key"]
