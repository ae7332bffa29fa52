"""Checks calls against policies, as IAM does within one account: allowed is what one allows and none denies."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from testbed.aws.template import UnsupportedTemplateError

# In the context of every call on AWS, where calls are made over TLS.
_SECURE = {"aws:SecureTransport": "true"}


@dataclass(frozen=True)
class Need:
    """One permission that a call needs; `context` holds the values for conditions."""

    action: str
    resource: str
    context: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Grant:
    """One action on one resource that a statement of a policy allows or denies, and whether a call needed it.

    `principals` are names of services, or "*" for all, as in a role's own policies.
    """

    sid: str
    allows: bool
    principals: list[str]
    action: str
    resource: str
    conditions: list[tuple[str, str, list[str]]]
    needed: bool = False

    def meets(self, need: Need, service: str = "") -> bool:
        """Return whether this statement applies to a need."""
        context = {**_SECURE, **need.context}
        return (
            not {service, "*"}.isdisjoint(self.principals)
            and _like(need.action.lower(), self.action.lower())
            and _like(need.resource, self.resource)
            and all(_holds(context.get(key), operator, values) for operator, key, values in self.conditions)
        )


@dataclass
class Policy:
    """The permissions of a role, or of services on one resource."""

    owner: str
    grants: list[Grant] = field(default_factory=list)

    def add(self, document: Mapping[str, Any]) -> None:
        """Add a resolved policy document; raises `UnsupportedTemplateError` for anything that is not supported."""
        for statement in _as_list(document["Statement"]):
            self.grants += _read(self.owner, statement)

    def allows(self, need: Need, service: str = "") -> bool:
        """Return whether the role, or the service ("sns.amazonaws.com"), may do this; notes that it was needed."""
        found = [grant for grant in self.grants if grant.meets(need, service)]
        allowed = bool(found) and all(grant.allows for grant in found)
        for grant in found:
            grant.needed |= allowed
        return allowed

    def unneeded(self) -> list[str]:
        """Return the permissions that no call needed."""
        idle = [grant for grant in self.grants if grant.allows and not grant.needed]
        return [f"{self.owner}: {grant.sid}: {grant.action} on {grant.resource}" for grant in idle]


def _read(owner: str, statement: Mapping[str, Any]) -> Iterator[Grant]:
    conditions = [
        (operator, key, [str(value) for value in _as_list(values)])
        for operator, keys in statement.get("Condition", {}).items()
        for key, values in keys.items()
    ]
    known = {"Sid", "Effect", "Action", "Resource", "Principal", "Condition"}
    if strange := (set(statement) - known) | ({operator for operator, _, _ in conditions} - set(_OPERATORS)):
        raise UnsupportedTemplateError(f"{owner}: {min(strange)} in a policy is not supported")
    who, allows = statement.get("Principal", "*"), statement["Effect"] == "Allow"
    principals = [name for names in who.values() for name in _as_list(names)] if isinstance(who, dict) else [who]
    for action in _as_list(statement["Action"]):
        for resource in _as_list(statement["Resource"]):
            yield Grant(statement.get("Sid", ""), allows, principals, action, resource, conditions)


def _holds(given: str | None, operator: str, values: list[str]) -> bool:
    return given is not None and any(_OPERATORS[operator](given, value) for value in values)


def _like(text: str, pattern: str) -> bool:
    return bool(_wildcards(pattern).fullmatch(text))


@lru_cache(maxsize=4096)
def _wildcards(pattern: str) -> re.Pattern[str]:
    """Compile IAM's wildcards: `*` is any text, `?` one character."""
    return re.compile(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), re.DOTALL)


_OPERATORS: Mapping[str, Callable[[str, str], bool]] = {
    "ArnEquals": _like,
    "ArnLike": _like,
    "Bool": str.__eq__,
    "StringEquals": str.__eq__,
    "StringLike": _like,
}


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
