"""One SQLite file for the handlers of a host: what they share, what each has for itself, what two processes survive."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import msgspec
import pytest

from tests.unit.store.alerts import a_filing, record, settle
from tests.unit.store.conftest import ROUTES
from vaultwatch.dispatch.held import Held
from vaultwatch.dispatch.limits import FIRSTS_A_MINUTE
from vaultwatch.rules.facts import Level
from vaultwatch.store import StoreError
from vaultwatch.store.sqlite import SqliteStore

T0 = 1_700_000_000.0

Opener = Callable[[str], SqliteStore]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "alerts.sqlite"


@pytest.fixture
def handler(path: Path) -> Iterator[Opener]:
    opened: list[SqliteStore] = []

    def opener(owner: str) -> SqliteStore:
        opened.append(SqliteStore(path, ROUTES, owner))
        return opened[-1]

    yield opener
    for store in opened:
        store.close()


def names(store: SqliteStore) -> list[str]:
    return [unsent.notification.rule for unsent in store.unsent("people", T0 + 1e6, limit=100)]


def test_one_fact_in_both_logs_is_one_notification(handler: Opener) -> None:
    audit, server = handler("audit"), handler("server")
    in_audit = a_filing("a", rule="generated", same_as=("generated_server",), level=Level.CRITICAL)
    in_server = a_filing(
        "s", rule="generated_server", same_as=("generated",), level=Level.CRITICAL, service="server", outcome="unknown"
    )
    assert record(audit, [in_audit], T0)[0].disposition == "first"
    assert record(server, [in_server], T0 + 1)[0].disposition == "suppressed"


def test_the_limit_on_notifications_a_minute_holds_for_both_together(handler: Opener) -> None:
    stores = handler("audit"), handler("server")
    results = [
        record(stores[n % 2], [a_filing(f"e{n}", rule=f"r{n}")], T0)[0].disposition for n in range(FIRSTS_A_MINUTE + 4)
    ]
    assert results.count("first") == FIRSTS_A_MINUTE


def test_each_sends_and_sums_up_what_it_filed_itself(handler: Opener) -> None:
    """Each has its own sinks: the alert log of the audit log is not that of the server log."""
    audit, server = handler("audit"), handler("server")
    for store, rule in ((audit, "a"), (server, "s")):
        for n in range(3):
            record(store, [a_filing(f"{rule}{n}", rule=rule, path=f"x/{n}")], T0)
    assert (names(audit), names(server)) == (["a"], ["s"])
    settle(server, T0 + 61)
    assert (names(audit), names(server)) == (["a"], ["s", "s"])
    assert settle(audit, T0 + 61) is not None
    assert names(audit) == ["a", "a"]


def test_what_only_another_handler_has_to_do_wakes_nobody(handler: Opener) -> None:
    audit, server = handler("audit"), handler("server")
    record(audit, [a_filing(f"e{n}", path=f"x/{n}") for n in range(3)], T0)
    assert server.next_due(T0) is None
    assert audit.next_due(T0) is not None


def test_a_restart_of_one_leaves_what_the_other_has_put_off(handler: Opener) -> None:
    audit = handler("audit")
    record(audit, [a_filing()], T0)
    audit.put_off(a_filing().alert.id, "people", T0 + 3600)
    settle(handler("server"), T0)
    assert audit.unsent("people", T0) == []
    settle(handler("audit"), T0)
    assert len(audit.unsent("people", T0)) == 1


def test_a_deleted_folder_is_made_again_by_one_and_used_by_both(handler: Opener, path: Path) -> None:
    audit, server = handler("audit"), handler("server")
    record(audit, [a_filing("a")], T0)
    record(server, [a_filing("s", rule="s")], T0)
    shutil.rmtree(path.parent)
    with pytest.raises(StoreError, match="written again with all its data"):
        settle(audit, T0)
    record(audit, [a_filing("later", rule="later")], T0)
    with pytest.raises(StoreError, match="another file has replaced it"):
        settle(server, T0)
    assert [one.new for one in record(server, [a_filing("a"), a_filing("later", rule="later")], T0)] == [False, False]
    assert [file.name for file in path.parent.iterdir() if ".new" in file.name] == []


def test_a_commit_into_a_file_that_was_replaced_meanwhile_is_refused(handler: Opener, path: Path) -> None:
    """Or the alert would be in a file that nobody reads again."""
    audit = handler("audit")
    record(audit, [a_filing("a")], T0)
    record_elsewhere = partial(record, handler("server"), [a_filing("s")], T0)
    with pytest.raises(StoreError, match="was replaced at this moment"):
        _delete_during_a_transaction(audit, path, record_elsewhere)
    assert not record(audit, [a_filing("s")], T0)[0].new


def test_a_commit_into_a_file_that_was_deleted_meanwhile_is_refused_and_kept(handler: Opener, path: Path) -> None:
    audit = handler("audit")
    record(audit, [a_filing("a")], T0)
    with pytest.raises(StoreError, match="was deleted at this moment"):
        _delete_during_a_transaction(audit, path, lambda: None)
    with pytest.raises(StoreError, match="written again with all its data"):
        settle(audit, T0)
    assert not record(audit, [a_filing("a")], T0)[0].new


def _delete_during_a_transaction(store: SqliteStore, path: Path, then: Callable[[], object]) -> None:
    with store._database.transaction():
        shutil.rmtree(path.parent)
        then()


def test_a_file_that_breaks_is_set_aside_once(handler: Opener, path: Path) -> None:
    audit, server = handler("audit"), handler("server")
    for store in (audit, server):
        record(store, [a_filing()], T0)
    for file in path.parent.iterdir():
        file.write_bytes(b"not a database, but longer than a header" * 100)
    for _ in range(3):
        for store in (audit, server):
            try:
                record(store, [a_filing("e2")], T0)
            except StoreError:
                continue
    assert len(list(path.parent.glob("alerts.sqlite.corrupt-?"))) == 1
    assert not any(record(store, [a_filing("e2")], T0)[0].new for store in (audit, server))


def test_a_new_file_that_another_process_prepares_just_now_is_waited_for(
    handler: Opener, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.parent.mkdir()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    monkeypatch.setattr("vaultwatch.store.database.time.sleep", lambda _: other.execute("COMMIT"))

    assert record(handler("audit"), [a_filing()], T0)[0].new
    other.close()


PROCESS = """
import sys
from pathlib import Path
from tests.unit.store.alerts import a_filing, record, settle
from tests.unit.store.conftest import ROUTES
from vaultwatch.store.sqlite import SqliteStore

owner = sys.argv[2]
store = SqliteStore(Path(sys.argv[1]), ROUTES, owner)
for n in range(150):
    now = 1e9 + n * 7
    record(store, [a_filing(f"{owner}{n}", rule=f"{owner} {n % 3}", path=f"x/{n % 5}"), a_filing(f"both{n}")], now)
    settle(store, now)
settle(store, 2e9)
store.close()
"""


def test_two_processes_file_and_close_at_once_and_everything_is_counted_exactly_once(path: Path) -> None:
    owners = ("audit", "server")
    processes = [subprocess.Popen([sys.executable, "-c", PROCESS, path, owner]) for owner in owners]
    assert [process.wait(120) for process in processes] == [0, 0]
    notified = published = 0
    for owner in owners:
        store = SqliteStore(path, ROUTES, owner)
        while page := store.unsent("archive", 1e10, limit=100):
            for unsent in page:
                one = unsent.notification
                published += len(one.alerts)
                notified += one.merged_count + (len(one.alerts) if one.disposition == "first" else 0)
            store.mark_sent([unsent.notification.id for unsent in page], "archive", 1e10)
        store.close()
    with sqlite3.connect(path) as db:
        (left,) = db.execute("SELECT count(*) FROM window").fetchone()
        rows = db.execute("SELECT body FROM held WHERE due_at IS NULL").fetchall()
    db.close()
    waiting = sum(msgspec.json.decode(body, type=Held).count for (body,) in rows)
    assert (published, left) == (3 * 150, 0)
    assert notified + waiting == published
