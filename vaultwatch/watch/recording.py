"""Store alerts, and write those that wait to the journal, so that a kill loses none."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeVar

from vaultwatch.alerts import Alert
from vaultwatch.dispatch.groups import file_alert
from vaultwatch.handler.log import logger
from vaultwatch.problem_log import ProblemLog
from vaultwatch.store import Store, StoreError
from vaultwatch.store.apart import file_apart
from vaultwatch.watch.journal import Journal
from vaultwatch.watch.options import WatchOptions

_T = TypeVar("_T")


class Recorder:
    """Stores alerts, with retries without a limit.

    While the store fails (a full disk), its methods do not return: reading stops, and the backlog stays in syslog-ng's
    disk buffer. `new_alerts` counts the alerts that were not in the store before, by level.
    """

    def __init__(self, options: WatchOptions, store: Store, on_recorded: Callable[[], None]) -> None:
        """Make a recorder.

        Args:
            options: The options of the command.
            store: The store of the alerts.
            on_recorded: Called after alerts were stored.
        """
        self._store = store
        self._on_recorded = on_recorded
        self._retry_seconds = options.pace.store_retry_seconds
        self._journal = Journal(options.journal_file)
        self._journal_file = options.journal_file
        self._journal_reported = ProblemLog(options.pace.report_seconds)
        self._reported = ProblemLog(options.pace.report_seconds)
        self.new_alerts: Counter[str] = Counter()

    def recover(self) -> None:
        """Store the alerts that waited when an earlier process was killed, with the responses that had arrived.

        It returns once both the journal and the store have worked, and the input is read only after that.
        """
        left, torn = self.retry(self._journal.read)
        if torn:
            logger.error("%s: a kill left %d alerts incomplete: they cannot be read", self._journal_file, torn)
        self.record(left)

    def record(self, alerts: Sequence[Alert]) -> None:
        """Store alerts; one whose texts make our own code raise is stored without them."""
        filed = self.retry(lambda: file_apart(self._store, alerts, file_alert, time.time()))
        self.new_alerts.update(filing.alert.level.value for filing, one in filed.recorded if one.new)
        for one in filed.failed:
            logger.error("alert %s of %s is stored without its texts: %s", one.alert.id, one.alert.rule, one.error)
        self._on_recorded()

    def add_waiting(self, alerts: Sequence[Alert], all_waiting: Callable[[], Sequence[Alert]]) -> None:
        """Keep alerts that begin to wait: for a response, or to be stored together with others.

        Args:
            alerts: The alerts.
            all_waiting: Returns them and all alerts that were already waiting.
        """
        self._change_journal(lambda: self._journal.add(alerts, all_waiting))

    def clear_waiting(self) -> None:
        """Note that no alert waits any more."""
        self._change_journal(self._journal.clear)

    def retry(self, action: Callable[[], _T]) -> _T:
        """Return the result of what uses the store, as soon as that works."""
        while True:
            try:
                result = action()
            except (StoreError, OSError) as error:
                text = f"--state: {error}: reading is paused until this is fixed"
                self._reported.report("state", logging.ERROR, text)
                time.sleep(self._retry_seconds)
            else:
                self._reported.resolve("--state: can be used again")
                return result

    def _change_journal(self, change: Callable[[], None]) -> None:
        """Change the journal; if it cannot be written, go on, because its alerts are still in memory."""
        try:
            change()
        except OSError as error:
            self._journal_reported.report("journal", logging.ERROR, f"{self._journal_file}: {error.strerror}")
