"""The base tree of the machines: Debian 13, made once and kept outside the repository.

It replaces the image of Ubuntu 24.04, with the same programs a version later. What differs from an instance of EC2
because the kernel is shared is in `machine/`: no module of it changes what Vaultwatch installs.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from testbed.errors import TestbedError

PYTHON, ARCHITECTURE = "3.13", "x86_64"
"""The version of Python in the tree, and its processor."""
_SUITE = "trixie"
_PACKAGES = (
    *("systemd-sysv", "dbus", "udev", "cloud-init", "iproute2", "procps", "e2fsprogs"),
    *("syslog-ng-core", "logrotate", "zstd", "nftables", "chrony"),
    *("python3-venv", "ca-certificates", "curl", "jq"),
)
_FILES = {
    # The network is there before the machine starts.
    "etc/cloud/cloud.cfg.d/90-machine.cfg": "datasource_list: [NoCloud]\nnetwork: {config: disabled}\n",
    "etc/machine-id": "",  # each machine makes its own
    "etc/resolv.conf": "nameserver 169.254.169.253\n",
    # botocore has authorities of its own, unless a variable names others.
    "etc/systemd/system.conf.d/machine.conf": "[Manager]\nDefaultEnvironment="
    "AWS_CA_BUNDLE=/etc/ssl/certs/machine.pem SSL_CERT_FILE=/etc/ssl/certs/machine.pem "
    "CURL_CA_BUNDLE=/etc/ssl/certs/machine.pem\n",
    # The clock is the kernel's, which all machines share: chrony runs, but must not set it.
    "etc/systemd/system/chrony.service.d/machine.conf": "[Unit]\nConditionCapability=\n[Service]\n"
    "ExecStart=\nExecStart=!/usr/sbin/chronyd -F 1 -x\n",
    # Only /proc/sys/net is writable, see below: other values are every machine's. The files are read all the same.
    "usr/local/sbin/sysctl": '#!/bin/sh\n/usr/sbin/sysctl "$@" || true\n',
    # The kernel runs for longer than the machine; and in a container, systemd mounts no device that fstab names.
    "etc/machine-uptime": "1.00 1.00\n",
    "etc/systemd/system/machine.service": "[Unit]\nDefaultDependencies=no\nBefore=local-fs-pre.target\n"
    "Wants=local-fs-pre.target\n[Service]\nType=oneshot\nExecStart=/bin/mount --bind /etc/machine-uptime /proc/uptime\n"
    "ExecStart=/bin/mount -o remount,bind,rw /proc/sys/net\nExecStart=/usr/local/sbin/mount-volumes\n",
    # udev would make these links.
    "usr/local/sbin/mount-volumes": "#!/bin/sh\nmkdir -p /dev/disk/by-uuid\nfor device in /dev/nvme*n1; do\n"
    '    identity=$(blkid --probe --match-tag=UUID --output=value "$device") || continue\n'
    '    ln -sf "$device" "/dev/disk/by-uuid/$identity"\ndone\nmount --all --types ext4\n',
}
# They would wait for the network, which others have configured, or for a terminal.
_MASKED = ("systemd-networkd.service", "systemd-networkd-wait-online.service", "console-getty.service")


def base_tree() -> Path:
    """Return the base tree; it is made if there is none for this recipe, which takes two minutes.

    Raises:
        TestbedError: It cannot be made here.
    """
    folder = _cache() / _digest()
    _cache().mkdir(parents=True, exist_ok=True)
    with _cache().with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            _make(folder)
    return folder


def is_made() -> bool:
    """Return whether the tree is in the cache."""
    return (_cache() / _digest()).exists()


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vaultwatch/machines"


def _digest() -> str:
    return hashlib.sha256(repr((_SUITE, _PACKAGES, _FILES, _MASKED)).encode()).hexdigest()[:16]


def _make(folder: Path) -> None:
    print("making the base tree of the machines: two minutes, once", flush=True)
    scratch = Path(tempfile.mkdtemp(dir=folder.parent))
    try:
        tree = scratch / "tree"
        _run("debootstrap", "--variant=minbase", _SUITE, str(tree))
        shutil.copy("/etc/resolv.conf", tree / "etc/resolv.conf")
        install = ("apt-get", "install", "--quiet", "--yes", "--no-install-recommends", *_PACKAGES)
        _run("chroot", str(tree), "env", "DEBIAN_FRONTEND=noninteractive", *install)
        _run("chroot", str(tree), "apt-get", "clean")
        add_files(tree)
        tree.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _run(*command: str) -> None:
    """Run a program in a mount namespace of its own: one that is killed leaves no mounted /proc in the tree."""
    apart = ("unshare", "--mount", "--propagation=private")
    done = subprocess.run([*apart, *command], capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise TestbedError(f"the base tree cannot be made: {command[0]}: {said[-1] if said else 'no reason given'}")


def add_files(tree: Path) -> None:
    """Write what a machine needs because it shares the kernel."""
    for path, text in _FILES.items():
        file = tree / path
        file.unlink(missing_ok=True)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    for program in (tree / "usr/local/sbin").iterdir():
        program.chmod(0o755)
    wants = tree / "etc/systemd/system/local-fs.target.wants"
    wants.mkdir(exist_ok=True)
    (wants / "machine.service").symlink_to("../machine.service")
    for name in _MASKED:
        (tree / "etc/systemd/system" / name).symlink_to("/dev/null")
