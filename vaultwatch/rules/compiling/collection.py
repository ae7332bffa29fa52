"""Directories of rules, filters and placeholders, read and compiled together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import re2
import yaml
from sigma.exceptions import SigmaError
from sigma.filters import SigmaFilter
from sigma.rule import SigmaRule
from sigma.rule.base import SigmaYAMLLoader

from vaultwatch.errors import RuleError, did_you_mean
from vaultwatch.rules.compiling import notifying
from vaultwatch.rules.compiling.checks import check_fields, check_negations
from vaultwatch.rules.compiling.placeholders import Placeholders, fill, used
from vaultwatch.rules.compiling.translate import translate
from vaultwatch.rules.conditions import Condition, Or
from vaultwatch.rules.facts import Level
from vaultwatch.rules.pack import CompiledRule, encode_pack
from vaultwatch.rules.predicates import compile_regex

PLACEHOLDERS_FILE = "placeholders.yml"
RULE_KEYS = frozenset(
    (
        *("title", "id", "name", "status", "description", "references", "author", "date", "modified", "tags"),
        *("logsource", "detection", "fields", "falsepositives", "level", "related", "license", "scope", "taxonomy"),
        *notifying.KEYS,
    )
)
_STATUSES = {"stable": False, "test": False, "experimental": True}
_FILTER_KEYS = (RULE_KEYS - {"detection", "level", "falsepositives", *notifying.KEYS}) | {"filter"}
_MOST_NODES = 100_000  # of one document, its aliases followed: a few lines of YAML can stand for billions of values
# pySigma checks most shapes itself; what it does not think of comes as one of Python's own errors.
_FAULTS = (SigmaError, AttributeError, TypeError, ValueError, RecursionError)
_REFUSED_MODIFIERS = frozenset({"base64", "base64offset", "wide", "utf16", "utf16le", "utf16be", "windash"})


def compile_pack(directories: Sequence[Path]) -> bytes:
    """The rules below these directories as canonical JSON.

    Raises:
        RuleError: names the file and what is wrong.
    """
    return encode_pack(compile_directories(directories))


def compile_directories(directories: Sequence[Path]) -> list[CompiledRule]:
    """The Sigma rules below these directories as data; a later placeholders.yml overrides an earlier one's names.

    Raises:
        RuleError: names the file and what is wrong.
    """
    placeholders: dict[str, list[Any]] = {}
    documents: list[tuple[str, Path, dict[str, Any]]] = []
    for directory in directories:
        if not directory.is_dir():
            raise RuleError(f"{directory}: no such directory of rules")
        placeholders |= _read_placeholders(directory / PLACEHOLDERS_FILE)
        for path in sorted([*directory.glob("*.yml"), *directory.glob("*.yaml")]):
            if path.name != PLACEHOLDERS_FILE:
                documents += [(_where(path, directory), path, found) for found in _read_documents(path)]
    rules = [_Parsed(where, path, found, placeholders) for where, path, found in documents if "filter" not in found]
    _refuse_duplicates(rules)
    for where, _, found in documents:
        if "filter" in found:
            _apply_filter(where, found, placeholders, rules)
    compiled = [rule.compile() for rule in rules]
    notifying.check_same_as(compiled, {rule.name for rule in compiled})
    return compiled


def _where(path: Path, directory: Path) -> str:
    return str(path.relative_to(directory.parent) if directory.parent in path.parents else path)


def _load_yaml(path: Path) -> list[Any]:
    try:
        # SigmaYAMLLoader is a CSafeLoader that refuses duplicate keys
        return list(yaml.load_all(path.read_text("utf-8"), SigmaYAMLLoader))
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise RuleError(f"{path.name}: not YAML: {_one_line(error)}") from error
    except OSError as error:
        raise RuleError(f"{path}: {error.strerror}") from error


def _read_documents(path: Path) -> Iterable[dict[str, Any]]:
    documents = [found for found in _load_yaml(path) if found is not None]
    if not documents:
        raise RuleError(f"{path.name}: empty")
    for found in documents:
        if not isinstance(found, dict):
            raise RuleError(f"{path.name}: not a mapping")
        _refuse_bombs(found, path)
        if "correlation" in found:
            raise RuleError(f"{path.name}: unsupported construct: correlation")
    return documents


def _refuse_bombs(found: Any, path: Path) -> None:
    waiting, seen = [found], 0
    while waiting:
        item, seen = waiting.pop(), seen + 1
        if seen > _MOST_NODES:
            raise RuleError(f"{path.name}: more than {_MOST_NODES:,} values, or one that holds itself")
        waiting += item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()


def _read_placeholders(path: Path) -> dict[str, list[Any]]:
    if not path.exists():
        return {}
    found = (_load_yaml(path) or [None])[0] or {}
    if not isinstance(found, dict):
        raise RuleError(f"{path.name}: not a mapping of names to lists")
    for name, listed in found.items():
        plain = isinstance(listed, list) and all(isinstance(item, str | int | float) for item in listed)
        if not isinstance(name, str) or not plain:
            raise RuleError(f"{path.name}: {name}: not a list of texts or numbers")
    return found


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]


class _Parsed:
    """One rule between pySigma's reading and its compiled form; filters are applied in between."""

    def __init__(self, where: str, path: Path, found: dict[str, Any], placeholders: Placeholders) -> None:
        self.where = where
        self._check_shape(found, path)
        self._notifying = notifying.read_notifying(found, where)
        try:
            filled = {**found, "detection": fill(found["detection"], placeholders, where)}
            self.placeholders = used(found["detection"], placeholders)
            refuse_unsupported(where, filled["detection"])
            self.sigma = SigmaRule.from_dict({key: filled[key] for key in filled if key not in notifying.KEYS})
        except _FAULTS as error:
            raise RuleError(f"{where}: {_one_line(error)}") from error

    def _check_shape(self, found: dict[str, Any], path: Path) -> None:
        _refuse_unknown_keys(self.where, found, RULE_KEYS)
        missing = [key for key in ("title", "name", "level", "logsource", "detection") if not found.get(key)]
        if missing:
            raise RuleError(f"{self.where}: no {', '.join(missing)}")
        name, status, level = found["name"], found.get("status", "test"), found["level"]
        if name != path.stem:
            raise RuleError(f"{self.where}: name is {name}, but the file is {path.name}: they must be the same")
        if str(status) not in _STATUSES:
            raise RuleError(f"{self.where}: unsupported status {status}: not one of {', '.join(_STATUSES)}")
        if level not in list(Level):
            raise RuleError(f"{self.where}: unknown level {level}: not one of {', '.join(Level)}")

    @property
    def name(self) -> str:
        return str(self.sigma.name)

    def compile(self) -> CompiledRule:
        sigma = self.sigma
        service = sigma.logsource.service
        if sigma.logsource.product != "vault" or service not in ("audit", "server") or sigma.logsource.category:
            raise RuleError(f"{self.where}: logsource is not {{product: vault, service: audit|server}}")
        condition = self._condition()
        try:
            check_fields(condition, service)  # type: ignore[arg-type]  # narrowed just above
            notifying.check_group_fields(self._notifying, service)  # type: ignore[arg-type]
            if service == "audit":
                check_negations(condition)
        except RuleError as error:
            raise RuleError(f"{self.where}: {error}") from error
        return CompiledRule(
            name=self.name,
            title=sigma.title,
            level=Level(str(sigma.level).lower()),
            service=service,  # type: ignore[arg-type]
            condition=condition,
            staged=_STATUSES[str(sigma.status or "test").lower()],
            description=" ".join((sigma.description or "").split()),
            **msgspec.structs.asdict(self._notifying),
            tags=tuple(str(tag) for tag in sigma.tags),
            falsepositives=tuple(sigma.falsepositives),
            references=tuple(sigma.references),
            placeholders=self.placeholders,
        )

    def _condition(self) -> Condition:
        try:
            parsed = [condition.parsed for condition in self.sigma.detection.parsed_condition]
            parts = tuple(translate(node) for node in parsed)
        except (*_FAULTS, RuleError) as error:
            raise RuleError(f"{self.where}: {_one_line(error)}") from error
        return parts[0] if len(parts) == 1 else Or(parts)


def refuse_unsupported(where: str, definition: Any) -> None:
    """Refuse what no Vault record gives a meaning to, and what pySigma takes for something else.

    Raises:
        RuleError: names the construct.
    """
    if isinstance(definition, dict):
        for key, value in definition.items():
            modifiers = str(key).split("|")[1:]
            for modifier in _REFUSED_MODIFIERS.intersection(modifiers):
                raise RuleError(f"{where}: unsupported modifier {modifier}")
            if key == "timeframe":
                raise RuleError(f"{where}: unsupported construct: timeframe")
            if "re" in modifiers:
                _refuse_other_regexes(where, value)
            refuse_unsupported(where, value)
    elif isinstance(definition, list):
        if not definition:
            raise RuleError(f"{where}: an empty list")  # pySigma takes it for null
        for item in definition:
            refuse_unsupported(where, item)


def _refuse_other_regexes(where: str, value: Any) -> None:
    """Before pySigma tries them, whose attempt makes RE2 write to stderr."""
    for pattern in value if isinstance(value, list) else [value]:
        try:
            compile_regex(str(pattern))
        except re2.error as error:
            raise RuleError(f"{where}: regular expression '{pattern}' is not RE2's: {error}") from error


def _refuse_unknown_keys(where: str, found: dict[str, Any], known: frozenset[str]) -> None:
    unknown = sorted(str(key) for key in found if key not in known)
    if unknown:
        raise RuleError(f"{where}: unknown key {unknown[0]}{did_you_mean(unknown[0], known)}")


def _refuse_duplicates(rules: Sequence[_Parsed]) -> None:
    seen: dict[str, str] = {}
    for rule in rules:
        if rule.name in seen:
            raise RuleError(f"{rule.where}: a second rule named {rule.name}; the first is {seen[rule.name]}")
        seen[rule.name] = rule.where


def _apply_filter(where: str, found: dict[str, Any], placeholders: Placeholders, rules: Sequence[_Parsed]) -> None:
    """Sigma's way to tune a rule without editing it: `rule and filter`."""
    _refuse_unknown_keys(where, found, _FILTER_KEYS)
    try:
        body = fill(found["filter"], placeholders, where)
        refuse_unsupported(where, {**body, "rules": None} if isinstance(body, dict) else body)
        sigma = SigmaFilter.from_dict({**found, "filter": body})
        named = sigma.filter.rules
        for reference in [] if isinstance(named, str) else [str(one.reference) for one in named]:
            _refuse_useless(where, sigma, reference, rules)
        meant = [rule for rule in rules if _is_meant(rule, sigma)]
        if not meant:
            raise RuleError(f"{where}: no rule has its logsource")
        for rule in meant:
            sigma.apply_on_rule(rule.sigma)  # in place
            rule.placeholders |= used(found["filter"], placeholders)
            rule.where = f"{rule.where} with {where}"
    except _FAULTS as error:
        raise RuleError(f"{where}: {_one_line(error)}") from error


def _is_meant(rule: _Parsed, sigma: SigmaFilter) -> bool:
    named = sigma.filter.rules
    return rule.sigma.logsource in sigma.logsource and (
        isinstance(named, str) or any(str(one.reference) in (rule.name, str(rule.sigma.id)) for one in named)
    )


def _refuse_useless(where: str, sigma: SigmaFilter, reference: str, rules: Sequence[_Parsed]) -> None:
    """A filter that filters nothing is a mistake that nobody would see."""
    named = [rule for rule in rules if reference in (rule.name, str(rule.sigma.id))]
    if not named:
        hint = did_you_mean(reference, (rule.name for rule in rules))
        raise RuleError(f"{where}: a filter for an unknown rule {reference}{hint}")
    if not any(rule.sigma.logsource in sigma.logsource for rule in named):
        raise RuleError(f"{where}: the logsource of rule {reference} is another")
