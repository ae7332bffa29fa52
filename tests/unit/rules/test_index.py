"""With the index, the same rules match as without it, in any serialisation and after any entry."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bench import corpus
from bench import rules as bench_rules
from tests.support.evaluation import evaluate_plainly
from vaultwatch.detection.detector import Detector
from vaultwatch.detection.evaluator import Ruleset
from vaultwatch.reading.records import NO_ORIGIN
from vaultwatch.rules import narrowing, remembered
from vaultwatch.rules.conditions import (
    And,
    Boolean,
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
    TextHow,
)
from vaultwatch.rules.facts import Level
from vaultwatch.rules.index import AuditIndex, Candidate, Passed, Rules, Sifted, Unreadable
from vaultwatch.rules.pack import CompiledRule, Rule, decode_pack, shipped_rules

# Letters whose lower case depends on their neighbours, or has another length, among ordinary ones.
WORDS = [
    "a",
    "B",
    "sys/seal",
    "seal",
    "data/",
    "root",
    "read",
    "Read",
    "Σ",
    "ΑΣ",
    "İ",
    "K",
    "ß",
    "a*b",
    "a.b",
    "5",
    "true",
]
TEXTS = st.sampled_from(WORDS) | st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map("".join)
FIELDS = st.sampled_from(
    [
        *("request.path", "request.path", "mount_path", "mount_type", "request.operation", "request.mount_type"),
        *(
            "request.mount_point",
            "request.namespace.path",
            "request.namespace.id",
            "request.data.a",
            "request.data.a.b",
        ),
        *("request.remote_port", "auth.policies", "auth.display_name", "auth.metadata.a", "error", "type", "outcome"),
        *("response.data.a", "response.auth.policies", "auth.policy_results.allowed", "node", "lane", "time"),
    ]
)
HOWS = st.sampled_from(["eq", "prefix", "suffix", "contains"])


def text_condition(field: str, how: TextHow, value: str, cased: bool) -> Condition:
    return Text(field, how, value if cased else value.lower(), cased)


def glob_condition(field: str, parts: Sequence[str], cased: bool) -> Condition:
    value = "".join(part if part in "*?" else part.replace("*", "\\*") for part in parts)
    return Text(field, "glob", value if cased else value.lower(), cased)


LEAVES = st.one_of(
    st.builds(text_condition, FIELDS, HOWS, TEXTS, st.booleans()),
    st.builds(text_condition, FIELDS, HOWS, TEXTS, st.booleans()),
    st.builds(glob_condition, FIELDS, st.lists(st.sampled_from(["*", "?", *WORDS[:10]]), min_size=1), st.booleans()),
    st.builds(Exists, FIELDS, st.booleans()),
    st.builds(lambda field, op: Number(field, op, 5), FIELDS, st.sampled_from(["eq", "lt"])),
    st.builds(lambda field: Boolean(field, True), FIELDS),
    st.builds(lambda field, value: Regex(field, f"(?i){value.replace('*', '.')}"), FIELDS, TEXTS),
    st.builds(lambda value: Keyword("contains", value.lower(), False), TEXTS),
    st.builds(FieldReference, FIELDS, FIELDS, HOWS),
    st.just(Never()),
)
CONDITIONS = st.recursive(
    LEAVES,
    lambda below: st.one_of(
        st.builds(
            lambda kind, parts: kind(tuple(parts)), st.sampled_from([And, Or]), st.lists(below, min_size=2, max_size=3)
        ),
        st.builds(Not, below),
    ),
    max_leaves=6,
)
SCALARS = st.none() | st.sampled_from(["", 5, 5.0, 1, 1.0, True, False]) | TEXTS
VALUES = SCALARS | st.lists(SCALARS, max_size=3) | st.fixed_dictionaries({}, optional={"a": SCALARS, "b": TEXTS})
OBJECTS = st.none() | st.fixed_dictionaries({}, optional={"a": VALUES, "policies": VALUES, "allowed": VALUES})


def some(**members: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=members)


REQUESTS = some(
    operation=st.sampled_from(["read", "Read"]) | VALUES,
    path=TEXTS | VALUES,
    mount_type=VALUES,
    mount_point=TEXTS.map(lambda text: text + "/") | VALUES,
    namespace=some(path=VALUES, id=VALUES) | OBJECTS,
    data=some(a=VALUES) | VALUES,
    remote_port=VALUES,
)
AUTHS = some(
    policies=st.lists(TEXTS, max_size=2) | VALUES, display_name=VALUES, metadata=some(a=VALUES), policy_results=OBJECTS
)
ENTRIES = st.builds(
    lambda kind, members, request: {"type": kind, **members, "request": request},
    st.sampled_from(["request", "response", "kmip-request"]),
    some(auth=AUTHS | VALUES, error=VALUES, response=some(data=OBJECTS, auth=OBJECTS) | VALUES, time=VALUES),
    REQUESTS,
)


def uncounted(rules: Iterable[Rule]) -> list[Rule]:
    """Return rules without those that count the others, so that all raise alerts."""
    return [rule for rule in rules if not rule.compiled.correlation]


def rules_of(conditions: Iterable[Condition]) -> list[Rule]:
    return [
        Rule(CompiledRule(name=f"r{n:03}", title="t", level=Level.LOW, service="audit", condition=condition))
        for n, condition in enumerate(conditions)
    ]


def found_by_index(
    rules: Sequence[Rule], lines: Iterable[bytes], detector: Detector | None = None
) -> dict[str, set[str]]:
    """Return the rules that match by event key, through index and predicates."""
    detector = detector or Detector(rules, zone=UTC)
    found: dict[str, set[str]] = {}
    for verdict in detector.feed(lines) + detector.flush():
        found.setdefault(verdict.event_key, set()).add(verdict.rule.name)
    assert detector.counts.rejected == 0
    return found


def found_by_trying_all(rules: Sequence[Rule], lines: Iterable[bytes]) -> dict[str, set[str]]:
    """Return the same by evaluating every rule on every entry."""
    found: dict[str, set[str]] = {}
    for line in lines:
        names = evaluate_plainly(rules, line, UTC)
        assert names is not None
        if names:
            found.setdefault(json.loads(line[line.find(b"{") :])["request"]["id"], set()).update(names)
    return found


def with_ids(entries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**one, "request": {**one["request"], "id": f"e{n}"}} for n, one in enumerate(entries)]


def written_twice(first: Any, last: Any) -> str:
    """Return an object in JSON with the members of both, those of the last one at the end."""
    if not (isinstance(first, dict) and isinstance(last, dict)):
        return json.dumps(last)
    members = [(name, json.dumps(first[name])) for name in first]
    members += [(name, written_twice(first.get(name), last[name])) for name in last]
    return f"{{{','.join(f'{json.dumps(name)}:{text}' for name, text in members)}}}"


def with_first_members(line: bytes) -> bytes:
    return json.dumps(json.loads(line, object_pairs_hook=lambda pairs: dict(reversed(pairs)))).encode()


@pytest.fixture(scope="module")
def lines() -> list[bytes]:
    return [line for _, line in corpus.entries(1_200, seed=7, alert_rate=0.15)]


@pytest.fixture(scope="module")
def expected(lines: list[bytes]) -> dict[str, set[str]]:
    return found_by_trying_all(uncounted(shipped_rules()), lines)


class TestEqualsTryingEveryRule:
    @settings(max_examples=150)
    @given(
        st.lists(CONDITIONS, min_size=1, max_size=6),
        st.lists(ENTRIES, min_size=1, max_size=6),
        st.sampled_from([b"", b"@c/n/file ", b"<13>prefix: "]),
    )
    @example([Text("request.path", "glob", "a?b", True)], [{"type": "request", "request": {"path": "aİb"}}], b"")
    @example(
        [Text("request.remote_port", "eq", "true", False)],
        [{"type": "request", "request": {"remote_port": port}} for port in (1, True, 1.0)],
        b"",
    )
    @example(
        [Text(field, "eq", "me", False) for field in ("auth.display_name", "auth.entity_id", "error")],
        [
            {"type": "request", "auth": {}, "request": {}, "error": "me"},
            {"type": "request", "auth": {"entity_id": "me"}, "request": {}},
            {"type": "request", "auth": {"display_name": "me"}, "request": {}},
        ],
        b"",
    )
    @example(
        [Text(field, "eq", "5", False) for field in ("auth.display_name", "request.remote_port", "request.wrap_ttl")],
        [
            {"type": "request", "request": {"remote_port": 15, "wrap_ttl": 5}},
            {"type": "request", "request": {"remote_port": 1, "wrap_ttl": 55}},
            {"type": "request", "request": {"remote_port": 5, "wrap_ttl": 51}},
            {"type": "request", "request": {"remote_port": 55, "wrap_ttl": 1}},
        ],
        b"",
    )
    @example(
        [Text("mount_path", "eq", "seal", False)],
        [{"type": "request", "request": {"path": "sys/seal", "mount_point": "ns/sys/"}}],
        b"@c/n/file ",
    )
    def test_on_generated_conditions_and_entries(
        self, conditions: list[Condition], entries: list[dict[str, Any]], before: bytes
    ) -> None:
        rules = rules_of(conditions)
        lines = [before + json.dumps(entry).encode() for entry in with_ids(entries) * 2]
        assert found_by_index(rules, lines) == found_by_trying_all(rules, lines)

    @settings(max_examples=50)
    @given(st.lists(CONDITIONS, min_size=1, max_size=6), st.lists(ENTRIES, min_size=1, max_size=3))
    @example([Keyword("contains", "a", cased=False)], [{"type": "request", "request": {"operation": None}}])
    def test_on_entries_with_members_that_are_written_twice(
        self, conditions: list[Condition], entries: list[dict[str, Any]]
    ) -> None:
        rules, entries = rules_of(conditions), with_ids(entries)
        lines = [written_twice(first, last).encode() for first in entries for last in entries]
        for line in lines:  # entries of one id would complete each other
            expected = found_by_trying_all(rules, [line])
            for key, names in found_by_trying_all(rules, [with_first_members(line)]).items():
                expected.setdefault(key, set()).update(names)
            assert found_by_index(rules, [line], Detector(rules, zone=UTC, is_thorough=True)) == expected

    @pytest.mark.parametrize("style", ["as written", "tagged", *corpus.STYLES])
    def test_on_the_corpus_with_the_shipped_pack(
        self, style: Any, lines: list[bytes], expected: dict[str, set[str]]
    ) -> None:
        other = {"as written": lambda line: line, "tagged": lambda line: b"@c/n/file " + line}.get(style)
        rewritten = [other(line) if other else corpus.reserialise(line, style) for line in lines]
        assert found_by_index(uncounted(shipped_rules()), rewritten) == expected
        assert len(expected) > 120
        assert len(set().union(*expected.values())) > 10

    def test_on_the_corpus_with_a_thousand_rules(self, lines: list[bytes], tmp_path: Path) -> None:
        rules = uncounted(decode_pack(bench_rules.pack(1_000, tmp_path)))
        some_lines = lines[::8]
        expected = found_by_trying_all(rules, some_lines)
        assert any(name.startswith("bench") for names in expected.values() for name in names)
        for style in (None, *corpus.STYLES):
            rewritten = [corpus.reserialise(line, style) if style else line for line in some_lines]
            assert found_by_index(rules, rewritten) == expected


class TestShapes:
    """Entries that the gate cannot decode are evaluated in full, with every rule that could match."""

    RULES = rules_of([Text("request.path", "eq", "sys/seal", False), Text("auth.policies", "eq", "root", False)])

    @pytest.mark.parametrize(
        ("entry", "expected"),
        [
            ({"auth": None, "request": {"path": "sys/seal"}}, {"r000"}),
            ({"request": {"path": "sys/seal"}}, {"r000"}),
            ({"auth": {"policies": None}, "request": {"path": "SYS/Seal"}}, {"r000"}),
            ({"auth": {"policies": ["ROOT"]}, "request": {}}, {"r001"}),
            ({"auth": {"policies": ["root", None, 5, {}]}, "request": {"path": None}}, {"r001"}),
            ({"auth": {"policies": "root"}, "request": {"path": {"a": 1}}}, {"r001"}),
            ({"auth": {"policies": [["root"]]}, "request": {"path": ["x", "sys/seal"]}}, {"r000", "r001"}),
            ({"auth": "root", "request": {"path": "x", "namespace": None}}, set()),
            ({"auth": {"policies": ["root"]}, "request": {"path": "sys/seal", "operation": 5}}, {"r000", "r001"}),
        ],
    )
    def test_matches_are_found(self, entry: dict[str, Any], expected: set[str]) -> None:
        for kind in ("request", "response", "kmip-request"):
            (one,) = with_ids([{"type": kind, **entry}])
            line = json.dumps(one).encode()
            assert found_by_index(self.RULES, [line]).get("e0", set()) == expected == evaluate_plainly(self.RULES, line)

    def test_lines_with_and_without_tags_may_be_mixed(self) -> None:
        entries = with_ids([{"type": "request", "request": {"path": "sys/seal"}}] * 4)
        plain = [json.dumps(entry).encode() for entry in entries]
        for tagged in ((0, 2), (1, 3), (0, 1, 2, 3), ()):
            lines = [b"@c/n/socket " * (n in tagged) + line for n, line in enumerate(plain)]
            assert found_by_index(self.RULES, lines) == {key: {"r000"} for key in ("e0", "e1", "e2", "e3")}

    @pytest.mark.parametrize("before", [b"", b"Nov 21 07:29:41 host vault[7]: ", b"prefix "])
    @pytest.mark.parametrize(
        "entry",
        [
            {"auth": None, "request": {"path": "a"}},
            {"auth": {"policies": ["a", "b"]}, "request": {"path": "a", "namespace": None}},
            {"type": "kmip-request", "request": {"path": "a"}},
        ],
    )
    def test_no_ordinary_shape_is_decoded_in_full(
        self, entry: dict[str, Any], before: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        decoded: list[bytes] = []
        monkeypatch.setattr("vaultwatch.detection.line_reader.read_audit_entry", lambda text, _: decoded.append(text))
        detector = Detector(self.RULES)
        assert detector.feed([before + json.dumps({"type": "request", **entry}).encode()]) == []
        assert (decoded, detector.counts.audit) == ([], 1)


class TestMemory:
    def test_the_cache_is_bounded_although_clients_choose_the_paths(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(remembered, "MAX_REMEMBERED", 100)
        rules = rules_of([Text("request.path", "suffix", "seal", False), Text("auth.display_name", "eq", "me", False)])
        audit_index = AuditIndex(rules)
        for number in range(500):
            auth = {"display_name": f"d{number}", "policies": [f"p{number}"]}
            entry = {"type": "request", "auth": auth, "request": {"path": f"p{number}", "operation": f"o{number}"}}
            audit_index.candidates(json.dumps(entry).encode())
        tables = (audit_index._by_path, audit_index._by_policies, audit_index._by_kind, audit_index._others._joined)
        assert all(0 < len(table) <= 100 for table in tables)

    def test_long_texts_are_not_cached(self) -> None:
        audit_index = AuditIndex(rules_of([Text("request.path", "suffix", "seal", False)]))
        for path in ("x" * 600 + "seal", "x" * 600):
            entry = {"type": "request", "request": {"path": path}}
            assert len(audit_index.candidates(json.dumps(entry).encode())) == path.endswith("seal")
        assert audit_index._by_path == {}

    def test_an_entry_that_no_rule_could_match_is_only_counted(self) -> None:
        audit_index = AuditIndex(rules_of([Text("request.path", "eq", "sys/seal", False)]))
        lines = [json.dumps({"type": "request", "request": {"path": path}}).encode() for path in ("a", "sys/seal", "b")]
        assert list(audit_index.sift(lines, ())) == [Passed(1), Candidate(lines[1], audit_index.rules), Passed(1)]

    def test_an_entry_whose_operation_no_rule_of_its_path_needs_is_only_counted(self) -> None:
        seal = Text("request.path", "eq", "sys/seal", False)
        audit_index = AuditIndex(rules_of([And((seal, Text("request.operation", "eq", "update", False)))]))
        requests = [{"id": name, "operation": name, "path": "sys/seal"} for name in ("read", "update", "list")]
        lines = [json.dumps({"type": "request", "request": each}).encode() for each in requests]
        assert list(audit_index.sift(lines, ())) == [Passed(1), Candidate(lines[1], audit_index.rules), Passed(1)]
        waited_for = Candidate(lines[2], ())
        assert list(audit_index.sift(lines, {"list"})) == [
            Passed(1),
            Candidate(lines[1], audit_index.rules),
            waited_for,
        ]

    @pytest.mark.parametrize(
        ("kind", "logged"), [("kv", "kv generic ns_kv"), ("pki", "pki ns_pki"), ("system", "ns_system")]
    )
    def test_an_entry_of_another_type_of_mount_is_only_counted(self, kind: str, logged: str) -> None:
        rules = rules_of([Text("mount_type", "eq", kind, False)])
        default = {"kv": "secret/a", "pki": "pki/a", "system": "sys/a"}[kind]
        requests = [{"path": "a", "mount_type": name} for name in [*logged.split(), "ssh", "ns_ssh"]]
        lines = [json.dumps({"type": "request", "request": one}).encode() for one in [*requests, {"path": default}]]
        audit_index = AuditIndex(rules)
        candidates = [line for line in lines if audit_index.candidates(line)]
        assert candidates == [*lines[: len(logged.split())], lines[-1]]
        assert [bool(evaluate_plainly(rules, line)) for line in lines] == [line in candidates for line in lines]

    def test_an_entry_that_is_settled_counts_as_passed_unless_a_request_waits_that_it_may_answer(self) -> None:
        audit_index = AuditIndex(rules_of([Text("request.path", "eq", "sys/seal", False)]))
        requests = [{"path": "a"}, *({"id": one, "path": "sys/seal"} for one in "bcd"), {"path": "sys/seal"}]
        lines = [b"before " + json.dumps({"type": "request", "request": each}).encode() for each in requests]
        offered: list[tuple[bytes, str, int]] = []

        def settle(line: bytes, text: bytes, gate: Any, rules: Rules, passed: int) -> bool:
            assert (line, rules) == (b"before " + text, audit_index.rules)
            offered.append((line, gate.request.id, passed))
            return bool(gate.request.id != "c")

        def sifted(*waiting: str) -> list[Sifted]:
            offered.clear()
            return list(audit_index.sift(lines, waiting, lambda line: line[7:], settle))

        seal = [Candidate(line, audit_index.rules) for line in lines]
        assert sifted() == [Passed(2), seal[2], Passed(2)]
        assert offered == list(zip(lines[1:], ["b", "c", "d", None], [1, 2, 0, 1], strict=True))
        assert sifted("d") == [Passed(2), seal[2], seal[3], seal[4]]
        assert [one for _, one, _ in offered] == ["b", "c"]

    def test_of_ordinary_traffic_a_third_are_candidates_and_few_of_these_are_decoded_again(self) -> None:
        """Most are reads of secrets, for which the gate decodes what they are counted by. Each other one costs time."""
        ruleset, offered = Ruleset(shipped_rules()), Counter[bool]()

        def settle(_line: bytes, text: bytes, gate: Any, rules: Rules, _passed: int) -> bool:
            few = ruleset.screen.read(text, NO_ORIGIN, rules, None, gate)
            offered[few is not None and few[0].is_in_gate] += 1
            return True

        entries = [line for _, line in corpus.entries(3_000, seed=7)]
        assert sum(isinstance(one, Passed) for one in ruleset.index.sift(entries, (), None, settle)) > 0
        assert offered[True] < 0.29 * len(entries)
        assert offered[False] < 0.14 * len(entries)

    @pytest.mark.parametrize("in_gate", [(), ("auth.display_name",), ("auth.display_name", "error")])
    def test_an_entry_is_a_candidate_only_if_all_fields_fit(self, in_gate: tuple[str, ...]) -> None:
        secret = Text("request.path", "contains", "/prod/", False)
        others = [("auth.display_name", "eve"), ("auth.metadata.role", "staff"), ("error", "denied")]
        rules = rules_of([And((secret, Text(field, "prefix", value, False))) for field, value in others])
        audit_index = AuditIndex(rules, in_gate)
        entries: list[dict[str, Any]] = [
            {"auth": {"display_name": "bob", "metadata": {"role": "ops"}}},
            {"auth": {"display_name": "EVE", "metadata": None}},
            {"auth": None, "error": "denied"},
            {"auth": None, "error": None},
            {"auth": {"metadata": {"role": ["ops", "staff"]}}, "error": ""},
            {"auth": {"metadata": {"role": "staff"}}, "error": "denied"},
        ]
        found = [
            audit_index.candidates(json.dumps({"type": "request", "request": {"path": "kv/prod/a"}, **entry}).encode())
            for entry in entries
        ]
        assert [[rule.name for rule in rules] for rules in found] == [
            *([], ["r000"], ["r002"], [], ["r001"], ["r001", "r002"])
        ]

    def test_no_rule_about_partial_entries_is_a_candidate_for_a_complete_one(self) -> None:
        lists = And((Exists("partial", True), Text("request.operation", "eq", "list", False)))
        line = json.dumps({"type": "request", "request": {"operation": "list", "path": "kv/"}}).encode()
        assert AuditIndex(rules_of([lists])).candidates(line) == ()

    def test_sets_of_rules_beyond_the_bound_are_not_narrowed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(narrowing, "MAX_PLANS", 1)
        person = Text("auth.display_name", "eq", "eve", False)
        audit_index = AuditIndex(rules_of(And((Text("request.path", "eq", p, False), person)) for p in ("a", "b")))
        lines = [json.dumps({"type": "request", "request": {"path": path}}).encode() for path in ("a", "b", "a")]
        assert [len(audit_index.candidates(line)) for line in lines] == [0, 1, 0]

    def test_lines_that_the_gate_cannot_decode_keep_their_position(self) -> None:
        audit_index = AuditIndex(rules_of([Text("request.path", "eq", "sys/seal")]))
        entry = json.dumps({"type": "request", "request": {"path": "a"}}).encode()
        lines = [entry, b"a line of the server log", entry, entry, b"{"]
        assert list(audit_index.sift(lines, ())) == [Passed(1), Unreadable(lines[1]), Passed(2), Unreadable(lines[4])]
        assert [audit_index.reads(line) for line in lines] == [True, False, True, True, False]
