"""Users and packages of the distribution."""

from __future__ import annotations

from vaultwatch.errors import InstallError
from vaultwatch.hosts.install.host import Host, Step
from vaultwatch.hosts.render import Syntax, render

PACKAGES = ("chrony", "logrotate", "nftables", "syslog-ng-core", "zstd")
_SOURCES = "/etc/apt/sources.list.d/ubuntu.sources"
_NO_STARTS = "/usr/sbin/policy-rc.d"
_SNAPD = "/usr/bin/snap"


def _has_user(host: Host) -> bool:
    return host.values["role"] != "node" or host.succeeds("getent", "passwd", "vault")


def _add_user(host: Host) -> None:
    host.run("useradd", "--system", "--user-group", "--no-create-home", "--home-dir=/nonexistent",
             "--shell=/usr/sbin/nologin", "vault")  # fmt: skip


def _has_packages(host: Host) -> bool:
    try:
        found = host.run("dpkg-query", "--show", "--showformat=${db:Status-Status}\n", *PACKAGES)
    except InstallError:
        return False
    return found.split() == ["installed"] * len(PACKAGES) and not host.path(_NO_STARTS).exists()


def _install_packages(host: Host) -> None:
    """Install the packages from one snapshot. None of their services starts before it is configured."""
    text = (host.assets / "apt/ubuntu.sources").read_text()
    snapshot = {"package_snapshot": host.values["package_snapshot"]}
    host.write(_SOURCES, render(text, snapshot, Syntax.PLAIN))
    host.write(_NO_STARTS, "#!/bin/sh\nexit 101\n")
    host.path(_NO_STARTS).chmod(0o755)
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    host.run("dpkg", "--configure", "--pending", environment=quiet)  # what a killed run left half installed
    host.run("apt-get", "update", "--quiet", environment=quiet)
    options = ("--quiet", "--yes", "--no-install-recommends", "-o", "Dpkg::Options::=--force-confold")
    host.run("apt-get", "install", *options, *PACKAGES, environment=quiet)
    host.path(_NO_STARTS).unlink()


def _snaps_held(host: Host) -> bool:
    return not host.path(_SNAPD).exists() or "forever" in host.run("snap", "get", "system", "refresh.hold")


def _hold_snaps(host: Host) -> None:
    """Keep the version of the SSM agent, a snap, that the image has: it would update itself otherwise."""
    host.run("snap", "set", "system", "refresh.hold=forever")


USER = Step("user", _has_user, _add_user)
INSTALLED = Step("packages", _has_packages, _install_packages)
SNAPS = Step("snaps", _snaps_held, _hold_snaps)
