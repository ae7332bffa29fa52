"""Other systems on this machine: a Debian 13 tree outside the repository, and a private view of the file system."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


def debian_13() -> Path | None:
    """Return a Debian 13 tree with syslog-ng if there is one in `$XDG_CACHE_HOME/vaultwatch`.

    It is `debian-13`, made by debootstrap as CONTRIBUTING.md shows, or the base tree of the machines.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vaultwatch"
    trees = [cache / "debian-13", *sorted(cache.glob("machines/*"))]
    return next((tree for tree in trees if (tree / "usr/sbin/syslog-ng").exists()), None)


def with_files(command: Sequence[str], files: Mapping[Path, str]) -> list[str]:
    """Return a command that runs another one with its own view of some files and folders.

    Args:
        command: The program and its arguments.
        files: Existing files or folders, and the existing path at which the command sees each.

    Returns:
        The command; it needs root.
    """
    return _in_private([_mount(file, path) for file, path in files.items()], command, "--net")


def in_tree(command: Sequence[str], files: Mapping[Path, str], tree: Path, scratch: Path) -> list[str]:
    """Return a command that runs another one in another system, which it cannot change.

    Args:
        command: The program and its arguments.
        files: Folders, and the path at which the command sees each.
        tree: The root of the system.
        scratch: An empty folder, for what the command writes elsewhere.

    Returns:
        The command; it needs root.
    """
    root = scratch / "root"
    lower, upper, work = (shlex.quote(str(one)) for one in (tree, scratch / "upper", scratch / "work"))
    layers = [
        f"mount -t tmpfs tmpfs {shlex.quote(str(scratch))}",
        f"mkdir {upper} {work} {shlex.quote(str(root))}",
        f"mount -t overlay -o lowerdir={lower},upperdir={upper},workdir={work} overlay {shlex.quote(str(root))}",
        f"cp /etc/hosts {shlex.quote(str(root / 'etc/hosts'))}",  # debootstrap writes none
    ]
    places = {folder: f"{root}{path}" for folder, path in files.items()}
    mounts = [f"mkdir -p {shlex.quote(place)}; {_mount(folder, place)}" for folder, place in places.items()]
    return _in_private([*layers, *mounts], ["chroot", str(root), *command])


def may_mount() -> bool:
    """Return whether this process may run commands with their own view of the file system."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    done = subprocess.run(["unshare", "--mount", "--net", "true"], capture_output=True, check=False)
    return done.returncode == 0


def _mount(file: Path, path: str) -> str:
    return f"mount --bind {shlex.quote(str(file))} {shlex.quote(path)}"


def _in_private(steps: Sequence[str], command: Sequence[str], *more: str) -> list[str]:
    return ["unshare", "--mount", *more, "sh", "-ec", "; ".join([*steps, f"exec {shlex.join(command)}"])]
