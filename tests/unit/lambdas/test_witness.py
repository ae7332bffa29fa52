"""The function `witness`: what it logs and counts of a batch of changes."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from tests.support.dynamodb import REGION, SEAL_KEY, TABLE, all_rows, changes
from tests.support.functions import Context, start, total
from tests.unit.store.alerts import a_filing, record
from tests.unit.store.changing import Changing, changing
from vaultwatch.aws.metrics import variables
from vaultwatch.store import StoreError
from vaultwatch.store.dynamodb.table import body_of

UNREADABLE: list[Any] = [None, {}, {"dynamodb": {"ApproximateCreationDateTime": "x"}}, {"dynamodb": {"NewImage": 1}}]


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was logged, without what botocore says of credentials when a test before has let it."""
    return [one.getMessage() for one in caplog.records if not one.name.startswith("botocore.")]


def without_network(monkeypatch: pytest.MonkeyPatch, witness: ModuleType) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise StoreError("DynamoDB could not be reached")

    monkeypatch.setattr(witness.Table, "put_instead", fail)


@pytest.fixture
def witness(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    given = {"ROW_SEAL_KEY": SEAL_KEY, "TABLE_NAME": TABLE, "AWS_DEFAULT_REGION": REGION}
    for name, value in {**given, **variables("witness", "tested")}.items():
        monkeypatch.setenv(name, value)
    return start("witness")


@pytest.fixture
def table() -> Iterator[Changing]:
    with changing() as made:
        record(made.store, [a_filing(f"e{n}") for n in range(4)], made.now)
        yield made


def test_it_names_each_row_that_somebody_deleted_and_counts_it_for_an_alarm(
    witness: ModuleType, table: Changing, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    table.delete(table.row("window"))
    assert witness.handler({"Records": changes()}, Context()) == {"batchItemFailures": []}
    [line] = said(caplog)
    assert "deleted" in line
    assert "restored is window: 3 repeats of rule audit_root_policy_used" in line
    assert body_of(table.row("window"))
    printed = capsys.readouterr().out
    assert (total(printed, "AlteredRows"), total(printed, "UnreadableChanges")) == (1, 0)


def test_what_cannot_be_restored_now_comes_again_with_what_follows_it(
    witness: ModuleType, table: Changing, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = table.row("window")
    table.delete(row)
    batch = {"Records": changes()}
    with monkeypatch.context() as patched:
        without_network(patched, witness)
        [failed] = witness.handler(batch, Context())["batchItemFailures"]
    assert failed == {"itemIdentifier": batch["Records"][-1]["dynamodb"]["SequenceNumber"]}
    assert "not restored yet is window: 3 repeats" in said(caplog)[-1]
    assert witness.handler(batch, Context()) == {"batchItemFailures": []}
    assert "restored is window: 3 repeats" in said(caplog)[-1]
    assert body_of(table.row("window")) == body_of(row)


def test_what_vaultwatch_does_is_not_counted(
    witness: ModuleType, table: Changing, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    table.store.settle(table.now + 4000)
    witness.handler({"Records": changes()}, Context())
    assert said(caplog) == []
    assert total(capsys.readouterr().out, "AlteredRows") == 0


def test_records_that_cannot_be_read_are_counted_and_hold_back_no_other(
    witness: ModuleType, table: Changing, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    table.delete(table.row("window"))
    assert witness.handler({"Records": [*UNREADABLE, *changes()]}, Context()) == {"batchItemFailures": []}
    printed = capsys.readouterr().out
    assert (total(printed, "AlteredRows"), total(printed, "UnreadableChanges")) == (1, len(UNREADABLE))
    assert len(said(caplog)) == 1 + len(UNREADABLE)


def test_no_number_of_rows_of_nobody_hides_what_is_lost(
    witness: ModuleType, table: Changing, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(150):
        table.put({"pk": {"S": f"group#{number}"}, "sk": {"S": "window"}, "body": {"B": b"\n" * 9_000}})
    table.delete(table.row("limit"))
    for row in all_rows():
        if row["pk"]["S"] in ("group#1", "group#2"):
            table.delete(row)
    witness.handler({"Records": changes()}, Context())
    assert "limit" in said(caplog)[0]
    assert len(said(caplog)) == 1 + 100 + 1
    assert said(caplog)[-1].startswith("50 more")
    assert total(capsys.readouterr().out, "AlteredRows") == 151
