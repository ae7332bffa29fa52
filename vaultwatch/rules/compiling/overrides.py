"""overrides.yml: change the level, texts and suppression of a rule, or disable it, without editing its file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from vaultwatch.errors import RuleError, did_you_mean
from vaultwatch.rules.compiling.documents import OVERRIDES
from vaultwatch.rules.compiling.faults import hint_of_rule, lines_of
from vaultwatch.rules.compiling.notifying import window_seconds
from vaultwatch.rules.compiling.yaml_core import load_documents
from vaultwatch.rules.facts import Level
from vaultwatch.rules.pack import CompiledRule
from vaultwatch.rules.titles import fault_of_title

_FILE = f"{OVERRIDES}.yml"


class Override(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a folder changes in one rule; None leaves it as it is."""

    level: Level | None = None
    title: str | None = None
    runbook: str | None = None
    window: str | int | None = None
    staged: bool | None = None
    enabled: bool = True

    def facts(self) -> dict[str, Any]:
        """Return the facts of the rule that change.

        Raises:
            RuleError: The window is not a time, or the title looks like another one.
        """
        if self.title is not None and (fault := fault_of_title(self.title)):
            raise RuleError(fault)
        seconds = window_seconds(self.window)
        changed = {"level": self.level, "title": self.title, "staged": self.staged, "window_seconds": seconds}
        changed["runbook"] = None if self.runbook is None else self.runbook.strip()
        return {name: value for name, value in changed.items() if value is not None}


def read_overrides(directories: Sequence[Path]) -> dict[str, Override]:
    """Read the overrides.yml of each directory; a later one wins for the same rule and key.

    Raises:
        RuleError: A file cannot be read, or has an unknown key or a wrong value.
    """
    found: dict[str, Override] = {}
    for path in (directory / _FILE for directory in directories):
        for name, changes in _mapping(path).items():
            found[name] = _merged(found.get(name, Override()), changes, f"{_place(path, name)}: {name}")
    return found


def disabled_by(directories: Sequence[Path]) -> dict[str, str]:
    """Return the names of rules that an overrides.yml disables, each with the last file that does.

    Raises:
        RuleError: A file cannot be read.
    """
    found: dict[str, str] = {}
    for directory in directories:
        path = directory / _FILE
        for name, changes in _mapping(path).items():
            if "enabled" in changes:
                found[name] = "" if changes["enabled"] else f"{directory.name}/{_FILE}"
    return {name: path for name, path in found.items() if path}


def overridden(
    rules: Sequence[CompiledRule], overrides: Mapping[str, Override], directories: Sequence[Path]
) -> list[CompiledRule]:
    """Return the rules that are enabled, with their changes.

    Args:
        rules: All compiled rules.
        overrides: By the name of the rule.
        directories: Where they were read from.

    Raises:
        RuleError: There is no such rule, or a correlation counts a rule that is disabled.
    """
    names = [rule.name for rule in rules]
    for name in overrides:
        if name not in names:
            path = next(path for path in (one / _FILE for one in directories) if name in _mapping(path))
            raise RuleError(f"{_place(path, name)}: changes an unknown rule {name}{hint_of_rule(name, names)}")
    enabled = [changed(rule, overrides.get(rule.name)) for rule in rules if _is_enabled(rule.name, overrides)]
    for rule in enabled:
        for name in rule.correlation.rules if rule.correlation else ():
            if not _is_enabled(name, overrides):
                path = next(path for path in (one / _FILE for one in directories) if name in _mapping(path))
                raise RuleError(
                    f"{_place(path, name)}: {name} cannot be disabled, because {rule.name} counts it: "
                    "use `staged: true`"
                )
    return enabled


def _is_enabled(name: str, overrides: Mapping[str, Override]) -> bool:
    return name not in overrides or overrides[name].enabled


def changed(rule: CompiledRule, override: Override | None) -> CompiledRule:
    """Return a rule with what an override changes in it."""
    if override is None:
        return rule
    return msgspec.structs.replace(
        rule, **override.facts(), overridden=tuple(sorted(_given(override).keys() - {"enabled"}))
    )


def _place(path: Path, name: str) -> str:
    """Return the file and the line of what it changes in a rule."""
    return f"{path}, line {lines_of(path, name)[0]}"


def _mapping(path: Path) -> dict[str, Any]:
    documents = load_documents(path, str(path)) if path.exists() else []
    found = (documents[0] if documents else None) or {}
    if len(documents) > 1 or not isinstance(found, dict) or not all(isinstance(one, dict) for one in found.values()):
        raise RuleError(f"{path}: not one mapping of rules to what changes in them, such as `{{level: low}}`")
    return {str(name): changes for name, changes in found.items()}


def _merged(before: Override, changes: dict[str, Any], where: str) -> Override:
    if isinstance(level := changes.get("level"), str):
        changes = {**changes, "level": level.lower()}
    try:
        _refuse_other_changes(changes)
        override = msgspec.convert({**_given(before), **changes}, Override)
        override.facts()
    except msgspec.ValidationError as error:
        raise RuleError(f"{where}: {error}") from error
    except RuleError as error:
        raise RuleError(f"{where}: {error}") from error
    return override


def _refuse_other_changes(changes: dict[str, Any]) -> None:
    for key, value in changes.items():
        if key not in Override.__struct_fields__:
            raise RuleError(f"unknown key {key}{did_you_mean(str(key), Override.__struct_fields__)}")
        if key == "level" and value not in list(Level):
            raise RuleError(f"unknown level {value}: not one of {', '.join(Level)}")
        if key in ("staged", "enabled") and not isinstance(value, bool):
            raise RuleError(f"{key} is true or false, not {value}")


def _given(override: Override) -> dict[str, Any]:
    return {name: value for name, value in msgspec.structs.asdict(override).items() if value is not None}
