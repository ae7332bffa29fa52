"""Compile folders of rules, filters and placeholders together."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from vaultwatch.errors import RuleError
from vaultwatch.rules.compiling import notifying
from vaultwatch.rules.compiling.correlations import compile_correlation
from vaultwatch.rules.compiling.documents import Document, Faults, read_documents, read_placeholders
from vaultwatch.rules.compiling.filters import apply_filter, filtered_alone
from vaultwatch.rules.compiling.overrides import changed, disabled_by, overridden, read_overrides
from vaultwatch.rules.compiling.parsed_rule import ParsedRule
from vaultwatch.rules.conditions import And, Condition, Not
from vaultwatch.rules.facts import silenced_name
from vaultwatch.rules.pack import CompiledRule, encode_pack


def compile_pack(directories: Sequence[Path]) -> bytes:
    """Compile the Sigma rules below these directories to canonical JSON.

    Raises:
        RuleError: Names the file, and says what is wrong.
    """
    return encode_pack(compile_directories(directories))


def compile_directories(
    directories: Sequence[Path], *, filtered: bool = True, overrides: bool = True
) -> list[CompiledRule]:
    """Compile the Sigma rules below these directories, without those that an overrides.yml disables.

    Args:
        directories: A name in a later placeholders.yaml or overrides.yml wins over an earlier one.
        filtered: Whether filters are applied.
        overrides: Whether the overrides.yml of each is applied.

    Raises:
        RuleError: Names the file, and says what is wrong.
        RuleErrors: So does each of its errors.
    """
    faults = Faults()
    rules, correlations = _parsed(directories, faults, filtered=filtered)
    whole = [(rule, one) for rule in rules for one in faults.attempt(rule.compile)]
    faults.report()
    rules, compiled = [rule for rule, _ in whole], [one for _, one in whole]
    by_reference = _by_reference(rules, compiled)
    for document in correlations:
        compiled += faults.attempt(partial(compile_correlation, document, by_reference))
    faults.report()
    notifying.check_same_as(compiled, {rule.name for rule in compiled})
    return overridden(compiled, read_overrides(directories), directories) if overrides else compiled


def compile_silenced(directories: Sequence[Path]) -> list[CompiledRule]:
    """Return rules that match what the files in these directories silence, so that it can be counted.

    There is one for each filter and each rule that it names, which matches what that filter alone would silence, and
    one for each rule that an overrides.yml disables. Correlations are not among them: filters apply to what they count.

    Raises:
        RuleError: Names the file, and says what is wrong.
    """
    faults = Faults()
    documents = _read(directories, faults)
    faults.report()
    overrides, disabled = read_overrides(directories), disabled_by(directories)
    if not (documents.filters or disabled):
        return []
    whole = {rule.name: changed(rule.compile(), overrides.get(rule.name)) for rule in documents.rules}
    found = [_silenced(rule, rule.condition, disabled[name]) for name, rule in whole.items() if name in disabled]
    for one in documents.filters:
        for rule in filtered_alone(one, documents.placeholders, documents.rules):
            if rule.name not in disabled:
                left = whole[rule.name].condition, Not(rule.compile().condition)
                found.append(_silenced(whole[rule.name], And(left), one.where))
    return found


def _silenced(rule: CompiledRule, condition: Condition, file: str) -> CompiledRule:
    name = silenced_name(rule.name, file)
    return msgspec.structs.replace(rule, name=name, condition=condition, silenced_by=file)


def compile_with_values(
    directory: Path, names: Collection[str], values: Mapping[str, list[Any]]
) -> dict[str, CompiledRule]:
    """Compile some rules of a directory, without filters and overrides, with other values of placeholders.

    Args:
        directory: The directory.
        names: The names of the rules.
        values: The values of placeholders, instead of those in the directory.

    Returns:
        The rules by their names.

    Raises:
        RuleError: Names the file, and says what is wrong.
    """
    documents = [one for one in read_documents(directory) if "detection" in one.found]
    return {rule.name: rule for rule in compile_few(documents, names, {**read_placeholders(directory), **values})}


def read_all(directories: Iterable[Path]) -> list[Document]:
    """Read the rules, correlations and filters of these directories, for `compile_few`.

    Raises:
        RuleError: Names the file, and says what is wrong.
    """
    return [document for directory in directories for document in read_documents(directory)]


def compile_few(
    documents: Iterable[Document], names: Collection[str], placeholders: Mapping[str, list[Any]]
) -> list[CompiledRule]:
    """Compile some of the rules and correlations that were read, without filters and overrides.

    Args:
        documents: All that were read, with the rules that these correlations count.
        names: Their names.
        placeholders: The values of placeholders.

    Raises:
        RuleError: Names the file, and says what is wrong.
    """
    some = [document for document in documents if document.found.get("name") in names]
    rules = [ParsedRule(document, dict(placeholders)) for document in some if "detection" in document.found]
    compiled = [rule.compile() for rule in rules]
    by_reference = _by_reference(rules, compiled)
    correlations = [document for document in some if "correlation" in document.found]
    return compiled + [compile_correlation(document, by_reference) for document in correlations]


def _by_reference(rules: Sequence[ParsedRule], compiled: Sequence[CompiledRule]) -> dict[str, CompiledRule]:
    """Return compiled rules by what a correlation may call them: id or name."""
    by_id = {str(rule.sigma.id): one for rule, one in zip(rules, compiled, strict=True) if rule.sigma.id}
    return by_id | {one.name: one for one in compiled}


def selections_of(name: str, directories: Sequence[Path]) -> dict[Condition, str]:
    """Return the names of a rule's selections, and of those of its filters, by their conditions.

    A rule that is not in these directories has none.

    Raises:
        RuleError: The rules below these directories do not compile.
    """
    found = [rule.selections() for rule in parsed_documents(directories)[0] if rule.name == name]
    return found[0] if found else {}


def parsed_documents(directories: Sequence[Path], *, filtered: bool = True) -> tuple[list[ParsedRule], list[Document]]:
    """Parse the rules below these directories, and apply the filters; return them and the correlations."""
    faults = Faults()
    found = _parsed(directories, faults, filtered=filtered)
    faults.report()
    return found


def _parsed(directories: Sequence[Path], faults: Faults, *, filtered: bool) -> tuple[list[ParsedRule], list[Document]]:
    documents = _read(directories, faults)
    for document in documents.filters if filtered and not faults.errors else ():  # it may name a broken rule
        faults.attempt(partial(apply_filter, document, documents.placeholders, documents.rules))
    return documents.rules, documents.correlations


class _Documents(NamedTuple):
    """What is below some directories: rules without filters, filters, correlations, and the values of placeholders."""

    rules: list[ParsedRule]
    filters: list[Document]
    correlations: list[Document]
    placeholders: dict[str, list[Any]]


def _read(directories: Sequence[Path], faults: Faults) -> _Documents:
    placeholders: dict[str, list[Any]] = {}
    for directory in directories:
        placeholders |= read_placeholders(directory)
    documents = [document for directory in directories for document in read_documents(directory, faults)]
    filters, correlations = (
        [document for document in documents if key in document.found] for key in ("filter", "correlation")
    )
    others = [one for one in documents if not {"filter", "correlation"} & one.found.keys()]
    rules = [rule for one in others for rule in faults.attempt(partial(ParsedRule, one, placeholders))]
    _refuse_duplicates([*((rule.name, rule.where) for rule in rules), *map(_name, correlations)])
    return _Documents(rules, filters, correlations, placeholders)


def _name(correlation: Document) -> tuple[str, str]:
    return str(correlation.found.get("name")), correlation.where


def _refuse_duplicates(named: Iterable[tuple[str, str]]) -> None:
    seen: dict[str, str] = {}
    for name, where in named:
        if name in seen:
            raise RuleError(f"{where}: a second rule named {name}; the first is {seen[name]}")
        seen[name] = where
