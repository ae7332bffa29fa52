"""What `check` is compared with: which rules each peer takes, and that SQL finds what the rules find."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from bench import peers
from bench.corpus import entries as corpus_entries
from bench.peer_rules import rsigma_takes, sorted_out
from bench.peer_rules import write as write_rules
from bench.peers import Match, calls, match_of_duckdb, match_of_rsigma, with_duckdb
from bench.processes import measure
from bench.rules import SHIPPED
from bench.sql import takes
from vaultwatch.detection.detector import Detector
from vaultwatch.rules.pack import decode_pack, shipped_rules

FIXTURES = SHIPPED / "fixtures"
RULES = [rule.compiled for rule in shipped_rules() if rule.service == "audit"]


def test_a_line_of_rsigma_names_the_rule_and_the_call() -> None:
    line = {
        "rule_title": "Policy written",
        "level": "medium",
        "event": {"request": {"id": "r1", "path": "sys/policy/x"}},
    }
    assert match_of_rsigma(json.dumps(line)) == ("Policy written", "r1")


def test_a_line_of_duckdb_names_the_rule_and_the_call() -> None:
    assert match_of_duckdb('["audit_policy_written", "r1"]') == ("audit_policy_written", "r1")


def test_a_call_counts_once_for_a_rule_and_a_rule_that_counts_as_often_as_it_alerts() -> None:
    found = [("Policy written", "r1"), ("Policy written", "r1"), ("Policy written", "r2")]
    counted = [("audit_secrets_read_in_bulk", "ada\n3"), ("audit_secrets_read_in_bulk", "bob\n3")]
    assert calls([*found, *counted], {"Policy written": "audit_policy_written"}) == {
        ("audit_policy_written", "r1"): 1,
        ("audit_policy_written", "r2"): 1,
        ("audit_secrets_read_in_bulk", ""): 2,
    }


def test_rsigma_takes_the_rules_on_what_is_logged() -> None:
    taken, left_out = sorted_out(RULES, rsigma_takes)
    assert {rule.name for rule in taken} | set(left_out) == {rule.name for rule in RULES}
    assert "audit_policy_written" in {rule.name for rule in taken}
    assert left_out["audit_emergency_path_used"] == "mount_path is not logged"
    assert left_out["audit_privileged_policy_used"] == "a placeholder is empty"


def test_sql_takes_all_but_what_code_derives_and_extensions() -> None:
    taken, left_out = sorted_out(RULES, takes)
    assert left_out["audit_secret_in_clear"] == "secret_in_clear is derived by code"
    assert left_out["audit_administrative_policy_used"] == "it is only counted"
    assert {"audit_secrets_read_in_bulk", "audit_secret_read", "audit_token_long_lived"} <= {
        rule.name for rule in taken
    }
    assert len(left_out) < 12


def test_what_is_not_installed_is_named_in_a_line_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "CACHE", tmp_path)
    monkeypatch.setattr(peers, "with_duckdb", lambda: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert peers.peers(tmp_path) == (
        [],
        [
            "rsigma 0.23.0 is not installed, so it is not measured: building it needs cargo",
            "duckdb is not installed, so it is not measured: tools/peers installs it",
        ],
    )


def entries() -> list[bytes]:
    """Return the fixtures of the rules that SQL takes, each as a call of its own, and some of the busy corpus."""
    paths = [path for rule in RULES if not takes(rule) for path in sorted((FIXTURES / rule.name).glob("*.jsonl"))]
    lines = [line for path in paths for line in path.read_bytes().splitlines()]
    found: list[bytes] = []
    for entry in [json.loads(line) for line in lines if line.startswith(b'{"') and len(line) < 60_000]:
        if isinstance(entry.get("request"), dict):
            entry["request"]["id"] = str(len(found))
            found.append(json.dumps(entry).encode() + b"\n")
    return found + [line for _, line in corpus_entries(300, seed=1, alert_rate=0.1, traffic="busy")]


def test_sql_finds_the_calls_that_the_rules_find(tmp_path: Path) -> None:
    duckdb = with_duckdb()
    if duckdb is None:
        pytest.skip("duckdb is not installed: tools/peers installs it")
    write_rules(tmp_path)
    corpus, query, output = tmp_path / "corpus.jsonl", tmp_path / "duckdb.sql", tmp_path / "found.jsonl"
    lines = entries()
    corpus.write_bytes(b"".join(lines))
    measure([str(duckdb), "-m", "bench.in_duckdb", str(query), str(corpus)], stdout=output)
    detector = Detector(decode_pack((tmp_path / "duckdb.json").read_bytes()), source="audit")
    verdicts = [*detector.feed(lines), *detector.flush()]
    ours = alerting((one.rule.name, one.event_key) for one in verdicts)
    assert alerting(map(match_of_duckdb, output.read_text().splitlines())) == ours
    assert len({rule for rule, _ in ours}) > 100


def alerting(found: Iterable[Match]) -> set[Match]:
    """Return what rules that do not count found: the times of the fixtures are not in order."""
    return {(rule, call) for rule, call in calls(found, {}) if call}
