"""Alerts as CSV, SARIF and JUnit: what other programs read, with texts of a log as texts."""

from __future__ import annotations

import csv
import json
import re
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
    quiet = json.loads("".join(as_sarif([], RULES, "1.2")))["runs"][0]
    assert (quiet["results"], quiet["invocations"][0]["executionSuccessful"]) == ([], True)


def test_junit_has_a_case_for_each_rule_and_a_failure_for_those_with_alerts() -> None:
    suite = ElementTree.fromstring("\n".join(as_junit([finding(summary=EVIL)] * 200, RULES)))[0]
    assert (suite.get("tests"), suite.get("failures")) == (str(len(RULES)), "1")
    failures = {case.get("name"): case.find("failure") for case in suite}
    failure = failures.pop(RULES[0].name)
    assert failure is not None
    assert failure.get("message") == "200 alerts"
    assert (failure.text or "").count("=1+1]]>") == 100
    assert set(failures.values()) == {None}


@pytest.mark.parametrize("text", ["a;=1", "a; =1", ";@a", 'a";"=1', "a;\t+1", "a;\u3000-1", "a|=1"])
def test_no_part_of_a_cell_is_a_formula_where_cells_end_at_other_characters_than_commas(text: str) -> None:
    _, line = as_csv([finding(who=text, path=text, summary=text, source=Source(text, 1))])
    parts = re.split(r"[;|\t]", line)
    assert len(parts) > 4
    assert not any(part.strip(' "\u3000').startswith(("=", "+", "-", "@")) for part in parts)


@pytest.mark.parametrize("sign", "\uff1d\uff0b\uff0d\uff20\u2212")
def test_no_cell_of_csv_begins_with_the_wide_form_of_a_formulas_first_character(sign: str) -> None:
    names, row = csv.reader(as_csv([finding(path=f"{sign}1")]))
    assert row[names.index("path")].startswith("'")


def test_a_text_of_a_log_is_no_link_in_sarif() -> None:
    """A program that shows SARIF makes a link of `[text](address)`; the first bracket is escaped (section 3.11.6)."""
    alert = finding(summary=r'read of "[reset it](https://evil.example)" and "\[b](c)"')
    found = json.loads("".join(as_sarif([alert], RULES, "1.2")))
    text = found["runs"][0]["results"][0]["message"]["text"]
    assert re.findall(r"(?<!\\)(?:\\\\)*\[", text) == []
    assert text.replace("\\[", "[").replace("\\]", "]").replace("\\\\", "\\") == alert.summary


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@a", "\t=1", " =1", EVIL])
def test_no_cell_of_csv_is_a_formula_or_another_line(text: str) -> None:
    members = {"who": text, "path": text, "summary": text, "source": Source(text, 1)}
    names, row = csv.reader(as_csv([finding(**members)]))
    assert len(names) == len(row)
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row)
    assert row[names.index("line")] == "1"
