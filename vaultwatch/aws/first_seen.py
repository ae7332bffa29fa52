"""Remember what correlations without windows have seen, and raise alerts on what is seen for the first time.

`evaluate` and `sweep` do it after each evaluation. What is due and does not come is raised by `digest`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from vaultwatch.alerts import Alert
    from vaultwatch.batches import Findings
    from vaultwatch.rules.pack import Rule
    from vaultwatch.seals import Seal
    from vaultwatch.store.absences import Absences
    from vaultwatch.store.dynamodb.expectations import DynamoExpectations
    from vaultwatch.store.dynamodb.memory import DynamoMemory
    from vaultwatch.store.expectations import Expectations
    from vaultwatch.store.first_seen import FirstSeen
    from vaultwatch.store.memory import Memory

_SPARE_SECONDS = 30.0
_log = logging.getLogger(__name__)


def open_memory(client: DynamoDBClient, table: str, seal: Seal) -> DynamoMemory:
    """Return the memory in the alerts table; imported when it is first used, like the store."""
    from vaultwatch.store.dynamodb.memory import DynamoMemory

    return DynamoMemory(client, table, seal)


def open_expectations(client: DynamoDBClient, table: str, seal: Seal) -> DynamoExpectations:
    """Return what is expected according to the alerts table; imported when it is first used, like the store."""
    from vaultwatch.store.dynamodb.expectations import DynamoExpectations

    return DynamoExpectations(client, table, seal)


class SharedFirsts:
    """What is seen for the first time, and what is expected again, by all functions that share a memory.

    Args:
        rules: The rules.
        memory: Returns where it is remembered; called when something was seen.
        expectations: Returns where it is kept what is expected; called when something was seen that is.
        remembered_days: How long a combination is remembered.
        of_archive: Whether records come from the archive, which does not hold the names of clusters.
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        memory: Callable[[], Memory],
        expectations: Callable[[], Expectations],
        remembered_days: int,
        *,
        of_archive: bool = False,
    ) -> None:
        self._rules = rules
        self._expectations = expectations
        self._memory = memory
        self._remembered_seconds = remembered_days * 86400.0
        self._of_archive = of_archive

    @cached_property
    def _first_seen(self) -> FirstSeen:
        from vaultwatch.store.first_seen import FirstSeen

        return FirstSeen(self._rules, self._memory, self._remembered_seconds)

    @cached_property
    def _absences(self) -> Absences:
        from vaultwatch.store.absences import Absences

        return Absences(self._rules, self._expectations)

    def take(self, findings: Findings, seconds_left: Callable[[], float]) -> Generator[list[Alert], None, None]:
        """Raise the alerts on what one evaluation has seen for the first time.

        Args:
            findings: What the evaluation found; gets the number of combinations that could not be judged. They are
                judged when they are seen again, or their segment is swept.
            seconds_left: Returns how long the function may still run.

        Yields:
            Alerts, which are raised again by the same records unless the next ones are asked for.
        """
        if findings.expected:
            self._expect(findings)
        if not findings.seen:
            return
        from vaultwatch.store import StoreError

        if seconds_left() <= _SPARE_SECONDS:
            findings.groups_dropped += len(findings.seen)
            return
        now = time.time()
        try:
            judged = self._first_seen.judge(findings.seen, now)
        except StoreError as error:
            findings.groups_dropped += len(findings.seen)
            _log.warning("what was seen for the first time is not known: %s", error)
            return
        findings.groups_dropped += judged.left_out
        if judged.alerts:
            yield judged.alerts
        try:
            self._first_seen.remember(judged, now)
        except StoreError as error:  # the alerts are raised again, with the same ids
            _log.warning("what was seen is not remembered: %s", error)

    def _expect(self, findings: Findings) -> None:
        from vaultwatch.store import StoreError

        known = findings.expected
        if self._of_archive:  # evaluate has seen it too, with its cluster
            known = [one for one in known if self._absences.is_of_known_cluster(one)]
        try:
            self._absences.expect(known, time.time())
        except StoreError as error:
            findings.groups_dropped += len(known)
            _log.warning("what is expected is not known: %s", error)
