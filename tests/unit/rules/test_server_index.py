"""With the index, the same rules match the same server-log messages as without it, in both layouts and any writing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vaultwatch.detection.detector import Detector
from vaultwatch.reading.identity import ServerEventKeys
from vaultwatch.reading.records import Origin, Rejected, ServerMessage, split_tag
from vaultwatch.reading.server_log import ServerLogReader
from vaultwatch.reading.view import server_view
from vaultwatch.rules.conditions import And, Boolean, Condition, Exists, Keyword, Never, Not, Number, Or, Regex, Text
from vaultwatch.rules.facts import Level
from vaultwatch.rules.pack import CompiledRule, Rule, shipped_rules

DATA = Path(__file__).parents[2] / "data"
LOGS = sorted({*DATA.glob("recordings/*/*/server*.log"), *DATA.glob("server/**/*.log")})
WORDS = [
    *("core", "failed", "Failed", "to", "seal", "root", "a=b", "5", "5.0", "true", "type=token", '"', "\\", "\\n", "é"),
    *("İ", "ΑΣ", "K", ":", "[x, y]", 'k="a b"', "error=denied", "nan", "\x1b[31m", "*", "core:"),
]
PHRASES = st.lists(st.sampled_from(WORDS), min_size=1, max_size=5).map(" ".join)
FIELDS = st.sampled_from(
    [
        *("message", "message", "level", "module", "raw", "fields.error", "fields.type", "fields.k", "fields.n"),
        *("node", "time", "partial", "outcome"),
    ]
)
LEVELS = ["error", "warn", "info", "debug", "trace", "ERROR", ""]
VALUES = st.sampled_from([*WORDS, *LEVELS]) | PHRASES


def text(field: str, how: str, value: str, cased: bool) -> Condition:
    return Text(field, how, value if cased else value.lower(), cased)  # type: ignore[arg-type]  # how is one of these


LEAVES = st.one_of(
    st.builds(text, FIELDS, st.sampled_from(["eq", "prefix", "suffix", "contains", "glob"]), VALUES, st.booleans()),
    st.builds(text, FIELDS, st.just("glob"), st.lists(VALUES, min_size=1).map("*".join), st.booleans()),
    st.builds(Exists, FIELDS, st.booleans()),
    st.builds(lambda field: Number(field, "eq", 5), FIELDS),
    st.builds(lambda field: Boolean(field, True), FIELDS),
    st.builds(lambda field: Regex(field, "(?i)fail"), FIELDS),
    st.builds(lambda value: Keyword("contains", value.lower(), False), VALUES),
    st.just(Never()),
)
CONDITIONS = st.recursive(
    LEAVES,
    lambda below: st.one_of(
        st.lists(below, min_size=2, max_size=3).map(lambda parts: And(tuple(parts))),
        st.lists(below, min_size=2, max_size=3).map(lambda parts: Or(tuple(parts))),
        st.builds(Not, below),
    ),
    max_leaves=6,
)
TIMES = st.sampled_from(["2026-11-21T07:29:48.933Z", "2026-11-21T07:29:49.001Z"])
SYSLOG, TAG = "Nov 21 07:29:41 host vault[7]: ", "@c/n/server "
BEFORE = st.sampled_from(["", SYSLOG, TAG, TAG + SYSLOG])
IN_BRACKETS = st.sampled_from(["ERROR", "WARN", "INFO ", "X"])
SCALARS = VALUES | st.sampled_from([5, 5.0, 5e300, True, False, None])
LINES = st.one_of(
    st.builds("{}{} [{}] {}: {}".format, BEFORE, TIMES, IN_BRACKETS, VALUES, PHRASES),
    st.builds(str.__add__, BEFORE, PHRASES),
    st.builds("{}==> {}".format, BEFORE, PHRASES),
    st.sampled_from(["  error=", "  | seal failed", "", "panic: x", "goroutine 5 ["]),
    st.builds(
        lambda before, fields, ascii_only: before + json.dumps(fields, ensure_ascii=ascii_only),
        BEFORE,
        st.fixed_dictionaries(
            {"@level": st.sampled_from(LEVELS)},
            optional={
                "@message": SCALARS,
                "@module": VALUES,
                "@timestamp": TIMES,
                "error": SCALARS,
                "n": SCALARS,
                "type": st.lists(SCALARS, max_size=2),
                "k": st.dictionaries(VALUES, SCALARS, max_size=2),
            },
        ),
        st.booleans(),
    ),
)


def rules_of(conditions: Sequence[Condition]) -> list[Rule]:
    return [
        Rule(CompiledRule(name=f"r{n}", title="t", level=Level.LOW, service="server", condition=condition))
        for n, condition in enumerate(conditions)
    ]


def found_by_index(rules: Sequence[Rule], lines: Sequence[bytes]) -> tuple[list[tuple[str, str, str]], int, int]:
    """Return rule, event key and time of each match, and the numbers of messages and rejected lines."""
    detector = Detector(rules, source="server")
    verdicts = detector.feed(lines) + detector.flush()
    matches = [(one.rule.name, one.event_key, one.time) for one in verdicts]
    return matches, detector.counts.server, detector.counts.rejected


def found_by_trying_all(rules: Sequence[Rule], lines: Sequence[bytes]) -> tuple[list[tuple[str, str, str]], int, int]:
    """Return the same by taking apart every message, and evaluating every rule on it."""
    reader, keys, matches, counts = ServerLogReader(), ServerEventKeys(), list[tuple[str, str, str]](), [0, 0]
    split = [split_tag(line.rstrip(b"\r\n")) for line in lines]
    records = [record for origin, line in split for record in reader.feed(line, origin, 0.0)] + reader.flush()
    for record in records:
        counts[isinstance(record, Rejected)] += 1
        if isinstance(record, ServerMessage):
            key, time, view = keys.key(record), keys.time(record), server_view(record)
            matches += [(rule.name, key, time) for rule in rules if rule.service == "server" and rule.matches(view)]
    return matches, counts[0], counts[1]


@settings(max_examples=150)
@given(st.lists(CONDITIONS, min_size=1, max_size=5), st.lists(LINES, min_size=1, max_size=8))
@example([Text("fields.n", "eq", "5.0", False)], ['{"@level":"info","@message":"x","n":50e-1}'])
@example([Text("fields.error", "contains", "a", False)], ['{"@level":"info","@message":"x","error":false}'])
@example([Text("fields.error", "eq", 'a"b', False)], ['2026-11-21T07:29:48.933Z [ERROR] core: x: error="a\\"b"'])
@example([Text("message", "contains", "failed", False)], ["2026-11-21T07:29:48.933Z [ERROR] core: fai\x1b[31mled"])
@example([Exists("level", False)], ['Nov 21 07:29:41 host vault[7]: {" [x, y] \x1b[31m'])
@example([Text("message", "contains", "k", False)], ["2026-11-21T07:29:48.933Z [ERROR] core: \u212a"])
def test_on_generated_conditions_and_lines(conditions: list[Condition], lines: list[str]) -> None:
    rules, encoded = rules_of(conditions), [line.encode() + b"\n" for line in lines]
    assert found_by_index(rules, encoded) == found_by_trying_all(rules, encoded)


@pytest.mark.parametrize("log", LOGS, ids=lambda path: "/".join(path.parts[-3:]))
def test_on_recorded_logs_with_the_shipped_pack(log: Path) -> None:
    lines = log.read_bytes().splitlines(keepends=True)
    assert found_by_index(shipped_rules(), lines) == found_by_trying_all(shipped_rules(), lines)


def test_a_message_that_no_rule_could_match_is_not_taken_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [
        b"2026-11-21T07:29:48.933Z [INFO]  core: post-unseal setup complete",
        b'{"@level":"info","@message":"post-unseal setup complete","@timestamp":"2026-11-21T07:29:48.933Z"}',
        b"==> a banner",
    ]
    monkeypatch.setattr("vaultwatch.detection.server.server_view", lambda *_: pytest.fail("a message was taken apart"))
    matches, messages, rejected = found_by_index(shipped_rules(), lines)
    assert (matches, messages, rejected) == ([], 3, 0)


def test_only_rules_of_its_level_and_literals_are_evaluated_on_a_message() -> None:
    asked: list[str] = []

    def asking(name: str, condition: Condition) -> Rule:
        compiled = CompiledRule(name=name, title="t", level=Level.LOW, service="server", condition=condition)
        return Rule(compiled, matches=lambda view: bool(asked.append(name)))  # type: ignore[func-returns-value]

    rules = [
        asking("level", Text("level", "eq", "error", False)),
        asking("other level", And((Text("level", "eq", "warn", False), Text("message", "contains", "failed", False)))),
        asking("literal", Text("fields.error", "prefix", "denied", False)),
        asking("other literal", Text("message", "glob", "sealed*", False)),
    ]
    for line in (b"2026-11-21T07:29:48.933Z [ERROR] core: failed: error=denied", b"  | a second line"):
        assert found_by_index(rules, [line.replace(b"=denied", b'="denied \\"x\\""')])[0] == []
    assert asked == ["level", "literal"]


def test_a_line_of_another_node_keeps_its_origin() -> None:
    rules = rules_of([Text("level", "eq", "error", False)])
    detector = Detector(rules, source="server")
    origin = Origin("c", "n", "server")
    lines = [b"2026-11-21T07:29:48.933Z [INFO] core: a", b"2026-11-21T07:29:48.933Z [ERROR] core: b"]
    verdicts = detector.feed(lines, origin=origin) + detector.flush()
    assert [one.origin for one in verdicts] == [origin]
