"""A machine: systemd as process 1 in systemd-nspawn, on a base tree that it does not change.

The overlay is mounted in a mount namespace of systemd-nspawn's own, which ends with it: no mount is left behind.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from testbed.errors import TestbedError
from testbed.machines import cgroups
from testbed.machines.disks import Disk
from testbed.processes import children, end, kill, start

_SEED = "var/lib/cloud/seed/nocloud"
_BOOT = """
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/changes,workdir=$2/work" "$2/root"
tree=$2/root namespace=$3 name=$4 groups=$5
shift 5
for group in $groups; do echo 0 >"$group/cgroup.procs"; done
export SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 # as on Ubuntu 24.04
exec systemd-nspawn --quiet --directory="$tree" --boot --register=no --keep-unit --resolv-conf=off \
    --network-namespace-path="$namespace" --machine="$name" --console=pipe --link-journal=no --timezone=off \
    --capability=CAP_NET_ADMIN "$@"
"""


@dataclass
class Machine:
    """A machine. It keeps its changes to the tree until the folder is removed.

    Attributes:
        name: Its host name.
        address: Its IPv4 address.
        tree: The base tree.
        folder: The folder of its own.
        namespace: Its network namespace.
        disks: The volumes that are attached, in the order of their devices.
        programs: Programs of this host that it sees, by the path where it does.
    """

    name: str
    address: str
    tree: Path
    folder: Path
    namespace: Path
    disks: list[Disk] = field(default_factory=list)
    programs: Mapping[str, Path] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        for name in ("changes", "work", "root", "block"):
            (self.folder / name).mkdir(parents=True)

    @property
    def console(self) -> Path:
        """What it printed."""
        return self.folder / "console"

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file before the machine starts."""
        file = self.folder / "changes" / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def seed(self, instance: str, user_data: str) -> None:
        """Give it user data; a new id of the instance makes the next boot a first one.

        Args:
            instance: The id of the instance.
            user_data: The user data, as cloud-init gets it.
        """
        self.write(f"{_SEED}/user-data", user_data)
        self.write(f"{_SEED}/meta-data", json.dumps({"instance-id": instance, "local-hostname": self.name}))

    def start(self) -> None:
        """Start it, which does not wait for anything."""
        # In /proc/sys/net, a program sees the settings of its own network, such as tcp_retries2.
        given = [f"--bind-ro={self.folder / 'block'}:/sys/block", "--bind=/proc/sys/net"]
        given += [f"--bind={disk.device}:/dev/{_device(number)}" for number, disk in enumerate(self.disks)]
        given += [f"--bind-ro={program}:{path}" for path, program in self.programs.items()]
        groups = cgroups.make(self._group)
        with self.console.open("ab") as output:
            script = ["unshare", "--mount", "--propagation=private", "sh", "-ec", _BOOT, "boot"]
            where = [str(self.tree), str(self.folder), str(self.namespace), self.name, " ".join(map(str, groups))]
            self._process = start([*script, *where, *given], output.fileno(), _environment(), self.folder)

    @property
    def runs(self) -> bool:
        """Whether it has been started, and has not ended."""
        return self._process is not None and self._process.poll() is None

    def lose_power(self) -> None:
        """Kill it and everything in it."""
        if self._process is not None:
            if (leader := self._leader()) is not None:
                kill(leader)
            self._process.kill()
            self._process.wait()

    def reboot(self) -> None:
        """Shut it down in order, and start it again with the same instance id."""
        self.shut_down()
        self.start()

    def shut_down(self) -> None:
        """Shut it down in order: systemd stops all services."""
        if self._process is not None:
            end(self._process, 120)

    def attach(self, disk: Disk) -> None:
        """Attach a volume, as EC2 does while a machine runs."""
        name = _device(len(self.disks))
        self.disks.append(disk)
        known = Path(disk.device).stat().st_rdev
        self.run("mknod", "-m", "0660", f"/dev/{name}", "b", str(os.major(known)), str(os.minor(known)))
        folder = self.folder / "block" / name / "device"
        folder.mkdir(parents=True)
        (folder / "serial").write_text(disk.id.replace("-", "") + "\n")
        known_as = Path(disk.device).name  # what lsblk looks for
        (self.folder / "block" / known_as).symlink_to(f"../devices/virtual/block/{known_as}")

    def run(self, *command: str, check: bool = True, user: str = "", given: bytes = b"") -> str:
        """Run a program in the machine, and return what it printed.

        Args:
            command: The program and its arguments.
            check: Whether another exit status than 0 is an error.
            user: The user that runs it; root by default.
            given: Its standard input.

        Raises:
            TestbedError: The machine does not run, or the program failed.
        """
        leader = self._leader()
        if leader is None:
            raise TestbedError(f"{self.name} does not run")
        enter = ["nsenter", "--target", str(leader), "--mount", "--uts", "--ipc", "--net", "--pid", "--wd=/"]
        switch = ["runuser", f"--user={user}", "--"] if user else []
        done = subprocess.run(
            [*enter, "--", *switch, *command], input=given, capture_output=True, check=False, env=_environment()
        )
        if check and done.returncode:
            raise TestbedError(f"{self.name}: {' '.join(command)}: {done.stderr.decode() or done.stdout.decode()}")
        return done.stdout.decode(errors="replace")

    def properties(self, unit: str) -> Mapping[str, str]:
        """Return the properties of a unit, by systemd's names."""
        lines = self.run("systemctl", "show", unit).splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)

    def journal(self, *options: str) -> str:
        """Return lines of the journal."""
        return self.run("journalctl", "--no-pager", "--output=cat", *options)

    def remove(self) -> None:
        """End it, and remove what it has written."""
        self.lose_power()
        cgroups.remove(self._group.__eq__)
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def instance(self) -> str:
        """The id of the instance, which is the name of its folder."""
        return self.folder.name

    @property
    def _group(self) -> str:
        return f"{self.folder.parent.name}-{self.folder.name}"

    def _leader(self) -> int | None:
        """Return the process that is number 1 in the machine."""
        found: list[Any] = children(self._process.pid) if self._process is not None and self.runs else []
        return found[0] if found else None


def _device(number: int) -> str:
    return f"nvme{number + 1}n1"


def _environment() -> dict[str, str]:
    return {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
