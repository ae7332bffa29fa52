"""A real OpenBao with the configuration of a node; only what this machine lacks differs: ports, folders, and KMS."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from testbed.syslog_ng import free_port
from tests.support.hosts import OPENBAO_NODE, rendered


@dataclass
class NodeConfiguration:
    """Where a node's OpenBao keeps its data, and its ports.

    Attributes:
        folder: A folder for its data and for its configuration.
        tls: The folder of its certificate.
        audit: The folder of its audit file.
        audit_port: The port of the local syslog-ng.
        key: The file of the key that seals it, in place of KMS.
        port: The port of its API.
        telemetry_port: The port of its telemetry.
    """

    folder: Path
    tls: Path
    audit: Path
    audit_port: int
    key: Path
    port: int = field(default_factory=free_port)
    telemetry_port: int = field(default_factory=free_port)

    def write(self) -> Path:
        """Write the configuration, and return its file."""
        data = self.folder / "data"
        data.mkdir(parents=True)
        if not self.key.exists():
            self.key.write_bytes(os.urandom(32))
        text = rendered({**OPENBAO_NODE, "nodes": "vault-1.vaultwatch.internal"})["/etc/vault.d/vault.hcl"]
        seal = f'seal "static" {{\n  current_key_id = "1"\n  current_key = "file://{self.key}"\n}}'
        telemetry = f'"127.0.0.1:{self.telemetry_port}"\n  cluster_address = "127.0.0.1:{free_port()}"'
        for mine, hosts in {
            seal: r'seal "awskms" \{[^}]*\}',
            f'"{data}"': '"/var/lib/vault"',
            f'"{self.audit}/': '"/var/log/vault/',
            f'"{self.tls}/': '"/etc/vault.d/tls/',
            f'"127.0.0.1:{self.audit_port}"': '"127.0.0.1:1515"',
            f'"127.0.0.1:{self.port}"': r'"0\.0\.0\.0:8200"',
            telemetry: r'"127\.0\.0\.1:8210"',
            f'"127.0.0.1:{free_port()}"': r'"0\.0\.0\.0:8201"',
        }.items():
            text, count = re.subn(hosts, mine, text)
            assert count, hosts
        file = self.folder / "vault.hcl"
        file.write_text(text)
        return file
