"""Alerts that wait for their responses survive a kill."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from tests.unit.store.alerts import an_alert
from vaultwatch.alerts import Alert
from vaultwatch.watch.journal import Journal


def nothing() -> list[Alert]:
    return []


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.waiting"


def test_added_alerts_are_there_after_a_kill(path: Path) -> None:
    journal = Journal(path)
    journal.add([an_alert("e1")], nothing)
    journal.add([an_alert("e2"), an_alert("e3")], nothing)
    assert Journal(path).read() == ([an_alert("e1"), an_alert("e2"), an_alert("e3")], 0)


def test_the_journal_is_empty_at_first_and_after_clear(path: Path) -> None:
    assert Journal(path).read() == ([], 0)
    journal = Journal(path)
    journal.clear()
    journal.add([an_alert()], nothing)
    journal.clear()
    assert Journal(path).read() == ([], 0)


def test_only_its_owner_can_read_it(path: Path) -> None:
    Journal(path).add([an_alert()], nothing)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_line_cut_anywhere_is_counted_and_does_not_damage_others(path: Path) -> None:
    Journal(path).add([an_alert("e1"), an_alert("e2")], nothing)
    whole = path.read_bytes()
    for end in range(len(whole) - 200, len(whole) - 1, 7):
        path.write_bytes(whole[:end])
        Journal(path).add([an_alert("e3")], nothing)
        assert Journal(path).read() == ([an_alert("e1"), an_alert("e3")], 1)


def test_a_large_file_is_replaced_by_the_waiting_alerts_and_not_every_time(path: Path) -> None:
    journal = Journal(path, max_bytes=4000)
    sizes = []
    for number in range(40):
        journal.add([an_alert(f"e{number}")], lambda: [an_alert(f"w{n}") for n in range(10)])
        sizes.append(path.stat().st_size)
    rewritten = sum(after < before for before, after in pairwise(sizes))
    assert 1 <= rewritten <= 4
    assert an_alert("w3") in Journal(path).read()[0]
    assert not path.with_name("audit.waiting.new").exists()
