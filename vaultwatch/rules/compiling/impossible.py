"""Why a test of a field never passes for anything that Vault or OpenBao logs."""

from __future__ import annotations

import re
from typing import Any

from vaultwatch.errors import did_you_mean
from vaultwatch.reading.hclog import LEVELS
from vaultwatch.rules.conditions import Cidr, Condition, Exists, FieldReference, Keyword, Never, Regex, Text
from vaultwatch.rules.facts import Service
from vaultwatch.rules.predicates import predicate

_OPERATIONS = (
    *("create", "read", "update", "patch", "delete", "list", "scan", "help", "alias-lookahead", "resolve-role"),
    *("header", "recover", "revoke", "renew", "rollback"),
)
_CHOICES: dict[Service, dict[str, tuple[str, ...]]] = {
    "audit": {
        "request.operation": _OPERATIONS,
        "type": ("request", "response"),
        "outcome": ("failed", "succeeded", "unknown"),
    },
    "server": {"level": tuple(sorted(LEVELS - {""})), "outcome": ("unknown",)},
}
"""Fields with few values, and all of them."""
_OTHER_WORDS = {"write": "create and update", "put": "create and update", "post": "update", "get": "read"}
_PATHS = frozenset({"request.path", "mount_path"})
_END_IN_SLASH = re.compile(r"(request|response)\.(namespace\.path|mount_point)")
_API_PREFIX = "v1/"
_TOKENS = re.compile(r"(request\.|auth\.|response\.auth\.)client_token|response\.wrap_info\.token")
_DATA = re.compile(r"(?P<side>request|response)\.data\..*")
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
        case Never() | Exists() | FieldReference():
            return ""
        case Keyword(_, value):
            return _literal_placeholder(value)
        case Text(field, how, value):
            reason = _literal_placeholder(value) or (_misses_slash(field, how, value) if service == "audit" else "")
            return reason or _no_choice(test, field, value, service)
        case Regex(field, pattern):
            return _no_choice(test, field, pattern, service)
        case _:
            return ""


def why_seldom(test: Condition) -> str:
    """Return why a single test of an audit entry passes only in special cases, if it passes at all; "" if it may."""
    match test:
        case Text(field, how, value) if field in _PATHS and _has_api_prefix(how, value):
            return f"paths are logged without /v1/, as in `{value.partition(_API_PREFIX)[2]}`"
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


def _misses_slash(field: str, how: str, value: str) -> str:
    begins, ends = how in ("eq", "prefix", "glob"), how in ("eq", "suffix")
    is_folder = _END_IN_SLASH.fullmatch(field) is not None
    if begins and value.startswith("/") and (is_folder or field in _PATHS):
        return f"no path in the log begins with a slash: write `{value.lstrip('/').removeprefix(_API_PREFIX)}`"
    if ends and is_folder and not value.endswith("/"):
        return f"{field} ends with a slash: write `{value}/`"
    return ""


def _no_choice(test: Text | Regex, field: str, value: str, service: Service) -> str:
    choices = _CHOICES[service].get(field, ())
    if not choices or any(predicate(test)(_record_with(field, choice)) for choice in choices):
        return ""
    meant = _OTHER_WORDS.get(value.lower()) if field == "request.operation" else None
    hint = f": Vault logs {meant}" if meant else did_you_mean(value, choices) or f": it is one of {', '.join(choices)}"
    return f"no record has this value{hint}"


def _record_with(field: str, value: str) -> dict[str, Any]:
    record: Any = value
    for part in reversed(field.split(".")):
        record = {part: record}
    return dict(record)


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
