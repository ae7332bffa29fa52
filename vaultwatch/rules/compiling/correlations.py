"""Compile Sigma correlations: rules that count the matches of other rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sigma.correlations import (
    SigmaCorrelationCondition,
    SigmaCorrelationConditionOperator,
    SigmaCorrelationRule,
    SigmaCorrelationType,
)

from vaultwatch.errors import RuleError, did_you_mean
from vaultwatch.rules.compiling import notifying
from vaultwatch.rules.compiling.checks import check_field
from vaultwatch.rules.compiling.documents import Document
from vaultwatch.rules.compiling.faults import one_line
from vaultwatch.rules.compiling.parsed_rule import RULE_KEYS, check_shape, common_facts
from vaultwatch.rules.compiling.unsupported import SIGMA_FAULTS, refuse_unknown_keys
from vaultwatch.rules.conditions import Never
from vaultwatch.rules.correlations import Correlation, CorrelationType
from vaultwatch.rules.facts import Service
from vaultwatch.rules.pack import CompiledRule

MAX_THRESHOLD = 1000
"""Counts are kept in memory, one for each group."""
MAX_LEARNING_SECONDS = 30 * 86_400
FIRST_SEEN = "first-seen"
"""The key of a correlation, not part of Sigma, that makes it learn which groups there are."""
EXTENSIONS = notifying.KEYS | {FIRST_SEEN}
"""The keys beside `correlation` that are not part of Sigma."""
_KEYS = (RULE_KEYS - {"logsource", "detection", "fields", "group-by", "denied", "unanswered"}) | {
    "correlation",
    FIRST_SEEN,
}
INNER_KEYS = frozenset({"type", "rules", "group-by", "timespan", "condition", "aliases", "generate"})
_TYPES: dict[SigmaCorrelationType, CorrelationType] = {
    SigmaCorrelationType.EVENT_COUNT: "event_count",
    SigmaCorrelationType.VALUE_COUNT: "value_count",
    SigmaCorrelationType.TEMPORAL: "temporal",
    SigmaCorrelationType.TEMPORAL_ORDERED: "temporal_ordered",
}
_OF_RULES = (SigmaCorrelationType.TEMPORAL, SigmaCorrelationType.TEMPORAL_ORDERED)
MAX_STEPS = 16
"""Rules that match one after the other."""
_ORIGIN = frozenset({"cluster", "node"})
"""What absence is noticed of: clients cannot make up any."""
_LEAST = {SigmaCorrelationConditionOperator.GTE: 0, SigmaCorrelationConditionOperator.GT: 1}


def compile_correlation(document: Document, rules: Mapping[str, CompiledRule]) -> CompiledRule:
    """Compile one correlation.

    Args:
        document: The YAML document.
        rules: The compiled rules that it can count, by name and by id.

    Raises:
        RuleError: Names the file, and says what is wrong.
    """
    where, path, found = document
    check_shape(where, found, path, _KEYS, ("title", "name", "level", "correlation"))
    notified = notifying.read_notifying(found, where)
    try:
        _check_inner(found["correlation"])
        sigma = SigmaCorrelationRule.from_dict({key: found[key] for key in found if key not in EXTENSIONS})
        correlation = _correlation(sigma, rules, learns=learns(found))
        service = _check_fields(correlation, {rule.name: rule for rule in rules.values()})
    except (*SIGMA_FAULTS, RuleError) as error:
        raise RuleError(f"{where}: {one_line(error)}") from error
    facts = common_facts(sigma, notified) | {"group_by": correlation.group_by}
    return CompiledRule(service=service, condition=Never(), correlation=correlation, **facts)


def learns(found: Mapping[str, Any]) -> bool:
    """Return whether a correlation, as parsed from YAML, raises alerts on what it sees for the first time.

    Raises:
        RuleError: The value of its key is not valid.
    """
    value = found.get(FIRST_SEEN, False)
    if not isinstance(value, bool):
        raise RuleError(f"{FIRST_SEEN} takes true or false")
    return value


def _check_inner(inner: Any) -> None:
    if isinstance(inner, dict):
        refuse_unknown_keys("correlation", inner, INNER_KEYS)


def _correlation(sigma: SigmaCorrelationRule, rules: Mapping[str, CompiledRule], *, learns: bool) -> Correlation:
    if sigma.type not in _TYPES:
        known = ", ".join(_TYPES.values())
        raise RuleError(f"unsupported correlation type {sigma.type.name.lower()}: not one of {known}")
    names = tuple(_name(reference.reference, rules) for reference in sigma.rules or ())
    if not names or len(set(names)) < len(names):
        raise RuleError("correlation: no rules, or one of them twice")
    if is_absence(sigma):
        return _absence(sigma, names, learns=learns)
    fields, threshold = _condition(sigma, len(names))
    kind = _TYPES[sigma.type]
    if learns and (kind != "event_count" or threshold != 1 or not sigma.group_by):
        raise RuleError(f"{FIRST_SEEN} takes type event_count, condition gte: 1, and group-by")
    return Correlation(
        type="first_seen" if learns else kind,
        rules=names,
        timespan_seconds=_timespan(sigma, MAX_LEARNING_SECONDS if learns else notifying.MAX_WINDOW_SECONDS),
        threshold=threshold,
        group_by=tuple(sigma.group_by or ()),
        fields=fields,
        aliases={
            alias.alias: {_name(rule.reference, rules): str(field) for rule, field in alias.mapping.items()}
            for alias in sigma.aliases
        },
        generate=sigma.generate,
    )


def is_absence(sigma: SigmaCorrelationRule) -> bool:
    """Return whether a correlation raises an alert if nothing comes."""
    condition = sigma.condition
    if not isinstance(condition, SigmaCorrelationCondition) or sigma.type is not SigmaCorrelationType.EVENT_COUNT:
        return False
    return condition.op is SigmaCorrelationConditionOperator.LT and condition.count == 1


def _absence(sigma: SigmaCorrelationRule, names: tuple[str, ...], *, learns: bool) -> Correlation:
    group_by = tuple(sigma.group_by or ())
    if learns or sigma.aliases.aliases or not _ORIGIN.issuperset(group_by):
        raise RuleError("condition lt: 1 takes group-by cluster, node or both, and neither aliases nor first-seen")
    return Correlation(
        type="absence",
        rules=names,
        timespan_seconds=_timespan(sigma, MAX_LEARNING_SECONDS),
        threshold=0,
        group_by=group_by,
        generate=sigma.generate,
    )


def _name(reference: str, rules: Mapping[str, CompiledRule]) -> str:
    if reference not in rules:
        hint = did_you_mean(str(reference), (rule.name for rule in rules.values()))
        raise RuleError(f"correlation: no rule {reference} has a condition to count{hint}")
    return rules[reference].name


def _timespan(sigma: SigmaCorrelationRule, most: int) -> int:
    if sigma.timespan.seconds > most:
        raise RuleError(f"timespan {sigma.timespan.spec} is longer than {most} s")
    return sigma.timespan.seconds


def _condition(sigma: SigmaCorrelationRule, rules: int) -> tuple[tuple[str, ...], int]:
    """Return the fields whose values are counted, and the count that raises an alert."""
    condition = sigma.condition
    if not isinstance(condition, SigmaCorrelationCondition) or condition.op not in _LEAST:
        raise RuleError("unsupported condition: only gte, gt and lt: 1, because a count can only grow")
    if not isinstance(condition.count, int):
        raise RuleError(f"condition: {condition.count} is not a whole number")
    threshold = condition.count + _LEAST[condition.op]
    most = rules if sigma.type in _OF_RULES else MAX_THRESHOLD
    if sigma.type is SigmaCorrelationType.TEMPORAL_ORDERED and not 2 <= threshold == rules <= MAX_STEPS:
        raise RuleError(f"temporal_ordered: all of 2 to {MAX_STEPS} rules have to match, not {threshold} of {rules}")
    if not 1 <= threshold <= most:
        raise RuleError(f"condition: a threshold of {threshold} is not between 1 and {most}")
    named = condition.fieldref or []
    fields = tuple(named) if isinstance(named, list) else (named,)
    if fields and sigma.type is not SigmaCorrelationType.VALUE_COUNT:
        raise RuleError("condition: only value_count has a field")
    return fields, threshold


def _check_fields(correlation: Correlation, rules: Mapping[str, CompiledRule]) -> Service:
    services = {rules[name].service for name in correlation.rules}
    if len(services) > 1:
        raise RuleError("correlation: its rules are for different logs")
    for alias, fields in correlation.aliases.items():
        if fields.keys() != set(correlation.rules):
            raise RuleError(f"aliases: {alias} does not name a field for each of the rules")
    (service,) = services
    for name in correlation.rules:
        for field in correlation.resolved((*correlation.group_by, *correlation.fields), name):
            check_field(field, service)
    return service
