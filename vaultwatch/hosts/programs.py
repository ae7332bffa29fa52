"""The programs on a host that ours talk to: syslog-ng and systemd."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from vaultwatch.errors import SettingError
from vaultwatch.hosts.rotation import Rotation, running_pid, unsent_lines

_PID_FILE = Path("/var/lib/syslog-ng/syslog-ng.pid")
_AUDIT_FILE = Path("/var/log/vault/audit.log")


def audit_file_rotation() -> Rotation:
    """Return the rotation of a node's audit file."""
    return Rotation(_AUDIT_FILE, lambda: running_pid(_PID_FILE), _unsent, _reopen)


def reload_units(units: Sequence[str]) -> None:
    """Let systemd units load their certificate again; those that do not run load it when they start."""
    for unit in units:
        _run("systemctl", "try-reload-or-restart", unit)


def _unsent() -> int:
    return unsent_lines(_run("syslog-ng-ctl", "stats"), "d_vaultwatch_file")


def _reopen() -> None:
    _run("systemctl", "kill", "--kill-who=main", "--signal=HUP", "vault.service")


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SettingError(f"{' '.join(command)}: {done.stderr.strip() or f'exit status {done.returncode}'}")
    return done.stdout
