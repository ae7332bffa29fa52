"""Volumes of machines: files behind loop devices, which a machine sees as NVMe devices with their ids as serials."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

_PREFIX = "vaultwatch-machines-"


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


def scratch_prefix() -> str:
    """Return the prefix of the folder of this process."""
    return f"{_PREFIX}{os.getpid()}-"


def sweep() -> None:
    """Detach the loop devices of processes that have ended."""
    for line in _losetup("--list", "--noheadings", "--output=NAME,BACK-FILE").splitlines():
        device, _, file = line.strip().partition(" ")
        owner = file.strip().partition(_PREFIX)[2].partition("-")[0]
        if owner and not Path("/proc", owner).exists():
            _losetup("--detach", device)


def _losetup(*command: str) -> str:
    return subprocess.run(["losetup", *command], check=True, capture_output=True, text=True).stdout
