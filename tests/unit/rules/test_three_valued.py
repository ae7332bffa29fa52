"""A rule on a partial record is true or false only if it would be so on the complete one."""

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vaultwatch.reading.budget import MAX_DEPTH, MAX_VALUES
from vaultwatch.reading.lenient import decode
from vaultwatch.reading.records import AuditEntry, read_audit_entry
from vaultwatch.reading.view import PartialView, audit_view, partial_audit_view
from vaultwatch.rules.conditions import (
    And,
    Boolean,
    Cidr,
    Condition,
    Exists,
    FieldReference,
    Keyword,
    Never,
    Not,
    Number,
    Or,
    Regex,
    Text,
)
from vaultwatch.rules.predicates import predicate
from vaultwatch.rules.three_valued import decided

NESTED = "[" * MAX_DEPTH + "]" * MAX_DEPTH
LEFT_OUT: list[list[str]] = [[]] * (MAX_VALUES + 1)
IRRELEVANT = {"padding": "@list"}
FIELDS = (
    *("type", "error", "outcome", "partial", "secret_in_clear", "mount_type", "mount_path", "node", "unknown.x"),
    *("auth.display_name", "auth.policies", "auth.unknown", "auth.metadata.a", "request.path", "request.operation"),
    *("request.data", "request.data.a", "request.data.b", "request.data.a.b", "request.data.padding", "request.x"),
    *("response.data", "response.data.a", "response.data.error", "response.x", "request.mount_point"),
)
VALUES = ("a", "b", "true", "sys/", "kv", "secret/", "failed", "succeeded", "1", "values", "x" * 300)
LARGE = {  # by name: hypothesis prints its examples
    "@text": "a" * 1_100_000,
    "@longer text": "xyz" * 800_000,
    "@list": LEFT_OUT,
    "@object": {"a": LEFT_OUT, "b": "a"},
    "@object in an object": {"x": {"b": LEFT_OUT}, "a": "b"},
}
small: st.SearchStrategy[Any] = st.sampled_from(
    [None, "", "a", "b", True, 1, "kv", "secret/", "hvs.abcdefghijklmn", [], {}, ["a", None], [[]]]
)
value = small | st.sampled_from(list(LARGE))
objects = st.dictionaries(st.sampled_from(["a", "b", "x", "error"]), value, max_size=3)
entries = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["request", "response"]),
        "auth": st.dictionaries(st.sampled_from(["display_name", "policies", "unknown", "metadata"]), value),
        "request": st.fixed_dictionaries(
            {"path": st.sampled_from(["sys/a", "secret/b", "kv/a"]) | value, "data": objects | value},
            optional={"operation": value, "mount_type": small, "mount_point": small, "x": value},
        ),
    },
    optional={"error": value, "response": st.fixed_dictionaries({"data": objects | value}), "unknown": objects},
)
fields = st.sampled_from(FIELDS)
values = st.sampled_from(VALUES)
tests = (
    st.builds(Text, fields, st.sampled_from(["eq", "prefix", "suffix", "contains", "glob"]), values)
    | st.builds(Keyword, st.sampled_from(["contains", "glob", "re"]), values)
    | st.builds(Regex, fields, st.sampled_from(["^a", "b$", "left out"]))
    | st.builds(Cidr, fields, st.just("192.0.2.0/24"))
    | st.builds(Exists, fields, st.booleans())
    | st.builds(Number, fields, st.sampled_from(["eq", "lt", "gte"]), st.just(1))
    | st.builds(Boolean, fields, st.booleans())
    | st.builds(FieldReference, fields, fields, st.sampled_from(["eq", "prefix", "contains"]))
    | st.just(Never())
)
conditions = st.recursive(
    tests,
    lambda inner: (
        st.builds(And, st.lists(inner, min_size=1, max_size=3).map(tuple))
        | st.builds(Or, st.lists(inner, min_size=1, max_size=3).map(tuple))
        | st.builds(Not, inner)
    ),
    max_leaves=4,
)


def enlarged(value: Any) -> Any:
    """Return a value with large ones in the place of their names."""
    if isinstance(value, dict):
        return {name: enlarged(item) for name, item in value.items()}
    return LARGE.get(value, value) if isinstance(value, str) else value


def over_budget(entry: dict[str, Any]) -> bytes:
    """Return the line of an entry with more values than its budget."""
    size = len(json.dumps(entry))
    return json.dumps({**entry, "padding": [[]] * (MAX_VALUES + size // 30)}).encode()


def views(entry: dict[str, Any]) -> tuple[PartialView, dict[str, Any]]:
    """Return what is known of an entry, and the view of the complete one."""
    line = over_budget(enlarged(entry))
    found = read_audit_entry(line)
    assert isinstance(found, AuditEntry)
    assert found.partial
    complete = audit_view(AuditEntry(decode(line), partial=found.partial))
    return partial_audit_view(found), complete


@settings(max_examples=25)
@given(entries, conditions)
@example({"type": "response", "request": {}, "response": {"data": "@list"}}, Not(Exists("response.data", True)))
@example({"type": "request", "request": {"path": "a", "data": {"a": "b"}}}, Keyword("contains", "left out"))
def test_no_rule_contradicts_what_the_complete_entry_shows(entry: dict[str, Any], condition: Condition) -> None:
    known, complete = views(entry)
    result = decided(condition, known)
    assert result is None or result is predicate(condition)(complete)


@settings(max_examples=50)
@given(entries, conditions, st.floats(0, 1, exclude_max=True))
def test_no_rule_on_an_entry_without_its_end_contradicts_what_the_complete_entry_shows(
    entry: dict[str, Any], condition: Condition, cut_at: float
) -> None:
    line = json.dumps({"padding": LEFT_OUT, **enlarged(entry)}).encode()
    begin = line.index(b'"type"')
    found = read_audit_entry(line[: begin + int(cut_at * (len(line) - begin))])
    if isinstance(found, AuditEntry):
        result = decided(condition, partial_audit_view(found))
        assert result is None or result is predicate(condition)(audit_view(AuditEntry(decode(line), partial="values")))


@settings(max_examples=30)
@given(st.dictionaries(st.sampled_from(["a", "b"]), small), conditions)
def test_a_rule_that_asks_for_nothing_that_was_left_out_is_decided(data: dict[str, Any], condition: Condition) -> None:
    entry = {"type": "request", "error": "a", "auth": {}, "request": {"path": "sys/a", "data": {**data, **IRRELEVANT}}}
    known, complete = views(entry)
    if any(map(known.lacks, asked(condition))):
        return
    assert decided(condition, known) is predicate(condition)(complete)


def asked(condition: Condition) -> list[str]:
    """Return the fields that a condition names; one that is always lacking stands for a keyword."""
    match condition:
        case And(parts) | Or(parts):
            return [field for part in parts for field in asked(part)]
        case Not(part):
            return asked(part)
        case Keyword():
            return ["secret_in_clear"]
        case Never():
            return []
        case FieldReference(field, other):
            return [field, other]
        case _:
            return [condition.field]


@pytest.mark.parametrize("depth", [MAX_DEPTH, 900, 5_000])
def test_nesting_leaves_rules_on_what_it_hides_undecided_and_others_decided(depth: int) -> None:
    nested = "[" * depth + '"a"' + "]" * depth
    line = f'{{"type":"request","request":{{"path":"sys/a","data":{{"a":{nested},"b":"a"}}}}}}'
    entry = read_audit_entry(line.encode())
    assert isinstance(entry, AuditEntry)
    known = partial_audit_view(entry)
    assert decided(Text("request.data.b", "eq", "a"), known) is True
    assert decided(Text("request.data.b", "eq", "b"), known) is False
    assert decided(Text("request.data.a", "eq", "a"), known) is None
    assert decided(Not(Text("request.data.a", "eq", "b")), known) is None


def test_the_beginning_of_a_text_decides_what_it_can() -> None:
    entry = {"type": "request", "request": {"data": {"a": "b" + "x" * 2_200_000}}}
    known, _ = views(entry)
    results = {how: decided(Text("request.data.a", how, "bx"), known) for how in ("prefix", "contains", "eq")}
    assert results == {"prefix": True, "contains": True, "eq": False}
    assert decided(Text("request.data.a", "contains", "z"), known) is None
    assert decided(Text("request.data.a", "suffix", "z"), known) is None
    assert decided(Text("request.data.a", "prefix", "z"), known) is False
