"""Units of DynamoDB, as its developer guide counts them, and calls."""

from __future__ import annotations

import pytest

from testbed.aws.metered import Meter
from tests.support.dynamodb import SEAL, TABLE, local_aws, make_client, make_table
from vaultwatch.store.dynamodb.table import Row, Table, settled_row

KEY = ("alert#1", "alert")


def a_row(size: int) -> Row:
    return Row(KEY, b"x" * size, None, guarded=False)


@pytest.mark.parametrize(
    ("written", "units"),
    [
        ([a_row(100)], 2),
        ([a_row(1_024)], 4),
        ([a_row(2_900), a_row(100)], 6 + 6),
    ],
    ids=["small", "above a KiB", "the larger one counts"],
)
def test_write_units_of_transactions(written: list[Row], units: int) -> None:
    with local_aws():
        make_table(make_client("dynamodb"))
        meter = Meter()
        with meter.metering():
            for row in written:
                Table(make_client("dynamodb"), TABLE, SEAL).write([row])
    assert meter.write_units == units
    assert meter.calls == {"TransactWriteItems": len(written)}


def test_reads_and_what_is_left() -> None:
    with local_aws():
        make_table(make_client("dynamodb"))
        table, meter = Table(make_client("dynamodb"), TABLE, SEAL), Meter()
        with meter.metering():
            table.write([a_row(5_000)])
            table.put(Row(("seen#1", "seen"), b"x" * 1_500, None, {}))
            table.read([KEY, ("alert#2", "alert")])
            stored = meter.stored_bytes
            table.write([settled_row(key, item) for key, item in table.read([KEY, ("seen#1", "seen")]).items()])
    assert (meter.read_units, meter.write_units) == (2 + 1 + 2 + 1, 10 + 2 + 10 + 4)
    assert 6_500 < stored < 6_750
    assert meter.stored_bytes < 300


def test_a_query_reads_the_bytes_of_its_page_and_a_transaction_twice_those_of_each_row() -> None:
    with local_aws():
        make_table(make_client("dynamodb"))
        table, meter = Table(make_client("dynamodb"), TABLE, SEAL), Meter()
        rows = [Row(("day#1", f"{number}"), b"x" * 3_000, None, guarded=False) for number in range(3)]
        with meter.metering():
            table.write(rows)
            pages = list(table.find("day#1", "0", "9"))
            queried = meter.read_units
            table.write([settled_row(rows[0].key, dict(pages[0])[rows[0].key])])
            left = [key for page in table.find("day#1", "0", "9") for key, _ in page]
            filtered, meter.read_units = meter.read_units - queried, queried
            table.read_settled([*(row.key for row in rows), ("day#1", "none")])
            list(table.find("day#2", "0", "9"))
    assert [len(page) for page in pages] == [3]
    assert left == [row.key for row in rows[1:]]
    assert (queried, filtered, meter.read_units - queried) == (3, 2, 4 * 2 + 1)
