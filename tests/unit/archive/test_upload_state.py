"""The numbers of a log: contiguous, chained, and the same after each reading."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaultwatch.archive.upload_state import Numbers, load, save
from vaultwatch.aws import keys
from vaultwatch.errors import ArchiveError

DIGESTS = st.text("0123456789abcdef", min_size=64, max_size=64)
TIMES = st.datetimes(datetime(1000, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001
STEPS = st.lists(st.tuples(DIGESTS, TIMES, st.booleans()), max_size=20)


@given(STEPS, st.sampled_from(keys.SOURCES), st.from_regex(r"[a-z0-9][a-z0-9-]{0,62}", fullmatch=True))
def test_numbers_are_contiguous_and_chained_and_survive_each_restart(
    steps: list[tuple[str, datetime, bool]], source: str, node: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path, previous = Path(folder) / "numbers.json", ""
        for number, (digest, first, settled) in enumerate(steps, start=1):
            numbers = load(path)
            key = keys.segment(source, node, numbers.last + 1, first)
            reservation = numbers.reserve(str(number), key, digest)
            assert (reservation.number, reservation.previous) == (number, previous)
            assert keys.parse_segment(key) == (source, node, number == 1)
            assert keys.segment_start(key) == first.replace(microsecond=0)
            if settled:
                numbers.settle(str(number), digest)
            save(path, numbers)
            assert load(path) == numbers
            previous = digest


def test_the_chain_goes_on_from_what_s3_has() -> None:
    numbers = Numbers()
    numbers.reserve("first", "key", "a" * 64)
    numbers.settle("first", "b" * 64)
    assert numbers.reserve("second", "key", "c" * 64).previous == "b" * 64


def test_a_link_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("{}")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(ArchiveError):
        load(tmp_path / "link")


def test_of_many_files_that_are_followed_only_the_latest_are_remembered() -> None:
    numbers = Numbers()
    for number in range(150):
        numbers.advance(str(number % 120), number)
    assert list(numbers.offsets.items()) == [(str(number % 120), number) for number in range(50, 150)]
