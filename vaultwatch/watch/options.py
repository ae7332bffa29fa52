"""The options of `watch`, the files and sinks that they define, and its intervals and time limits."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import tzinfo
from pathlib import Path
from typing import TextIO

from vaultwatch.audience import S3, Audience
from vaultwatch.errors import SettingError
from vaultwatch.handler.run import HandlerPace
from vaultwatch.notify.alert_log import AlertLog
from vaultwatch.notify.sink import Sink
from vaultwatch.notify.terminal import Terminal
from vaultwatch.rules.facts import Level
from vaultwatch.rules.pack import Rule
from vaultwatch.watch.slack_options import SlackOptions

SYSTEM_STATE = Path("/var/lib/vaultwatch")
"""The directory of handlers that are part of a host."""


def state_of_user(environment: Mapping[str, str]) -> Path:
    """Return the directory of handlers that a user without rights of their own has started."""
    home = Path(environment.get("HOME", "/root"))
    return Path(environment.get("XDG_STATE_HOME") or home / ".local/state") / "vaultwatch"


@dataclass(frozen=True)
class Pace(HandlerPace):
    """The intervals and time limits of `watch`, in seconds; tests shorten them."""

    store_retry_seconds: float = 1.0
    wait_for_response_seconds: float = 5.0
    gather_seconds: float = 1.0
    """How long further alerts are gathered after some were stored: acts that belong together share a notification."""
    drain_seconds: float = 5.0
    """How long sending continues after the end of the input; the rest is sent after the next start."""
    stats_seconds: float = 1.0
    metrics_seconds: float = 15.0
    slack_seconds: float = 1.0
    sink_pause_seconds: float = 1.0
    """The delay after the first failure of a sink, doubled after each further one; see `vaultwatch.notify.sender`."""


@dataclass(frozen=True)
class WatchOptions:
    """The options of `vaultwatch watch` as given on the command line; `vaultwatch.watch.checks` checks them."""

    source: str
    load_rules: Callable[[], list[Rule]]
    load_zone: Callable[[], tzinfo]
    state: Path | None = None
    alert_log: Path | None = None
    logs: str = ""
    """Where the log is: a folder, or `s3://` and a bucket; "" if it is where the alert log is."""
    slack_webhook_file: Path | None = None
    slack_token_file: Path | None = None
    slack_channel: str = ""
    sns_topic: str = ""
    level: str = "low"
    rejected: Path | None = None
    stats: Path | None = None
    metrics: Path | None = None
    log_file: Path | None = None
    terminal: TextIO | None = None
    """Where notifications are written if no other sink is set."""
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    pace: Pace = field(default_factory=Pace)

    @property
    def state_directory(self) -> Path:
        """The directory of `--state`, else /var/lib/vaultwatch if it is writable, else a directory of the user."""
        if self.state is not None:
            return self.state
        return SYSTEM_STATE if os.access(SYSTEM_STATE, os.W_OK) else state_of_user(self.environment)

    @property
    def store_file(self) -> Path:
        """The database of alerts, and of notifications that are not sent yet, for all sources together."""
        return self.state_directory / "alerts.sqlite"

    @property
    def old_store_file(self) -> Path:
        """The database of this source alone that earlier versions had."""
        return self.state_directory / f"{self.source}.sqlite"

    @property
    def threads_file(self) -> Path:
        """The database of the Slack messages that a bot updates."""
        return self.state_directory / f"{self.source}.threads"

    @property
    def slack(self) -> SlackOptions:
        """The Slack options."""
        return SlackOptions(self.slack_webhook_file, self.slack_token_file, self.slack_channel, self.environment)

    @property
    def journal_file(self) -> Path:
        """The file of alerts that wait: for the response to their request, or to be stored together with others."""
        return self.state_directory / f"{self.source}.waiting"

    @property
    def lock_file(self) -> Path:
        """The lock file of the one process that reads this source with this state directory."""
        return self.state_directory / f"{self.source}.lock"

    @property
    def metrics_file(self) -> Path:
        """The file of metrics: `vaultwatch status` finds it if `--metrics` names no other."""
        return self.metrics or self.state_directory / f"vaultwatch-{self.source}.prom"

    @property
    def minimum_level(self) -> Level:
        """The lowest level about which people are notified.

        Raises:
            SettingError: There is no such level.
        """
        try:
            return Level(self.level.lower())
        except ValueError as error:
            raise SettingError(f"--level: {self.level!r} is not one of {', '.join(Level)}") from error

    def sinks(self) -> list[Sink]:
        """Return the sinks that are configured.

        Raises:
            SettingError: An option of a sink cannot be used; the error begins with the option.
        """
        level, audience = self.minimum_level, self.audience()
        return [sink for make in self.makers if (sink := make(level, audience)) is not None]

    @property
    def makers(self) -> tuple[Callable[[Level, Audience], Sink | None], ...]:
        """Functions that return a sink, or None if it is not configured; each may raise `SettingError`."""
        return self._alert_log, self._slack, self._sns, self._terminal

    @property
    def has_sink(self) -> bool:
        """Whether a sink is configured other than the terminal."""
        return bool(self.alert_log or self.slack.is_given or self.sns_topic)

    def audience(self) -> Audience:
        """Return whom the notifications are for, who look for entries where the log is."""
        place = self.logs or (self.alert_log.parent if self.alert_log else "")
        if place and not self.logs.startswith(S3):
            place = shlex.quote(str(Path(place).absolute()))
        return Audience(self.load_zone(), str(place))

    def _alert_log(self, level: Level, _: Audience) -> Sink | None:
        return AlertLog(self.alert_log, level) if self.alert_log else None

    def _terminal(self, level: Level, audience: Audience) -> Sink | None:
        return Terminal(self.terminal, level, audience) if self.terminal and not self.has_sink else None

    def _slack(self, level: Level, audience: Audience) -> Sink | None:
        return self.slack.sink(self.threads_file, level, self.pace.slack_seconds, audience)

    def _sns(self, level: Level, audience: Audience) -> Sink | None:
        if not self.sns_topic:
            return None
        from vaultwatch.notify.sns import connect

        try:
            return connect(self.sns_topic, minimum_level=level, audience=audience)
        except SettingError as error:
            raise SettingError(f"--sns-topic: {error}") from error
