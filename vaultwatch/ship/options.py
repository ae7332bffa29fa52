"""The options of `ship`, and its intervals and time limits."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from vaultwatch.errors import SettingError
from vaultwatch.handler.run import HandlerPace


@dataclass(frozen=True)
class Pace(HandlerPace):
    """The intervals and time limits of `ship`, in seconds; tests shorten them."""

    close_after_seconds: float = 1.0
    """A frame is closed this long after its first line arrived."""
    settle_seconds: float = 0.2
    """A server-log message is complete when no line of it arrived for this long."""
    message_seconds: float = 2.0
    """A server-log message that is still incomplete after this long may be divided."""
    heartbeat_seconds: float = 60.0
    backoff_seconds: float = 0.1
    """The first retry waits at most this long; each further one at most twice as long as the one before."""
    longest_backoff_seconds: float = 20.0
    connect_timeout_seconds: float = 5.0
    read_timeout_seconds: float = 30.0
    metrics_seconds: float = 15.0


@dataclass(frozen=True)
class ShipOptions:
    """The options of `vaultwatch ship` as given on the command line; `vaultwatch.ship.checks` checks them."""

    source: str
    stream: str
    oversize_bucket: str = ""
    state: Path | None = None
    metrics: Path | None = None
    log_file: Path | None = None
    pace: Pace = field(default_factory=Pace)

    @property
    def state_directory(self) -> Path:
        """The directory of `--state`, or a runtime directory: for the lock, and for oversize lines without a bucket.

        Raises:
            SettingError: There is no runtime directory that this user may write to.
        """
        if self.state is not None:
            return self.state
        if os.access("/run/vaultwatch", os.W_OK) or os.access("/run", os.W_OK):
            return Path("/run/vaultwatch")
        if runtime := os.environ.get("XDG_RUNTIME_DIR"):
            return Path(runtime) / "vaultwatch"
        raise SettingError(
            "--state: /run/vaultwatch is not writable and XDG_RUNTIME_DIR is not set: specify a directory"
        )

    @property
    def lock_file(self) -> Path:
        """The lock file of the one process that sends this source to this stream."""
        return self.state_directory / f"ship-{self.source}-{self.stream}.lock"
