"""`vaultwatch status`: what the handlers of this host do, from the metrics that they write."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import click

from vaultwatch.cli.examples import examples
from vaultwatch.errors import SettingError
from vaultwatch.printable import counted, one_line
from vaultwatch.watch.options import SYSTEM_STATE, state_of_user

_SAMPLE = re.compile(r"(vaultwatch_[a-z_]+)\{(.*)\} ([0-9.e+-]+)")
_LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')
_MAX_BYTES = 16 * 1024 * 1024
_STALE_SECONDS = 60.0
_P = "vaultwatch_"
_NO_HANDLERS = ("probe", "reconcile", "archive upload", "archive follow")
"""Commands that write metrics and then end."""


class _Metrics:
    """The metrics of one handler."""

    def __init__(self, text: str) -> None:
        found = [match for line in text.splitlines() if (match := _SAMPLE.fullmatch(line))]
        self._samples = [(one[1], dict(_LABEL.findall(one[2])), float(one[3])) for one in found]

    def values(self, name: str) -> list[float]:
        return [value for found, _, value in self._samples if found == _P + name]

    def total(self, name: str) -> float:
        return sum(self.values(name))

    def by(self, label: str, name: str) -> dict[str, float]:
        return {labels.get(label, ""): value for found, labels, value in self._samples if found == _P + name}

    def label(self, name: str) -> str:
        """Return the value of a label that all series have."""
        return one_line(next((labels[name] for _, labels, _ in self._samples if name in labels), "?"))

    @property
    def runs(self) -> bool:
        """Whether the handler has not ended, and has written its metrics lately."""
        return bool(self.total("running")) and time.time() - self.total("metrics_timestamp_seconds") < _STALE_SECONDS


@click.command("status", epilog=examples("vaultwatch status", "vaultwatch status /var/lib/prometheus/node-exporter"))
@click.argument("directory", type=click.Path(path_type=Path, readable=False), default=None, metavar="[DIR]")
def command(directory: Path | None) -> int:
    """Show what the handlers of this host do: since when, what they read, rejected and sent, and what is unsent.

    DIR has the metrics of `watch` and `ship --metrics`, vaultwatch-*.prom. Without DIR: /var/lib/vaultwatch, and the
    directory in which your own `watch` keeps its state. The numbers count from the start of each handler, and are at
    most 15 seconds old.

    Exit status: 0 if all run, 1 if one has ended, was killed or hangs, 2 if there is no such file.
    """
    handlers = _handlers_in(directory) if directory else _handlers_of_host()
    for handler in handlers:
        for line in _lines(handler):
            click.echo(line)
    return 0 if all(handler.runs for handler in handlers) else 1


def _handlers_of_host() -> list[_Metrics]:
    """Return the handlers of the host, and those that the user has started.

    Raises:
        SettingError: There are none.
    """
    found, missing = list[_Metrics](), list[str]()
    for directory in dict.fromkeys((SYSTEM_STATE, state_of_user(os.environ))):
        try:
            found += _handlers_in(directory)
        except SettingError as error:
            missing.append(str(error))
    if found:
        return found
    raise SettingError("; ".join(missing))


def _handlers_in(directory: Path) -> list[_Metrics]:
    """Return the handlers that write their metrics to a folder.

    Raises:
        SettingError: There are none, or the folder cannot be read.
    """
    if not directory.is_dir():
        raise SettingError(f"{directory}: no such folder: name that of `watch --metrics`")
    if not os.access(directory, os.R_OK | os.X_OK):
        raise SettingError(f"{directory}: you may not read it: run `sudo vaultwatch status`, or name another folder")
    files = sorted(directory.glob("vaultwatch-*.prom"))
    if not files:
        raise SettingError(f"{directory}: has no vaultwatch-*.prom, which `watch` writes")
    handlers = [found for file in files if (found := _Metrics(_text(file))).label("command") not in _NO_HANDLERS]
    if not handlers:
        raise SettingError(f"{directory}: no vaultwatch-*.prom there is of `watch` or `ship --metrics`")
    return handlers


def _text(file: Path) -> str:
    with file.open("rb") as opened:
        return opened.read(_MAX_BYTES).decode("utf-8", "replace")


def _lines(handler: _Metrics) -> Iterator[str]:
    yield f"{handler.label('command')} {handler.label('source')}: {_state(handler)}, version {handler.label('version')}"
    last = max(handler.values("last_line_timestamp_seconds"), default=0.0)
    yield f"  read      {counted(int(handler.total('lines_total')), 'line')}, the last {_moment(last)}"
    if handler.label("command") == "watch":
        yield f"  rejected  {counted(int(handler.total('rejected_lines_total')), 'line')}"
        sinks = _sinks(handler)
        shared = "; one notification can hold several" if sinks else ""
        yield f"  alerts    {handler.total('alerts_total'):,.0f}{shared}"
        yield from sinks or ["  nobody is notified: no sink is set"]


def _sinks(handler: _Metrics) -> list[str]:
    unsent = handler.by("sink", "notifications_unsent")
    failed = handler.by("sink", "notification_failures_total")
    last = handler.by("sink", "last_notification_timestamp_seconds")
    return [
        f"  {one_line(sink):9} {counted(int(sent), 'notification')} sent, {unsent.get(sink, 0):,.0f} unsent, "
        f"{counted(int(failed.get(sink, 0)), 'failed attempt')}, the last {_moment(last.get(sink, 0.0))}"
        for sink, sent in handler.by("sink", "notifications_sent_total").items()
    ]


def _state(handler: _Metrics) -> str:
    since, written = handler.total("start_timestamp_seconds"), handler.total("metrics_timestamp_seconds")
    if handler.runs:
        return f"running since {_moment(since)}"
    if handler.total("running"):
        return f"was killed or hangs: nothing written since {_moment(written)}"
    return f"ended at {_moment(written)}"


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds)) if seconds else "never"
