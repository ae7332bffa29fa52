"""The alerts of a run: in memory while they are few, and in a temporary file once they are many."""

from __future__ import annotations

import pytest

from vaultwatch.findings import found
from vaultwatch.findings.found import Findings, Found
from vaultwatch.findings.selection import Selection
from vaultwatch.rules.facts import Level


def test_what_is_kept_is_the_same_in_memory_and_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(found, "_IN_MEMORY_BYTES", 150)
    alerts = [
        Found(b"%d" % number, "rule", False, "", "", float(-number), "log", number, b'{"id":"%d"}' % number)
        for number in range(5)
    ]
    with Findings(Selection(Level.LOW), lambda _name, _error: None) as findings:
        in_memory = []
        for one in alerts:
            findings.take(one)
            in_memory.append(type(findings._file).__name__ == "BytesIO")
        assert list(findings.lines()) == [
            b'{"id":"%d","source":{"file":"log","line":%d}}' % (number, number) for number in (4, 3, 2, 1, 0)
        ]
    assert in_memory == [True, True, True, False, False]
