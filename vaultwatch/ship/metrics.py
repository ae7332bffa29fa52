"""The metrics of `ship`, for `--metrics FILE`."""

from __future__ import annotations

from collections.abc import Iterator

from vaultwatch.exposition import Family, single
from vaultwatch.handler.metrics_file import families_of_lines
from vaultwatch.ship.framing import Framer
from vaultwatch.ship.outbox import Outbox
from vaultwatch.ship.sending import Sender


def families(framer: Framer, outbox: Outbox, sender: Sender) -> Iterator[Family]:
    """Yield the lines that were framed, and what became of the frames."""
    yield from families_of_lines(framer.counters)
    sent = "Frames that Kinesis accepted, with those of heartbeats."
    yield single("vaultwatch_frames_sent_total", "counter", sent, sender.sent)
    failed = "Calls at which Kinesis did not accept every frame; the others are sent again."
    yield single("vaultwatch_send_failures_total", "counter", failed, sender.failed_calls)
    waiting = "Bytes of frames that Kinesis has not accepted yet; while they are at their limit, nothing is read."
    yield single("vaultwatch_frames_unsent_bytes", "gauge", waiting, outbox.in_flight_bytes)
