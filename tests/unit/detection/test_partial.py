"""On a partial record a rule matches, does not, or is undecided: then it is counted, and an alert names it."""

import pytest

from tests.unit.detection.records import rule
from vaultwatch.alerts import alert_of
from vaultwatch.detection.detector import Detector
from vaultwatch.detection.evaluator import MAX_UNDECIDED_NAMES
from vaultwatch.rules.conditions import And, Condition, Exists, Not, Text
from vaultwatch.rules.pack import Rule, shipped_rules

ARRAYS = b",".join([b"[]"] * 30_000)
ENTRY = b'{"type":"request","error":"denied","request":{"id":"a","path":"sys/a","data":{"a":"b","list":[%s]}}}' % ARRAYS
ON_WHAT_WAS_LEFT_OUT = And((Text("request.path", "eq", "sys/a"), Not(Text("request.data.list", "eq", "x"))))
ON_WHAT_IS_KNOWN = And((Text("request.path", "eq", "sys/a"), Not(Text("request.data.a", "eq", "x"))))
OVER_BUDGET = [one for one in shipped_rules() if one.asks_partial]


def evaluated(*conditions: Condition) -> tuple[Detector, dict[str, str]]:
    """Evaluate the partial entry, and return the sentences of its alerts by the name of the rule."""
    rules = [rule(condition, name=f"rule_{number}") for number, condition in enumerate(conditions)]
    detector = Detector([*rules, *OVER_BUDGET])
    verdicts = detector.feed([ENTRY]) + detector.flush()
    return detector, {verdict.rule.name: alert_of(verdict).summary for verdict in verdicts}


def test_a_rule_on_what_was_left_out_is_counted_and_named() -> None:
    detector, found = evaluated(ON_WHAT_WAS_LEFT_OUT)
    assert list(found) == ["audit_entry_over_budget"]
    assert found["audit_entry_over_budget"].endswith("; rules that could not be decided: rule_0")
    assert (detector.counts.partial, detector.counts.undecided) == (1, {"rule_0": 1})


def test_a_rule_with_a_negation_on_what_is_known_matches() -> None:
    detector, found = evaluated(ON_WHAT_IS_KNOWN)
    assert set(found) == {"rule_0", "audit_entry_over_budget"}
    assert not detector.counts.undecided
    assert "could not be decided" not in found["audit_entry_over_budget"]


def test_of_many_undecided_rules_some_are_named_and_the_others_counted() -> None:
    _, found = evaluated(*[ON_WHAT_WAS_LEFT_OUT] * (MAX_UNDECIDED_NAMES + 5))
    assert found["audit_entry_over_budget"].endswith(", rule_3, rule_4, 5 more")


@pytest.mark.parametrize("matches", [True, False])
def test_a_rule_in_python_is_undecided_even_if_it_matches_what_is_known(matches: bool) -> None:
    compiled = rule(Exists("local", True)).compiled
    in_python = Rule(compiled, matches=lambda view: matches and bool(view["request"]["path"]), source=b"source")
    detector = Detector([in_python, *OVER_BUDGET])
    names = {verdict.rule.name for verdict in detector.feed([ENTRY]) + detector.flush()}
    assert (compiled.name in names) is matches
    assert detector.counts.undecided == {compiled.name: 1}


def test_a_server_message_that_was_cut_leaves_a_negation_undecided() -> None:
    condition = And((Text("level", "eq", "error"), Not(Text("message", "contains", "harmless"))))
    detector = Detector([rule(condition, service="server"), *OVER_BUDGET])
    line = b"2026-11-28T00:00:00.000Z [ERROR] core: failed: " + b"x" * 2_000_000
    (verdict,) = detector.feed([line]) + detector.flush()
    assert verdict.rule.name == "server_message_over_budget"
    assert "rules that could not be decided: " in alert_of(verdict).summary


@pytest.mark.parametrize(
    ("operation", "raised"), [(b"list", "audit_list_over_budget"), (b"read", "audit_entry_over_budget")]
)
def test_a_long_list_raises_an_alert_of_a_lower_level_than_any_other_entry(operation: bytes, raised: str) -> None:
    response = b'{"type":"response","request":{"operation":"%s","path":"a"},"response":{"data":{"keys":[%s]}}}'
    (verdict,) = Detector(OVER_BUDGET).feed([response % (operation, ARRAYS)])
    assert verdict.rule.name == raised
