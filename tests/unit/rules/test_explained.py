"""An explanation has the result that the rule has, and names the values that decided it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.rules.sigma import compiled, entry, sigma
from vaultwatch.reading.records import AuditEntry
from vaultwatch.reading.view import audit_view
from vaultwatch.rules.compiling import selections_of
from vaultwatch.rules.conditions import And, Condition, Exists, FieldReference, Keyword, Never, Not, Or, Text
from vaultwatch.rules.explained import Explained, Found, explained, found_in
from vaultwatch.rules.predicates import predicate

fields = st.sampled_from(["a", "a.b", "c"])
texts = st.sampled_from(["x", "y", "xy"])
tests = (
    st.builds(Text, fields, st.sampled_from(["eq", "prefix", "contains"]), texts)
    | st.builds(Exists, fields, st.booleans())
    | st.builds(FieldReference, fields, fields, st.just("eq"))
    | st.builds(Keyword, st.just("contains"), texts)
    | st.just(Never())
)
conditions: st.SearchStrategy[Condition] = st.recursive(
    tests,
    lambda inner: (
        st.builds(And, st.lists(inner, min_size=1, max_size=3).map(tuple))
        | st.builds(Or, st.lists(inner, min_size=1, max_size=3).map(tuple))
        | st.builds(Not, inner)
    ),
    max_leaves=8,
)
values: st.SearchStrategy[Any] = st.sampled_from([None, "", "x", "xy", ["x", "y"], {"b": "x"}, [{"b": ["xy"]}]])
views = st.dictionaries(st.sampled_from(["a", "c"]), values)


def parts_of(result: Explained) -> list[Explained]:
    return [result, *(inner for part in result.parts for inner in parts_of(part))]


@given(conditions, views)
def test_every_part_has_the_result_that_its_condition_has_alone(condition: Condition, view: dict[str, Any]) -> None:
    for part in parts_of(explained(condition, view)):
        assert part.holds is predicate(part.condition)(view)


@pytest.mark.parametrize(
    ("field", "found"),
    [
        ("request.path", Found("request.path", ("a",))),
        ("auth.policies", Found("auth.policies", ("p0", "p1", "p2", "p3", "p4"), 2)),
        ("request", Found("request", ("{...}",))),
        ("request.nothing", Found("request.nothing", ())),
        ("secret_in_clear", Found("secret_in_clear", ())),
    ],
)
def test_values_are_those_of_the_record_and_bounded(field: str, found: Found) -> None:
    view = audit_view(AuditEntry(entry(auth={"policies": [f"p{number}" for number in range(7)]})))
    assert found_in(view, field) == found


def test_a_reference_to_a_field_shows_both_fields() -> None:
    result = explained(FieldReference("a", "c", "eq"), {"a": "x", "c": "y"})
    assert (result.holds, result.found) == (False, (Found("a", ("x",)), Found("c", ("y",))))


def test_selections_are_found_again_in_the_condition_by_their_names(tmp_path: Path) -> None:
    detection = """
        one: {request.path: a, type: request}
        many_1: {request.operation: [read, list]}
        many_2: [{auth.display_name: x}, {mount_type: kv}]
        condition: one and not 1 of many_*
    """
    (tmp_path / "rule.yml").write_text(sigma(detection))
    (tmp_path / "calm.yml").write_text(
        "title: Calm\nlogsource: {product: vault, service: audit}\n"
        "filter: {rules: [rule], ci: {auth.display_name: ci}, condition: not ci}\n"
    )
    names = selections_of("rule", [tmp_path])
    assert sorted(names.values()) == ["filter ci", "selection many_1", "selection many_2", "selection one"]
    condition = compiled(detection, (tmp_path / "calm.yml").read_text())
    within = {part.condition for part in parts_of(explained(condition, {}))}
    assert names.keys() <= within
    assert selections_of("unknown", [tmp_path]) == {}
