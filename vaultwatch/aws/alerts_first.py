"""Alerts first: a failure of S3 never delays the alerts of other frames.

Lines that cannot be fetched now are left to a later evaluation. Unreadable frames and rejected lines are stored once
all alerts are published, and retried only for as long as the alerts behind them can wait.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from math import inf
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from vaultwatch.aws.alerts_bucket import AlertsBucket
from vaultwatch.aws.clients import classify
from vaultwatch.batches import Findings
from vaultwatch.errors import BucketError, FrameError
from vaultwatch.frames import Reference

if TYPE_CHECKING:
    from vaultwatch.store.apart import FailedAlert

KEEPING_SECONDS = 90.0
"""The age of a frame up to which its batch is retried if something could not be stored.

The shard waits meanwhile: for less than five minutes, even if an invocation hangs before this age and one after it.
"""
_SPARE_SECONDS = 40.0  # a call that is not answered takes 31 s with its retries
_log = logging.getLogger(__name__)


class PromptFetch:
    """Fetches the lines of frames during one invocation; after one failure of S3 it fetches no more.

    Args:
        bucket: The alerts bucket.
        room_bytes: How much it fetches in all; lines that have been fetched before do not count again. The rest is left
            to a later evaluation, so that no number of long lines delays the alerts behind them.

    Attributes:
        failure: Why S3 failed, if it did.
    """

    def __init__(self, bucket: AlertsBucket, room_bytes: float = inf) -> None:
        self._bucket = bucket
        self._room_bytes = room_bytes
        self._admitted = set[Reference]()
        self.failure = ""

    def __call__(self, reference: Reference) -> bytes:
        """Return the lines that a reference points to.

        Raises:
            FrameError: They cannot be fetched, now or ever.
        """
        self._admit(reference)
        if not self.failure:
            try:
                return self._bucket.fetch_lines(reference)
            except (BotoCoreError, ClientError) as error:
                self.failure = classify(error).text
        raise FrameError(f"reference: {self.failure}")

    def _admit(self, reference: Reference) -> None:
        if reference in self._admitted:
            return
        if reference.size > self._room_bytes:
            raise FrameError(f"reference: {reference.size} bytes are left to a function with more memory and time")
        self._room_bytes -= reference.size
        self._admitted.add(reference)


def keep(
    bucket: AlertsBucket,
    findings: Findings,
    failed: Iterable[FailedAlert],
    *,
    age_seconds: float,
    seconds_left: Callable[[], float],
) -> int:
    """Store the unreadable frames and the rejected lines of a batch; a failure for one does not prevent the others.

    Args:
        bucket: The alerts bucket.
        findings: The findings of the batch.
        failed: Alerts that could not be stored in the table as they are.
        age_seconds: How long ago the oldest frame of the batch arrived.
        seconds_left: Returns how long the function may still run.

    Returns:
        How many could not be stored and are not retried: the log names them, and the stream still has the frames.

    Raises:
        BucketError: Some could not be stored, and the batch is young enough to be retried.
    """
    failures = [failure for store in _stores(bucket, findings, failed) if (failure := _failure(store, seconds_left))]
    for failure in failures:
        _log.error("%s", failure)
    if failures and age_seconds < KEEPING_SECONDS:
        raise BucketError(failures[0])
    return len(failures)


def _stores(
    bucket: AlertsBucket, findings: Findings, failed: Iterable[FailedAlert]
) -> Iterator[tuple[str, Callable[[], None]]]:
    for alert in failed:
        yield f"alert {alert.alert.id}", partial(bucket.keep_failed, alert)
    for unreadable in findings.unreadable:
        yield f"frame {unreadable.frame.name}", partial(bucket.park, unreadable)
    for rejected in findings.rejected_lines:
        yield f"rejected lines of {rejected.process}-{rejected.sequence}", partial(bucket.keep_rejected, rejected)


def _failure(store: tuple[str, Callable[[], None]], seconds_left: Callable[[], float]) -> str:
    what, put = store
    if seconds_left() < _SPARE_SECONDS:
        return f"{what} not stored: no time left"
    try:
        put()
    except (BotoCoreError, ClientError) as error:
        return f"{what} not stored: {classify(error).text}"
    return ""
