"""The values of a host: `/etc/vaultwatch/host.json`, one flat JSON object of names and texts.

The user data of an instance writes it, because only CloudFormation knows some of the values. This module is the one
list of the names, with what each may contain.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from vaultwatch.errors import SettingError, did_you_mean

Role = Literal["node", "log-server", "external-node"]
ROLES: tuple[Role, ...] = ("node", "log-server", "external-node")
"""A Vault node and the log server of a deployment; a node that somebody else set up, which only sends its logs."""

_NODES: tuple[Role, ...] = ("node", "external-node")
_OURS: tuple[Role, ...] = ("node", "log-server")
_NAME = r"[a-z0-9][a-z0-9-]{0,62}"
_DNS = r"[a-z0-9][a-z0-9-]{0,62}(\.[a-z0-9][a-z0-9-]{0,62})*"
_PATH = r"(/[A-Za-z0-9._-]+)+"
_BYTES = r"[1-9][0-9]{0,14}"
_SECRET_ARN = r"arn:[\w:/+=.@-]{1,500}"  # noqa: S105  the pattern of a name
_PRINCIPAL = r"arn:[\w-]{1,20}:iam::\d{12}:(role|user)/[\w+=.@/-]{1,500}"
_BUCKET = r"[a-z0-9][a-z0-9.-]{1,62}"


class Value(NamedTuple):
    """A name in host.json.

    Attributes:
        meaning: What it is, in one sentence.
        pattern: What the whole value must match.
        roles: The hosts that need it.
    """

    meaning: str
    pattern: str
    roles: tuple[Role, ...]


VALUES: Mapping[str, Value] = {
    "role": Value("The role of the host.", "|".join(ROLES), ROLES),
    "deployment": Value("The name of the deployment.", r"[a-z][a-z0-9-]{0,29}", ROLES),
    "name": Value("The name of the host in its certificate, its DNS record and its alerts.", _NAME, ROLES),
    "cluster": Value("The name of the cluster in alerts.", r"[\w.-]{1,64}", ROLES),
    "domain": Value("The private DNS zone of the hosts.", _DNS, _OURS),
    "region": Value("The AWS region.", r"[a-z0-9-]{1,32}", ROLES),
    "stack": Value("The stack to which the host signals that it has started.", r"[A-Za-z][A-Za-z0-9-]{0,127}", _OURS),
    "group": Value("The logical id of its Auto Scaling group in that stack.", r"[A-Za-z0-9]{1,255}", _OURS),
    "volumes": Value("Its volumes: `device id=mount point`, separated by commas.", r"[A-Za-z0-9=/,._-]{0,500}", _OURS),
    "zone_id": Value("The id of the private DNS zone.", r"[A-Z0-9]{1,32}", _OURS),
    "package_snapshot": Value("The state of Ubuntu's archive to install from.", r"\d{8}T\d{6}Z", _OURS),
    "sign_function": Value("The name of the function that signs certificates.", r"[\w:-]{1,200}", ROLES),
    "archive_bucket": Value("The bucket of the archive.", _BUCKET, ROLES),
    "log_server": Value("The DNS name of the log server.", _DNS, _NODES),
    "audit_buffer_bytes": Value("Disk buffer for the audit log.", _BYTES, _NODES),
    "server_buffer_bytes": Value("Disk buffer for the server log.", _BYTES, _NODES),
    "audit_file": Value("The file of Vault's file audit device.", _PATH, ("external-node",)),
    "unit": Value("The systemd unit that runs Vault.", r"[\w@.-]{1,100}\.service", ("external-node",)),
    "product": Value("What runs on the node.", "vault|openbao", ("node",)),
    "server_version": Value("The version of Vault or OpenBao.", r"[0-9a-z.-]{1,40}", ("node",)),
    "server_sha256": Value("The SHA-256 of its release.", r"[0-9a-f]{64}", ("node",)),
    "kms_seal_key": Value("The ARN of the key that unseals Vault.", r"arn:[\w:/-]{1,200}", ("node",)),
    "nodes": Value("The DNS names of all nodes, separated by commas.", rf"{_DNS}(,{_DNS}){{0,8}}", ("node",)),
    "api_name": Value("The DNS name of the load balancer in front of Vault.", _DNS, ("node",)),
    "snapshot_bucket": Value("The bucket of the snapshots of Vault's storage.", _BUCKET, ("node",)),
    "recovery_secret": Value("The secret for the recovery keys.", _SECRET_ARN, ("node",)),
    "administrator_secret": Value("The secret for the administrator's password.", _SECRET_ARN, ("node",)),
    "administrators": Value(
        "The ARNs of the IAM principals who may log in as administrators, separated by commas.",
        rf"({_PRINCIPAL}(,{_PRINCIPAL})*)?",
        ("node",),
    ),
    "handler": Value("What evaluates the logs on the log server.", "ship|watch", ("log-server",)),
    "stream": Value("The Kinesis stream of `ship`.", r"[\w.-]{1,128}", ("log-server",)),
    "oversize_bucket": Value("The bucket of `ship` for lines too large for the stream.", _BUCKET, ("log-server",)),
    "watch_options": Value("Further options of `watch`.", r"[\w./:@=,+ -]{0,500}", ("log-server",)),
}


AUDIT_FILE, SERVER_UNIT = "/var/log/vault/audit.log", "vault.service"
"""The file of the file audit device, and the unit of the server, on the nodes of a deployment."""


def read_values(file: Path) -> dict[str, str]:
    """Read and check host.json.

    Raises:
        SettingError: If it cannot be read or a value cannot be used.
    """
    try:
        values = msgspec.json.decode(file.read_bytes(), type=dict[str, str])
    except OSError as error:
        raise SettingError(f"{file}: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise SettingError(f"{file}: {error}") from error
    check_values(values)
    return values


def check_values(values: Mapping[str, str]) -> None:
    """Check that every value of the host's role is there and can be used, and that there is no other.

    Raises:
        SettingError: With the names of the wrong ones, never with their values.
    """
    wanted = needed(values)
    for name in values:
        if name not in VALUES:
            raise SettingError(f"unknown value `{name}`{did_you_mean(name, VALUES)}")
    if missing := sorted(wanted - values.keys()):
        raise SettingError(f"no value for {', '.join(missing)}")
    if unused := sorted(values.keys() - wanted):
        raise SettingError(f"a {values['role']} does not use {', '.join(unused)}")
    for name, value in values.items():
        if not re.fullmatch(VALUES[name].pattern, value, re.ASCII):
            raise SettingError(f"{name}: it has to match {VALUES[name].pattern}")


def needed(values: Mapping[str, str]) -> set[str]:
    """Return the names that a host with this role and handler needs."""
    role = values.get("role")
    if role not in ROLES:
        raise SettingError(f"role: it has to be one of {', '.join(ROLES)}")
    other = {"ship": {"watch_options"}, "watch": {"stream", "oversize_bucket"}}.get(values.get("handler", ""), set())
    return {name for name, value in VALUES.items() if role in value.roles} - other
