"""The keys of a rule that control notifications; they are not part of Sigma."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any

import msgspec

from vaultwatch.errors import RuleError, did_you_mean
from vaultwatch.rules.compiling.checks import check_field
from vaultwatch.rules.facts import Level, Service
from vaultwatch.rules.pack import CompiledRule
from vaultwatch.rules.titles import fault_of_title

KEYS = frozenset({"runbook", "denied", "unanswered", "group-by", "window", "same-as"})
MAX_WINDOW_SECONDS = 7 * 86_400
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


class Notifying(msgspec.Struct, frozen=True, kw_only=True):
    """The values of these keys, under the names of `RuleFacts`."""

    runbook: str = ""
    denied_title: str = ""
    denied_level: Level | None = None
    unanswered_title: str = ""
    group_by: tuple[str, ...] = ()
    window_seconds: int | None = None
    same_as: tuple[str, ...] = ()


def read_notifying(found: dict[str, Any], where: str) -> Notifying:
    """Read these keys from a rule.

    Args:
        found: The rule, as parsed from YAML.
        where: The rule's file, for the error.

    Raises:
        RuleError: A value is not valid for its key.
    """
    try:
        return _read(found)
    except RuleError as error:
        raise RuleError(f"{where}: {error}") from error


def _read(found: dict[str, Any]) -> Notifying:
    denied = _titled(found, "denied", ("title", "level"))
    level = denied.get("level")
    if level is not None and level not in list(Level):
        raise RuleError(f"denied: unknown level {level}: not one of {', '.join(Level)}")
    return Notifying(
        runbook=str(found.get("runbook") or "").strip(),
        denied_title=str(denied.get("title") or ""),
        denied_level=None if level is None else Level(level),
        unanswered_title=str(_titled(found, "unanswered", ("title",)).get("title") or ""),
        group_by=_names(found, "group-by"),
        window_seconds=window_seconds(found.get("window")),
        same_as=_names(found, "same-as"),
    )


def check_group_fields(notifying: Notifying, service: Service) -> None:
    """Refuse to group by a field that no record of this log has.

    Raises:
        RuleError: Names the field.
    """
    for field in notifying.group_by:
        check_field(field, service)


def check_same_as(rules: Sequence[CompiledRule], known: Collection[str]) -> None:
    """Refuse a `same-as` that names no rule.

    Args:
        rules: The rules to check.
        known: The names of all rules.

    Raises:
        RuleError: Names the rule, and the unknown name.
    """
    for rule in rules:
        for name in rule.same_as:
            if name not in known:
                raise RuleError(f"{rule.name}: same-as names an unknown rule {name}{did_you_mean(name, known)}")


def _titled(found: dict[str, Any], key: str, known: tuple[str, ...]) -> dict[str, Any]:
    value = found.get(key) or {}
    if not isinstance(value, dict) or not value.keys() <= set(known):
        raise RuleError(f"{key} takes a map of {' and '.join(known)}")
    if fault := fault_of_title(str(value.get("title") or "")):
        raise RuleError(f"{key}: {fault}")
    return value


def _names(found: dict[str, Any], key: str) -> tuple[str, ...]:
    value = found.get(key) or []
    if not isinstance(value, list) or not all(isinstance(name, str) and name for name in value):
        raise RuleError(f"{key} takes a list of names")
    return tuple(value)


def window_seconds(window: Any) -> int | None:
    """Return a suppression window in seconds; None for none.

    Raises:
        RuleError: It is not a time such as 15m, or too long.
    """
    if window is None:
        return None
    spelled = re.fullmatch(r"([0-9]{1,6})([smhd]?)", str(window))
    seconds = int(spelled[1]) * _UNIT_SECONDS[spelled[2] or "s"] if spelled else 0
    if not 0 < seconds <= MAX_WINDOW_SECONDS:
        raise RuleError(f"window {window} is not a time such as 900, 15m or 1h, of at most {MAX_WINDOW_SECONDS} s")
    return seconds
