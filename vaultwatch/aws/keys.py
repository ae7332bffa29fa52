"""Every S3 key: what the stacks grant access to, what the functions and handlers write, and how a key is read again."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import NamedTuple
from uuid import UUID

from vaultwatch.errors import ArchiveError, FrameError

# The archive bucket.
ARCHIVE = "archive/"
SEEN = "seen/"
"""Below it, `sweep` notes which segments it has seen; no host may write there."""

SOURCES = ("audit", "audit-file", "server")
"""What an archived segment can be of: both audit lanes of the log server, a node's own audit file, the server log."""

NODE_SOURCES = ("audit-file",)
LOG_SERVER_SOURCES = ("audit", "server")

# The alerts bucket.
ALERTS = "alerts/"
OVERSIZE = "oversize/"
PARKED = "parked/"
REJECTED = "rejected/"
EXCLUDED = REJECTED + "swept/"
FAILED = REJECTED + "alerts/"
DISCARDED = "aws/lambda/"
"""Where an event source mapping writes the batches that it discards; AWS offers no other prefix."""

DELIVERED_ALERTS = ALERTS + "dt=!{timestamp:yyyy-MM-dd}/"
"""A prefix with a Firehose expression, like `FAILED_ALERTS`."""
FAILED_ALERTS = ALERTS + "failed=!{firehose:error-output-type}/"

# The bucket of snapshots.
SNAPSHOTS = "snapshots/"

# S3 rejects other keys with an error that looks temporary, and the frame would be retried for a day.
_OVERSIZE_KEY = re.compile(rf"{OVERSIZE}[\w=/-]{{1,300}}", re.ASCII)
_SEGMENT_KEY = re.compile(rf"{ARCHIVE}source=(?P<source>{'|'.join(SOURCES)})/node=(?P<node>[\w.:-]{{1,255}})/")
_PARKED_KEY = re.compile(
    rf"{PARKED}dt=[\d-]{{10}}/(?P<shard>shardId-\d{{12}})-(?P<number>\d{{1,129}})\.frame", re.ASCII
)
_FIRST_SEGMENT = re.compile(r".*/0*1-[^/]*\.zst", re.DOTALL)
_PLACE = re.compile(
    rf"{ARCHIVE}source=({'|'.join(SOURCES)})/node=([\w.:-]{{1,255}})/dt=[\d-]{{10}}/hour=\d\d/(\d{{8,18}})-(\d{{8}}T\d{{6}})(?:-([0-9a-f]{{16}}))?\.zst",
    re.ASCII,
)
_SEEN_KEY = re.compile(
    rf"{SEEN}source=({'|'.join(SOURCES)})/node=([\w.:-]{{1,255}})/(\d{{8,18}})-(?:(\d{{8}}T\d{{6}})-)?([0-9a-f]{{64}})\.json",
    re.ASCII,
)
_TIME = "%Y%m%dT%H%M%S"
_SEGMENT_NAME = re.compile(r".*/\d+-(\d{8}T\d{6})(?:-[0-9a-f]{16})?\.zst", re.ASCII)


class Segment(NamedTuple):
    """The parts of a segment's key: `archive/source=<source>/node=<node>/.../<sequence>-<time>-<random>.zst`.

    The first segment of a source and node is the beginning of a log.
    """

    source: str
    node: str
    is_first: bool


def parse_segment(key: str) -> Segment:
    """Parse the key of an archived segment.

    Raises:
        ArchiveError: It is not the key of a segment.
    """
    found = _SEGMENT_KEY.match(key)
    if found is None:
        raise ArchiveError(f"not the key of a segment: {key[:200]!r}")
    return Segment(found["source"], found["node"], _FIRST_SEGMENT.fullmatch(key) is not None)


class Place(NamedTuple):
    """The place of a segment in the archive: the number within the segments of one source and one host."""

    source: str
    node: str
    number: int


def place_of(key: str) -> Place | None:
    """Return the place of a segment; None if `segment` does not return this key for any."""
    found = _PLACE.fullmatch(key)
    start = segment_start(key)
    if found is None or start is None:
        return None
    place = Place(found[1], found[2], int(found[3]))
    return place if segment(*place, start, found[5] or "") == key else None


class Fingerprint(NamedTuple):
    """What a segment is known to have had: its digest, and the time in its key; None if that is unknown."""

    sha256: str
    start: datetime | None = None


def seen(key: str, sha256: str) -> str | None:
    """Return the key of the note that a segment with this digest was seen; None for the key of another object."""
    place, start = place_of(key), segment_start(key)
    if place is None or start is None:
        return None
    return f"{SEEN}source={place.source}/node={place.node}/{place.number:08}-{start:{_TIME}}-{sha256}.json"


def parse_seen(key: str) -> tuple[Place, Fingerprint] | None:
    """Return what the key of a note says; None for another key. Older notes do not have the time."""
    found = _SEEN_KEY.fullmatch(key)
    if found is None:
        return None
    return Place(found[1], found[2], int(found[3])), Fingerprint(found[5], _parse_time(found[4] or ""))


def segments_of_source(source: str) -> str:
    """Return the prefix of all segments of one source."""
    return f"{ARCHIVE}source={source}/"


def segments_of(source: str, node: str) -> str:
    """Return the prefix of all segments of one source and one host."""
    return f"{segments_of_source(source)}node={node}/"


def segment(source: str, node: str, sequence: int, first: datetime, random: str = "") -> str:
    """Return the key for an archived segment.

    Args:
        source: What it is of.
        node: The name of the host.
        sequence: Its number.
        first: The time of its first line.
        random: 16 hex digits, so that nobody who may not list the archive knows the key; "" as in old archives.
    """
    hour = f"dt={first:%Y-%m-%d}/hour={first:%H}"
    end = f"-{random}" if random else ""
    return f"{segments_of(source, node)}{hour}/{sequence:08}-{first:{_TIME}}{end}.zst"


def segments_of_day(folder: str, day: date) -> str:
    """Return the prefix of the segments that begin on a day; `folder` is `archive/source=<source>/node=<node>/`."""
    return f"{folder}dt={day:%Y-%m-%d}/"


def segment_start(key: str) -> datetime | None:
    """Return the time of a segment's first line, which its key contains; None if the key has another form."""
    found = _SEGMENT_NAME.fullmatch(key)
    return _parse_time(found[1]) if found else None


def _parse_time(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, _TIME).replace(tzinfo=UTC)
    except ValueError:
        return None


def snapshots_of(node: str) -> str:
    """Return the prefix of the Raft snapshots that a node has taken."""
    return f"{SNAPSHOTS}node={node}/"


def snapshot(node: str, taken: datetime) -> str:
    """Return the key for a Raft snapshot."""
    return f"{snapshots_of(node)}{taken.astimezone(UTC):%Y%m%dT%H%M%SZ}.snap"


def oversize(day: date, sha256: str) -> str:
    """Return the key for lines that are too large for a Kinesis record."""
    return f"{OVERSIZE}dt={day:%Y-%m-%d}/{sha256}"


def is_oversize(key: str) -> bool:
    """Return whether a frame may refer to this key."""
    return _OVERSIZE_KEY.fullmatch(key) is not None


def parked(day: date, name: str) -> str:
    """Return the key for a frame that cannot be read; `name` is shard and sequence number of its Kinesis record."""
    return f"{PARKED}dt={day:%Y-%m-%d}/{name}.frame"


def parse_parked(key: str) -> tuple[str, str]:
    """Return shard and sequence number of a parked frame.

    Raises:
        FrameError: It is not the key of one.
    """
    found = _PARKED_KEY.fullmatch(key)
    if found is None:
        raise FrameError(f"not the key of a parked frame: {key[:200]!r}")
    return found["shard"], found["number"]


def rejected(day: date, process: UUID, sequence: int) -> str:
    """Return the key for the rejected lines of a frame; it is always the same for the same frame."""
    return f"{REJECTED}dt={day:%Y-%m-%d}/{process}-{sequence:012}.jsonl"


def failed_alert(alert_id: str) -> str:
    """Return the key for an alert that could not be stored as it is."""
    return f"{FAILED}{alert_id}.json"


def excluded(key: str) -> str:
    """Return the key for the records that could not be evaluated of the object `key`."""
    return f"{EXCLUDED}{key[:900]}.jsonl"
