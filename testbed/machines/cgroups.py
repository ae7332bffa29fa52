"""Control groups: each machine has one of its own, in which its systemd makes those of its units.

Machines that share one would take each other's services for their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

# With cgroup v2 the first one exists, else the others: systemd of the tree uses v2 in either case.
_HIERARCHIES = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd")


def make(name: str) -> list[Path]:
    """Make a group, and return it in each hierarchy; a process belongs to it once its id is in `cgroup.procs`."""
    made = [hierarchy / name for hierarchy in _hierarchies()]
    for folder in made:
        folder.mkdir(exist_ok=True)
    return made


def remove(is_left: Callable[[str], bool]) -> None:
    """Remove the groups whose name `is_left` accepts, unless a process is in them.

    Args:
        is_left: Called with the names of all groups.
    """
    for hierarchy in _hierarchies():
        for group in filter(Path.is_dir, hierarchy.iterdir()):
            if is_left(group.name):
                _remove(group)


def _remove(group: Path) -> None:
    below = sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True)
    for folder in [*below, group]:
        with suppress(OSError):
            folder.rmdir()


def _hierarchies() -> Iterator[Path]:
    return (path for path in map(Path, _HIERARCHIES) if (path / "cgroup.procs").exists())
