"""What every session that is played tells of itself: what went in and when, and what must come out."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Protocol

import msgspec

from testbed.errors import DemoError
from testbed.log_server import SERVICES, TAGS, VAULTWATCH, LogServer
from vaultwatch.alerts import Alert
from vaultwatch.rules.facts import Level, Service

Say = Callable[[str], None]


def same(line: bytes) -> Hashable:
    """A line is kept when the very same bytes are in the archive file."""
    return line


@dataclass(frozen=True)
class Sent:
    """What went in: every line, and when, in seconds since the epoch, by what `key_of_...` calls the line.

    `known_by` says by what a line is found again in the archive file.
    """

    lines: Mapping[Service, Sequence[bytes]]
    at: Mapping[str, float]
    known_by: Callable[[bytes], Hashable] = same

    def moment(self, alert: Alert) -> float | None:
        """When the line that the alert shows went in; the first one of a message of many lines."""
        return self.at.get(_key_of_alert(alert))


class Session(Protocol):
    """Something that speaks to the log server."""

    title: str

    def play(self, server: LogServer, stop: Event, say: Say) -> Sent:
        """Speak to the end, or until `stop` is set; `say` gets a line about each part.

        Raises:
            DemoError: it could not go on.
        """
        ...


def key_of_line(service: Service, line: bytes) -> str:
    """An audit entry is known by its request and its type, a server-log message by its first line."""
    if service == "server":
        return line.decode("utf-8", "replace").strip()
    try:
        found = msgspec.json.decode(line, type=_Entry)
    except msgspec.DecodeError:
        return ""
    return f"{found.request.id} {found.type}"


def _key_of_alert(alert: Alert) -> str:
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
    """What `vaultwatch check` finds on the lines that were sent."""

    alerts: Mapping[str, Alert]
    counts: Mapping[Service, Mapping[str, int]]


def expect(sent: Sent, folder: Path, level: Level = Level.LOW) -> Expected:
    """Hold what was sent against the rules without any stream; alerts from `level` on.

    Raises:
        DemoError: `vaultwatch check` could not run.
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
    options = [f"--source={service}", f"--level={level}", "--format=json", f"--stats={figures}"]
    done = subprocess.run([str(VAULTWATCH), "check", *options, str(file)], capture_output=True, check=False, timeout=60)
    if done.returncode not in (0, 1):
        raise DemoError(f"vaultwatch check: {done.stderr.decode('utf-8', 'replace').strip()}")
    found = [msgspec.json.decode(line, type=Alert) for line in done.stdout.splitlines()]
    return found, json.loads(figures.read_bytes())
