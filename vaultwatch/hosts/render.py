"""Fill the placeholders of a configuration file: `{{name}}` becomes a value, and nothing else is replaced.

It is strict, because the programs that read the files are not: syslog-ng replaces an unknown name with nothing, and a
quote in a value would end a string and begin a setting. So a placeholder without a value, a value without a placeholder
and a character that the syntax of the file gives a meaning to are errors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum

from vaultwatch.errors import SettingError

_PLACEHOLDER = re.compile(r"\{\{([a-z][a-z0-9_]*)\}\}")
_PRINTABLE = re.compile(r"[ -~]*")


class Syntax(Enum):
    """The syntax of a file; the value is the characters that no value in it may contain."""

    SYSLOG_NG = "\"'`\\$#{}"
    HCL = '"\\$%{}'
    SYSTEMD = " \"'\\$%{}"
    SHELL = "\"'`\\$!{}"
    PLAIN = " \"'`\\$%#;|&<>{}()"
    """Files in which a value is not quoted: nftables, sysctl, logrotate, chrony."""


def placeholders(text: str) -> frozenset[str]:
    """Return the names of a template's placeholders."""
    return frozenset(_PLACEHOLDER.findall(text))


def render(text: str, values: Mapping[str, str], syntax: Syntax, blocks: Mapping[str, str] | None = None) -> str:
    """Fill a template.

    Args:
        text: The template.
        values: One value for each placeholder, printable ASCII.
        syntax: The syntax of the file.
        blocks: Rendered text for the other placeholders, which is inserted as it is.

    Returns:
        The file.

    Raises:
        SettingError: If a placeholder has no value, a value no placeholder, or a value a character that its place
            cannot hold. The text never contains the value.
    """
    blocks = blocks or {}
    _check_names(placeholders(text), {*values, *blocks})
    for name, value in values.items():
        _check_value(name, value, syntax)
    filled = _PLACEHOLDER.sub(lambda found: blocks[found[1]] if found[1] in blocks else values[found[1]], text)
    if "{{" in _PLACEHOLDER.sub("", text):
        raise SettingError("the template has a `{{` that begins no placeholder")
    return filled


def _check_names(wanted: frozenset[str], given: set[str]) -> None:
    if missing := sorted(wanted - given):
        raise SettingError(f"no value for {', '.join(missing)}")
    if unused := sorted(given - wanted):
        raise SettingError(f"the template has no placeholder for {', '.join(unused)}")


def _check_value(name: str, value: str, syntax: Syntax) -> None:
    if not _PRINTABLE.fullmatch(value):
        raise SettingError(f"{name}: only printable ASCII characters are allowed")
    if refused := sorted(set(value) & set(syntax.value)):
        raise SettingError(f"{name}: {' '.join(refused)} is not allowed in this file")
