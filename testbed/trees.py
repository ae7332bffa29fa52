"""Other systems on this machine: a Debian 13 tree outside the repository, and a private view of the file system."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


def debian_13() -> Path | None:
    """Return the Debian 13 tree if there is one: `$XDG_CACHE_HOME/vaultwatch/debian-13`, made by debootstrap."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    tree = cache / "vaultwatch" / "debian-13"
    return tree if (tree / "usr/sbin/syslog-ng").exists() else None


def with_files(command: Sequence[str], files: Mapping[Path, str]) -> list[str]:
    """Return a command that runs another one with its own view of some files and folders.

    Args:
        command: The program and its arguments.
        files: Existing files or folders, and the path where the command sees each.

    Returns:
        The command; it needs root.
    """
    mounts = [f"mount --bind {shlex.quote(str(file))} {shlex.quote(path)}" for file, path in files.items()]
    return ["unshare", "--mount", "--net", "sh", "-ec", "; ".join([*mounts, f"exec {shlex.join(command)}"])]


def may_mount() -> bool:
    """Return whether this process may run commands with their own view of the file system."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    done = subprocess.run(["unshare", "--mount", "--net", "true"], capture_output=True, check=False)
    return done.returncode == 0
