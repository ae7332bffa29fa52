"""What all functions share: settings from the environment, the rules, whom they notify, and the remaining time."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from vaultwatch.errors import SettingError
from vaultwatch.isolation import Limits, Patience
from vaultwatch.rules.pack import Rule, shipped_rules

if TYPE_CHECKING:
    from vaultwatch.audience import Audience

_T = TypeVar("_T", bound=msgspec.Struct)
HANG_SECONDS = 5.0
"""A child without any sign of progress for so long hangs; other work shows progress many times a second."""
_RULES_FOLDER = Path(__file__).resolve().parent.parent / "rules"


def read_environment(settings: type[_T], environment: Mapping[str, str] = os.environ) -> _T:
    """Read the settings of a function: each field from the variable of the same name in capitals, else its default.

    Raises:
        SettingError: A variable is missing or cannot be converted; the error names it.
    """
    values = {}
    for field in msgspec.structs.fields(settings):
        name = field.name.upper()
        if environment.get(name):
            values[field.name] = environment[name]
        elif field.required:
            raise SettingError(f"the environment variable {name} is not set")
    try:
        return msgspec.convert(values, settings, strict=False)
    except msgspec.ValidationError as error:
        wrong = str(error).rpartition("$.")[2].rstrip("`").upper()
        raise SettingError(f"the environment variable {wrong} has an invalid value") from None


def load_rules() -> list[Rule]:
    """Load the compiled pack of the bundle, and its rules in Python.

    Raises:
        RuleError: A rule cannot be loaded.
    """
    rules = shipped_rules()
    if next(_RULES_FOLDER.glob("*.py"), None) is None:
        return rules
    from vaultwatch.rules.python_rules import load_python_rules

    return rules + load_python_rules([_RULES_FOLDER], taken={rule.name for rule in rules})


def make_audience(timezone: str, archive_bucket: str) -> Audience:
    """Return whom notifications are for.

    Args:
        timezone: The value of the variable TIMEZONE.
        archive_bucket: The bucket in which people find the entries of an alert.

    Raises:
        SettingError: There is no such time zone.
    """
    from vaultwatch.audience import S3, Audience
    from vaultwatch.zones import find_zone

    return Audience(find_zone(timezone, "the environment variable TIMEZONE"), S3 + archive_bucket)


def seconds_left(context: Any) -> Callable[[], float]:
    """Return a function that returns how many seconds this invocation may still run."""
    return lambda: float(context.get_remaining_time_in_millis()) / 1000


def limits_of_children(context: Any) -> tuple[Limits, Patience]:
    """Return what the child processes of this invocation may use of its memory and of its time.

    The rest of the memory is this process's own: the event, the lines it fetches, the alerts it stores. Half of the
    time is left to store and publish.

    Args:
        context: Lambda's context object.
    """
    seconds = seconds_left(context)()
    return Limits(_memory_bytes(context) * 5 // 8, HANG_SECONDS), Patience(seconds / 2)


def room_for_lines(context: Any) -> int:
    """Return how many bytes of lines in S3 `evaluate` fetches in one invocation: of 1,024 MiB, the longest line.

    A child takes up to six times the bytes of a line, and the worst shapes 0.2 s of CPU time for a MiB.

    Args:
        context: Lambda's context object.
    """
    return _memory_bytes(context) // 8


def _memory_bytes(context: Any) -> int:
    return int(context.memory_limit_in_mb) * 1024 * 1024
