"""A host that exists only in a folder and in memory: its disks, packages, services, and what it asks of AWS."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from botocore.exceptions import NoCredentialsError

from testbed.host_values import ASSETS
from vaultwatch.errors import InstallError
from vaultwatch.hosts.install import Host

INSTANCE, ADDRESS = "i-0123456789abcdef0", "10.90.0.7"
BLANK_BYTES = 16 * 1024 * 1024


class Killed(BaseException):
    """The machine lost its power."""


@dataclass
class Disk:
    """A volume: what blkid finds on it, and its sizes in bytes."""

    file_system: str = ""
    size: int = BLANK_BYTES
    file_system_size: int = 0
    formatted: int = 0
    reserved: int = 0


def release(program: str) -> bytes:
    """Return a release of Vault: a zip file with one program."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(program, f"the program {program}")
    return made.getvalue()


@dataclass
class Machine:
    """A machine. What it keeps over a loss of power is in its attributes and below `root`, except for `run`.

    Attributes:
        root: Its file system.
        values: The values of host.json.
        disks: Its volumes, by id.
        ready_after: After how many pauses Vault is unsealed, if it is not at once.
        has_credentials: Whether it has any when it signals.
        kill_at: At which call of a program or of AWS it loses its power: before the call, or after it if negative.
    """

    root: Path
    values: Mapping[str, str]
    disks: dict[str, Disk]
    kill_at: int = 0
    calls: list[str] = field(default_factory=list)
    users: set[str] = field(default_factory=set)
    packages: set[str] = field(default_factory=set)
    mounted: set[str] = field(default_factory=set)
    active: set[str] = field(default_factory=set)
    enabled: set[str] = field(default_factory=set)
    names: dict[str, str] = field(default_factory=dict)
    signals: list[tuple[str, str]] = field(default_factory=list)
    has_credentials: bool = True
    vault_status: int = 200
    ready_after: int = 0
    failing: str = ""
    releases: dict[str, bytes] = field(default_factory=dict)
    restarts: int = 0
    statistics: str = ""
    tracking: str = "A9FEA97B,169.254.169.123,4,1795887319.0,-0.000002,0,0,0,0,0,0.000100,0.000050,16.1,Normal\n"
    telemetry: str = "vault_audit_log_request_failure 0\n"
    failed: str = ""
    reported: dict[str, float] = field(default_factory=dict)
    of_cluster: set[str] = field(default_factory=set)

    @property
    def host(self) -> Host:
        """The machine as the installation sees it."""
        return Host(
            self.values, self._run, lambda _: self, self._metadata, self._download, lambda _: self.vault_status,
            lambda: str(self._call("telemetry read", lambda: self.telemetry)), self._canary, root=self.root,
            assets=ASSETS,
        )  # fmt: skip

    def __post_init__(self) -> None:
        """Give the machine its memory, of which a quarter is available."""
        file = self.root / "proc/meminfo"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("MemTotal:        4000 kB\nMemFree:          10 kB\nMemAvailable:    1000 kB\n")

    def _canary(self) -> None:
        self._call("canary call", lambda: None)

    def lose_power(self) -> None:
        """Forget what no machine keeps, and do what systemd does at a boot: mount what fstab lists, start services."""
        run = self.root / "run"
        for path in sorted(run.rglob("*"), reverse=True) if run.exists() else ():
            path.unlink() if path.is_file() else path.rmdir()
        fstab = self.root / "etc/fstab"
        lines = fstab.read_text().splitlines() if fstab.exists() else []
        self.mounted = {line.split()[1] for line in lines}
        self.active, self.kill_at = {*self.enabled, "systemd-journald.service"}, 0

    def _run(self, *command: str, environment: Mapping[str, str] | None = None) -> str:  # noqa: ARG002  of `Programs`
        return str(self._call(" ".join(command), lambda: self._effect(*command)))

    def _call(self, line: str, effect: Any) -> Any:
        self.calls.append(line)
        if self.kill_at == len(self.calls):
            raise Killed
        last = self.kill_at == -len(self.calls)
        try:
            if self.failing and line.startswith(self.failing):
                program, *_, end = line.split()
                raise InstallError(f"{program}: exit status 1: {end}")
            result = effect()
        except InstallError:
            if last:
                raise Killed from None
            raise
        if last:
            raise Killed
        return result

    def _effect(self, program: str, *given: str) -> str:
        effect = getattr(self, "_do_" + program.rpartition("/")[2].replace(".", "_").replace("-", "_"), None)
        return (effect(*given) or "") if effect else ""

    def _do_sleep(self, _: str) -> None:
        self.ready_after -= 1
        if self.ready_after == 0:
            self.vault_status = 200

    def _do_getent(self, _: str, user: str) -> None:
        if user not in self.users:
            raise InstallError("getent: exit status 2: no output")

    def _do_useradd(self, *given: str) -> None:
        self.users.add(given[-1])

    def _do_dpkg_query(self, *given: str) -> str:
        if wanted := set(given[2:]) - self.packages:
            raise InstallError(f"dpkg-query: exit status 1: no packages found matching {min(wanted)}")
        return "installed\n" * len(given[2:])

    def _do_apt_get(self, command: str, *given: str) -> None:
        if command == "install":
            assert (self.root / "usr/sbin/policy-rc.d").exists(), "a service would start before it is configured"
            self.packages.update(given[given.index("Dpkg::Options::=--force-confold") + 1 :])

    def _do_lsblk(self, *_: str) -> str:
        return "\n"

    def _do_blkid(self, *given: str) -> str:
        disk = self._disk(given[-1])
        if not disk.file_system:
            raise InstallError("blkid: exit status 2: no output")
        return f"uuid-of-{given[-1].rpartition('/')[2]}\n" if "--match-tag=UUID" in given else f"{disk.file_system}\n"

    def _do_mkfs_ext4(self, *given: str) -> None:
        disk = self._disk(given[-1])
        disk.file_system, disk.file_system_size = "ext4", disk.size
        disk.formatted += 1

    def _do_resize2fs(self, device: str) -> None:
        disk = self._disk(device)
        assert self.mounted, "a file system that is not mounted has to be checked before it is enlarged"
        disk.file_system_size = disk.size

    def _do_dumpe2fs(self, *given: str) -> str:
        disk = self._disk(given[-1])
        counts = f"Block count:   {disk.file_system_size // 4096}\nReserved block count:   {disk.reserved}\n"
        return f"{counts}Free blocks:   100\nBlock size:   4096\n"

    def _do_tune2fs(self, _: str, blocks: str, device: str) -> None:
        self._disk(device).reserved = int(blocks)

    def _do_blockdev(self, *given: str) -> str:
        return str(self._disk(given[-1]).size)

    def _do_mountpoint(self, _: str, place: str) -> None:
        if place not in self.mounted:
            raise InstallError("mountpoint: exit status 32: no output")

    def _do_mount(self, place: str) -> None:
        lines = [line.split() for line in (self.root / "etc/fstab").read_text().splitlines()]
        assert place in [line[1] for line in lines if len(line) > 1], f"{place} is not in fstab"
        self.mounted.add(place)

    def _do_vaultwatch(self, *given: str) -> None:
        assert given == ("host", "certificate")
        (self.root / "etc/vaultwatch/tls").mkdir(parents=True, exist_ok=True)
        (self.root / "etc/vaultwatch/tls/host.pem").write_text("certificate")

    def _do_chronyc(self, *_: str) -> str:
        return self.tracking

    def _do_syslog_ng_ctl(self, _: str) -> str:
        return self.statistics

    def _do_systemctl(self, verb: str, *given: str) -> str:
        names = {name for name in given if not name.startswith("-")}
        if verb in ("is-active", "is-enabled") and names - (self.active if verb == "is-active" else self.enabled):
            raise InstallError("systemctl: exit status 3: no output")
        if verb in ("start", "restart"):
            self.active |= names
            self.restarts += verb == "restart" and "syslog-ng.service" in names
        if verb == "enable":
            self.enabled |= names
        return self.failed if verb == "list-units" else ""

    def attach_volume(self, **given: str) -> None:
        """Attach a volume, as EC2 does."""

        def attach() -> None:
            number = sorted(self.disks).index(given["VolumeId"])
            folder = self.root / f"sys/block/nvme{number + 1}n1/device"
            folder.mkdir(parents=True)
            (folder / "serial").write_text(given["VolumeId"].replace("-", "") + "\n")
            device = self.root / f"dev/nvme{number + 1}n1"
            device.parent.mkdir(exist_ok=True)
            with device.open("wb") as file:
                file.truncate(BLANK_BYTES)

        self._call(f"attach {given['VolumeId']} {given['InstanceId']}", attach)

    def change_resource_record_sets(self, **given: Any) -> None:
        """Set a name, as Route 53 does."""
        [change] = given["ChangeBatch"]["Changes"]
        record = change["ResourceRecordSet"]
        [address] = record["ResourceRecords"]
        self._call(f"name {record['Name']}", lambda: self.names.update({record["Name"]: address["Value"]}))

    def put_metric_data(self, **given: Any) -> None:
        """Take metrics, as CloudWatch does."""
        given_data = given["MetricData"]
        self._call("put metrics", lambda: None)
        self.reported = {one["MetricName"]: one["Value"] for one in given_data}
        self.of_cluster = {one["MetricName"] for one in given_data if len(one["Dimensions"]) == 1}

    def signal_resource(self, **given: str) -> None:
        """Take a signal, as CloudFormation does, if the host has credentials."""
        if not self.has_credentials:
            raise NoCredentialsError
        self._call(f"signal {given['Status']}", lambda: self.signals.append((given["Status"], given["UniqueId"])))

    def _metadata(self, path: str) -> str:
        return {"instance-id": INSTANCE, "local-ipv4": ADDRESS}[path]

    def _download(self, url: str) -> AbstractContextManager[IO[bytes]]:
        content = self._call(f"download {url}", lambda: self.releases[url.rpartition("/")[2]])
        return closing(io.BytesIO(content))

    def _disk(self, device: str) -> Disk:
        number = int(device.removeprefix("/dev/nvme").removesuffix("n1"))
        return self.disks[sorted(self.disks)[number - 1]]


def sha256(content: bytes) -> str:
    """Return a digest in hex."""
    return hashlib.sha256(content).hexdigest()
