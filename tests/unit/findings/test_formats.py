"""Alerts as CSV, SARIF and JUnit: what other programs read, with texts of a log as texts."""

from __future__ import annotations

import csv
import json
from xml.etree import ElementTree

import msgspec
import pytest

from tests.unit.store.alerts import an_alert
from vaultwatch.findings.formats import as_csv, as_junit, as_sarif
from vaultwatch.findings.found import Finding, Source
from vaultwatch.rules.facts import Level
from vaultwatch.rules.pack import shipped_rules

RULES = [rule.compiled for rule in shipped_rules()]
EVIL = '=1+1]]></failure>"\x00\x1b[2J,\n\u202e&'


def finding(**members: object) -> Finding:
    fields = msgspec.structs.asdict(an_alert())
    return Finding(**fields | {"rule": RULES[0].name, "source": Source("logs/a b.jsonl", 7)} | members)


def test_sarif_has_what_its_schema_requires() -> None:
    found = json.loads("".join(as_sarif([finding(level=Level.HIGH), finding(summary=EVIL)], RULES, "1.2")))
    assert (found["version"], len(found["runs"])) == ("2.1.0", 1)
    driver = found["runs"][0]["tool"]["driver"]
    assert driver["name"] == "Vaultwatch"
    assert {rule["id"] for rule in driver["rules"]} == {rule.name for rule in RULES}
    first, second = found["runs"][0]["results"]
    assert (first["ruleId"], first["level"]) == (RULES[0].name, "error")
    place = first["locations"][0]["physicalLocation"]
    assert (place["artifactLocation"]["uri"], place["region"]["startLine"]) == ("logs/a%20b.jsonl", 7)
    assert second["message"]["text"].isprintable()
    assert json.loads("".join(as_sarif([], RULES, "1.2")))["runs"][0]["results"] == []


def test_junit_has_a_case_for_each_rule_and_a_failure_for_those_with_alerts() -> None:
    suite = ElementTree.fromstring("\n".join(as_junit([finding(summary=EVIL)] * 200, RULES)))[0]
    assert (suite.get("tests"), suite.get("failures")) == (str(len(RULES)), "1")
    failures = {case.get("name"): case.find("failure") for case in suite}
    failure = failures.pop(RULES[0].name)
    assert failure is not None
    assert failure.get("message") == "200 alerts"
    assert (failure.text or "").count("=1+1]]>") == 100
    assert set(failures.values()) == {None}


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@a", "\t=1", " =1", EVIL])
def test_no_cell_of_csv_is_a_formula_or_another_line(text: str) -> None:
    members = {"who": text, "path": text, "summary": text, "source": Source(text, 1)}
    names, row = csv.reader(as_csv([finding(**members)]))
    assert len(names) == len(row)
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row)
    assert row[names.index("line")] == "1"
