"""Decide when AWS calls are retried, and log why they failed."""

from __future__ import annotations

import gc
import logging
import time

from vaultwatch.aws.clients import Clients, Failure
from vaultwatch.backoff import Backoff
from vaultwatch.problem_log import ProblemLog
from vaultwatch.ship.options import Pace


def make_clients(pace: Pace) -> Clients:
    """Return clients with the handler's timeouts."""
    return Clients(connect_timeout_seconds=pace.connect_timeout_seconds, read_timeout_seconds=pace.read_timeout_seconds)


class Retries:
    """Waits between the attempts of one kind of call, with exponential backoff and full jitter, and logs why."""

    def __init__(self, pace: Pace, clients: Clients) -> None:
        self._clients = clients
        self._reported = ProblemLog(pace.report_seconds)
        self._backoff = Backoff(pace.backoff_seconds, pace.longest_backoff_seconds)
        self._failures = 0
        self._call_failed = False

    def failed(self, failure: Failure, consequence: str) -> None:
        """Note that a call failed; after a permanent failure, boto3 reads its credentials and settings again."""
        self._failures += 1
        self._call_failed = True
        level = logging.ERROR if failure.permanent else logging.WARNING
        self._reported.report(failure.name, level, f"{failure.text}: {consequence}")
        if failure.permanent:
            self._clients.renew()

    def failed_in_part(self, failure: Failure, consequence: str) -> None:
        """Note that only a part of a call failed, so that the next attempt may follow soon."""
        self._failures = 0
        self.failed(failure, consequence)
        self._call_failed = False

    def succeeded(self, text: str) -> None:
        """Note that a call succeeded; log the text if calls failed before."""
        self._failures = 0
        self._reported.resolve(text)

    def wait(self) -> None:
        """Wait before the next attempt.

        A failed boto3 call leaves a reference cycle (exception, traceback, request) that keeps its body of up to 7 MB.
        Nothing else triggers the collector while the input is not read: 839 MB in an outage of half an hour.
        """
        if self._call_failed:
            self._call_failed = False
            gc.collect()
        time.sleep(self.delay())

    def delay(self) -> float:
        """Return the seconds until the next attempt; 0 after a success."""
        return self._backoff.full_jitter(self._failures)
