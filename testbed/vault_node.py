"""A real OpenBao or Vault with the configuration of a node, but for ports, folders, and KMS."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from testbed.errors import TestbedError
from testbed.host_values import NODE, rendered
from testbed.syslog_ng import free_port


@dataclass
class NodeConfiguration:
    """Where a node's server keeps its data, and its ports.

    Attributes:
        folder: A folder for its data and for its configuration.
        tls: The folder of its certificate.
        audit: The folder of its audit file.
        audit_port: The port of the local syslog-ng.
        key: The file of the key that seals OpenBao, in place of KMS; Vault is unsealed by hand.
        product: The server.
        port: The port of its API.
        telemetry_port: The port of its telemetry.
    """

    folder: Path
    tls: Path
    audit: Path
    audit_port: int
    key: Path
    product: Literal["vault", "openbao"] = "openbao"
    port: int = field(default_factory=free_port)
    telemetry_port: int = field(default_factory=free_port)

    def write(self) -> Path:
        """Write the configuration, and return its file."""
        data = self.folder / "data"
        data.mkdir(parents=True)
        if not self.key.exists():
            self.key.write_bytes(os.urandom(32))
        values = {**NODE, "product": self.product, "nodes": "vault-1.vaultwatch.internal"}
        text = rendered(values)["/etc/vault.d/vault.hcl"]
        own = f'seal "static" {{\n  current_key_id = "1"\n  current_key = "file://{self.key}"\n}}'
        seal, devices = ("", {}) if self.product == "vault" else (own, self._devices())
        telemetry = f'"127.0.0.1:{self.telemetry_port}"\n  cluster_address = "127.0.0.1:{free_port()}"'
        for mine, hosts in {
            seal: r'seal "awskms" \{[^}]*\}',
            f'"{data}"\n  performance_multiplier = 1': '"/var/lib/vault"',  # so it elects a leader sooner
            f'"{self.tls}/': '"/etc/vault.d/tls/',
            **devices,
            f'"127.0.0.1:{self.port}"': r'"0\.0\.0\.0:8200"',
            telemetry: r'"127\.0\.0\.1:8210"',
            f'"127.0.0.1:{free_port()}"': r'"0\.0\.0\.0:8201"',
        }.items():
            text, count = re.subn(hosts, mine, text)
            if not count:
                raise TestbedError(f"the configuration of a node does not have {hosts}")
        file = self.folder / "vault.hcl"
        file.write_text(text)
        return file

    def _devices(self) -> dict[str, str]:
        """OpenBao declares its audit devices."""
        return {f'"{self.audit}/': '"/var/log/vault/', f'"127.0.0.1:{self.audit_port}"': '"127.0.0.1:1515"'}
