"""What a bootstrap sets up."""

from __future__ import annotations

from typing import Literal

import msgspec

ADMINISTRATOR = "administrator"
"""The name of the policy, and of the role or user that has it."""


class AuditDevice(msgspec.Struct, frozen=True):
    """An audit device: its path, its type, and its options as Vault names them."""

    path: str
    type: Literal["file", "socket"]
    options: dict[str, str]


SNAPSHOT = "snapshot"
"""The name of the policy of snapshots, and of the login by certificate that has it."""


class NodeLogin(msgspec.Struct, frozen=True):
    """How nodes log in for one purpose.

    Attributes:
        name: The name of the policy, and of the login that has it.
        policy: What they may do then, in HCL.
        authority: The certificate of the authority that certifies them, in PEM.
        nodes: What the common names of their certificates look like: "vault-*".
    """

    name: str
    policy: str
    authority: str
    nodes: str


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a bootstrap sets up on a fresh cluster.

    Attributes:
        product: The server. OpenBao declares its audit devices in its configuration, and has no AWS auth method.
        devices: The audit devices.
        policy: The administrator's policy, in HCL.
        administrators: The ARNs of the IAM principals that may log in as administrators. Without any, and on OpenBao,
            the administrator is a user whose password is in a secret.
        server_id: The value that a login by IAM must contain as `X-Vault-AWS-IAM-Server-ID`, so that nobody can replay
            a login that was made for another server.
        logins: How nodes log in: to take snapshots, and for the canary.
        recovery_shares: The number of recovery keys.
        recovery_threshold: How many of them are needed.
    """

    product: Literal["vault", "openbao"]
    devices: tuple[AuditDevice, ...]
    policy: str
    administrators: tuple[str, ...] = ()
    server_id: str = ""
    logins: tuple[NodeLogin, ...] = ()
    recovery_shares: int = 5
    recovery_threshold: int = 3

    @property
    def uses_iam(self) -> bool:
        """Whether administrators log in by AWS IAM."""
        return self.product == "vault" and bool(self.administrators)


def audit_devices(folder: str, port: int = 1515) -> tuple[AuditDevice, ...]:
    """Return the two devices that every deployment has.

    They are of different types, so that one defect cannot stop both. `write_timeout` bounds how long Vault's clients
    wait for a receiver that does not read (2 s by default). An accessor in clear lets an alert contain the command that
    revokes the token, and grants nothing else.

    Args:
        folder: Where the file device writes `audit.log`.
        port: The port of the local syslog-ng.
    """
    common = {"elide_list_responses": "true", "hmac_accessor": "false"}
    socket = {"address": f"127.0.0.1:{port}", "socket_type": "tcp", "write_timeout": "100ms"}
    return (
        AuditDevice("file", "file", {"file_path": f"{folder}/audit.log", "mode": "0640"} | common),
        AuditDevice("socket", "socket", socket | common),
    )
