"""An entry is excluded from the fields that its rules name only if all of it would match none of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC
from typing import Any
from unittest.mock import ANY

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.evaluation import evaluate_plainly
from tests.unit.rules.test_index import CONDITIONS, ENTRIES, rules_of, with_ids
from vaultwatch.detection.detector import Detector
from vaultwatch.reading.records import NO_ORIGIN
from vaultwatch.rules.conditions import And, Condition, Exists, Keyword, Not, Number, Or, Text, TextHow
from vaultwatch.rules.index import AuditIndex
from vaultwatch.rules.screening import MAX_DECODERS, Screen

SEAL = Text("request.path", "eq", "sys/seal", False)
BY_EVE = And((SEAL, Text("auth.display_name", "eq", "eve", False)))

FAILED = {"type": "response", "request": {}, "response": {"data": {"error": 1}}}
OF_FAILURES = And((Text("outcome", "eq", "failed", False), Not(SEAL)))


def encoded(**members: Any) -> bytes:
    return json.dumps({"type": "request", "request": {"id": "e", "path": "sys/seal"}, **members}).encode()


def excludes(conditions: Sequence[Condition], line: bytes) -> bool:
    few = Screen().read(line, NO_ORIGIN, tuple(rules_of(conditions)), UTC)
    return few is not None and not few[2]


@settings(max_examples=200)
@given(st.lists(CONDITIONS, min_size=1, max_size=3), ENTRIES)
@example([Text("local.hour", "eq", "5", False)], {"type": "request", "request": {}, "time": "2026-11-20T05:00:00Z"})
@example(
    [Text("outcome", "eq", "failed", False)], {"type": "response", "request": {}, "response": {"data": {"error": 1}}}
)
@example([OF_FAILURES], FAILED)
@example([OF_FAILURES], {"type": "request", "request": {}, "error": "x"})
@example([Exists("request", True), Exists("request.data.a", True)], {"type": "request", "request": {"data": {"a": 1}}})
def test_what_is_excluded_matches_no_rule(conditions: list[Condition], entry: dict[str, Any]) -> None:
    (entry,) = with_ids([entry])
    line, rules = json.dumps(entry).encode(), rules_of(conditions)
    if AuditIndex([]).reads(line) and excludes(conditions, line):
        assert evaluate_plainly(rules, line, UTC) == set()


@pytest.mark.parametrize("name", ["error", "errors", r"\u0065rror"])
def test_what_fails_is_decided_also_if_the_name_of_its_error_is_escaped(name: str) -> None:
    line = json.dumps(FAILED).encode().replace(b'"error"', f'"{name}"'.encode())
    assert not excludes([OF_FAILURES], line)
    assert not excludes([Or((OF_FAILURES, OF_FAILURES))], line)


def test_an_entry_without_an_error_is_not_decoded_for_rules_on_what_failed() -> None:
    assert Screen().read(encoded(type="response"), NO_ORIGIN, tuple(rules_of([OF_FAILURES])), UTC) == (ANY, (), ())
    assert not excludes([OF_FAILURES, Text("type", "eq", "response", False)], encoded(type="response"))


PATHS = st.sampled_from(
    [
        "sys/seal",
        "SYS/seal",
        "sys//seal",
        "kv//data/a",
        "team//kv/config",
        "kv/data/a",
        "secret/data/a",
        "kv/metadata/a",
        "team/kv/config",
        "",
    ]
)
OF_PATHS = st.builds(
    Text,
    st.sampled_from(["request.path", "mount_path", "mount_type", "request.mount_point"]),
    st.sampled_from(["eq", "prefix", "suffix", "contains", "glob"]),
    st.sampled_from(["sys/seal", "seal", "data/", "kv", "kv/", "*/a", "config"]),
    st.booleans(),
)
CALLS = st.fixed_dictionaries(
    {"type": st.sampled_from(["request", "response"]), "request": st.fixed_dictionaries({}, optional={
        "path": PATHS, "operation": st.sampled_from(["read", "update"]), "mount_type": st.sampled_from(["kv", "ns_kv"]),
        "mount_point": st.sampled_from(["kv/", "team/kv/", "secret/"])})},
    optional={"error": st.sampled_from(["", "denied", 5]), "auth": st.none() | st.just({"display_name": "eve"}),
              "response": st.sampled_from([None, {"data": {"errors": ["x"]}}])},
)  # fmt: skip


@settings(max_examples=100)
@given(st.lists(CONDITIONS | st.lists(OF_PATHS, min_size=1, max_size=3).map(lambda tests: And(tuple(tests)))
                | OF_PATHS.map(Not), min_size=1, max_size=3), st.lists(ENTRIES | CALLS, max_size=8))  # fmt: skip
def test_what_is_remembered_of_an_entry_decides_others_as_their_fields_do(
    conditions: list[Condition], entries: list[dict[str, Any]]
) -> None:
    screen, rules = Screen(), rules_of(conditions)
    for entry in with_ids(entries):
        line = json.dumps(entry).encode()
        few = screen.read(line, NO_ORIGIN, tuple(rules), UTC) if AuditIndex([]).reads(line) else None
        if few is not None:
            assert {rule.name for rule in few[2]} == evaluate_plainly(rules, line, UTC)


def call(path: str, **changes: Any) -> dict[str, Any]:
    request = {"operation": "read", "path": path, "mount_point": "kv/", "mount_type": "kv"}
    members = {name: changes.pop(name) for name in [*changes] if name not in request}
    return {"type": "response", "request": {**request, **changes}, "auth": {"display_name": "bob"}, **members}


ALIKE = [
    call("kv/data/a"),
    call("kv/metadata/a"),
    call("kv//data/a"),
    call("kv/data//a"),
    call("team//kv/data/a", mount_point="team//kv/"),
    call("kv/data/b"),
    call("kv/ab"),
    call("kv/a"),
    call("kv/data/a", mount_point="kv/data/"),
    call("kv/data/a", mount_type="ns_kv"),
    call("kv/data/a", mount_type="pki"),
    call("kv/data/a", mount_point=None, mount_type=None),
    call("secret/data/a", mount_point=None, mount_type=None),
    call("sys/seal", mount_point=None, mount_type=None),
    call("kv/data/a", operation="update"),
    call("kv/data/a", error="denied"),
    call("kv/data/a", response={"data": {"error": "denied"}}),
    call("kv/data/a", auth=None),
    call("kv/data/a", auth={"display_name": "eve"}),
    call("kv/data/a", type="request"),
    call("", mount_point="kv/"),
]
"""Calls each of which differs from the first in one field that a rule may name."""
NAMED = [
    ("mount_path", "prefix", "data/"),
    ("mount_path", "eq", "a"),
    ("mount_path", "suffix", "/b"),
    ("request.path", "eq", "kv/data/a"),
    ("request.path", "prefix", "kv/data/b"),
    ("mount_type", "eq", "kv"),
    ("mount_type", "eq", "system"),
    ("request.path", "contains", "/data/"),
    ("request.path", "glob", "*/a"),
    ("request.mount_point", "eq", "kv/data/"),
    ("request.operation", "eq", "read"),
    ("error", "eq", "denied"),
    ("outcome", "eq", "failed"),
    ("type", "eq", "request"),
    ("auth.display_name", "eq", "eve"),
]


@pytest.mark.parametrize("negated", [False, True])
@pytest.mark.parametrize(("field", "how", "value"), NAMED)
def test_what_is_remembered_of_one_entry_decides_no_other_that_differs_in_a_named_field(
    field: str, how: TextHow, value: str, negated: bool
) -> None:
    test: Condition = Text(field, how, value, False)
    screen, rules = Screen(), rules_of([Not(test) if negated else test])
    for entry in with_ids(ALIKE * 2):
        line = json.dumps(entry).encode()
        few = screen.read(line, NO_ORIGIN, tuple(rules), UTC)
        assert few is not None
        assert {rule.name for rule in few[2]} == evaluate_plainly(rules, line, UTC), entry


def test_an_entry_is_decided_by_the_fields_that_its_rules_name() -> None:
    assert excludes([BY_EVE], encoded(auth={"display_name": "bob"}))
    assert excludes([BY_EVE], encoded(auth=None))
    assert not excludes([BY_EVE], encoded(auth={"display_name": "Eve"}))
    assert not excludes([BY_EVE, SEAL], encoded(auth={"display_name": "bob"}))


@pytest.mark.parametrize(
    "condition",
    [Keyword("contains", "x", False), Exists("secret_in_clear", True), Exists("partial", True), Number("a", "eq", 5)],
)
def test_a_rule_that_reads_all_of_an_entry_is_left_to_the_evaluator(condition: Condition) -> None:
    assert excludes([condition], encoded()) is isinstance(condition, Number)


def test_nothing_that_the_whole_entry_would_change_is_excluded() -> None:
    assert not excludes([BY_EVE], b'{"type":"request","request":{"path":"sys/seal"},"auth":{"display_name":"\xff"}}')


def test_a_response_that_matches_no_rule_completes_its_request() -> None:
    rules = rules_of([And((SEAL, Text("type", "eq", "request", False)))])
    detector = Detector(rules)
    assert detector.feed([encoded()], 0.0) == []
    (verdict,) = detector.feed([encoded(type="response")], 0.0)
    assert verdict.outcome == "succeeded"


def test_the_number_of_decoders_is_bounded() -> None:
    screen = Screen()
    for _ in range(MAX_DECODERS + 5):
        screen.read(encoded(), NO_ORIGIN, tuple(rules_of([BY_EVE])), UTC)
    assert len(screen._plans) == MAX_DECODERS
