"""Configuration files, the certificate and the services of the host."""

from __future__ import annotations

import hashlib
import os
import shutil
from functools import lru_cache
from pathlib import Path

from vaultwatch.hosts.files import contents, host_files
from vaultwatch.hosts.install.host import Host, Step
from vaultwatch.hosts.writing import write_files

_VAULTWATCH = "/opt/vaultwatch/venv/bin/vaultwatch"
_CONFIGURED = "/etc/vaultwatch/configured.sha256"
"""The digest of the configuration with which the services were started last."""
_COMMON = ("nftables.service", "chrony.service", "syslog-ng.service")
_TIMERS = (
    "logrotate.timer",
    "vaultwatch-archive.timer",
    "vaultwatch-boot.timer",
    "vaultwatch-certificate.timer",
    "vaultwatch-ready.timer",
    "vaultwatch-remove-archived.timer",
)
SERVICES = {
    "log-server": (*_COMMON, *_TIMERS),
    "node": (*_COMMON, "vault.service", *_TIMERS, "vaultwatch-rotate.timer", "vaultwatch-snapshot.timer"),
}
"""What runs on a host, in the order in which it is started."""
# Vault's storage is for Vault only; syslog-ng reads the audit file of a node through the group.
_FOLDERS = {
    "log-server": {"/var/lib/vaultwatch/buffers": (0o700, "root:root"), "/var/log/vault": (0o750, "root:root")},
    "node": {
        "/var/lib/vaultwatch/buffers": (0o700, "root:root"),
        "/var/lib/vault": (0o700, "vault:vault"),
        "/var/log/vault": (0o750, "vault:vault"),
        "/etc/vault.d": (0o750, "root:vault"),
    },
}


def _files_written(host: Host) -> bool:
    return all(host.read(path) == text for path, text in _rendered(host).items())


def _write_files(host: Host) -> None:
    own = os.geteuid() == 0 and str(host.root) == "/"
    for folder, (mode, owner) in _FOLDERS[host.values["role"]].items():
        path = host.path(folder)
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(mode)
        if own:
            shutil.chown(path, *owner.split(":"))
    write_files(host.values, host.assets, host.root, own=own)


def _has_certificate(host: Host) -> bool:
    return host.path("/etc/vaultwatch/tls/host.pem").is_file()


def _get_certificate(host: Host) -> None:
    host.run(_VAULTWATCH, "host", "certificate", environment={"AWS_DEFAULT_REGION": host.values["region"]})


def _all_running(host: Host) -> bool:
    if host.read(_CONFIGURED) != _digest(host):
        return False
    services = SERVICES[host.values["role"]]
    return host.succeeds("systemctl", "is-active", "--quiet", *services) and host.succeeds(
        "systemctl", "is-enabled", "--quiet", *services, *_once(host)
    )


def _start(host: Host) -> None:
    """Start the services; those that ran with another configuration are started again."""
    new = host.read(_CONFIGURED) != _digest(host)
    host.run("swapoff", "--all")
    host.run("systemctl", "daemon-reload")
    host.run("systemctl", "mask", "swap.target")
    if new:
        host.run("sysctl", "--quiet", "--system")
        host.run("systemctl", "restart", "systemd-journald.service")
    services = SERVICES[host.values["role"]]
    host.run("systemctl", "enable", "--quiet", *services, *_once(host))  # at once: systemd reads all units again
    for service in services:
        host.run("systemctl", "restart" if new else "start", service)
    for service in _once(host):
        host.run("systemctl", "start", "--no-block", service)
    host.write(_CONFIGURED, _digest(host))


def _once(host: Host) -> tuple[str, ...]:
    """Return the services that end when their work is done; each boot starts them again, in case it is not."""
    return ("vaultwatch-bootstrap.service",) if host.values["role"] == "node" else ()


def _digest(host: Host) -> str:
    found = hashlib.sha256()
    for path, text in _rendered(host).items():
        found.update(f"{path}\0{text}\0".encode())
    return found.hexdigest()


def _rendered(host: Host) -> dict[str, str]:
    return _render(frozenset(host.values.items()), host.assets)


@lru_cache(maxsize=1)
def _render(values: frozenset[tuple[str, str]], assets: Path) -> dict[str, str]:
    given = dict(values)
    return {file.path: contents(file, given, assets) for file in host_files(given)}


FILES = Step("files", _files_written, _write_files)
CERTIFICATE = Step("certificate", _has_certificate, _get_certificate)
RUNNING = Step("services", _all_running, _start)
