"""`vaultwatch watch` as a program() handler: it evaluates lines and stores alerts; other threads send notifications."""

from __future__ import annotations

import sys
from contextlib import closing
from functools import partial
from pathlib import Path

from vaultwatch.detection.evaluator import collect_garbage_rarely
from vaultwatch.handler import run as handler
from vaultwatch.handler.checks import Problem
from vaultwatch.handler.log import logger
from vaultwatch.handler.metrics_file import writing_metrics
from vaultwatch.handler.stdin import consume
from vaultwatch.notify.sender import Sender
from vaultwatch.notify.sink import route
from vaultwatch.printable import one_line
from vaultwatch.reading.identity import log_start
from vaultwatch.store.sqlite import SqliteStore
from vaultwatch.watch.checks import facts, notes, problems
from vaultwatch.watch.evaluation import Evaluation
from vaultwatch.watch.metrics import families
from vaultwatch.watch.options import WatchOptions
from vaultwatch.watch.recording import Recorder

_LONGEST_LINE = 500


def run(options: WatchOptions, stdin: int = 0) -> int:
    """Evaluate the lines of a file descriptor until it ends.

    Returns:
        See `vaultwatch.handler.run.run`.

    Raises:
        SettingError: The descriptor is closed.
    """
    return handler.run(WatchHandler(options), stdin)


def check_config(options: WatchOptions) -> int:
    """Check the settings, as `--check-config` does, and print what they do; see `vaultwatch.handler.run.check`."""
    if status := handler.check(WatchHandler(options)):
        return status
    for fact in facts(options):
        sys.stdout.write(f"{one_line(fact, _LONGEST_LINE)}\n")
    return 0


class WatchHandler:
    """Implements `vaultwatch.handler.run.Handler` for `watch`."""

    name = "watch"

    def __init__(self, options: WatchOptions) -> None:
        self._options = options
        self.pace = options.pace

    @property
    def log_file(self) -> Path | None:
        """See `Handler.log_file`."""
        return self._options.log_file

    @property
    def lock_file(self) -> Path:
        """See `Handler.lock_file`."""
        return self._options.lock_file

    def problems(self) -> list[Problem]:
        """See `Handler.problems`."""
        return problems(self._options)

    def notes(self) -> list[str]:
        """See `Handler.notes`."""
        return notes(self._options)

    def process(self, stdin: int, *, first: bool) -> None:
        """See `Handler.process`."""
        options = self._options
        sinks = options.sinks()
        with closing(SqliteStore(options.store_file, [route(sink) for sink in sinks], options.source)) as store:
            sender = Sender(store, sinks, pause_seconds=self.pace.sink_pause_seconds)
            sender.start()
            logger.info("evaluating %s lines", options.source)
            recorder = Recorder(options, store, sender.notify)
            evaluation = Evaluation(options, recorder, store, log_start(from_beginning=first))
            collect_garbage_rarely()
            metrics = partial(families, evaluation, recorder, sender, store)
            with writing_metrics(options.metrics_file, self.name, options.source, metrics, self.pace.metrics_seconds):
                try:
                    recorder.recover()
                    consume(stdin, evaluation)
                finally:
                    all_sent = sender.stop(self.pace.drain_seconds)
                    for sink in sinks:
                        if (close := getattr(sink, "close", None)) is not None:
                            close()
        unsent = "unsent notifications are sent after the next start"
        logger.info("exiting: %s", "all notifications are sent" if all_sent else unsent)
