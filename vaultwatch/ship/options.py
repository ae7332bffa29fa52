"""What a user may set, and the times the handler goes by."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from vaultwatch.errors import SettingError


@dataclass(frozen=True)
class Pace:
    """How long things take, in seconds; tests shorten them."""

    close_after_seconds: float = 1.0
    """A frame is closed this long after its first line came."""
    settle_seconds: float = 0.2
    """A server-log message is whole when nothing of it came for this long."""
    message_seconds: float = 2.0
    """A server-log message that still goes on after this long may be divided."""
    heartbeat_seconds: float = 60.0
    settings_retry_seconds: float = 10.0
    backoff_seconds: float = 0.1
    """Before the first repeat at most this, doubled with each failure up to the longest."""
    longest_backoff_seconds: float = 20.0
    connect_timeout_seconds: float = 5.0
    read_timeout_seconds: float = 30.0
    complaint_seconds: float = 60.0
    """The same complaint is logged once in this time."""


@dataclass(frozen=True)
class ShipOptions:
    """Options of `vaultwatch ship`, as given: `run` checks them, because a handler that exits loses lines."""

    source: str
    stream: str
    oversize_bucket: str = ""
    state: Path | None = None
    log_file: Path | None = None
    check_config: bool = False
    pace: Pace = field(default_factory=Pace)

    @property
    def state_directory(self) -> Path:
        """Where the lock lies, and lines for which there is no bucket: `--state`, or the system's runtime folder.

        Raises
        ------
        SettingError
            When there is none that this user may write to.
        """
        if self.state is not None:
            return self.state
        if os.access("/run/vaultwatch", os.W_OK) or os.access("/run", os.W_OK):
            return Path("/run/vaultwatch")
        if runtime := os.environ.get("XDG_RUNTIME_DIR"):
            return Path(runtime) / "vaultwatch"
        raise SettingError(
            "--state: /run/vaultwatch cannot be written to and XDG_RUNTIME_DIR is not set: give a folder"
        )

    @property
    def lock_file(self) -> Path:
        """Held by the one process that reads this source for this stream."""
        return self.state_directory / f"ship-{self.source}-{self.stream}.lock"

    def open_lock(self) -> int:
        """Open the lock file; the caller closes it.

        Raises
        ------
        OSError
            When it cannot be made there.
        """
        return os.open(self.lock_file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
