"""What several verbs need."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, tzinfo
from pathlib import Path

from vaultwatch.errors import RuleError, SettingError
from vaultwatch.rules.pack import Rule, shipped_rules


def load_rules(directories: Sequence[Path]) -> list[Rule]:
    """The shipped pack, or the rules below `directories` in its place.

    Raises:
        RuleError: a rule does not compile, or there is none.
    """
    if not directories:
        return shipped_rules()
    from vaultwatch.rules.compiling import compile_directories
    from vaultwatch.rules.python_rules import load_python_rules

    rules = [Rule(compiled) for compiled in compile_directories(directories)]
    rules += load_python_rules(directories, taken={rule.name for rule in rules})
    if not rules:
        raise RuleError(f"no rule in {', '.join(map(str, directories))}")
    return rules


def zone_of(name: str) -> tzinfo:
    """A time zone by its IANA name.

    Raises:
        SettingError: there is none of that name.
    """
    if name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise SettingError(f"--timezone: no time zone {name}") from error
