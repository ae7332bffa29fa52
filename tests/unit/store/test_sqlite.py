"""The SQLite adapter beyond the contract: kills, full disks, and damaged or deleted files."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.store.alerts import a_filing, record, settle
from tests.unit.store.conftest import ROUTES
from vaultwatch.store import REMEMBERED_SECONDS, StoreError
from vaultwatch.store.sqlite import SqliteStore

T0 = 1_700_000_000.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "alerts.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(path, ROUTES)
    yield store
    store.close()


def test_only_its_owner_can_read_its_files(store: SqliteStore, path: Path) -> None:
    path.touch(mode=0o644)
    record(store, [a_filing()], T0)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == dict.fromkeys(("alerts.sqlite", "alerts.sqlite-wal", "alerts.sqlite-shm"), 0o600)


def test_a_notification_that_all_sinks_have_accepted_is_deleted(store: SqliteStore, path: Path) -> None:
    record(store, [a_filing()], T0)
    for route in ROUTES:
        store.mark_sent([a_filing().alert.id], route.sink, T0)
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT (SELECT count(*) FROM notification), (SELECT count(*) FROM delivery)").fetchone() == (
            0,
            0,
        )
    db.close()


def test_a_store_of_a_newer_version_is_not_changed(store: SqliteStore, path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(StoreError, match="another version"):
        record(store, [a_filing()], T0)
    assert list(path.parent.glob("*corrupt*")) == []


@pytest.mark.parametrize(
    "content", [b"not a database, but longer than a header" * 100, b"SQLite format 3\0" + b"x" * 8192]
)
def test_a_file_that_is_no_database_is_renamed_once(store: SqliteStore, path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"renamed to .*corrupt-1"):
        record(store, [a_filing()], T0)
    assert path.with_name("alerts.sqlite.corrupt-1").read_bytes() == content
    assert record(store, [a_filing()], T0)[0].new


def test_a_database_that_is_damaged_while_in_use_is_renamed(store: SqliteStore, path: Path) -> None:
    record(store, [a_filing(f"e{n}") for n in range(300)], T0)
    store.close()
    content = bytearray(path.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    path.write_bytes(content)
    again = SqliteStore(path, ROUTES)
    with pytest.raises(StoreError, match="corrupt-1"):
        record(again, [a_filing("new")], T0)
    assert record(again, [a_filing("new")], T0)[0].new
    again.close()


def test_a_row_that_no_longer_decodes_blocks_nothing(store: SqliteStore, path: Path) -> None:
    record(store, [a_filing()], T0)
    with sqlite3.connect(path) as db:
        db.execute("UPDATE held SET body = 'x'")
    db.close()
    with pytest.raises(StoreError):
        record(store, [a_filing("e2", principal="bob")], T0)
    assert record(store, [a_filing("e2", principal="bob")], T0)[0].new


def test_a_full_disk_is_one_error_and_the_call_can_be_repeated(store: SqliteStore) -> None:
    record(store, [a_filing("e1")], T0)
    with store._database.reading() as db:
        (pages,) = db.execute("PRAGMA page_count").fetchone()
        db.execute(f"PRAGMA max_page_count = {pages}")
    large = a_filing("e2", principal="bob", record={"data": "x" * 30_000})
    with pytest.raises(StoreError, match="full"):
        record(store, [large], T0 + 61)
    assert record(store, [large], T0 + 61)[0].disposition == "first"


def test_a_folder_deleted_while_in_use_is_reported_and_written_again_with_all_its_data(tmp_path: Path) -> None:
    """Otherwise, everything would be written to deleted files, and be lost with the process."""
    path = tmp_path / "state" / "alerts.sqlite"
    store = SqliteStore(path, ROUTES)
    record(store, [a_filing("e1")], T0)
    shutil.rmtree(path.parent)
    with pytest.raises(StoreError, match="was deleted while it was in use"):
        record(store, [a_filing("e2", rule="other")], T0)
    assert record(store, [a_filing("e2", rule="other")], T0)[0].new
    assert not record(store, [a_filing("e1")], T0)[0].new
    store.close()
    again = SqliteStore(path, ROUTES)
    assert len(again.unsent("people", T0)) == 2
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again.close()


def test_a_deleted_folder_that_cannot_be_written_again_is_retried(tmp_path: Path) -> None:
    path = tmp_path / "state" / "alerts.sqlite"
    store = SqliteStore(path, ROUTES)
    record(store, [a_filing("e1")], T0)
    shutil.rmtree(path.parent)
    path.parent.write_text("in the way")
    for _ in range(2):
        with pytest.raises(StoreError, match="state"):
            store.unsent("people", T0)
    path.parent.unlink()
    with pytest.raises(StoreError, match="was deleted while it was in use"):
        store.unsent("people", T0)
    assert len(store.unsent("people", T0)) == 1
    store.close()


def test_a_file_that_replaces_it_is_reported_and_used(store: SqliteStore, path: Path) -> None:
    record(store, [a_filing("e1")], T0)
    for file in path.parent.iterdir():
        file.rename(path.parent / f"old-{file.name}")
    other = SqliteStore(path, ROUTES)
    record(other, [a_filing("e2")], T0)
    other.close()
    with pytest.raises(StoreError, match="another file has replaced it"):
        store.unsent("people", T0)
    assert not record(store, [a_filing("e2")], T0)[0].new


def test_a_damaged_database_that_cannot_be_renamed_is_one_error_too(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, target: Path) -> Path:
        raise PermissionError(1, "Operation not permitted")

    path.write_bytes(b"not a database, but longer than a header" * 100)
    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(StoreError, match="cannot be renamed: Operation not permitted"):
        record(store, [a_filing()], T0)


def test_a_directory_that_cannot_be_written_is_one_error_and_the_call_can_be_repeated(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where a directory should be")
    store = SqliteStore(tmp_path / "state" / "alerts.sqlite")
    with pytest.raises(StoreError, match="state"):
        settle(store, T0)
    (tmp_path / "state").unlink()
    assert settle(store, T0) is None
    store.close()


def test_an_alert_that_was_deleted_early_may_return_while_its_notification_waits(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vaultwatch.store.sqlite.MAX_ALERTS", 1)
    record(store, [a_filing("e1"), a_filing("e2", rule="other")], T0)
    assert store.purge(T0) == 1
    assert record(store, [a_filing("e1")], T0 + 1e5)[0].disposition == "first"
    assert len(store.unsent("people", T0 + 1e5)) == 3


def test_a_purge_does_a_page_at_a_time(store: SqliteStore) -> None:
    record(store, [a_filing(f"e{n}") for n in range(1100)], T0)
    later = T0 + REMEMBERED_SECONDS + 1
    assert [store.purge(later) for _ in range(4)] == [500, 500, 100, 0]


def test_after_a_restart_nothing_is_postponed(store: SqliteStore, path: Path) -> None:
    record(store, [a_filing()], T0)
    store.put_off(a_filing().alert.id, "people", T0 + 3600)
    assert store.unsent("people", T0) == []
    store.close()
    again = SqliteStore(path, ROUTES)
    assert [unsent.attempts for unsent in again.unsent("people", T0)] == [1]
    again.close()


KILLED = """
import sys
from pathlib import Path
from tests.unit.store.alerts import a_filing, record, settle
from tests.unit.store.conftest import ROUTES
from vaultwatch.store.sqlite import SqliteStore

store = SqliteStore(Path(sys.argv[1]), ROUTES)
for n in range(int(sys.argv[2]), 10**9):
    record(store, [a_filing(f"e{n}", principal=f"p{n % 7}"), a_filing(f"e{n}", rule=f"r{n % 3}")], n / 4)
    settle(store, n / 4)
    print(n, flush=True)
"""


def test_a_kill_at_any_moment_loses_nothing_and_counts_nothing_twice(path: Path) -> None:
    begun = 0
    for _ in range(4):
        with subprocess.Popen([sys.executable, "-c", KILLED, path, str(begun)], stdout=subprocess.PIPE) as process:
            assert process.stdout
            for line in process.stdout:
                acknowledged = int(line)
                if acknowledged > begun + 20:
                    process.send_signal(signal.SIGKILL)
                    break
            acknowledged = max([acknowledged, *map(int, process.stdout.read().split())])
        # The last one that was acknowledged is delivered again, and also the one that the kill interrupted.
        begun = acknowledged
    store = SqliteStore(path, ROUTES)
    settle(store, 1e9)
    notified = published = 0
    while page := store.unsent("archive", 1e9):
        for unsent in page:
            message = unsent.notification
            published += len(message.alerts)
            notified += message.merged_count + (len(message.alerts) if message.disposition == "first" else 0)
            store.mark_sent([message.id], "archive", T0)
    with sqlite3.connect(path) as db:
        (stored,) = db.execute("SELECT count(*) FROM alert").fetchone()
    db.close()
    store.close()
    assert stored in (2 * (acknowledged + 1), 2 * (acknowledged + 2))
    assert notified == published == stored
