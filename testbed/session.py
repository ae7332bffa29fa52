"""Sessions: which lines were sent and when, and which alerts they must raise."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Protocol

import msgspec

from testbed.errors import TestbedError
from testbed.log_server import SERVICES, TAGS, VAULTWATCH
from vaultwatch.alerts import Alert
from vaultwatch.rules.facts import Level, Service

Say = Callable[[str], None]


def by_bytes(line: bytes) -> Hashable:
    """Identify a line by its bytes."""
    return line


@dataclass(frozen=True)
class Sent:
    """The lines that a session sent.

    Attributes:
        lines: Every line, by log.
        at: When each line was sent, in seconds since the epoch, by `key_of_line`.
        identify: Returns what identifies a line in the archive file.
    """

    lines: Mapping[Service, Sequence[bytes]]
    at: Mapping[str, float]
    identify: Callable[[bytes], Hashable] = by_bytes

    def moment(self, alert: Alert) -> float | None:
        """Return when the line of an alert was sent; of a message of several lines, the first one."""
        return self.at.get(key_of_alert(alert))


class Receiver(Protocol):
    """What takes the lines of a session: a log server, or a node in front of one."""

    logs: Path

    @property
    def ports(self) -> Mapping[Service, int]:
        """The ports on loopback to which the lines of each log are sent."""
        ...

    def archive(self, service: Service) -> Path:
        """Return the file that keeps the lines of a log, with or without tags."""
        ...


class Session(Protocol):
    """Something that sends lines to the log server, as Vault does."""

    title: str

    def moment(self, alert: Alert) -> float | None:
        """Return when the line of an alert was sent, while the session plays; None if that is not known."""
        ...

    def play(self, server: Receiver, stop: Event, say: Say) -> Sent:
        """Send everything, or until `stop` is set.

        Args:
            server: Where to send the lines.
            stop: Set to end early.
            say: Called with one line about each part.

        Returns:
            The lines that were sent.

        Raises:
            TestbedError: If sending fails.
        """
        ...


def key_of_line(service: Service, line: bytes) -> str:
    """Identify an audit entry by its request id and type, a server-log message by its first line."""
    if service == "server":
        return line.decode("utf-8", "replace").strip()
    try:
        found = msgspec.json.decode(line, type=_Entry)
    except msgspec.DecodeError:
        return ""
    return f"{found.request.id} {found.type}"


def key_of_alert(alert: Alert) -> str:
    """Identify the line of an alert as `key_of_line` does."""
    if alert.service == "audit":
        return f"{alert.event_key} {alert.record.get('type')}"
    return str(alert.record.get("raw")).partition("\n")[0].strip()


class _Request(msgspec.Struct):
    id: str = ""


class _Entry(msgspec.Struct):
    request: _Request
    type: str = ""


@dataclass(frozen=True)
class Expected:
    """The results of `vaultwatch check` on the lines that were sent.

    Attributes:
        alerts: The alerts, by id.
        counts: How many records it read and rejected, by log.
    """

    alerts: Mapping[str, Alert]
    counts: Mapping[Service, Mapping[str, int]]


def expect(sent: Sent, folder: Path, level: Level = Level.LOW) -> Expected:
    """Run `vaultwatch check` on the lines that were sent.

    Args:
        sent: The lines.
        folder: The folder for the files to check.
        level: The lowest level of alerts.

    Returns:
        The alerts, and the numbers of records.

    Raises:
        TestbedError: If `vaultwatch check` cannot run.
    """
    alerts: dict[str, Alert] = {}
    counts: dict[Service, dict[str, int]] = {}
    for service in SERVICES:
        found, counts[service] = _check(service, sent.lines[service], folder, level)
        alerts.update((alert.id, alert) for alert in found)
    return Expected(alerts, counts)


def _check(service: Service, lines: Sequence[bytes], folder: Path, level: Level) -> tuple[list[Alert], dict[str, int]]:
    file, figures = folder / f"sent-{service}", folder / f"sent-{service}.stats"
    file.write_bytes(b"".join(TAGS[service] + line + b"\n" for line in lines))
    options = [f"--source={service}", f"--level={level}", "--format=json", "--allow-empty", f"--stats={figures}"]
    done = subprocess.run([str(VAULTWATCH), "check", *options, str(file)], capture_output=True, check=False, timeout=60)
    if done.returncode not in (0, 1):
        raise TestbedError(f"vaultwatch check: {done.stderr.decode('utf-8', 'replace').strip()}")
    found = [msgspec.json.decode(line, type=Alert) for line in done.stdout.splitlines()]
    return found, json.loads(figures.read_bytes())
