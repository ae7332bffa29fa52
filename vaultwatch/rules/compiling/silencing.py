"""What a folder of rules silences of the rules in it, and of the shipped ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from vaultwatch.rules.compiling.collection import compile_directories, compile_with_values
from vaultwatch.rules.pack import CompiledRule, Rule


class Compared(NamedTuple):
    """The rules that are used, and what they would be if nothing was silenced."""

    used: list[Rule]
    loud: list[Rule]


def compared(directory: Path, shipped: Sequence[Rule]) -> Compared:
    """Compile a folder with its filters and overrides, and without them.

    Values of placeholders silence nothing: a rule that has some is compared with itself if, with the values of the
    shipped one, it would have the same condition. Any other is compared with the shipped one, because its file has been
    edited.

    Args:
        directory: The folder.
        shipped: The rules that Vaultwatch comes with.

    Raises:
        RuleError: A rule does not compile.
    """
    loud = {rule.name: rule.compiled for rule in shipped}
    unfiltered = compile_directories([directory], filtered=False, overrides=False)
    edited = _edited(directory, unfiltered, shipped)
    for rule in unfiltered:
        loud[rule.name] = _louder(rule, loud.get(rule.name), is_edited=rule.name in edited)
    used = compile_directories([directory])
    return Compared([Rule(rule) for rule in used], [Rule(rule) for rule in loud.values()])


def _edited(directory: Path, rules: Sequence[CompiledRule], shipped: Sequence[Rule]) -> set[str]:
    """Return the rules with placeholders that have another condition than the shipped ones, whatever their values."""
    names = {rule.name for rule in rules if rule.placeholders}
    values = {name: one for rule in shipped for name, one in rule.compiled.placeholders.items()}
    compiled = compile_with_values(directory, names, values) if names else {}
    digests = {rule.name: rule.digest for rule in shipped}
    return {name for name, rule in compiled.items() if name in digests and Rule(rule).digest != digests[name]}


def _louder(rule: CompiledRule, shipped: CompiledRule | None, *, is_edited: bool) -> CompiledRule:
    if shipped is None:
        return rule
    if is_edited or not rule.placeholders:
        return shipped
    levels = {name: getattr(shipped, name) for name in ("level", "denied_level", "staged", "window_seconds")}
    return msgspec.structs.replace(rule, **levels)
