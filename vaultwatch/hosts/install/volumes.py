"""Volumes: attached, formatted if they are blank, grown to their size, and mounted.

A volume is known by its id, which is the serial number of its NVMe device; Linux numbers the devices as it finds them.
A volume with anything on it is never formatted, whatever that is: it may be the data of a cluster.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from vaultwatch.errors import InstallError
from vaultwatch.hosts.install.host import Host, Step

_ATTACH_SECONDS = 300
_CHECKED_BYTES = 4 * 1024 * 1024
_FSTAB = "/etc/fstab"
_MARK = "# vaultwatch"
_AUDIT = "/var/log/vault"
# Folders that outlive the instance as well: bind mounts of folders on a volume.
_BINDS = {
    "node": {
        "/var/lib/vaultwatch": "/var/log/vault/.vaultwatch",
        "/var/lib/syslog-ng": "/var/log/vault/.syslog-ng",
    },
    "log-server": {"/var/lib/syslog-ng": "/var/lib/vaultwatch/syslog-ng"},
}


class _Superblock(NamedTuple):
    """The sizes of an ext4 file system: its blocks, those that only root may use, and the bytes of each."""

    blocks: int
    reserved: int
    block_bytes: int


class Volume(NamedTuple):
    """A volume: its id, and where it is mounted."""

    id: str
    mount: str


def volumes_of(host: Host) -> list[Volume]:
    """Return the volumes of a host, in the order in which they are mounted."""
    pairs = (entry.split("=", 1) for entry in host.values["volumes"].split(","))
    return [Volume(name, mount) for name, mount in pairs]


def _all_attached(host: Host) -> bool:
    return all(device_of(host, volume) for volume in volumes_of(host))


def _attach(host: Host) -> None:
    ec2, instance = host.client("ec2"), host.metadata("instance-id")
    for number, volume in enumerate(volumes_of(host)):
        if device_of(host, volume) is None:
            name = f"/dev/sd{'fghijklmnop'[number]}"
            _attach_one(ec2, volume, instance, name)
    deadline = time.monotonic() + _ATTACH_SECONDS
    while not _all_attached(host):
        if time.monotonic() > deadline:
            raise InstallError("a volume is attached, but its device does not appear")
        host.run("udevadm", "settle", "--timeout=5")


def _attach_one(ec2: object, volume: Volume, instance: str, name: str) -> None:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        ec2.attach_volume(VolumeId=volume.id, InstanceId=instance, Device=name)  # type: ignore[attr-defined]
    except (BotoCoreError, ClientError) as error:
        raise InstallError(f"{volume.id} cannot be attached: {' '.join(str(error).split())}") from error


def device_of(host: Host, volume: Volume) -> str | None:
    """Return the device of a volume, None if it is not attached."""
    wanted = volume.id.replace("-", "")
    for serial in sorted(host.path("/sys/block").glob("nvme*/device/serial")):
        if serial.read_text().strip() == wanted:
            return f"/dev/{serial.parent.parent.name}"
    return None


def _all_formatted(host: Host) -> bool:
    return all(
        not host.path(_unfinished(volume)).exists() and _file_system(host, _device(host, volume)) == "ext4"
        for volume in volumes_of(host)
    )


def _format(host: Host) -> None:
    for volume in volumes_of(host):
        device, unfinished = _device(host, volume), host.path(_unfinished(volume))
        if unfinished.exists() or is_blank(host, device):
            # Whatever a killed run left on the device is ours.
            host.write(_unfinished(volume), "")
            host.run("sync")
            host.run("mkfs.ext4", "-q", "-F", "-m", "1", device)
            host.run("sync")
            unfinished.unlink()
        elif (found := _file_system(host, device)) != "ext4":
            raise InstallError(f"{volume.id} contains {found or 'something'}, and is left as it is")


def is_blank(host: Host, device: str) -> bool:
    """Return whether a device holds nothing: no signature that blkid knows, and zeros at its beginning and end."""
    if _file_system(host, device):
        return False
    with host.path(device).open("rb") as file:
        end = file.seek(0, 2)
        for start in (0, max(0, end - _CHECKED_BYTES)):
            file.seek(start)
            if file.read(_CHECKED_BYTES).strip(b"\0"):
                return False
    return True


def _file_system(host: Host, device: str) -> str:
    """Return what blkid finds on a device, "" if nothing: it probes the device itself, not a cache."""
    found = host.run("lsblk", "--nodeps", "--noheadings", "--output=PTTYPE", device).strip()
    try:
        return host.run("blkid", "--probe", "--match-tag=TYPE", "--output=value", device).strip() or found
    except InstallError:  # exit status 2: nothing found
        return found


def _all_mounted(host: Host) -> bool:
    return host.read(_FSTAB) == _fstab(host) and all(
        host.succeeds("mountpoint", "--quiet", place) for place in _places(host)
    )


def _mount(host: Host) -> None:
    """Mount everything now and at every later boot."""
    host.write(_FSTAB, _fstab(host))
    host.run("systemctl", "daemon-reload")
    for place in _places(host):
        host.path(place).mkdir(parents=True, exist_ok=True)
        if source := _BINDS[host.values["role"]].get(place):
            host.path(source).mkdir(mode=0o700, parents=True, exist_ok=True)
        if not host.succeeds("mountpoint", "--quiet", place):
            host.run("mount", place)


def _all_grown(host: Host) -> bool:
    """Return whether each file system is as large as its volume, which a setting may have enlarged."""
    return all(_file_system_bytes(host, device) >= _device_bytes(host, device) for device in _devices(host))


def _grow(host: Host) -> None:
    """Enlarge each file system to its volume. It stays mounted and in use."""
    for device in _devices(host):
        host.run("resize2fs", device)


def _all_reserved(host: Host) -> bool:
    return all(_superblock(host, device).reserved == blocks for device, blocks in _reservations(host))


def _reserve(host: Host) -> None:
    for device, blocks in _reservations(host):
        host.run("tune2fs", "-r", str(blocks), device)


def _reservations(host: Host) -> Iterator[tuple[str, int]]:
    """Yield each file system of which a part is for root only, and how many blocks.

    The disk buffers of a node share a volume with Vault's audit file. syslog-ng runs as root and Vault does not, so the
    file cannot take the room of the buffers. ext4 reserves at most half of a file system.
    """
    for volume in volumes_of(host):
        if host.values["role"] == "node" and volume.mount == _AUDIT:
            device = _device(host, volume)
            found = _superblock(host, device)
            buffers = int(host.values["audit_buffer_bytes"]) + int(host.values["server_buffer_bytes"])
            yield device, min(buffers // found.block_bytes, found.blocks * 2 // 5)


def _file_system_bytes(host: Host, device: str) -> int:
    """Return the size of a file system, rounded up to a whole block: a volume may end within one."""
    found = _superblock(host, device)
    return (found.blocks + 1) * found.block_bytes


def _superblock(host: Host, device: str) -> _Superblock:
    lines = host.run("dumpe2fs", "-h", device).splitlines()
    found = dict(line.split(":", 1) for line in lines if ":" in line)
    return _Superblock(*(int(found[name]) for name in ("Block count", "Reserved block count", "Block size")))


def _device_bytes(host: Host, device: str) -> int:
    return int(host.run("blockdev", "--getsize64", device))


def _devices(host: Host) -> list[str]:
    return [_device(host, volume) for volume in volumes_of(host)]


def _fstab(host: Host) -> str:
    """Return the contents of fstab: the lines of the image, and ours."""
    others = [line for line in host.read(_FSTAB).splitlines() if not line.endswith(_MARK)]
    return "\n".join([*others, *_lines(host)]) + "\n"


def _lines(host: Host) -> Iterator[str]:
    options = "nodev,nosuid,noexec,nofail,x-systemd.device-timeout=30"
    for volume in volumes_of(host):
        identity = host.run("blkid", "--match-tag=UUID", "--output=value", _device(host, volume)).strip()
        yield f"UUID={identity} {volume.mount} ext4 {options} 0 2 {_MARK}"
    for place, source in _BINDS[host.values["role"]].items():
        yield f"{source} {place} none bind,nofail,x-systemd.requires-mounts-for={Path(source).parent} 0 0 {_MARK}"


def _places(host: Host) -> list[str]:
    return [*(volume.mount for volume in volumes_of(host)), *_BINDS[host.values["role"]]]


def _device(host: Host, volume: Volume) -> str:
    if device := device_of(host, volume):
        return device
    raise InstallError(f"{volume.id} is not attached")


def _unfinished(volume: Volume) -> str:
    return f"/etc/vaultwatch/formatting-{volume.id}"


ATTACHED = Step("volumes attached", _all_attached, _attach)
FORMATTED = Step("volumes formatted", _all_formatted, _format)
MOUNTED = Step("volumes mounted", _all_mounted, _mount)
GROWN = Step("volumes grown", _all_grown, _grow)
RESERVED = Step("room for the buffers reserved", _all_reserved, _reserve)
