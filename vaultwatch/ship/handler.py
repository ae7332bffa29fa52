"""`vaultwatch ship` as a program() handler.

A `kill -9` loses the lines that Kinesis has not accepted yet: at most the contents of the pipe (64 KiB), the batch
being gathered (1 s, 8 MiB) and the outbox (8 MiB of frames).
"""

from __future__ import annotations

import socket
import uuid
from contextlib import closing
from functools import partial
from pathlib import Path

from vaultwatch.handler import run as handler
from vaultwatch.handler.checks import Problem
from vaultwatch.handler.log import logger
from vaultwatch.handler.metrics_file import writing_metrics
from vaultwatch.handler.stdin import consume
from vaultwatch.reading.identity import log_start
from vaultwatch.ship.checks import notes, problems
from vaultwatch.ship.framing import Framer, Identity
from vaultwatch.ship.gathering import Gatherer, LineGatherer, MessageGatherer
from vaultwatch.ship.metrics import families
from vaultwatch.ship.options import ShipOptions
from vaultwatch.ship.outbox import Outbox
from vaultwatch.ship.oversize import BucketStore, FolderStore
from vaultwatch.ship.pipeline import Pipeline
from vaultwatch.ship.retries import make_clients
from vaultwatch.ship.sending import Sender
from vaultwatch.ship.timeline import Timeline


def run(options: ShipOptions, stdin: int = 0) -> int:
    """Send the lines of a file descriptor to Kinesis until it ends.

    Returns:
        Always 0, once Kinesis has accepted every frame.

    Raises:
        SettingError: The descriptor is closed.
    """
    return handler.run(ShipHandler(options), stdin)


def check_config(options: ShipOptions) -> int:
    """Check the settings, as `--check-config` does; see `vaultwatch.handler.run.check`."""
    return handler.check(ShipHandler(options))


class ShipHandler:
    """Implements `vaultwatch.handler.run.Handler` for `ship`."""

    name = "ship"

    def __init__(self, options: ShipOptions) -> None:
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
        clients = make_clients(self.pace)  # new ones for each check: credentials may have been repaired on disk
        try:
            return problems(self._options, clients)
        finally:
            clients.renew()

    def notes(self) -> list[str]:
        """See `Handler.notes`."""
        return notes(self._options)

    def process(self, stdin: int, *, first: bool) -> None:
        """See `Handler.process`."""
        options = self._options
        outbox = Outbox()
        sender = Sender(options.stream, outbox, self.pace)
        gatherer: Gatherer = (LineGatherer if options.source == "audit" else MessageGatherer)(self.pace)
        with closing(self._oversize_store()) as store:
            timeline = Timeline(log_start(from_beginning=first)) if options.source == "server" else None
            framer = Framer(_identity(options), store, gatherer.middle, outbox.put, timeline=timeline)
            sender.start()
            logger.info("sending %s lines to stream %s", options.source, options.stream)
            metrics = partial(families, framer, outbox, sender)
            with writing_metrics(options.metrics, self.name, options.source, metrics, self.pace.metrics_seconds):
                try:
                    consume(stdin, Pipeline(gatherer, framer, self.pace))
                finally:
                    logger.info("end of input: sending the remaining frames")
                    sender.finish()
        logger.info("exiting: Kinesis has accepted every frame")

    def _oversize_store(self) -> BucketStore | FolderStore:
        if self._options.oversize_bucket:
            return BucketStore(self._options.oversize_bucket, self.pace)
        return FolderStore(self._options.state_directory / "oversize", self.pace)


def _identity(options: ShipOptions) -> Identity:
    return "server" if options.source == "server" else "audit", socket.gethostname(), uuid.uuid4()
