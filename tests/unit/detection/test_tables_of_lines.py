"""A server log in a table or document: all lines of its messages are read, as those of the plain log are."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tests.unit.detection.test_affixes import TEXT, WHOLE
from tests.unit.unwrapping.test_unwrapper import A, Counted, counted, verdicts

LINES = [A, *TEXT.splitlines()]
TIME = "2026-11-21T07:29:41.000Z"


def table(heading: Sequence[str], row: Callable[[str], Sequence[str]], **form: Any) -> str:
    out = io.StringIO()
    writer = csv.writer(out, **form)
    writer.writerow(heading)
    writer.writerows(map(row, LINES))
    return out.getvalue()


QUOTED = {"quoting": csv.QUOTE_ALL}
TABLES = {
    "Kibana": table(
        ["@timestamp", "_id", "message"], lambda text: ["Nov 21, 2026 @ 07:29:41.000", "a", text], **QUOTED
    ),
    "Splunk": table(["_raw", "_time", "host"], lambda text: [text, TIME, "h"], **QUOTED),
    "Grafana": table(["Time", "Line", "labelTypes"], lambda text: [TIME, text, '{"app":"I"}'], **QUOTED),
    "Datadog": table(["Date", "Host", "Content"], lambda text: [TIME, "h", text]),
    "Cloud Logging": table(["insertId", "textPayload", "timestamp"], lambda text: ["a", text, TIME]),
    "Azure Monitor": table(["TimeGenerated [UTC]", "LogMessage"], lambda text: ["11/21/2026, 7:29:41.000 AM", text]),
    "Excel": "sep=;\n" + table(["Time", "Line", "id"], lambda text: [TIME, text, "a"], delimiter=";", **QUOTED),
    "YAML of gcloud": "".join(f"---\ninsertId: a\ntextPayload: {json.dumps(text)}\n" for text in LINES),
    "YAML with single quotes": "".join("- message: '{}'\n".format(text.replace("'", "''")) for text in LINES),
    "DynamoDB": json.dumps({"Items": [{"id": {"S": "a"}, "message": {"S": text}} for text in LINES]}),
    "JSON of az": json.dumps([{"LogMessage": text, "TimeGenerated": TIME} for text in LINES], indent=2),
}


@pytest.mark.parametrize("name", sorted(TABLES))
def test_all_lines_are_read(name: str) -> None:
    assert counted(TABLES[name]) == WHOLE._replace(audit=1)
    rules = sorted(verdict.rule.name for verdict in verdicts("\n".join(LINES) + "\n"))
    assert sorted(verdict.rule.name for verdict in verdicts(TABLES[name])) == rules


def test_lines_in_a_column_of_json_are_those_of_the_log() -> None:
    found = counted(json.dumps({"fields": ["_time", "_raw"], "columns": [[TIME] * len(LINES), LINES]}))
    assert found._replace(rejected=0) == WHOLE._replace(audit=1)


def test_a_line_in_a_cell_of_several_is_not_cut_at_a_delimiter() -> None:
    message = '2026-11-21T07:29:41Z [ERROR] core: failed:\n  error=\n  | a,b,c\n  | "d","e","f"'
    text = f'Time,Line,id\n1,"{message.replace(chr(34), chr(34) * 2)}",2\n'
    assert counted(text)._replace(rejected=0) == Counted(0, 1)
    assert all("| a,b,c" in verdict.record["raw"] for verdict in verdicts(text))
