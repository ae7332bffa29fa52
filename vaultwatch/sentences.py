"""Write the sentence of an alert: who did what to which path, from where, with what outcome.

`userpass-alice (127.0.0.1) wrote policy ops: succeeded`. Text from a log is shortened, made printable and free of
secrets. Unless it is a plain name it is in quotation marks, so that no text can imitate the end of the sentence. A
request that was denied is never described as if it had been carried out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from vaultwatch.acts import ACTS_OF, AUTH, Act
from vaultwatch.printable import one_line, quoted, quoted_address, quoted_time
from vaultwatch.reading.bounds import brief
from vaultwatch.reading.identity import Outcome
from vaultwatch.reading.view import mount_of
from vaultwatch.redaction import SALTED
from vaultwatch.rules.correlations import Counted

_NAME_LIMIT, _PATH_LIMIT, _ERROR_LIMIT = 200, 400, 200
_FIELD_LIMIT, _FIELDS_LIMIT = 200, 600
_COUNTED_LIMIT = 100
_POLICY_LIMIT, _MOST_POLICIES = 60, 3
_COUNTED = {
    "event_count": "events",
    "temporal": "rules matched",
    "temporal_ordered": "rules matched one after the other",
}
_FIELDS = {
    "request.path": "paths",
    "request.remote_address": "addresses",
    "request.client_token": "tokens",
    "auth.entity_id": "entities",
}
_MOST_PARTS = 20  # of the path of a request to an auth method
_IDENTITY = ("auth.entity_id", "auth.display_name")
"""Fields that the name of a caller stands for."""
_OWN_WORDS = ("entity", "root", "unauthenticated")
"""With which our words for callers without a name begin. An auth method can have such a path, which is in its names."""
_PLAIN_ERRORS = frozenset(
    ("permission denied", "invalid credentials", "invalid token", "missing client token", "unsupported operation")
)
"""Vault's own words, of which no client controls any."""
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

    `userpass-bob: at least 2 different paths in the 10 minutes from 2026-11-21T07:20:00Z: secret/data/a,
    secret/data/b; first at ..., last at ...`.

    Args:
        first: A part of the first record.
        counted: What was counted.
    """
    if counted.type == "first_seen":
        return _first_seen_sentence(first, counted)
    if counted.type == "absence":
        return _absence_sentence(counted)
    what = _COUNTED.get(counted.type, f"different {_FIELDS.get(counted.of, counted.of)}")
    listed = ", ".join(_named(value, _COUNTED_LIMIT) for value in counted.values)
    times = f"first at {quoted_time(_shown(counted.first[0], 64))}, last at {quoted_time(_shown(counted.last[0], 64))}"
    named = ", ".join(dict.fromkeys(_group_names(first, counted.by)))
    said = f"at least {counted.least} {what} in the {span(counted.timespan_seconds)} from {counted.window}"
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
    said = f"nothing in the {span(counted.timespan_seconds)} until {counted.window}"
    last = f"last at {quoted_time(_shown(counted.last[0], 64))}{f' ({listed})' if listed else ''}"
    return f"{named}{': ' if named else ''}{said}; {last}"


def _group_names(first: dict[str, Any], by: dict[str, str]) -> Iterator[str]:
    """Yield the name of what was counted by: a caller has one, whichever fields of `auth` identify it."""
    for field, value in by.items():
        if field.startswith("auth."):
            yield caller(first)
        elif value:
            shown = _address(value) if field == "request.remote_address" else _named(value, _PATH_LIMIT)
            is_clear = field in ("request.remote_address", "request.path")
            yield shown if is_clear else f"{field.removeprefix('fields.')} {shown}"


def span(seconds: int) -> str:
    """Return a length of time in words, as behind `in the`: `10 minutes`, `hour`."""
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds % size == 0:
            return unit if seconds == size else f"{seconds // size} {unit}s"
    return f"{seconds} seconds"


def caller(entry: dict[str, Any]) -> str:
    """Return who made a request, by the most readable name in its entry."""
    auth = _object(entry.get("auth"))
    name = _named(auth.get("display_name"), _NAME_LIMIT)
    role = _role(auth, name)
    if name and role and role != name and not name.endswith(f"-{role}"):
        return quoted(f"{name} {role}") if name in _OWN_WORDS else f"{name} {role}"
    if name == "root" and not auth.get("entity_id"):
        return "root token"
    if name and (name != "token" or auth.get("entity_id")):
        return name
    has_token = bool(_object(entry.get("request")).get("client_token_accessor"))
    return _unnamed(auth, has_token=has_token)


def _role(auth: dict[str, Any], name: str) -> str:
    """Return the role of a login; whoever makes a token with another one chooses the metadata of that."""
    is_of_login = name != "token" and not name.startswith("token-")
    return _named(_object(auth.get("metadata")).get("role_name"), _NAME_LIMIT) if is_of_login else ""


def caller_with_id(entry: dict[str, Any]) -> str:
    """Return who made a request, with the entity's id, which is unique: `userpass-alice (entity 04af…)`."""
    auth = _object(entry.get("auth"))
    name, entity = caller(entry), _named(auth.get("entity_id"), _NAME_LIMIT)
    if not entity or entity in name:
        return name
    return f"{name} (entity {entity})"


def _unnamed(auth: dict[str, Any], *, has_token: bool) -> str:
    """Return a name for a token without an entity: all of them are called "token", but an accessor may be in clear."""
    entity, accessor = _named(auth.get("entity_id"), _NAME_LIMIT), _shown(auth.get("accessor"), _NAME_LIMIT)
    if entity:
        return f"entity {entity}"
    if accessor and not accessor.startswith(SALTED):
        return f"token with accessor {quoted(accessor)}"
    if policies := _policies(auth.get("policies")):
        return f"token with {policies}"
    has_token = has_token or bool(accessor or auth.get("display_name"))
    return "token without a name" if has_token else "unauthenticated client"


def _policies(found: Any) -> str:
    """Return the policies of a token in words, without `default`: `policies a, b, c and 2 more`."""
    names = [name for name in found if isinstance(name, str) and name] if isinstance(found, list) else []
    names = [name for name in names if name != "default"] or names
    shown = ", ".join(_named(name, _POLICY_LIMIT) for name in names[:_MOST_POLICIES])
    more = f" and {len(names) - _MOST_POLICIES} more" if len(names) > _MOST_POLICIES else ""
    return f"{'policy' if len(names) == 1 else 'policies'} {shown}{more}" if names else ""


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
    mount = path.removesuffix(below or "").rstrip("/")
    for act in ACTS_OF.get(operation, ()):
        groups = _groups(act, path, kind, below)
        if groups is not None:
            what = act.what.format(*(_named(part, _PATH_LIMIT) for part in groups))
            return act.present, act.past, what + (f" at {_named(mount, _PATH_LIMIT)}" if act.is_of_an_engine else "")
    shown = _named(path, _PATH_LIMIT) or "no path"
    known = _PLAIN | (_OF_SECRETS if kind in ("kv", "cubbyhole") else {})
    if operation in known:
        return (*known[operation], shown)
    operation = _named(operation, 32) or "an operation without a name"
    return f"call {operation} on", f"called {operation} on", shown


def _groups(act: Act, path: str, kind: str | None, below: str | None) -> Sequence[str | None] | None:
    """Return the groups of an act's pattern, if it is the act of a request; None if it is not.

    Of an auth method, only what is below its mount decides: a role can be named `login`, and a mount `x/role/y`.
    """
    if act.mount_type == AUTH and path.startswith("auth/"):
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
