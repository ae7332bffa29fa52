"""The view of a record that rules are evaluated on: its fields as logged, and these derived ones.

| field | log | value |
|---|---|---|
| `outcome` | both | `failed`, `succeeded`, or `unknown`: no response, an error after the act, the server log |
| `cluster`, `node`, `lane` | both | from the line's tag; without a tag, `node` is the host in the syslog header |
| `mount_type` | audit | `request.mount_type` without `ns_`, `generic` as `kv`; if not logged, that of a default mount |
| `mount_path` | audit | `request.path` below `request.mount_point`; if not logged, below the path's first part |
| `own_login`, `secret_in_clear` | audit | `true` if `users/NAME` in the path is the caller; for a credential in clear |
| `repeated_members` | audit | the names that an object has twice |
| `partial`, `undecided` | both | the exceeded limit (`bytes`, `values`, `depth`); the rules that are undecided for it |
| `local.hour`, `local.weekday` | both | 0 to 23; 1 (Monday) to 7 (Sunday); in the `timezone` setting |
| `level`, `module`, `message`, `fields.*`, `raw` | server | parts of a server-log message; `raw` is all of it |

Slashes that stand together in `request.path` and `mount_path` are one: `sys/mounts//x` mounts `x`, too.
"""

from __future__ import annotations

import operator
from collections.abc import Collection
from datetime import tzinfo
from typing import Any

import msgspec

from vaultwatch.reading.budget import MAX_MESSAGE_BYTES
from vaultwatch.reading.identity import Outcome, outcome, parse_time
from vaultwatch.reading.left_out import LEFT_OUT, NOTE, LeftOut, Path
from vaultwatch.reading.records import AuditEntry, Origin, ServerMessage
from vaultwatch.redaction import holds_secret

View = dict[str, Any]

AUDIT_DERIVED = frozenset(
    {
        "outcome",
        "cluster",
        "node",
        "lane",
        "mount_type",
        "mount_path",
        "own_login",
        "secret_in_clear",
        "partial",
        "undecided",
        "repeated_members",
        "local",
    }
)
SERVER_FIELDS = frozenset(
    {"outcome", "cluster", "node", "lane", "local", "time", "level", "module", "message", "fields", "raw"}
    | {"partial", "undecided"}
)

_MOUNT = (("request", "path"), ("request", "mount_point"), ("request", "mount_type"))
_CALLER = (("request", "namespace", "path"), ("auth", "display_name"), ("auth", "metadata", "username"))
CALLER_AND_PATH = (*_MOUNT, *_CALLER)
"""What `own_login` is derived from."""
_DERIVED_FROM = {
    "outcome": (("type",), ("error",), ("response", "data"), ("response", "secret")),
    "mount_type": _MOUNT,
    "mount_path": _MOUNT,
    "own_login": CALLER_AND_PATH,
    "local": (("time",),),
}
_MOST_LEVELS = 2
"""How deep in the data of a request rules name members: `request.data.config.x`."""
_CONTAINERS = (dict, list)
_MOST_NAMESPACES = 100  # nested; bounds the time for a hostile mount point
_USERS = "users/"
_OF_NAMESPACES = "ns_"
"""What servers put before the types of some mounts of a namespace."""
DEFAULT_MOUNTS = {
    "secret/": "kv",
    "kv/": "kv",
    "sys/": "system",
    "identity/": "identity",
    **{f"{name}/": name for name in ("cubbyhole", "pki", "transit", "ssh", "aws", "azure", "gcp", "database")},
    **{f"{name}/": name for name in ("consul", "nomad", "rabbitmq", "totp", "kmip", "transform", "kubernetes")},
    **{f"auth/{name}/": name for name in ("token", "userpass", "approle", "ldap", "jwt", "oidc", "kubernetes")},
    **{f"auth/{name}/": name for name in ("aws", "gcp", "azure", "github", "cert", "okta", "radius", "kerberos")},
}


def logged_types(kind: str) -> tuple[str, ...]:
    """Return the types as which servers log the mounts whose type is this one, unless they log none."""
    names = ("kv", "generic") if kind == "kv" else (kind,)
    return *names, *(_OF_NAMESPACES + name for name in names)


def mount_of(path: str, mount_point: str | None, mount_type: str | None) -> tuple[str | None, str | None]:
    """Return the type of a request's mount, and the path below the mount; None for what is not known.

    Vault before 1.14 logs no mount point: then the mount is the first part of the path. Before 1.5 it logs no type
    either: then the type is known only for mounts under their default name.
    """
    first_part = path[: path.find("/", 5 if path.startswith("auth/") else 0) + 1]
    kind = mount_type.removeprefix(_OF_NAMESPACES) if mount_type else DEFAULT_MOUNTS.get(first_part)
    point = mount_point or (first_part if kind else "")
    for _ in range(_MOST_NAMESPACES):  # OpenBao 2.6: `team-a/secret/`, where the path has no namespace
        if path.startswith(point):
            break
        point = point.partition("/")[2]
    below = path[len(point) :] if point.endswith("/") and path.startswith(point) else None
    return "kv" if kind == "generic" else kind, below


def is_own_login(fields: dict[str, Any], mount_path: str | None) -> bool | None:
    """Return whether a path such as `users/alice/password` names the user who calls; None if it does not.

    The token of a login is named after the mount and the user: `userpass-alice`, or `team-b-auth-userpass-alice` in a
    namespace. Whoever creates a token may choose its metadata, but not this name.
    """
    if not mount_path or not mount_path.startswith(_USERS):
        return None
    user = mount_path.removeprefix(_USERS).partition("/")[0].casefold()
    auth, request = (found if type(found := fields.get(name)) is dict else {} for name in ("auth", "request"))
    metadata, namespace = auth.get("metadata"), request.get("namespace")
    name = _text(metadata.get("username")) if type(metadata) is dict else ""
    above = _text(namespace.get("path")) if type(namespace) is dict else ""
    path, point, _ = _mount(request)
    mount = above + (point or path.removesuffix(mount_path)).removeprefix(above)
    called = mount.removeprefix("auth/").replace("/", "-") + user
    is_own = user != "" and name.casefold() == user and _text(auth.get("display_name")).casefold() == called
    return is_own or None


def audit_view(entry: AuditEntry, zone: tzinfo | None = None, *, with_secrets: bool = True) -> View:
    """Return an audit entry with its derived fields; `local` only if a zone is given."""
    fields = entry.fields
    request = fields["request"]
    mount_type, mount_path = mount_of(*_mount(request))
    ended: Outcome = "unknown" if entry.left_out.lacks(("error",)) else outcome(fields)
    derived: View = {"outcome": ended, "mount_type": mount_type, "mount_path": mount_path}
    if entry.partial:
        derived["partial"] = entry.partial
    derived["own_login"] = is_own_login(fields, mount_path)
    if entry.repeated:
        derived["repeated_members"] = list(entry.repeated)
    if with_secrets:
        derived["secret_in_clear"] = holds_secret(fields) or None  # absent, so that no keyword finds "false"
    view: View = {**fields, **derived, **_origin(entry.origin), "local": _local(fields.get("time"), zone)}
    data, path = request.get("data"), _text(request.get("path"))
    if (known := in_any_case(data)) is not data:
        view["request"] = {**request, "data": known}
    return for_rules(view) if "//" in path else view


def view_of_few(fields: dict[str, Any], origin: Origin, zone: tzinfo | None, asked: Collection[str]) -> View:
    """Return the view of some fields of an audit entry, with the derived ones that are asked for and cost time.

    Args:
        fields: The fields, which become the view.
        origin: Where the entry came from.
        zone: The time zone of `local`.
        asked: What is asked for, by the first part of its name.
    """
    request = fields["request"]
    if "outcome" in asked:
        fields["outcome"] = outcome(fields)
    if "mount_type" in asked or "mount_path" in asked:
        fields["mount_type"], fields["mount_path"] = mount_of(*_mount(request))
    if "own_login" in asked:
        fields["own_login"] = is_own_login(fields, mount_of(*_mount(request))[1])
    if "local" in asked:
        fields["local"] = _local(fields.get("time"), zone)
    if "data" in request:
        request["data"] = in_any_case(request["data"])
    fields["cluster"], fields["node"], fields["lane"] = origin.cluster, origin.node, origin.lane
    return fields


def as_logged(view: View, entry: AuditEntry) -> View:
    """Return the view of an entry with its path as logged, for whatever is not a rule: `a//b` is no repeat of `a/b`."""
    request = entry.fields["request"]
    if view["request"].get("path") == request.get("path"):
        return view
    _, mount_path = mount_of(*_mount(request))
    return {**view, "request": {**view["request"], "path": request["path"]}, "mount_path": mount_path}


def for_rules(view: View) -> View:
    """Return a view with one slash where several stand together in a path: Vault and its engines drop one of two."""
    below = view.get("mount_path")
    request = {**view["request"], "path": one_slash(view["request"]["path"])}
    return {**view, "request": request, **({"mount_path": one_slash(below)} if below else {})}


def one_slash(path: str) -> str:
    """Return a path with one slash where several stand together."""
    while "//" in path:
        path = path.replace("//", "/")
    return path


def in_any_case(data: Any, levels: int = _MOST_LEVELS) -> Any:
    """Return the data of a request, where each member that is not in lower case is under that name, too.

    Vault decodes what creates a token, or configures a mount or the user lockout, with Go's mapstructure. For that,
    `Period` is `period` unless both are there, and a list of maps is one map.
    """
    if type(data) is list:
        if not any(type(item) in _CONTAINERS for item in data):
            return data
        items = [in_any_case(item, levels) for item in data]
        return data if all(map(operator.is_, items, data)) else items
    if levels == 0 or type(data) is not dict:
        return data
    names = "".join(data)
    if names.casefold() != names:
        data = {**{name.casefold(): value for name, value in data.items()}, **data}
    below = [(name, value) for name, value in data.items() if type(value) in _CONTAINERS]
    changed = {name: one for name, value in below if (one := in_any_case(value, levels - 1)) is not value}
    return {**data, **changed} if changed else data


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


class PartialView(msgspec.Struct, frozen=True):
    """What is known of a partial record.

    Attributes:
        known: Its view without what was left out.
        begun: The same, with the beginnings of texts that were cut.
        left_out: What was left out.
    """

    known: View
    begun: View
    left_out: LeftOut
    _lacks: dict[str, bool] = {}

    def lacks(self, field: str) -> bool:
        """Return whether something that was left out may belong to this field; many rules ask for the same ones."""
        if field not in self._lacks:
            self._lacks[field] = self._finds_left_out(field)
        return self._lacks[field]

    def _finds_left_out(self, field: str) -> bool:
        path = tuple(field.split("."))
        if path[0] in AUDIT_DERIVED:
            return _lacks_source(path[0], self.left_out)
        return self.left_out.lacks(path)

    def beginning(self, field: str) -> str:
        """Return the beginning of a field's text that was cut; "" if there is none."""
        return self.left_out.beginnings.get(tuple(field.split(".")), "")


def partial_audit_view(entry: AuditEntry, zone: tzinfo | None = None) -> PartialView:
    """Return what is known of a partial audit entry."""
    logged = {name: value for name, value in entry.fields.items() if name != NOTE}
    known, begun = (
        audit_view(msgspec.structs.replace(entry, fields=entry.left_out.known(logged, beginnings=keeps)), zone)
        for keeps in (False, True)
    )
    for name in _DERIVED_FROM:
        if _lacks_source(name, entry.left_out):
            known[name] = begun[name] = None
    return PartialView(known, begun, entry.left_out)


def partial_server_view(message: ServerMessage, view: View) -> PartialView:
    """Return what is known of a partial server-log message.

    Args:
        message: The message.
        view: Its view.
    """
    left_out: dict[Path, str] = {("fields",): ""}
    for name in ("module", "message"):
        if view[name].endswith(LEFT_OUT):
            left_out[name,] = ""
    if len(message.raw) > MAX_MESSAGE_BYTES:
        left_out[("raw",)] = view["raw"]
        left_out.setdefault(("message",), view["message"])
    cut = {path[0]: beginning or None for path, beginning in left_out.items() if path != ("fields",)}
    return PartialView({**view, **dict.fromkeys(cut)}, {**view, **cut}, LeftOut(left_out))


def _lacks_source(name: str, left_out: LeftOut) -> bool:
    """Return whether a derived field is not known, because fields that it is derived from were left out."""
    if name == "secret_in_clear":
        return True
    if name == "outcome" and left_out.lacks_below(("response", "data")):
        return True
    return any(map(left_out.lacks, _DERIVED_FROM.get(name, ())))


def _mount(request: dict[str, Any]) -> tuple[str, str, str]:
    return _text(request.get("path")), _text(request.get("mount_point")), _text(request.get("mount_type"))


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
