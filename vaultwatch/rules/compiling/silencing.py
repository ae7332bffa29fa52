"""What a folder of rules silences of the rules in it, and of the shipped ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from vaultwatch.rules.compiling.collection import compile_directories
from vaultwatch.rules.pack import CompiledRule, Rule


class Compared(NamedTuple):
    """The rules that are used, and what they would be if nothing was silenced."""

    used: list[Rule]
    loud: list[Rule]


def compared(directory: Path, shipped: Sequence[Rule]) -> Compared:
    """Compile a folder with its filters and overrides, and without them.

    Values of placeholders silence nothing: a rule that has some is compared with itself. Any other is compared with the
    shipped one, because its file may have been edited.

    Args:
        directory: The folder.
        shipped: The rules that Vaultwatch comes with.

    Raises:
        RuleError: A rule does not compile.
    """
    loud = {rule.name: rule.compiled for rule in shipped}
    for rule in compile_directories([directory], filtered=False, overrides=False):
        loud[rule.name] = _louder(rule, loud.get(rule.name))
    used = compile_directories([directory])
    return Compared([Rule(rule) for rule in used], [Rule(rule) for rule in loud.values()])


def _louder(rule: CompiledRule, shipped: CompiledRule | None) -> CompiledRule:
    if shipped is None:
        return rule
    if not rule.placeholders:
        return shipped
    levels = {name: getattr(shipped, name) for name in ("level", "denied_level", "staged", "window_seconds")}
    return msgspec.structs.replace(rule, **levels)
