"""The programs on a host that ours talk to: syslog-ng and systemd."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from vaultwatch.errors import SettingError
from vaultwatch.hosts.rotation import Rotation, unsent_lines
from vaultwatch.hosts.values import AUDIT_FILE, SERVER_UNIT


def audit_file_rotation(values: Mapping[str, str]) -> Rotation:
    """Return the rotation of a node's audit file.

    Args:
        values: The values of host.json.
    """
    unit = values.get("unit", SERVER_UNIT)
    return Rotation(Path(values.get("audit_file", AUDIT_FILE)), _reader, _unsent, lambda: _reopen(unit))


def reload_units(units: Sequence[str]) -> None:
    """Let systemd units load their certificate again; those that do not run load it when they start."""
    for unit in units:
        _run("systemctl", "try-reload-or-restart", unit)


def start_over() -> None:
    """Let Vault begin with an empty storage; the present one is moved aside."""
    _run("systemctl", "start", "vaultwatch-start-over.service")
    _run("systemctl", "start", SERVER_UNIT)


def _reader() -> int | None:
    """Return the process id of syslog-ng, which systemd knows wherever a distribution has its pid file."""
    return int(_run("systemctl", "show", "--property=MainPID", "--value", "syslog-ng.service")) or None


def _unsent() -> int:
    return unsent_lines(_run("syslog-ng-ctl", "stats"), "d_vaultwatch_file")


def _reopen(unit: str) -> None:
    _run("systemctl", "kill", "--kill-who=main", "--signal=HUP", unit)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SettingError(f"{' '.join(command)}: {done.stderr.strip() or f'exit status {done.returncode}'}")
    return done.stdout
