"""Write the sentence of an alert: who did what to which path, from where, with what outcome.

`userpass-alice (127.0.0.1) updated policy ops: succeeded`. Text from a log is shortened, made printable and free of
secrets. Unless it is a plain name it is in quotation marks, so that no text can imitate the end of the sentence. A
request that was denied is never described as if it had been carried out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from vaultwatch.patterns import on_first_use
from vaultwatch.printable import one_line, quoted, quoted_address, quoted_time
from vaultwatch.reading.bounds import brief
from vaultwatch.reading.identity import Outcome
from vaultwatch.reading.view import mount_of
from vaultwatch.redaction import SALTED
from vaultwatch.rules.correlations import Counted

_NAME_LIMIT, _PATH_LIMIT, _ERROR_LIMIT = 200, 400, 200
_FIELD_LIMIT, _FIELDS_LIMIT = 200, 600
_COUNTED_LIMIT = 100
_COUNTED = {
    "event_count": "events",
    "temporal": "rules matched",
    "temporal_ordered": "rules matched one after the other",
}
_MOST_PARTS = 20  # of the path of a request to an auth method
_IDENTITY = ("auth.entity_id", "auth.display_name")
"""Fields that the name of a caller stands for."""
_PLAIN_ERRORS = frozenset(
    ("permission denied", "invalid credentials", "invalid token", "missing client token", "unsupported operation")
)
"""Vault's own words, of which no client controls any."""


_AUTH = "auth"
"""The mount type of acts of any auth method, whose first group is the path of the method."""


class _Act(NamedTuple):
    """The meaning of requests to a path: `{}` in `what` is the pattern's group. `mount_type` is "" for whole paths."""

    operations: str
    path: Callable[[], re.Pattern[str]]
    present: str
    past: str
    what: str
    mount_type: str = ""


def _act(operations: str, path: str, verbs: str, what: str, mount_type: str = "") -> _Act:
    present, _, past = verbs.partition("/")
    return _Act(operations, on_first_use(path, re.DOTALL), present, past, what, mount_type)


_REKEY = "(?:rekey|rekey-recovery-key|rotate/root|rotate/recovery)"
_OIDC = "(key|client|provider|assignment|scope|role)"
_WRITE = "create update patch"
_ACTS = (
    _act("create update patch", r"sys/polic(?:y|ies/(?:acl|rgp|egp))/(.+)", "update/updated", "policy {}"),
    _act("delete", r"sys/polic(?:y|ies/(?:acl|rgp|egp))/(.+)", "delete/deleted", "policy {}"),
    _act("update", r"sys/audit/(.+)", "enable/enabled", "audit device {}"),
    _act("delete", r"sys/audit/(.+)", "disable/disabled", "audit device {}"),
    _act("update", r"sys/(?:auth|mounts)/(.+)/tune", "tune/tuned", "the mount {}"),
    _act("update", r"sys/auth/(.+)", "enable/enabled", "auth method {}"),
    _act("delete", r"sys/auth/(.+)", "disable/disabled", "auth method {}"),
    _act("update", r"sys/mounts/(.+)", "enable/enabled", "secrets engine {}"),
    _act("delete", r"sys/mounts/(.+)", "disable/disabled", "secrets engine {}"),
    _act("update patch", r"sys/namespaces/([^/]+/?)", "write/wrote", "namespace {}"),
    _act("delete", r"sys/namespaces/([^/]+/?)", "delete/deleted", "namespace {}"),
    _act("update", r"sys/generate-root(?:-token)?/attempt", "start generating/started generating", "a root token"),
    _act("delete", r"sys/generate-root(?:-token)?/attempt", "cancel/cancelled", "the generation of a root token"),
    _act("update", r"sys/generate-root(?:-token)?/update", "submit/submitted", "a key share for a root token"),
    _act("update", f"sys/{_REKEY}/init", "start/started", "a rekey"),
    _act("update", f"sys/{_REKEY}/(?:update|verify)", "submit/submitted", "a key share for a rekey"),
    _act("delete", f"sys/{_REKEY}/(?:init|verify)", "cancel/cancelled", "a rekey"),
    _act("update", r"sys/rotate(?:/keyring)?", "rotate/rotated", "the encryption key"),
    _act("update", r"sys/rotate/root", "rotate/rotated", "the root key"),
    _act("update", r"sys/rotate(?:/keyring)?/config", "change/changed", "the rotation of the encryption key"),
    _act("update", r"sys/seal", "seal/sealed", "the server"),
    _act("update", r"sys/step-down", "make/made", "the active node step down"),
    _act("read", r"sys/storage/raft/snapshot", "take/took", "a snapshot of the storage"),
    _act("update create", r"sys/storage/raft/snapshot(?:-force)?", "restore/restored", "a snapshot of the storage"),
    _act("update", r"sys/storage/raft/remove-peer", "remove/removed", "a node from the raft cluster"),
    _act("update", r"sys/plugins/catalog/(.+)", "register/registered", "plugin {}"),
    _act("delete", r"sys/plugins/catalog/(.+)", "deregister/deregistered", "plugin {}"),
    _act("update", r"sys/(?:leases/)?revoke-(?:prefix|force)/(.+)", "revoke/revoked", "all leases below {}"),
    _act("update", r"sys/wrapping/unwrap", "unwrap/unwrapped", "a wrapped response"),
    _act("update", r"sys/audit-hash/(.+)", "compute/computed", "a hash of audit device {}"),
    _act("update", r"sys/config/cors", "change/changed", "CORS"),
    _act("delete", r"sys/config/cors", "disable/disabled", "CORS"),
    _act("update", r"sys/config/ui/headers/(.+)", "set/set", "header {} of the web interface"),
    _act("update", r"sys/loggers", "change/changed", "the log level"),
    _act("update", r"sys/loggers/(.+)", "change/changed", "the log level of {}"),
    _act("delete", r"sys/loggers(?:/.+)?", "reset/reset", "the log level"),
    _act("update", r"sys/quotas/(rate-limit|lease-count)/(.+)", "set/set", "{} quota {}"),
    _act("delete", r"sys/quotas/(rate-limit|lease-count)/(.+)", "remove/removed", "{} quota {}"),
    _act("update", r"sys/quotas/config", "change/changed", "the settings of quotas"),
    _act(_WRITE, r"sys/policies/password/(.+)", "write/wrote", "password policy {}"),
    _act("delete", r"sys/policies/password/(.+)", "delete/deleted", "password policy {}"),
    _act("update", r"sys/remount", "move/moved", "a mount"),
    _act("update", r"sys/namespaces/api-lock/lock/(.+)", "lock/locked", "namespace {}"),
    _act("update", r"sys/namespaces/api-lock/unlock/(.+)", "unlock/unlocked", "namespace {}"),
    _act("update", r"sys/namespaces/(.+)/seal", "seal/sealed", "namespace {}"),
    _act("update", r"sys/namespaces/(.+)/unseal", "unseal/unsealed", "namespace {}"),
    _act("update", r"sys/locked-users/[^/]+/unlock/(.+)", "unlock/unlocked", "user {}"),
    _act("update", r"sys/plugins/reload/.+", "reload/reloaded", "a plugin"),
    _act("update", r"identity/entity/merge", "merge/merged", "entities"),
    _act("update", r"identity/entity/batch-delete", "delete/deleted", "entities"),
    _act(_WRITE, r"identity/entity-alias(?:/id/.+)?", "write/wrote", "the alias of an entity"),
    _act("delete", r"identity/entity-alias/id/.+", "delete/deleted", "the alias of an entity"),
    _act(_WRITE, r"identity/group-alias(?:/id/.+)?", "write/wrote", "the alias of a group"),
    _act("delete", r"identity/group-alias/id/.+", "delete/deleted", "the alias of a group"),
    _act(_WRITE, r"identity/entity", "write/wrote", "an entity"),
    _act(_WRITE, r"identity/group", "write/wrote", "a group"),
    _act(_WRITE, r"identity/(entity|group)/(?:id|name)/(.+)", "write/wrote", "{} {}"),
    _act("delete", r"identity/(entity|group)/(?:id|name)/(.+)", "delete/deleted", "{} {}"),
    _act(_WRITE, r"identity/mfa/login-enforcement/(.+)", "write/wrote", "MFA enforcement {}"),
    _act("delete", r"identity/mfa/login-enforcement/(.+)", "delete/deleted", "MFA enforcement {}"),
    _act("update", r"identity/mfa/method/totp/admin-generate", "generate/generated", "the TOTP secret of a user"),
    _act("update", r"identity/mfa/method/totp/admin-destroy", "destroy/destroyed", "the TOTP secret of a user"),
    _act(_WRITE, r"identity/mfa/method/([^/]+)(?:/.+)?", "write/wrote", "an MFA method of type {}"),
    _act("delete", r"identity/mfa/method/([^/]+)/.+", "delete/deleted", "an MFA method of type {}"),
    _act("update", r"identity/oidc/key/([^/]+)/rotate", "rotate/rotated", "OIDC key {}"),
    _act(_WRITE, f"identity/oidc/{_OIDC}/([^/]+)", "write/wrote", "OIDC {} {}"),
    _act("delete", f"identity/oidc/{_OIDC}/([^/]+)", "delete/deleted", "OIDC {} {}"),
    _act("update", r"identity/oidc/config", "change/changed", "the issuer of OIDC tokens"),
    _act("update create", r"(login(?:/.*)?)", "log in/logged in", "at auth/{}/{}", _AUTH),
    _act("update", r"auth/token/create(?:-orphan|/.+)?", "create/created", "a token"),
    _act("update", r"auth/token/revoke(?:-self|-orphan|-accessor)?", "revoke/revoked", "a token"),
    _act(_WRITE, r"auth/token/roles/(.+)", "write/wrote", "token role {}"),
    _act("delete", r"auth/token/roles/(.+)", "delete/deleted", "token role {}"),
    _act(_WRITE, r"users/([^/]+)/password", "set/set", "the password of user {1} of auth method {0}", _AUTH),
    _act(_WRITE, r"users/([^/]+)(?:/policies)?", "write/wrote", "user {1} of auth method {0}", _AUTH),
    _act("delete", r"users/([^/]+)", "delete/deleted", "user {1} of auth method {0}", _AUTH),
    _act("update", r"role/([^/]+)/secret-id", "create/created", "a secret id of role {1} of auth method {0}", _AUTH),
    _act("update", r"role/([^/]+)/custom-secret-id", "set/set", "a secret id of role {1} of auth method {0}", _AUTH),
    _act(_WRITE, r"role/([^/]+)(?:/(?!secret-id)[^/]+)?", "write/wrote", "role {1} of auth method {0}", _AUTH),
    _act("delete", r"role/([^/]+)", "delete/deleted", "role {1} of auth method {0}", _AUTH),
    _act(_WRITE, r"groups/([^/]+)", "write/wrote", "group {1} of auth method {0}", _AUTH),
    _act("delete", r"groups/([^/]+)", "delete/deleted", "group {1} of auth method {0}", _AUTH),
    _act(_WRITE, r"certs/([^/]+)", "write/wrote", "certificate {1} of auth method {0}", _AUTH),
    _act("delete", r"certs/([^/]+)", "delete/deleted", "certificate {1} of auth method {0}", _AUTH),
    _act(_WRITE, r"config(?:/.+)?", "configure/configured", "auth method {}", _AUTH),
    _act("update", r"(?:issuer/[^/]+/)?issue/(.+)", "issue/issued", "a certificate with role {}", "pki"),
    _act("update", r"(?:issuer/[^/]+/)?sign/(.+)", "sign/signed", "a certificate with role {}", "pki"),
    _act("read", r"export/[^/]+/([^/]+).*", "export/exported", "transit key {}", "transit"),
    _act("update", r"keys/([^/]+)/trim", "delete/deleted", "old versions of transit key {}", "transit"),
    _act("update", r"keys/([^/]+)/config", "change/changed", "the settings of transit key {}", "transit"),
    _act("update", r"keys/([^/]+)", "create/created", "transit key {}", "transit"),
    _act("delete", r"keys/([^/]+)", "delete/deleted", "transit key {}", "transit"),
    _act("update", r"restore/(.+)", "restore/restored", "transit key {}", "transit"),
    _act("update", r"keys/([^/]+)/import(?:_version)?", "import/imported", "transit key {}", "transit"),
    _act("read", r"byok-export/[^/]+/([^/]+).*", "export/exported", "transit key {}", "transit"),
    _act("read", r"backup/(.+)", "back up/backed up", "transit key {}", "transit"),
    _act("update", r"(?:root|issuer/[^/]+)/sign-(?:intermediate|self-issued)", "sign/signed", "a CA", "pki"),
    _act("update", r"(?:root/(?:generate|rotate)|issuers/generate/root)/.+", "generate/generated", "a root CA", "pki"),
    _act("delete", r"root", "delete/deleted", "all issuers and keys", "pki"),
    _act("update", r"config/ca|issuers/import/.+|keys/import", "import/imported", "a CA or its key", "pki"),
    _act("update", r"config/issuers", "change/changed", "the default CA", "pki"),
    _act("update", r"(?:issuer/[^/]+/)?sign-verbatim(?:/.+)?", "sign/signed", "a certificate without a role", "pki"),
    _act(_WRITE, r"roles/(.+)", "write/wrote", "PKI role {}", "pki"),
    _act(_WRITE, r"config/(.+)", "change/changed", "the setting {} of the PKI engine", "pki"),
    _act("update", r"config/ca", "write/wrote", "the SSH CA", "ssh"),
    _act("delete", r"config/ca", "delete/deleted", "the SSH CA", "ssh"),
    _act(_WRITE, r"roles/(.+)", "write/wrote", "SSH role {}", "ssh"),
    _act(_WRITE, r"config/(.+)", "configure/configured", "database connection {}", "database"),
    _act(_WRITE, r"roles/(.+)", "write/wrote", "database role {}", "database"),
    _act("update", r"rotate-root/(.+)", "rotate/rotated", "the root credentials of {}", "database"),
    _act("update", r"destroy/(.+)", "destroy/destroyed", "versions of secret {}", "kv"),
    _act("delete", r"metadata/(.+)", "delete/deleted", "secret {} with all its versions", "kv"),
    _act("update create", r"config", "change/changed", "the settings of the engine", "kv"),
)
_ACTS_OF = {
    operation: tuple(act for act in _ACTS if operation in act.operations.split())
    for operation in {operation for act in _ACTS for operation in act.operations.split()}
}
_PLAIN = {
    "read": ("read", "read"),
    "list": ("list", "listed"),
    "scan": ("scan", "scanned"),
    "delete": ("delete", "deleted"),
    "patch": ("patch", "patched"),
    "create": ("write", "wrote"),
    "update": ("write", "wrote"),
    "recover": ("recover", "recovered"),
}
_OF_SECRETS = {"create": ("create", "created"), "update": ("update", "updated")}


def sentence(entry: dict[str, Any], outcome: Outcome, error: str) -> str:
    """Return the sentence about an audited request.

    Args:
        entry: The audit entry, request or response.
        outcome: How the request ended.
        error: The error's own words, from `error_words`; "" if there are none.
    """
    request = _object(entry.get("request"))
    address = _address(request.get("remote_address"))
    namespace = _named(_object(request.get("namespace")).get("path"), _NAME_LIMIT)
    who = caller(entry) + (f" ({address})" if address else "")
    where = f" in namespace {namespace}" if namespace else ""
    return f"{who} {_deed(request, outcome)}{where}: {outcome_words(outcome, error)}"


def message_sentence(node: str, module: str, message: str, fields: dict[str, Any]) -> str:
    """Return the sentence about a server-log message: `vault-1 logged: "core: root generation finished nonce=1b2c"`.

    Args:
        node: The node that logged it, "" if that is not known.
        module: The module in the message, "" if it names none.
        message: The message itself, without its fields.
        fields: The message's fields.
    """
    pairs = " ".join(f"{key}={text}" for key, value in fields.items() if (text := brief(value, _FIELD_LIMIT)))
    head = f"{module}: " if module else ""
    logged = _shown(f"{head}{message}", _PATH_LIMIT) + (f" {_shown(pairs, _FIELDS_LIMIT)}" if pairs else "")
    return f"{_named(node, _NAME_LIMIT) or 'the server'} logged: {quoted(logged)}"


def counted_sentence(first: dict[str, Any], counted: Counted) -> str:
    """Return the sentence about what a correlation counted: by whom, how many, in what time, what, from when to when.

    `userpass-bob: at least 2 different request.path in the 10 minutes from 2026-11-21T07:20:00Z: secret/data/a,
    secret/data/b; first at ..., last at ...`.

    Args:
        first: A part of the first record.
        counted: What was counted.
    """
    if counted.type == "first_seen":
        return _first_seen_sentence(first, counted)
    if counted.type == "absence":
        return _absence_sentence(counted)
    what = _COUNTED.get(counted.type, f"different {counted.of}")
    listed = ", ".join(_named(value, _COUNTED_LIMIT) for value in counted.values)
    times = f"first at {quoted_time(_shown(counted.first[0], 64))}, last at {quoted_time(_shown(counted.last[0], 64))}"
    named = ", ".join(dict.fromkeys(_group_names(first, counted.by)))
    said = f"at least {counted.least} {what} in the {_span(counted.timespan_seconds)} from {counted.window}"
    where = ", ".join(_named(cluster, _COUNTED_LIMIT) for cluster in counted.clusters)
    said += f": {listed}" if listed else ""
    return f"{named}{': ' if named else ''}{said}; {times}{f'; on the clusters {where}' if where else ''}"


def _first_seen_sentence(first: dict[str, Any], counted: Counted) -> str:
    """Return the sentence about what was not seen before: `userpass-bob (10.0.0.7): first seen with ...; at ...`."""
    others = {field: value for field, value in counted.by.items() if field not in _IDENTITY and value}
    who = caller(first) if len(others) < len(counted.by) else ""
    pairs = ", ".join(f"{field} {_named(value, _PATH_LIMIT)}" for field, value in others.items())
    at = quoted_time(_shown(counted.first[0], 64))
    listed = ", ".join(_named(value, _COUNTED_LIMIT) for value in counted.values)
    said = f"first seen{' with ' if who and pairs else ': ' if pairs else ''}{pairs}"
    return f"{who}{': ' if who else ''}{said}{f' ({listed})' if listed else ''}; at {at}"


def _absence_sentence(counted: Counted) -> str:
    """Return the sentence about what did not come: `cluster prod: nothing in the 26 hours until ...; last at ...`."""
    named = ", ".join(f"{field} {_named(value, _PATH_LIMIT)}" for field, value in counted.by.items() if value)
    listed = ", ".join(_named(value, _COUNTED_LIMIT) for value in counted.values)
    said = f"nothing in the {_span(counted.timespan_seconds)} until {counted.window}"
    last = f"last at {quoted_time(_shown(counted.last[0], 64))}{f' ({listed})' if listed else ''}"
    return f"{named}{': ' if named else ''}{said}; {last}"


def _group_names(first: dict[str, Any], by: dict[str, str]) -> Iterator[str]:
    """Yield the name of what was counted by: a caller has one, whichever fields of `auth` identify it."""
    for field, value in by.items():
        if field.startswith("auth."):
            yield caller(first)
        elif value:
            shown = _address(value) if field == "request.remote_address" else _named(value, _PATH_LIMIT)
            yield shown if field in ("request.remote_address", "request.path") else f"{field} {shown}"


def _span(seconds: int) -> str:
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds % size == 0:
            return f"{seconds // size} {unit}{'' if seconds == size else 's'}"
    return f"{seconds} seconds"


def caller(entry: dict[str, Any]) -> str:
    """Return who made a request, by the most readable name in its entry."""
    auth = _object(entry.get("auth"))
    name = _named(auth.get("display_name"), _NAME_LIMIT)
    role = _named(_object(auth.get("metadata")).get("role_name"), _NAME_LIMIT)
    if name and role and role != name and not name.endswith(f"-{role}"):
        return f"{name} {role}"
    if name == "root" and not auth.get("entity_id"):
        return "root token"
    if name and (name != "token" or auth.get("entity_id")):
        return name
    return _unnamed(auth)


def caller_with_id(entry: dict[str, Any]) -> str:
    """Return who made a request, with the entity's id, which is unique: `userpass-alice (entity 04af…)`."""
    auth = _object(entry.get("auth"))
    name, entity = caller(entry), _named(auth.get("entity_id"), _NAME_LIMIT)
    if not entity or entity in name:
        return name
    return f"{name} (entity {entity})"


def _unnamed(auth: dict[str, Any]) -> str:
    """Return a name for a token without an entity: all of them are called "token", but an accessor may be in clear."""
    entity, accessor = _named(auth.get("entity_id"), _NAME_LIMIT), _shown(auth.get("accessor"), _NAME_LIMIT)
    if entity:
        return f"entity {entity}"
    if accessor:
        return "token without a name" if accessor.startswith(SALTED) else f"token with accessor {quoted(accessor)}"
    return "token without a name" if auth.get("display_name") or auth.get("policies") else "unauthenticated client"


def outcome_words(outcome: Outcome, error: str) -> str:
    """Return how a request ended, in words.

    Args:
        outcome: How it ended.
        error: The error's own words; "" if the log has none in clear.
    """
    if outcome == "succeeded":
        return "succeeded"
    if outcome == "unknown":
        return f"may have succeeded: {quoted(error)}" if error else "no response logged"
    if not error:
        return "denied or failed"
    words = error if error in _PLAIN_ERRORS else quoted(error)
    return f"denied: {words}" if is_denial(error) else f"failed: {words}"


def is_denial(error: str) -> bool:
    """Return whether an error's own words say that the caller had no permission."""
    return "permission denied" in error


def error_words(entry: dict[str, Any]) -> str:
    """Return the error's own words, shortened to one line; "" if there is none, or only its hash.

    Args:
        entry: An audit entry, request or response.
    """
    data = _object(_object(entry.get("response")).get("data"))
    for found in (entry.get("error"), data.get("error"), data.get("errors")):
        texts = [text for text in (found if isinstance(found, list) else [found]) if isinstance(text, str)]
        words = "; ".join(_without_frame(text) for text in texts if text and not text.startswith(SALTED))
        if words:
            return _shown(words, _ERROR_LIMIT)
    return ""


def _without_frame(error: str) -> str:
    r"""Remove what Go's multierror puts around errors: `1 error occurred:\n\t* permission denied`."""
    head, _, listed = error.partition(" occurred:")
    if re.fullmatch(r"\d{1,9} errors?", head):
        error = "; ".join(part for part in listed.split("* ") if part.strip())
    return " ".join(brief(error, 4 * _ERROR_LIMIT).split()).replace(" ; ", "; ")


def _deed(request: dict[str, Any], outcome: Outcome) -> str:
    present, past, what = _meaning(request)
    if outcome == "succeeded":
        return f"{past} {what}"
    return f"{'tried' if outcome == 'failed' else 'asked'} to {present} {what}"


def _meaning(request: dict[str, Any]) -> tuple[str, str, str]:
    """Return the verb, in present and past tense, and its object."""
    operation, path = brief(request.get("operation"), 32), brief(request.get("path"))
    kind, below = mount_of(path, *(_text(request.get(key)) for key in ("mount_point", "mount_type")))
    for act in _ACTS_OF.get(operation, ()):
        groups = _groups(act, path, kind, below)
        if groups is not None:
            return act.present, act.past, act.what.format(*(_named(part, _PATH_LIMIT) for part in groups))
    shown = _named(path, _PATH_LIMIT) or "no path"
    known = _PLAIN | (_OF_SECRETS if kind in ("kv", "cubbyhole") else {})
    if operation in known:
        return (*known[operation], shown)
    operation = _named(operation, 32) or "an operation without a name"
    return f"call {operation} on", f"called {operation} on", shown


def _groups(act: _Act, path: str, kind: str | None, below: str | None) -> Sequence[str | None] | None:
    """Return the groups of an act's pattern, if it is the act of a request; None if it is not.

    Of an auth method, only what is below its mount decides: a role can be named `login`, and a mount `x/role/y`.
    """
    if act.mount_type == _AUTH and path.startswith("auth/"):
        for mount, rest in _mounts(path, below):
            if found := act.path().fullmatch(rest):
                return mount, *found.groups()
        return None
    tried = path if not act.mount_type else below if act.mount_type == kind else None
    found = act.path().fullmatch(tried) if tried else None
    return found.groups() if found else None


def _mounts(path: str, below: str | None) -> Iterator[tuple[str, str]]:
    """Yield the path of an auth method, and what is below it; any division if the log does not show the mount."""
    parts = path.split("/", _MOST_PARTS)[1:]
    for count in range(len(parts) - 1, 0, -1):
        mount, rest = "/".join(parts[:count]), "/".join(parts[count:])
        if below is None or rest == below:
            yield mount, rest


def _named(value: Any, limit: int) -> str:
    """Return a name or a path as a sentence shows it; "" if there is none."""
    shown = _shown(value, limit)
    return quoted(shown) if shown else ""


def _address(value: Any) -> str:
    shown = _shown(value, 64)
    return quoted_address(shown) if shown else ""


def _shown(value: Any, limit: int) -> str:
    return one_line(brief(value), limit)


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
