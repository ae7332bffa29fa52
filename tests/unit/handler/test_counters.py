"""Every line and byte counts once, under its origin."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vaultwatch.frames import Counter
from vaultwatch.handler.counters import Counters
from vaultwatch.reading.records import Origin, split_tag

starts = st.sampled_from(
    [
        b"@prod/vault-1/file ",
        b"@prod/vault-1/socket ",
        b"@prod/vault-2/file ",
        b"@prod//file ",
        b"@prod/vault-1/printer ",
        b"@" + b"c" * 255 + b"/" + b"n" * 255 + b"/server ",
        b"",
        b" ",
        b"\xff\x00",
    ]
)
lines = st.lists(st.tuples(starts, st.sampled_from([b"", b"{}", b"a b", b"x" * 2000])).map(b"".join), max_size=30)


@given(st.lists(lines, max_size=4))
def test_the_counters_are_exact(frames: list[list[bytes]]) -> None:
    counters = Counters()
    expected: dict[Origin, tuple[int, int]] = {}
    for frame in frames:
        counters.add(b"".join(line + b"\n" for line in frame))
        for line in frame:
            count, size = expected.get(split_tag(line)[0], (0, 0))
            expected[split_tag(line)[0]] = (count + 1, size + len(line) + 1)
    found = {Origin(row.cluster, row.node, row.lane): (row.lines, row.bytes) for row in counters.rows()}
    assert found == expected


def test_an_unfinished_line_counts_as_one() -> None:
    counters = Counters()
    counters.add(b"@c/n/file a\n@c/n/file b")
    assert counters.rows() == (Counter("c", "n", "file", 2, 23),)


def test_a_huge_line_is_counted_without_a_copy() -> None:
    counters = Counters()
    counters.add(bytearray(b"@c/n/file " + b"x" * 1000 + b"\n"))
    assert counters.rows() == (Counter("c", "n", "file", 1, 1011),)


def test_the_table_is_bounded_and_its_sums_stay_exact() -> None:
    counters = Counters(max_origins=2)
    counters.add(b"".join(b"@c/n%d/file\x20\n" % node for node in (1, 2, 3, 4, 1)))
    assert counters.rows() == (
        Counter("c", "n1", "file", 2, 24),
        Counter("c", "n2", "file", 1, 12),
        Counter("*", "*", "*", 2, 24),
    )
