"""The shipped rules are Sigma for other tools too: pySigma parses them, and its validators find no fault.

Those that download MITRE's catalogues do not run here.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sigma.collection import SigmaCollection
from sigma.exceptions import SigmaTypeError
from sigma.rule import SigmaRule
from sigma.validation import SigmaValidator
from sigma.validators.base import SigmaValidationIssueSeverity as Severity
from sigma.validators.core import validators

RULES = Path(__file__).parents[3] / "rules"
DOWNLOADING = {"attacktag", "d3_fendtag"}
# A number that a placeholder stands for: pySigma compares only with numbers that are written in the rule.
NOT_PARSED = {"audit_access_outside_hours"}
FILES = [path for path in sorted(RULES.glob("*.yml")) if path.stem not in {"placeholders", *NOT_PARSED}]


def test_the_validators_find_no_fault() -> None:
    collection = SigmaCollection.load_ruleset([str(path) for path in FILES], collect_errors=True)
    assert [error for rule in collection.rules for error in rule.errors] == []
    assert len(collection.rules) == len(FILES)
    offline = [validator for name, validator in validators.items() if name not in DOWNLOADING]
    rules: Iterator[Any] = iter(collection.rules)  # correlations too, although pySigma declares only rules
    issues = SigmaValidator(offline).validate_rules(rules)
    assert [issue for issue in issues if issue.severity is not Severity.LOW] == []


@pytest.mark.parametrize("name", sorted(NOT_PARSED))
def test_what_pysigma_cannot_parse_is_known(name: str) -> None:
    with pytest.raises(SigmaTypeError, match="incompatible to value type of '%"):
        SigmaRule.from_yaml((RULES / f"{name}.yml").read_text())
