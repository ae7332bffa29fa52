"""Sigma filters: `rule and filter`, the way to tune a rule without editing it."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sigma.conditions import ConditionItem, ConditionNOT
from sigma.exceptions import SigmaConditionError
from sigma.filters import SigmaFilter

from vaultwatch.errors import RuleError
from vaultwatch.rules.compiling import notifying
from vaultwatch.rules.compiling.documents import Document, located
from vaultwatch.rules.compiling.faults import hint_of_rule, not_read, not_sigma
from vaultwatch.rules.compiling.numbers import exact_numbers
from vaultwatch.rules.compiling.parsed_rule import RULE_KEYS, ParsedRule
from vaultwatch.rules.compiling.placeholders import Placeholders, fill, used
from vaultwatch.rules.compiling.unsupported import SIGMA_FAULTS, refuse_unknown_keys, refuse_unsupported

_FILTER_KEYS = (RULE_KEYS - {"detection", "level", "falsepositives", *notifying.KEYS}) | {"filter"}
_SELECTION = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


def apply_filter(document: Document, placeholders: Placeholders, rules: Sequence[ParsedRule]) -> None:
    """Apply a filter to the rules that it names.

    Raises:
        RuleError: Names the file, and says what is wrong. A filter without effect, or without `not`, is wrong too.
    """
    for rule in _filtered(document, placeholders, rules, lambda rule: rule):
        rule.placeholders |= used(document.found["filter"], placeholders)
        rule.documents.append(document)
        rule.filters.append(document.where)


def filtered_alone(document: Document, placeholders: Placeholders, rules: Sequence[ParsedRule]) -> list[ParsedRule]:
    """Return copies of the rules that a filter names, with this filter alone applied.

    Args:
        document: The filter.
        placeholders: The values of placeholders.
        rules: All rules, without filters; they stay as they are.

    Raises:
        RuleError: See `apply_filter`.
    """
    return _filtered(document, placeholders, rules, copy.deepcopy)


def _filtered(
    document: Document,
    placeholders: Placeholders,
    rules: Sequence[ParsedRule],
    place: Callable[[ParsedRule], ParsedRule],
) -> list[ParsedRule]:
    where, _, found = document
    refuse_unknown_keys(where, found, _FILTER_KEYS)
    try:
        sigma = _read(document, placeholders)
        meant = [place(rule) for rule in _rules_of(where, sigma, rules)]
        for rule in meant:
            sigma.apply_on_rule(rule.sigma)  # in place
    except SIGMA_FAULTS as error:
        raise located(not_sigma(error), [document]) from error
    return meant


def _read(document: Document, placeholders: Placeholders) -> SigmaFilter:
    where, _, found = document
    try:
        body = fill(found["filter"], placeholders)
        if isinstance(body, dict):
            refuse_unsupported({**body, "rules": None})
    except RuleError as error:
        raise located(error, [document]) from error
    if isinstance(body, dict):
        _refuse_unusable_names(where, body)
        body = exact_numbers(body)
    sigma = SigmaFilter.from_dict({**found, "filter": body})
    if not any(_negates(node) for node in _parsed(document, sigma)):
        raise RuleError(
            f"{where}: the condition has no `not`: it would silence every record that it does not select; "
            "write `condition: not SELECTION` to except those that it selects"
        )
    return sigma


def _parsed(document: Document, sigma: SigmaFilter) -> Iterator[Any]:
    for condition in sigma.filter.parsed_condition:
        try:
            yield condition.parsed
        except SigmaConditionError as error:
            text, about = not_read(condition.condition, error, sigma.filter.detections), condition.condition
            raise located(RuleError(text, about), [document]) from error


def _refuse_unusable_names(where: str, body: dict[str, Any]) -> None:
    """Refuse names that do not begin with a letter: pySigma renames selections of a filter, and fails at these."""
    for name in body:
        if not _SELECTION.fullmatch(str(name)):
            raise RuleError(f"{where}: selection {name}: in a filter, names of selections begin with a letter")


def _negates(node: Any) -> bool:
    if isinstance(node, ConditionNOT):
        return True
    return isinstance(node, ConditionItem) and any(_negates(argument) for argument in node.args)


def _rules_of(where: str, sigma: SigmaFilter, rules: Sequence[ParsedRule]) -> list[ParsedRule]:
    named = sigma.filter.rules
    references = None if isinstance(named, str) else [str(one.reference) for one in named]
    for reference in references or []:
        _refuse_useless(where, sigma, reference, rules)
    meant = [
        rule
        for rule in rules
        if rule.sigma.logsource in sigma.logsource
        and (references is None or any(_is_named(rule, reference) for reference in references))
    ]
    if not meant:
        raise RuleError(f"{where}: no rule has its logsource")
    return meant


def _refuse_useless(where: str, sigma: SigmaFilter, reference: str, rules: Sequence[ParsedRule]) -> None:
    """Refuse a filter without effect: nobody would notice the mistake."""
    named = [rule for rule in rules if _is_named(rule, reference)]
    if not named:
        hint = hint_of_rule(reference, (rule.name for rule in rules))
        raise RuleError(f"{where}: a filter for an unknown rule {reference}{hint}")
    if not any(rule.sigma.logsource in sigma.logsource for rule in named):
        raise RuleError(f"{where}: rule {reference} has another logsource")


def _is_named(rule: ParsedRule, reference: str) -> bool:
    return reference in (rule.name, str(rule.sigma.id))
