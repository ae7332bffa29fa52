"""The shipped rules are Sigma for other tools too: pySigma parses them, and its validators find no fault.

It loads the folder as `sigma check rules` does: every .yml below it is a rule. The validators that download MITRE's
catalogues do not run here.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sigma.collection import SigmaCollection
from sigma.rule import SigmaDetection, SigmaDetectionItem, SigmaRule
from sigma.types import SigmaBool, SigmaRegularExpression
from sigma.validation import SigmaValidator
from sigma.validators.core import validators

from vaultwatch.rules.pack import shipped_rules

RULES = Path(__file__).parents[3] / "rules"
DOWNLOADING = {"attacktag", "d3_fendtag"}


def test_the_validators_find_no_fault() -> None:
    collection = SigmaCollection.load_ruleset([str(RULES)], collect_errors=True)
    assert [error for rule in collection.rules for error in rule.errors] == []
    assert len(collection.rules) == len(shipped_rules())
    offline = [validator for name, validator in validators.items() if name not in DOWNLOADING]
    rules: Iterator[Any] = iter(collection.rules)  # correlations too, although pySigma declares only rules
    issues = SigmaValidator(offline).validate_rules(rules)
    assert issues == []


def test_no_rule_has_a_condition_that_targets_evaluate_differently() -> None:
    """Regexes: Lucene anchors them, and has no ^ and $. A list with a boolean and texts: Loki has texts only."""
    items = [
        (rule.name, item)
        for rule in SigmaCollection.load_ruleset([str(RULES)]).rules
        if isinstance(rule, SigmaRule)
        for detection in rule.detection.detections.values()
        for item in _items(detection)
    ]
    assert len(items) > 300
    assert [
        name for name, item in items if any(isinstance(value, SigmaRegularExpression) for value in item.value)
    ] == []
    assert [name for name, item in items if len({isinstance(value, SigmaBool) for value in item.value}) > 1] == []


def test_correlations_are_read_after_the_rules_that_they_count() -> None:
    """pySigma sorts the rules of a folder wrongly if a correlation comes first: it reads subfolders last."""
    files = {path for path in RULES.rglob("*.yml") if "\ncorrelation:" in path.read_text()}
    assert files == set((RULES / "correlations").iterdir())


def _items(detection: SigmaDetection) -> Iterator[SigmaDetectionItem]:
    for item in detection.detection_items:
        if isinstance(item, SigmaDetection):
            yield from _items(item)
        else:
            yield item
