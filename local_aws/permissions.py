"""Calls held against policies, as IAM does for one account: what is allowed and not denied."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from local_aws.template import NotDoneHereError

Context = Mapping[str, str]
# What every call has on AWS, where ours would be made over TLS.
_SECURE: Context = {"aws:SecureTransport": "true", "s3:TlsVersion": "1.3"}


@dataclass(frozen=True)
class Need:
    """One thing that a call needs to be allowed; `context` is what conditions may ask for."""

    action: str
    resource: str
    context: Context = field(default_factory=dict)


@dataclass(frozen=True)
class Statement:
    """One statement of a policy; `principals` is empty in a role's own."""

    owner: str
    sid: str
    allows: bool
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    principals: tuple[str, ...]
    conditions: tuple[tuple[str, str, tuple[str, ...]], ...]

    def matches(self, need: Need) -> Iterator[tuple[str, str]]:
        """The pairs of action and resource in it that meet `need`."""
        if all(_holds(condition, {**_SECURE, **need.context}) for condition in self.conditions):
            for action in self.actions:
                if _like(action.lower()).fullmatch(need.action.lower()):
                    for resource in self.resources:
                        if _like(resource).fullmatch(need.resource):
                            yield action, resource


@dataclass
class Role:
    """What a role may do, and which of it was needed: statement id, action, resource."""

    name: str
    statements: list[Statement]
    needed: set[tuple[str, str, str]] = field(default_factory=set)

    def allows(self, need: Need) -> bool:
        """Whether it may, which counts as needed then."""
        found = [(s, action, resource) for s in self.statements for action, resource in s.matches(need)]
        if any(not statement.allows for statement, _, _ in found):
            return False
        self.needed |= {(statement.sid, action, resource) for statement, action, resource in found}
        return bool(found)

    def unneeded(self) -> list[str]:
        """What it allows and no call needed."""
        return [
            f"{self.name}: {statement.sid}: {action} on {resource}"
            for statement in self.statements
            if statement.allows
            for action in statement.actions
            for resource in statement.resources
            if (statement.sid, action, resource) not in self.needed
        ]


def read_policy(owner: str, document: Mapping[str, Any]) -> list[Statement]:
    """The statements of a resolved policy; raises `NotDoneHereError` for what is not understood."""
    return [_read(owner, statement) for statement in _as_list(document["Statement"])]


def service_may(statements: Iterable[Statement], service: str, need: Need) -> bool:
    """Whether the policy of a resource lets an AWS service ("sns") do this."""
    names = {f"Service:{service}.amazonaws.com", "AWS:*", "*"}
    found = [s for s in statements if names & set(s.principals) and any(s.matches(need))]
    return bool(found) and all(statement.allows for statement in found)


def _read(owner: str, statement: Mapping[str, Any]) -> Statement:
    known = {"Sid", "Effect", "Action", "Resource", "Principal", "Condition"}
    if unknown := set(statement) - known:
        raise NotDoneHereError(f"{owner}: {min(unknown)} in a policy is not understood")
    principal = statement.get("Principal", {})
    if isinstance(principal, dict):
        principals = tuple(f"{kind}:{name}" for kind, names in principal.items() for name in _as_list(names))
    else:
        principals = (str(principal),)
    conditions = tuple(
        (operator, key, tuple(map(str, _as_list(values))))
        for operator, keys in statement.get("Condition", {}).items()
        for key, values in keys.items()
    )
    if strange := {operator for operator, _, _ in conditions} - {*_EXACT, *_LIKE, "NumericLessThan"}:
        raise NotDoneHereError(f"{owner}: condition {min(strange)} is not understood")
    return Statement(
        owner=owner,
        sid=statement.get("Sid", ""),
        allows=statement["Effect"] == "Allow",
        actions=tuple(_as_list(statement["Action"])),
        resources=tuple(_as_list(statement["Resource"])),
        principals=principals,
        conditions=conditions,
    )


_EXACT, _LIKE = ("StringEquals", "Bool"), ("StringLike", "ArnEquals", "ArnLike")


def _holds(condition: tuple[str, str, tuple[str, ...]], context: Context) -> bool:
    operator, key, values = condition
    if (given := context.get(key)) is None:
        return False
    if operator == "NumericLessThan":
        return any(float(given) < float(value) for value in values)
    return any(given == value if operator in _EXACT else bool(_like(value).fullmatch(given)) for value in values)


@lru_cache(maxsize=4096)
def _like(pattern: str) -> re.Pattern[str]:
    """IAM's wildcards: `*` any text, `?` one character."""
    return re.compile(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), re.DOTALL)


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
