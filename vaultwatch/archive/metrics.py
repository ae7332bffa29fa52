"""The metrics of a run that uploads, for `--metrics FILE`."""

from __future__ import annotations

import time
from collections.abc import Iterator

from vaultwatch.exposition import Family, encode_metrics, single


def metrics_of(command: str, *, uploaded: int, waiting: int, complete: bool) -> bytes:
    """Return what a run did, in Prometheus's text format.

    Args:
        command: Its command, such as `archive follow`.
        uploaded: How many segments S3 confirmed in this run.
        waiting: How many rotated files S3 does not have completely.
        complete: Whether nothing failed, and nothing has been waiting for too long.
    """
    return encode_metrics(_families(uploaded, waiting, complete=complete), {"command": command})


def _families(uploaded: int, waiting: int, *, complete: bool) -> Iterator[Family]:
    yield single("vaultwatch_archive_timestamp_seconds", "gauge", "When the last run ended.", time.time())
    whole = "Whether nothing failed in the last run, and nothing has been waiting for two hours."
    yield single("vaultwatch_archive_complete", "gauge", whole, int(complete))
    confirmed = "Segments that S3 confirmed in the last run."
    yield single("vaultwatch_archive_uploaded_segments", "gauge", confirmed, uploaded)
    left = "Rotated files that S3 does not have completely."
    yield single("vaultwatch_archive_waiting_files", "gauge", left, waiting)
