"""The values of hosts, and their rendered files."""

from __future__ import annotations

from pathlib import Path

from vaultwatch.hosts.files import contents, host_files

ASSETS = Path(__file__).parents[1] / "assets"

_EVERYWHERE = {
    "deployment": "vaultwatch",
    "cluster": "vault",
    "region": "eu-central-1",
    "sign_function": "vaultwatch-sign",
    "archive_bucket": "vaultwatch-archive",
}
_OURS = {
    "domain": "vaultwatch.internal",
    "stack": "vaultwatch-vault",
    "group": "Vault1Group",
    "volumes": "",
    "zone_id": "Z0123456789ABCDEFGHIJ",
    "package_snapshot": "20261001T000000Z",
}
_SENDER = {
    "name": "vault-1",
    "log_server": "log-server.vaultwatch.internal",
    "audit_buffer_bytes": "4294967296",
    "server_buffer_bytes": "1073741824",
}
NODE = {
    **_EVERYWHERE,
    **_OURS,
    **_SENDER,
    "role": "node",
    "product": "vault",
    "server_version": "2.0.3",
    "server_sha256": "9423a715aea0689f9e498fe7cc5ea692aa1eff282f8b9bc26af28cad69d6d841",
    "kms_seal_key": "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
    "nodes": "vault-1.vaultwatch.internal,vault-2.vaultwatch.internal,vault-3.vaultwatch.internal",
    "snapshot_bucket": "vaultwatch-snapshots",
    "recovery_secret": "arn:aws:secretsmanager:eu-central-1:111122223333:secret:recovery-a1b2c3",
    "administrator_secret": "arn:aws:secretsmanager:eu-central-1:111122223333:secret:administrator-a1b2c3",
    "administrators": "arn:aws:iam::111122223333:role/alice",
    "api_name": "vault.vaultwatch.internal",
}
OPENBAO_NODE = {**NODE, "product": "openbao"}
EXTERNAL_NODE = {
    **_EVERYWHERE,
    **_SENDER,
    "role": "external-node",
    "audit_file": "/srv/vault/audit.log",
    "unit": "openbao@main.service",
}
LOG_SERVER = {
    **_EVERYWHERE,
    **_OURS,
    "role": "log-server",
    "name": "log-server",
    "handler": "ship",
    "stream": "vaultwatch-records",
    "oversize_bucket": "vaultwatch-alerts",
}
WATCHING_LOG_SERVER = {
    **{name: value for name, value in LOG_SERVER.items() if name not in ("stream", "oversize_bucket")},
    "handler": "watch",
    "watch_options": "--slack-webhook-file /etc/vaultwatch/slack-webhook",
}
HOSTS = {
    "vault": NODE,
    "openbao": OPENBAO_NODE,
    "external": EXTERNAL_NODE,
    "ship": LOG_SERVER,
    "watch": WATCHING_LOG_SERVER,
}


def rendered(values: dict[str, str]) -> dict[str, str]:
    """Return the text of each file of a host by its path there."""
    return {file.path: contents(file, values, ASSETS) for file in host_files(values)}
