"""Volumes of machines: files behind loop devices, which a machine sees as NVMe devices with their ids as serials."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from testbed.machines import cgroups

_PREFIX = "vaultwatch-machines-"
# A tmpfs: each fsync of a machine would wait for those of everything else that the disk is busy with.
_MEMORY, _ROOM_BYTES = Path("/dev/shm"), 8 << 30  # noqa: S108  TemporaryDirectory makes a folder of its own there


@dataclass
class Disk:
    """A volume.

    Attributes:
        id: The id of the volume: "vol-0123456789abcdef0".
        device: Its loop device on this machine.
    """

    id: str
    device: str


@dataclass
class Disks:
    """The volumes of one deployment; they outlive the machines that they are attached to.

    Attributes:
        folder: The folder of their files; its name begins with `vaultwatch-machines-`.
    """

    folder: Path
    made: dict[str, Disk] = field(default_factory=dict)

    def make(self, volume: str, size: int) -> Disk:
        """Make a blank volume of so many bytes."""
        file = self.folder / f"{volume}.disk"
        with file.open("wb") as made:
            made.truncate(size)
        device = _losetup("--find", "--show", str(file)).strip()
        self.made[volume] = Disk(volume, device)
        return self.made[volume]

    def close(self) -> None:
        """Detach all of them."""
        for disk in self.made.values():
            _losetup("--detach", disk.device)
        self.made.clear()


@contextmanager
def scratch() -> Iterator[Path]:
    """Make a folder for machines and their volumes, in memory if there is room; it is removed at the end."""
    in_memory = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ROOM_BYTES
    place = _MEMORY if in_memory else None
    with tempfile.TemporaryDirectory(prefix=f"{_PREFIX}{os.getpid()}-", dir=place) as folder:
        yield Path(folder)


def sweep() -> None:
    """Remove what processes that have ended left: loop devices, groups, and the folders of their machines."""
    for line in _losetup("--list", "--noheadings", "--output=NAME,BACK-FILE").splitlines():
        device, _, file = line.strip().partition(" ")
        if _is_left(file.strip()):
            _losetup("--detach", device)
    cgroups.remove(_is_left)
    for place in (Path(tempfile.gettempdir()), _MEMORY):
        for folder in place.glob(f"{_PREFIX}*"):
            if _is_left(str(folder)):
                shutil.rmtree(folder, ignore_errors=True)


def _is_left(path: str) -> bool:
    owner = path.partition(_PREFIX)[2].partition("-")[0]
    return bool(owner) and not Path("/proc", owner).exists()


def _losetup(*command: str) -> str:
    return subprocess.run(["losetup", *command], check=True, capture_output=True, text=True).stdout
