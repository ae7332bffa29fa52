"""Checks calls against policies, as IAM does within one account: allowed is what one allows and none denies."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from testbed.aws.template import UnsupportedTemplateError

Context = Mapping[str, str | tuple[str, ...]]
"""The values for conditions, by key; a tuple where IAM calls the key multivalued."""

# In the context of every call on AWS, where calls are made over TLS.
_SECURE = {"aws:SecureTransport": "true", "s3:TlsVersion": "1.3"}
_FOR_ALL = "ForAllValues:"


@dataclass(frozen=True)
class Need:
    """One permission that a call needs; `context` holds the values for conditions."""

    action: str
    resource: str
    context: Context = field(default_factory=dict)


@dataclass
class Grant:
    """One action on one resource that a statement of a policy allows or denies, and whether a call needed it.

    `principals` are names of services, or "*" for all, as in a role's own policies. `idle` are the values of its
    `ForAllValues` conditions that no call needed.
    """

    sid: str
    allows: bool
    principals: list[str]
    action: str
    resource: str
    conditions: list[tuple[str, str, list[str]]]
    needed: bool = False
    idle: set[str] = field(default_factory=set)

    def meets(self, need: Need, service: str = "") -> bool:
        """Return whether this statement applies to a need."""
        context = {**_SECURE, **need.context}
        return (
            not {service, "*"}.isdisjoint(self.principals)
            and _like(need.action.lower(), self.action.lower())
            and _like(need.resource, self.resource)
            and all(_holds(context.get(key), operator, values) for operator, key, values in self.conditions)
        )

    def note(self, need: Need) -> None:
        """Note that a call needed it."""
        self.needed = True
        given = {value for _, key, _ in self.conditions for value in _values(need.context.get(key))}
        self.idle = {pattern for pattern in self.idle if not any(_like(value, pattern) for value in given)}

    def unneeded(self) -> Iterator[str]:
        """Yield what of it no call needed."""
        if not self.needed:
            yield f"{self.action} on {self.resource}"
        else:
            yield from (f"{self.action} on {self.resource} for {pattern}" for pattern in sorted(self.idle))


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
        if allowed:
            for grant in found:
                grant.note(need)
        return allowed

    def denies(self, need: Need) -> bool:
        """Return whether this is denied to everybody."""
        return any(not grant.allows and grant.meets(need) for grant in self.grants)

    def unneeded(self) -> list[str]:
        """Return the permissions that no call needed."""
        allowing = [grant for grant in self.grants if grant.allows]
        return [f"{self.owner}: {grant.sid}: {idle}" for grant in allowing for idle in grant.unneeded()]


def _read(owner: str, statement: Mapping[str, Any]) -> Iterator[Grant]:
    conditions = [
        (operator, key, [str(value) for value in _as_list(values)])
        for operator, keys in statement.get("Condition", {}).items()
        for key, values in keys.items()
    ]
    known = {"Sid", "Effect", "Action", "Resource", "Principal", "Condition"}
    operators = {operator.removeprefix(_FOR_ALL) for operator, _, _ in conditions}
    if strange := (set(statement) - known) | (operators - {*_OPERATORS, "Null"}):
        raise UnsupportedTemplateError(f"{owner}: {min(strange)} in a policy is not supported")
    who, allows = statement.get("Principal", "*"), statement["Effect"] == "Allow"
    principals = [name for names in who.values() for name in _as_list(names)] if isinstance(who, dict) else [who]
    idle = {value for operator, _, values in conditions if operator.startswith(_FOR_ALL) for value in values}
    for action in _as_list(statement["Action"]):
        for resource in _as_list(statement["Resource"]):
            yield Grant(statement.get("Sid", ""), allows, principals, action, resource, conditions, idle=set(idle))


def _holds(given: str | tuple[str, ...] | None, operator: str, values: list[str]) -> bool:
    """Return whether a condition holds; of a missing key, `ForAllValues` says yes (IAM guide)."""
    if operator == "Null":
        return (given is None) is (values == ["true"])
    compare = _OPERATORS[operator.removeprefix(_FOR_ALL)]
    met = [any(compare(one, value) for value in values) for one in _values(given)]
    return all(met) if operator.startswith(_FOR_ALL) else any(met)


def _values(given: str | tuple[str, ...] | None) -> tuple[str, ...]:
    if given is None:
        return ()
    return (given,) if isinstance(given, str) else given


def _like(text: str, pattern: str) -> bool:
    return bool(_wildcards(pattern).fullmatch(text))


@lru_cache(maxsize=4096)
def _wildcards(pattern: str) -> re.Pattern[str]:
    """Compile IAM's wildcards: `*` is any text, `?` one character."""
    return re.compile(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), re.DOTALL)


_OPERATORS: Mapping[str, Callable[[str, str], bool]] = {
    "ArnEquals": _like,
    "ArnLike": _like,
    "ArnNotEquals": lambda given, pattern: not _like(given, pattern),
    "Bool": str.__eq__,
    "NumericLessThan": lambda given, value: float(given) < float(value),
    "StringEquals": str.__eq__,
    "StringLike": _like,
}


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
