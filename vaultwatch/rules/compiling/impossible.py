"""Why a test of a field never passes for anything that Vault or OpenBao logs."""

from __future__ import annotations

import re
from typing import Any

from vaultwatch.errors import did_you_mean
from vaultwatch.reading.hclog import LEVELS
from vaultwatch.rules.compiling.regexes import always_begins
from vaultwatch.rules.conditions import (
    Boolean,
    Cidr,
    Condition,
    Exists,
    FieldReference,
    Given,
    Keyword,
    Never,
    Number,
    Regex,
    Text,
)
from vaultwatch.rules.facts import Service
from vaultwatch.rules.predicates import predicate

_OPERATIONS = (
    *("create", "read", "update", "patch", "delete", "list", "scan", "help", "alias-lookahead", "resolve-role"),
    *("header", "recover", "revoke", "renew", "rollback"),
)
_OF_BOTH: dict[str, tuple[Any, ...]] = {
    "local.hour": tuple(range(24)),
    "local.weekday": tuple(range(1, 8)),
    "partial": ("bytes", "values", "depth"),
}
_CHOICES: dict[Service, dict[str, tuple[Any, ...]]] = {
    "audit": {
        "request.operation": _OPERATIONS,
        "type": ("request", "response"),
        "outcome": ("failed", "succeeded", "unknown"),
        "secret_in_clear": (True,),
        **_OF_BOTH,
    },
    "server": {"level": tuple(sorted(LEVELS - {""})), "outcome": ("unknown",), **_OF_BOTH},
}
"""Fields with few values, and all of them."""
_OTHER_WORDS = {"write": "create and update", "put": "create and update", "post": "update", "get": "read"}
_RANGES = {"local.hour": "0 to 23", "local.weekday": "1 (Monday) to 7 (Sunday)"}
_OTHER_TYPES = re.compile(r"generic|kv[-_]?v?[12]")
_MOUNT_TYPE = re.compile(r"mount_type|(request|response)\.mount_type")
_PATHS = frozenset({"request.path", "mount_path"})
_ADDRESS = re.compile(r"request\.(remote_address|headers\.[\w-]*(forwarded-for|real-ip|client-ip))")
_NETWORK = re.compile(r"[0-9a-f.:*?]+/[0-9]{1,3}\*?")
_MODULES = (
    *(
        "core",
        "audit",
        "storage",
        "expiration",
        "rollback",
        "secrets",
        "auth",
        "seal",
        "seals",
        "identity",
        "namespace",
    ),
    *("system", "http", "agent", "policy", "replication", "token", "activity", "quotas", "mfa", "events", "proxy"),
)
_HEAD = re.compile(rf"(\[[a-z?]{{3,7}} ?\]|(?P<module>({'|'.join(_MODULES)})(\.[\w./()-]+)?): )", re.IGNORECASE)
"""What precedes a message in the server log, and is in fields of its own."""
_END_IN_SLASH = re.compile(r"(request|response)\.(namespace\.path|mount_point)")
_API_PREFIX = "v1/"
_API_IN_REGEX = re.compile(r"(\^|\\A|/)v1\\?/")
_TOKENS = re.compile(r"(request\.|auth\.|response\.auth\.)client_token|response\.wrap_info\.token")
_DATA = re.compile(r"(?P<side>request|response)\.data\..*")
_NO_SLASH = "no path in the log begins with a slash"
_IN_SLASHES = re.compile(r"/\^.*|.*\$/[a-z]*")
_SALTED = "hmac-sha256:"
_LOGGED_IN_CLEAR = re.compile(r"true|false|-?[0-9]+(\.[0-9]+)?|[0-9a-f]{4,64}")
_PLACEHOLDER = re.compile(r"%[a-z_][\w-]{2,}%", re.IGNORECASE)  # longer than an escape of a URL, as in %e2%80


def why_never(test: Condition, service: Service) -> str:
    """Return why a single test never passes; "" if it may.

    Args:
        test: A leaf of a condition.
        service: The log that the rule is for.
    """
    match test:
        case Never() | Exists() | Given() | FieldReference():
            return ""
        case Keyword(_, value):
            return _literal_placeholder(value)
        case Text(_, _, value):
            reason = _literal_placeholder(value) or (_never_in_entry if service == "audit" else _never_in_message)(test)
            return reason or _no_choice(test, value, service)
        case Regex(field, pattern):
            return _never_searched(field, pattern, service) or _no_choice(test, pattern, service)
        case Number(_, _, value):
            return _no_choice(test, str(value), service)
        case Boolean(_, wanted):
            return _no_choice(test, str(wanted).lower(), service)
        case _:
            return ""


def why_seldom(test: Condition) -> str:
    """Return why a single test of an audit entry passes only in special cases, if it passes at all; "" if it may."""
    match test:
        case Text(field, how, value) if field in _PATHS and _has_api_prefix(how, value):
            return f"paths are logged without /v1/, as in `{value.partition(_API_PREFIX)[2]}`"
        case Regex("request.path" | "mount_path", pattern) if _API_IN_REGEX.search(pattern):
            return "paths are logged without /v1/"
        case Text(field, _, value) if not _may_be_hashed(value):
            return _hashed(field)
        case Regex(field, pattern) if "hmac" not in pattern:
            return _hashed(field)
        case Cidr(field):
            return _hashed(field)
        case _:
            return ""


def _literal_placeholder(value: str) -> str:
    found = _PLACEHOLDER.search(value)
    return f"{found.group()} is compared literally: the modifier `expand` fills in a placeholder" if found else ""


def _never_in_entry(test: Text) -> str:
    field, how, value = test.field, test.how, test.value
    begins, ends = how in ("eq", "prefix", "glob"), how in ("eq", "suffix")
    is_folder = _END_IN_SLASH.fullmatch(field) is not None
    if begins and value.startswith("/") and (is_folder or field in _PATHS):
        return f"{_NO_SLASH}: write `{value.lstrip('/').removeprefix(_API_PREFIX)}`"
    if ends and is_folder and not value.endswith("/"):
        return f"{field} ends with a slash: write `{value}/`"
    if _ADDRESS.fullmatch(field) and _NETWORK.fullmatch(value.lower()):
        return f"it is an address, not a network: write `{field}|cidr`"
    if how == "eq" and _MOUNT_TYPE.fullmatch(field):
        return _no_mount_type(field, value.lower())
    return ""


def _no_mount_type(field: str, value: str) -> str:
    if _OTHER_TYPES.fullmatch(value) and (value != "generic" or field == "mount_type"):
        return "Vault logs `kv` for both versions"
    if value.startswith("ns_") and field == "mount_type":
        return f"it is without ns_: write `{value.removeprefix('ns_')}`"
    return "the type of sys/ is `system`" if value == "sys" else ""


def _never_in_message(test: Text) -> str:
    begins = test.how in ("eq", "prefix", "glob")
    found = _HEAD.match(test.value) if begins and test.field == "message" else None
    if not found:
        return ""
    if module := found["module"]:
        return f"the module is a field of its own: write `module: {module}` and `message` without `{found.group()}`"
    return "the level is a field of its own, `level`"


def _never_searched(field: str, pattern: str, service: Service) -> str:
    """Return why a search for a pattern finds nothing, from how each of its alternatives begins."""
    if service == "audit" and field in _PATHS and always_begins(pattern, "/"):
        return f"{_NO_SLASH}: write `^` without the slash after it"
    if service == "server" and field == "message":
        for module in _MODULES:
            if always_begins(pattern, f"{module}: "):
                return f"the module is a field of its own: write `module: {module}` and `message` without `{module}: `"
    return "the slashes around it are compared too: leave them out" if _IN_SLASHES.fullmatch(pattern) else ""


def choices_of(field: str, service: Service) -> tuple[Any, ...]:
    """Return all values of a field that has few; () for others."""
    return _CHOICES[service].get(field, ())


def record_with(field: str, value: Any) -> dict[str, Any]:
    """Return the view of a record that has nothing but one value."""
    record: Any = value
    for part in reversed(field.split(".")):
        record = {part: record}
    return dict(record)


def _no_choice(test: Text | Regex | Number | Boolean, value: str, service: Service) -> str:
    field = test.field
    choices = choices_of(field, service)
    if not choices or any(map(predicate(test), (record_with(field, choice) for choice in choices))):
        return ""
    if field in _RANGES:
        return f"it is {_RANGES[field]}"
    if field == "secret_in_clear":
        return "it is true or absent: write `secret_in_clear: null`"
    meant = _OTHER_WORDS.get(value.lower()) if field == "request.operation" else None
    hint = f": Vault logs {meant}" if meant else did_you_mean(value, choices) or f": it is one of {', '.join(choices)}"
    return f"no record has this value{hint}"


def _has_api_prefix(how: str, value: str) -> bool:
    if how == "contains":
        return f"/{_API_PREFIX}" in value
    return how != "suffix" and value.startswith(_API_PREFIX)


def _may_be_hashed(value: str) -> bool:
    """Return whether a value can be part of a hash, or of what is not hashed: numbers and booleans."""
    return value.startswith(_SALTED) or _SALTED.startswith(value) or _LOGGED_IN_CLEAR.fullmatch(value) is not None


def _hashed(field: str) -> str:
    if _TOKENS.fullmatch(field):
        return "tokens are logged as hmac-sha256:..., unless the audit device has log_raw"
    if found := _DATA.fullmatch(field):
        keys = f"audit_non_hmac_{found['side']}_keys"
        return f"texts in {found['side']}.data are logged as hmac-sha256:..., unless {keys} of the mount names them"
    return ""
