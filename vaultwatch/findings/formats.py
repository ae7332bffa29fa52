"""Alerts in the formats of other programs: CSV for spreadsheets, SARIF for code scanning, JUnit for CI."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePath
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import escape, quoteattr

import msgspec

from vaultwatch.findings.found import Finding
from vaultwatch.printable import counted, one_line, printable_json
from vaultwatch.rules.facts import Level, RuleFacts

_COLUMNS = ("time", "level", "rule", "title", "summary", "outcome", "who", "principal", "path", "namespace")
_MORE = ("remote_address", "cluster", "node", "event_key", "id")
_MOST_LISTED = 100
_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_FORMULA = re.compile(r"""(^|[;|])(["'\s]*)(?=[=+\-@\u2212\uff0b\uff0d\uff1d\uff20])""")
"""Where a formula would begin: also behind a semicolon, where spreadsheets of many countries end a cell."""
_LINK = re.compile(r"[\[\]\\]")
"""What makes a link in SARIF, and its escape (SARIF 2.1.0, section 3.11.6)."""
_SARIF_LEVELS = {Level.CRITICAL: "error", Level.HIGH: "error", Level.MEDIUM: "warning"}


def as_csv(alerts: Iterable[Finding]) -> Iterator[str]:
    """Yield a line of CSV with the names of the columns, and one for each alert.

    A text that a spreadsheet would take for a formula begins with an apostrophe.
    """
    yield _row((*_COLUMNS, *_MORE, "file", "line"))
    for alert in alerts:
        texts = [_cell(getattr(alert, name)) for name in (*_COLUMNS, *_MORE)]
        yield _row((*texts, _cell(alert.source.file), str(alert.source.line)))


def as_sarif(
    alerts: Iterable[Finding], rules: Sequence[RuleFacts], version: str, failures: Sequence[str] = ()
) -> Iterator[str]:
    """Yield SARIF 2.1.0, a line for each alert.

    Args:
        alerts: The alerts.
        rules: All rules.
        version: That of Vaultwatch.
        failures: What could not be done, in sentences.
    """
    described = [{"id": rule.name, "shortDescription": {"text": rule.title}} for rule in rules]
    tool = {"driver": {"name": "Vaultwatch", "version": version, "rules": described}}
    notes = [{"level": "error", "message": {"text": _text(failure)}} for failure in failures]
    invocation = {"executionSuccessful": not failures, "toolExecutionNotifications": notes}
    yield (
        f'{{"$schema":"{_SCHEMA}","version":"2.1.0","runs":[{{"tool":{_json(tool)},'
        f'"invocations":[{_json(invocation)}],"results":['
    )
    before = ""
    for alert in alerts:
        yield before + _json(_result(alert))
        before = ","
    yield "]}]}"


def as_junit(alerts: Iterable[Finding], rules: Sequence[RuleFacts], failures: Sequence[str] = ()) -> Iterator[str]:
    """Yield JUnit XML: a test case for each rule, which fails if it raised alerts and lists the first of them.

    One more test case has an error if something could not be done.

    Args:
        alerts: The alerts.
        rules: All rules.
        failures: What could not be done, in sentences.
    """
    shown: dict[str, list[str]] = {rule.name: [] for rule in rules}
    counts: Counter[str] = Counter()
    for alert in alerts:
        counts[alert.rule] += 1
        if counts[alert.rule] <= _MOST_LISTED:
            shown.setdefault(alert.rule, []).append(_xml(f"{alert.time} {alert.summary} ({alert.source})"))
    yield '<?xml version="1.0" encoding="UTF-8"?>'
    tests, errors = len(shown) + bool(failures), int(bool(failures))
    yield (
        f'<testsuites><testsuite name="vaultwatch check" tests="{tests}" failures="{len(counts)}" errors="{errors}">'
    )
    if failures:
        yield '<testcase classname="vaultwatch" name="the logs can be read">'
        yield '<error message="the check is not complete">' + "\n".join(map(_xml, failures)) + "</error></testcase>"
    for rule, lines in shown.items():
        yield f'<testcase classname="vaultwatch" name={quoteattr(rule)}>'
        if lines:
            yield f'<failure message="{counted(counts[rule], "alert")}">' + "\n".join(lines) + "</failure>"
        yield "</testcase>"
    yield "</testsuite></testsuites>"


def _json(value: object) -> str:
    return printable_json(msgspec.json.encode(value)).decode()


def _row(texts: Iterable[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(texts)
    return line.getvalue()


def _cell(value: object) -> str:
    return _FORMULA.sub(r"\1\2'", one_line(str(value)))


def _result(alert: Finding) -> dict[str, Any]:
    place = {
        "artifactLocation": {"uri": quote(PurePath(alert.source.file).as_posix(), errors="replace")},
        "region": {"startLine": max(alert.source.line, 1)},
    }
    return {
        "ruleId": alert.rule,
        "level": _SARIF_LEVELS.get(alert.level, "note"),
        "message": {"text": _text(alert.summary)},
        "locations": [{"physicalLocation": place}],
        "partialFingerprints": {"alertId/v1": alert.id},
    }


def _text(text: str) -> str:
    """Return a text for SARIF, where it is no link."""
    return _LINK.sub(r"\\\g<0>", one_line(text))


def _xml(text: str) -> str:
    """Return a text for XML, which has no way to write control characters."""
    return escape(one_line(text))
