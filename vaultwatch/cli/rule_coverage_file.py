"""What rules/coverage.toml lists: public rules and paths, and what covers them."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import msgspec

from vaultwatch.cli.common import check_rule_names
from vaultwatch.errors import RuleError


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A public rule, or an operation on a path, and what covers it.

    Attributes:
        name: What the public rule is about, or the operation and the path.
        source: Where the public rule comes from.
        rules: The rules that cover it.
        alarm: The alarm that covers it, if no log can.
        note: What else there is to say; if nothing covers it, why.
        entry: The members that an entry of this path needs to raise alerts of the rules.
    """

    name: str
    source: str = ""
    rules: tuple[str, ...] = ()
    alarm: str = ""
    note: str = ""
    entry: dict[str, Any] = {}


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rows of one kind."""

    title: str
    rows: tuple[Row, ...]


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    parts: tuple[Part, ...]


def read_coverage(path: Path, names: Collection[str]) -> tuple[Part, ...]:
    """Read the list of public rules and paths.

    Args:
        path: The file.
        names: The names of the rules.

    Raises:
        RuleError: The file cannot be read or has another form, or a row says nothing.
        SettingError: A row names a rule that does not exist.
    """
    try:
        parts = msgspec.toml.decode(path.read_bytes(), type=_File).parts
    except (OSError, msgspec.DecodeError) as error:
        raise RuleError(f"{path}: {error}") from error
    for row in (row for part in parts for row in part.rows):
        check_rule_names(list(names), row.rules)
        if not (row.rules or row.alarm or row.note):
            raise RuleError(f"{path}: {row.name}: no rule, no alarm, and no note that says why")
    return parts
