"""Which files a host gets: asset, path, mode, owner; and their contents.

The assets are in `assets/`, as files that their programs can check. Single-host mode uses some of them too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from vaultwatch.hosts.render import Syntax, placeholders, render
from vaultwatch.hosts.values import AUDIT_FILE, SERVER_UNIT, check_values

# syslog-ng includes the files of conf.d by name: `vaultwatch-settings.conf` comes before all with a dot.
_SYSLOG_NG, _UNITS = "/etc/syslog-ng/conf.d", "/etc/systemd/system"
_PROGRAMS = {"vault": "vault", "openbao": "bao"}


class HostFile(NamedTuple):
    """A file on a host.

    Attributes:
        asset: Its template, relative to `assets/`.
        path: Its absolute path on the host.
        syntax: The syntax of its values.
        mode: Its permissions.
        owner: Its owner and group: `user:group`.
    """

    asset: str
    path: str
    syntax: Syntax = Syntax.PLAIN
    mode: int = 0o644
    owner: str = "root:root"


_SENDING = (
    HostFile("syslog-ng/hosts/node-settings.conf", f"{_SYSLOG_NG}/vaultwatch-settings.conf", Syntax.SYSLOG_NG),
    HostFile("syslog-ng/hosts/node.conf", f"{_SYSLOG_NG}/vaultwatch.conf"),
    HostFile("sysctl/sending.conf", "/etc/sysctl.d/60-vaultwatch-sending.conf"),
)
_CERTIFICATE = (
    HostFile("systemd/vaultwatch-certificate.service", f"{_UNITS}/vaultwatch-certificate.service", Syntax.SYSTEMD),
    HostFile("systemd/vaultwatch-certificate.timer", f"{_UNITS}/vaultwatch-certificate.timer"),
)
_ARCHIVE = (
    HostFile("systemd/vaultwatch-archive.service", f"{_UNITS}/vaultwatch-archive.service", Syntax.SYSTEMD),
    HostFile("systemd/vaultwatch-archive.timer", f"{_UNITS}/vaultwatch-archive.timer"),
    HostFile("systemd/vaultwatch-remove-archived.service", f"{_UNITS}/vaultwatch-remove-archived.service"),
    HostFile("systemd/vaultwatch-remove-archived.timer", f"{_UNITS}/vaultwatch-remove-archived.timer"),
)
_ROTATION = (
    HostFile("systemd/vaultwatch-rotate.service", f"{_UNITS}/vaultwatch-rotate.service"),
    HostFile("systemd/vaultwatch-rotate.timer", f"{_UNITS}/vaultwatch-rotate.timer"),
)
_OURS = (
    HostFile("syslog-ng/hosts/main.conf", "/etc/syslog-ng/syslog-ng.conf"),
    HostFile("sysctl/vaultwatch.conf", "/etc/sysctl.d/60-vaultwatch.conf"),
    HostFile("journald/vaultwatch.conf", "/etc/systemd/journald.conf.d/vaultwatch.conf"),
    HostFile("coredump/vaultwatch.conf", "/etc/systemd/coredump.conf.d/vaultwatch.conf"),
    HostFile("chrony/chrony.conf", "/etc/chrony/chrony.conf"),
    HostFile("profile.d/vaultwatch.sh", "/etc/profile.d/vaultwatch.sh"),
    *_CERTIFICATE,
    HostFile("systemd/vaultwatch-boot.timer", f"{_UNITS}/vaultwatch-boot.timer"),
    HostFile("systemd/vaultwatch-ready.service", f"{_UNITS}/vaultwatch-ready.service", Syntax.SYSTEMD),
    HostFile("systemd/vaultwatch-ready.timer", f"{_UNITS}/vaultwatch-ready.timer"),
    *_ARCHIVE,
)
_NODE = (
    *_SENDING,
    *_OURS,
    HostFile("nftables/node.conf", "/etc/nftables.conf", mode=0o755),
    HostFile("profile.d/node.sh", "/etc/profile.d/vaultwatch-node.sh", Syntax.SHELL),
    HostFile("systemd/node-syslog-ng.conf", f"{_UNITS}/syslog-ng.service.d/vaultwatch.conf", Syntax.SYSTEMD),
    HostFile("systemd/node-archive.conf", f"{_UNITS}/vaultwatch-archive.service.d/node.conf", Syntax.SYSTEMD),
    HostFile("systemd/vault.service", f"{_UNITS}/vault.service", Syntax.SYSTEMD),
    HostFile("systemd/vaultwatch-bootstrap.service", f"{_UNITS}/vaultwatch-bootstrap.service", Syntax.SYSTEMD),
    HostFile("systemd/vaultwatch-start-over.service", f"{_UNITS}/vaultwatch-start-over.service"),
    HostFile("systemd/vaultwatch-snapshot.service", f"{_UNITS}/vaultwatch-snapshot.service", Syntax.SYSTEMD),
    HostFile("systemd/vaultwatch-snapshot.timer", f"{_UNITS}/vaultwatch-snapshot.timer"),
    *_ROTATION,
)
_EXTERNAL = "systemd/external-node"
_EXTERNAL_NODE = (
    *_SENDING,
    *_CERTIFICATE,
    *_ARCHIVE,
    *_ROTATION,
    *(
        HostFile(f"{_EXTERNAL}/{name}.conf", f"{_UNITS}/vaultwatch-{name}.service.d/external-node.conf", Syntax.SYSTEMD)
        for name in ("archive", "certificate", "remove-archived", "rotate")
    ),
)
_LOG_SERVER = (
    *_OURS,
    HostFile("syslog-ng/hosts/log-server-settings.conf", f"{_SYSLOG_NG}/vaultwatch-settings.conf", Syntax.SYSLOG_NG),
    HostFile("syslog-ng/hosts/log-server.conf", f"{_SYSLOG_NG}/vaultwatch.conf"),
    HostFile("nftables/log-server.conf", "/etc/nftables.conf", mode=0o755),
    HostFile("systemd/log-server-syslog-ng.conf", f"{_UNITS}/syslog-ng.service.d/vaultwatch.conf", Syntax.SYSTEMD),
    HostFile("logrotate/logrotate.service.conf", f"{_UNITS}/logrotate.service.d/vaultwatch.conf"),
    HostFile("logrotate/logrotate.timer.conf", f"{_UNITS}/logrotate.timer.d/vaultwatch.conf"),
)
_HANDLERS = {
    "ship": (
        HostFile("syslog-ng/vaultwatch-ship.conf", f"{_SYSLOG_NG}/vaultwatch.handlers.conf"),
        HostFile("logrotate/log-server", "/etc/logrotate.d/vaultwatch"),
    ),
    "watch": (
        HostFile("syslog-ng/vaultwatch-watch.conf", f"{_SYSLOG_NG}/vaultwatch.handlers.conf"),
        HostFile("logrotate/vaultwatch", "/etc/logrotate.d/vaultwatch"),
    ),
}


def host_files(values: Mapping[str, str]) -> tuple[HostFile, ...]:
    """Return the files of a host.

    Args:
        values: The values of host.json.

    Raises:
        SettingError: If a value is missing, unknown or cannot be used.
    """
    check_values(values)
    if values["role"] == "external-node":
        return _EXTERNAL_NODE
    if values["role"] == "log-server":
        return (*_LOG_SERVER, *_HANDLERS[values["handler"]])
    server = HostFile(
        f"vault/{values['product']}.hcl", "/etc/vault.d/vault.hcl", Syntax.HCL, mode=0o440, owner="vault:vault"
    )
    return (*_NODE, server)


def contents(file: HostFile, values: Mapping[str, str], assets: Path) -> str:
    """Return the contents of one of a host's files.

    Args:
        file: The file.
        values: The values of host.json.
        assets: The folder with the assets.

    Raises:
        SettingError: If the template has a placeholder without a value, or the file cannot hold a value.
    """
    text = (assets / file.asset).read_text("utf-8")
    names = placeholders(text)
    known = {**_derived(values), **values}
    blocks = {"join": "".join(_joins(values, assets))} if "join" in names else {}
    return render(text, {name: known[name] for name in names & known.keys()}, file.syntax, blocks)


def _derived(values: Mapping[str, str]) -> dict[str, str]:
    """Return what follows from the values of a role."""
    if values["role"] == "node":
        return {
            "program": _PROGRAMS[values["product"]],
            "audit_file": AUDIT_FILE,
            "unit": SERVER_UNIT,
        }
    if values["role"] == "log-server":
        return {"handler_options": _handler_options(values)}
    return {"audit_folder": str(PurePosixPath(values["audit_file"]).parent)}


def _handler_options(values: Mapping[str, str]) -> str:
    if values["handler"] == "watch":
        return values["watch_options"]
    return f"--stream {values['stream']} --oversize-bucket {values['oversize_bucket']}"


def _joins(values: Mapping[str, str], assets: Path) -> Iterator[str]:
    """Yield the part of a Raft configuration that names another node, for each."""
    text = (assets / "vault/join.hcl").read_text("utf-8")
    own = f"{values['name']}.{values['domain']}"
    return (render(text, {"node": node}, Syntax.HCL) for node in values["nodes"].split(",") if node != own)
