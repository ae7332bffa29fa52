"""The view of a record that rules are evaluated on: its fields as logged, and these derived ones.

| field | log | value |
|---|---|---|
| `outcome` | both | `failed`, `succeeded`, or `unknown` (no response logged; always `unknown` in the server log) |
| `cluster`, `node`, `lane` | both | from the line's tag; without a tag, `node` is the host in the syslog header |
| `mount_type` | audit | `request.mount_type` without `ns_`, `generic` as `kv`; if not logged, that of a default mount |
| `mount_path` | audit | `request.path` below `request.mount_point`; if not logged, below the path's first part |
| `secret_in_clear` | audit | `true` if a token or credential is logged in clear (`vaultwatch.redaction`), else absent |
| `partial` | both | `bytes`, `values` or `depth`: the limit that the record exceeds (`vaultwatch.reading.budget`) |
| `local.hour`, `local.weekday` | both | 0 to 23; 1 (Monday) to 7 (Sunday); in the `timezone` setting |
| `level`, `module`, `message`, `fields.*`, `raw` | server | parts of a server-log message; `raw` is all of it |
"""

from __future__ import annotations

from datetime import tzinfo
from typing import Any

from vaultwatch.reading.budget import MAX_MESSAGE_BYTES
from vaultwatch.reading.identity import outcome, parse_time
from vaultwatch.reading.records import AuditEntry, Origin, ServerMessage
from vaultwatch.redaction import holds_secret

View = dict[str, Any]

AUDIT_DERIVED = frozenset(
    {"outcome", "cluster", "node", "lane", "mount_type", "mount_path", "secret_in_clear", "partial", "local"}
)
SERVER_FIELDS = frozenset(
    {"outcome", "cluster", "node", "lane", "local", "time", "level", "module", "message", "fields", "raw", "partial"}
)

_MOST_NAMESPACES = 100  # nested; bounds the time for a hostile mount point
_DEFAULT_MOUNTS = {
    "secret/": "kv",
    "kv/": "kv",
    "sys/": "system",
    "identity/": "identity",
    **{f"{name}/": name for name in ("cubbyhole", "pki", "transit", "ssh", "aws", "azure", "gcp", "database")},
    **{f"{name}/": name for name in ("consul", "nomad", "rabbitmq", "totp", "kmip", "transform", "kubernetes")},
    **{f"auth/{name}/": name for name in ("token", "userpass", "approle", "ldap", "jwt", "oidc", "kubernetes")},
    **{f"auth/{name}/": name for name in ("aws", "gcp", "azure", "github", "cert", "okta", "radius", "kerberos")},
}


def mount_of(path: str, mount_point: str | None, mount_type: str | None) -> tuple[str | None, str | None]:
    """Return the type of a request's mount, and the path below the mount; None for what is not known.

    Vault before 1.14 logs no mount point: then the mount is the first part of the path. Before 1.5 it logs no type
    either: then the type is known only for mounts under their default name.
    """
    first_part = path[: path.find("/", 5 if path.startswith("auth/") else 0) + 1]
    kind = mount_type.removeprefix("ns_") if mount_type else _DEFAULT_MOUNTS.get(first_part)
    point = mount_point or (first_part if kind else "")
    for _ in range(_MOST_NAMESPACES):  # OpenBao 2.6: `team-a/secret/`, where the path has no namespace
        if path.startswith(point):
            break
        point = point.partition("/")[2]
    below = path[len(point) :] if point and path.startswith(point) else None
    return "kv" if kind == "generic" else kind, below


def audit_view(entry: AuditEntry, zone: tzinfo | None = None, *, with_secrets: bool = True) -> View:
    """Return an audit entry with its derived fields; `local` only if a zone is given."""
    fields = entry.fields
    request = fields["request"]
    mount_type, mount_path = mount_of(*(_text(request.get(key)) for key in ("path", "mount_point", "mount_type")))
    derived: View = {"outcome": outcome(fields), "mount_type": mount_type, "mount_path": mount_path}
    if entry.partial:
        derived["partial"] = entry.partial
    if with_secrets:
        derived["secret_in_clear"] = holds_secret(fields) or None  # absent, so that no keyword finds "false"
    return {**fields, **derived, **_origin(entry.origin), "local": _local(fields.get("time"), zone)}


def server_view(message: ServerMessage, zone: tzinfo | None = None) -> View:
    """Return the view of a server-log message."""
    return {
        **({"partial": message.partial} if message.partial else {}),
        "outcome": "unknown",
        "time": message.time or message.header_time,
        "level": message.level,
        "module": message.module,
        "message": message.message,
        "fields": message.fields,
        "raw": message.raw[:MAX_MESSAGE_BYTES].decode("utf-8", "replace"),
        **_origin(message.origin),
        "node": message.node,
        "local": _local(message.time or message.header_time, zone),
    }


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _origin(origin: Origin) -> View:
    return {"cluster": origin.cluster, "node": origin.node, "lane": origin.lane}


def _local(time: Any, zone: tzinfo | None) -> View | None:
    moment = parse_time(time) if zone else None
    if moment is None:
        return None
    local = moment.astimezone(zone)
    return {"hour": local.hour, "weekday": local.isoweekday()}
