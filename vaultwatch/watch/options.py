"""What `vaultwatch watch` may be told, checked before a single byte is read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import tzinfo
from functools import partial
from pathlib import Path

from vaultwatch.appending import open_lines
from vaultwatch.errors import SettingError, VaultwatchError
from vaultwatch.handler.checks import Problem, log_file_problems, open_problems, source_problems, state_problems
from vaultwatch.handler.run import HandlerPace
from vaultwatch.notify.alert_log import AlertLog
from vaultwatch.notify.sink import Sink
from vaultwatch.rules.facts import Level
from vaultwatch.rules.pack import Rule
from vaultwatch.watch.slack_options import SlackOptions


@dataclass(frozen=True)
class Pace(HandlerPace):
    """How long things take, in seconds; tests shorten them."""

    store_retry_seconds: float = 1.0
    wait_for_response_seconds: float = 5.0
    drain_seconds: float = 5.0
    """At the end, sinks get this long to take what they lack; the rest is sent after the next start."""
    stats_seconds: float = 1.0
    slack_seconds: float = 1.0
    sink_pause_seconds: float = 1.0
    """A sink that failed rests that long, then twice as long, and so on; see `vaultwatch.notify.sender.Sender`."""


@dataclass(frozen=True)
class WatchOptions:
    """Options of `vaultwatch watch`, as given: a handler that exits over one of them loses lines, so it waits."""

    source: str
    load_rules: Callable[[], list[Rule]]
    load_zone: Callable[[], tzinfo]
    state: Path | None = None
    alert_log: Path | None = None
    slack_webhook_file: Path | None = None
    slack_token_file: Path | None = None
    slack_channel: str = ""
    sns_topic: str = ""
    level: str = "low"
    rejected: Path | None = None
    stats: Path | None = None
    log_file: Path | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    pace: Pace = field(default_factory=Pace)

    @property
    def state_directory(self) -> Path:
        """`--state`; else /var/lib/vaultwatch where it is there, else the user's own."""
        if self.state is not None:
            return self.state
        system = Path("/var/lib/vaultwatch")
        if os.access(system, os.W_OK):
            return system
        home = Path(self.environment.get("HOME", "/root"))
        return Path(self.environment.get("XDG_STATE_HOME") or home / ".local/state") / "vaultwatch"

    @property
    def store_file(self) -> Path:
        """What has been alerted and what is still to be told."""
        return self.state_directory / f"{self.source}.sqlite"

    @property
    def threads_file(self) -> Path:
        """The Slack messages that are kept up to date."""
        return self.state_directory / f"{self.source}.threads"

    @property
    def slack(self) -> SlackOptions:
        """The Slack options."""
        return SlackOptions(self.slack_webhook_file, self.slack_token_file, self.slack_channel, self.environment)

    @property
    def journal_file(self) -> Path:
        """Alerts that wait for the response to their request."""
        return self.state_directory / f"{self.source}.waiting"

    @property
    def lock_file(self) -> Path:
        """Held by the one process that reads this source with this state."""
        return self.state_directory / f"{self.source}.lock"

    @property
    def minimum_level(self) -> Level:
        """The lowest level that is told.

        Raises:
            SettingError: there is no such level.
        """
        try:
            return Level(self.level)
        except ValueError as error:
            raise SettingError(f"--level: {self.level!r} is none of {', '.join(Level)}") from error

    def sinks(self) -> list[Sink]:
        """Every place that alerts go to.

        Raises:
            SettingError: names the option.
        """
        level = self.minimum_level
        return [sink for make in self.makers if (sink := make(level)) is not None]

    @property
    def makers(self) -> tuple[Callable[[Level], Sink | None], ...]:
        """What makes each sink, or nothing where it is not wanted; raises `SettingError`."""
        return self._alert_log, self._slack, self._sns

    def _alert_log(self, level: Level) -> Sink | None:
        return AlertLog(self.alert_log, level) if self.alert_log else None

    def _slack(self, level: Level) -> Sink | None:
        return self.slack.sink(self.threads_file, level, self.pace.slack_seconds)

    def _sns(self, level: Level) -> Sink | None:
        if not self.sns_topic:
            return None
        from vaultwatch.notify.sns import connect

        try:
            return connect(self.sns_topic, minimum_level=level)
        except SettingError as error:
            raise SettingError(f"--sns-topic: {error}") from error


def problems(options: WatchOptions) -> list[Problem]:
    """Return everything that is wrong with the settings."""
    return list(source_problems(options.source)) or [*_values(options), *_files(options)]


def _values(options: WatchOptions) -> Iterator[Problem]:
    sinks = [partial(make, Level.LOW) for make in options.makers]
    checks: list[Callable[[], object]] = [options.load_zone, lambda: options.minimum_level, *sinks]
    try:
        if not options.load_rules():
            yield Problem("--rules: there is no rule")
    except VaultwatchError as error:
        yield Problem(f"--rules: {error}")
    for check in checks:
        try:
            check()
        except VaultwatchError as error:
            yield Problem(str(error))


def _files(options: WatchOptions) -> Iterator[Problem]:
    wrong = list(state_problems(options.state_directory, options.lock_file))
    yield from wrong
    if not wrong:
        for path in (options.store_file, options.threads_file, options.journal_file):
            if path.exists():
                yield from _lines_file("--state", path)
    for option in ("alert_log", "rejected", "stats"):
        path = getattr(options, option)
        if path is not None:
            yield from _lines_file(f"--{option.replace('_', '-')}", path)
    yield from log_file_problems(options.log_file)


def _lines_file(option: str, path: Path) -> Iterator[Problem]:
    if path.exists() and not path.is_file():
        yield Problem(f"{option}: {path}: is not a regular file")
        return
    yield from open_problems(option, path, open_lines)


def notes(options: WatchOptions) -> list[str]:
    """Return what works and should be known."""
    if options.slack.is_given or options.sns_topic or options.alert_log:
        return []
    return ["neither --alert-log nor Slack nor SNS is set: alerts are stored, and nobody is notified"]
