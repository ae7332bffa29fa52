"""Compares, each hour, the two copies that the archive has of the same hour of the day before.

One copy came by the sockets and the log server, the other from the nodes' own audit files. What is missing in one was
lost on its way, or removed; what differs was altered. The comparison is in a child process, so that no content can
end the function; an hour that cannot be compared to its end is counted as not reconciled. A copy that has not come as
far as the end of the hour is late: SQS delivers the message again, as it does if the infrastructure fails.
"""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import closing
from datetime import datetime
from typing import Any

import msgspec

from lambdas._environment import limits_of_children, read_environment, seconds_left
from vaultwatch.archive.listing import copy_of
from vaultwatch.archive.segments import unpack
from vaultwatch.aws import metrics
from vaultwatch.aws.clients import make_client
from vaultwatch.errors import ChildEnded, SettingError
from vaultwatch.isolation import Limits
from vaultwatch.printable import one_line
from vaultwatch.reconcile import Window
from vaultwatch.reconcile.hours import HOUR, hour_of, summary_of
from vaultwatch.reconcile.isolated import Copies, Found, compare
from vaultwatch.reconcile.rows import microseconds

_CHUNK_BYTES = 1024 * 1024
_SHOWN = 5
_STALLED_SECONDS = 60.0
_LAST_SECONDS = 30.0
"""What is left of the time of an invocation for its metrics and its log."""
_SOCKET, _FILE = "audit", "audit-file"
_log = logging.getLogger(__name__)
_log.setLevel(logging.INFO)


class Environment(msgspec.Struct, frozen=True):
    """Variables of this function."""

    archive_bucket_name: str


ENVIRONMENT = read_environment(Environment)
S3 = make_client("s3")


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Compare the hours that these queue messages name."""
    late = [record["messageId"] for record in event["Records"] if not _reconcile(record["body"], context)]
    return {"batchItemFailures": [{"itemIdentifier": message} for message in late]}


def _reconcile(message: str, context: Any) -> bool:
    """Compare the hour of a message; return False if one of its copies is late."""
    try:
        hour = hour_of(message)
    except SettingError as error:
        _log.error("%s", one_line(str(error)))
        _count(reconciled=False)
        return True
    copies = {it: copy_of(S3, ENVIRONMENT.archive_bucket_name, it, hour, hour + HOUR) for it in (_SOCKET, _FILE)}
    late = [f"source={source}" for source, copy in copies.items() if not copy.is_passed]
    if late:
        _log.error("%s waits: %s has no segment after the hour", hour.isoformat(), " and ".join(late))
        return False
    _compare(hour, Copies(copies[_SOCKET].keys, copies[_FILE].keys), context)
    return True


def _compare(hour: datetime, copies: Copies, context: Any) -> None:
    limits, _ = limits_of_children(context)
    try:
        found = compare(
            copies,
            Window(microseconds(hour), microseconds(hour + HOUR)),
            fetch=_fetch,
            unpack=unpack,
            limit=_SHOWN,
            limits=Limits(limits.memory_bytes, _STALLED_SECONDS),
            seconds_left=lambda: seconds_left(context)() - _LAST_SECONDS,
        )
    except ChildEnded as ended:
        _log.error("%s is not reconciled: %s", hour.isoformat(), one_line(ended.reason))
        _count(reconciled=False)
    else:
        _report(hour, found)


def _report(hour: datetime, found: Found) -> None:
    report = found.report
    is_whole = not found.unreadable_count and not report.left["rejected"] and not report.right["rejected"]
    _log.log(logging.INFO if report.equal and is_whole else logging.ERROR, "%s", summary_of(hour, found))
    _count(reconciled=is_whole)
    metrics.write({metrics.DIFFERING_ENTRIES: report.differing.count, metrics.SILENT_SPANS: report.silence_count})
    for lane, missing in (("socket", report.missing_left), ("file", report.missing_right)):
        metrics.write({metrics.MISSING_ENTRIES: missing.count}, lane=lane)


def _count(*, reconciled: bool) -> None:
    metrics.write({metrics.RECONCILED_HOURS: int(reconciled), metrics.UNRECONCILED_HOURS: int(not reconciled)})


def _fetch(key: str) -> Generator[bytes, None, None]:
    with closing(S3.get_object(Bucket=ENVIRONMENT.archive_bucket_name, Key=key)["Body"]) as body:
        yield from body.iter_chunks(_CHUNK_BYTES)
