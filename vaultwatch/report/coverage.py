"""What was read: per log, per audit device, and in all, in one pass and in bounded memory."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vaultwatch.detection.evaluator import Counts
from vaultwatch.findings.calls import Call, read_call
from vaultwatch.findings.tally import Tally
from vaultwatch.inputs.order import by_rotation
from vaultwatch.reading.records import Origin
from vaultwatch.report.devices import Device
from vaultwatch.report.times import Times, seconds_of

_MOST_LOGS = 1_000
_MOST_DEVICES = 32
OTHER_LOGS = "other logs"
OTHER_DEVICES = "other devices"


class LogCounts(msgspec.Struct):
    """How many records of a log were read, how many lines were rejected, and the times of the records."""

    name: str
    audit: int = 0
    server: int = 0
    rejected: int = 0
    first: float | None = None
    last: float | None = None

    def note(self, moment: float) -> None:
        """Note that a record was logged at this moment, in seconds since 1970."""
        self.first = moment if self.first is None else min(self.first, moment)
        self.last = moment if self.last is None else max(self.last, moment)


class Coverage:
    """Watches a run.

    Attributes:
        logs: What was read, per log.
        devices: What was read, per audit device.
        times: When the audit entries were logged.
        tally: Who called what.
    """

    def __init__(self) -> None:
        self.logs: dict[str, LogCounts] = {}
        self.devices: dict[str, Device] = {}
        self.times = Times()
        self.tally = Tally()
        self._log = LogCounts("")
        self._before = (0, 0, 0)

    def begin_log(self, name: str, counts: Counts) -> None:
        """Begin a log, before any of its lines is read.

        Args:
            name: Its name.
            counts: What was read before.
        """
        key = name if name in self.logs or len(self.logs) < _MOST_LOGS else OTHER_LOGS
        self._log = self.logs.setdefault(key, LogCounts(key))
        self._before = (counts.audit, counts.server, counts.rejected)

    def end_log(self, counts: Counts) -> None:
        """End a log.

        Args:
            counts: What was read with it.
        """
        audit, server, rejected = self._before
        self._log.audit += counts.audit - audit
        self._log.server += counts.server - server
        self._log.rejected += counts.rejected - rejected

    def entries(self, lines: Sequence[bytes], origin: Origin | None) -> None:
        """Count audit entries; see `Detector`."""
        for line in lines:
            if call := read_call(line, origin):
                self._count(call)

    def message(self, time: str) -> None:
        """Note when a message of the server log was logged; see `Detector`."""
        if (moment := seconds_of(time)) is not None:
            self._log.note(moment)

    def _count(self, call: Call) -> None:
        moment = seconds_of(call.time)
        self.tally.count(call)
        self.times.add(moment)
        if moment is not None:
            self._log.note(moment)
        self._device(call.lane or by_rotation(self._log.name)[0]).add(call, moment)

    def _device(self, name: str) -> Device:
        found = self.devices.get(name)
        if found is None:
            key = name if len(self.devices) < _MOST_DEVICES else OTHER_DEVICES
            found = self.devices.setdefault(key, Device(key))
        return found
