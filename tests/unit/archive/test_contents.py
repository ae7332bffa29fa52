"""What is measured of a segment: its lines, its bytes, its digest and the time of its first line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from io import BytesIO

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from vaultwatch.archive.contents import Contents, measure
from vaultwatch.errors import ArchiveError

WRITTEN = datetime(2026, 11, 28, 12, tzinfo=UTC)


def measured(plain: bytes) -> Contents:
    return measure(BytesIO(zstandard.compress(plain)), WRITTEN)


@given(st.binary(max_size=2000))
def test_every_file_is_measured(plain: bytes) -> None:
    found = measured(plain)
    assert (found.plain_bytes, found.sha256) == (len(plain), sha256(zstandard.compress(plain)).hexdigest())
    assert found.lines == len(plain.split(b"\n")) - plain.endswith(b"\n") - (not plain)
    assert WRITTEN - timedelta(days=31) <= found.first <= WRITTEN


@pytest.mark.parametrize(
    "line",
    [
        b'{"time":"2026-11-28T09:15:00.123456789Z","type":"request"}',
        b'@prod/vault-1/file {"auth":{"token_issue_time":"2026-11-27T01:00:00Z"},"time":"2026-11-28T09:15:00.1Z"}',
        b'@prod/vault-1/server {"@level":"info","@timestamp":"2026-11-28T09:15:00.100Z"}',
        b"2026-11-28T09:15:00.100Z [INFO]  core: unsealed",
        b"@prod/vault-1/server 2026-11-28T10:15:00.100+01:00 [INFO]  core: unsealed",
    ],
)
def test_the_time_of_the_first_line_is_read(line: bytes) -> None:
    first = measured(line + b"\nmore\n").first
    assert f"{first:%Y-%m-%dT%H:%M:%S}" == "2026-11-28T09:15:00"


@pytest.mark.parametrize(
    "line",
    [
        b"a banner",
        b'{"time":"2026-11-28T12:00:01Z"}',
        b'{"time":"2026-10-01T12:00:00Z"}',
        b'{"time":"0001-01-01T00:00:00Z"}',
        b'{"time":"9999-12-31T23:59:59Z"}',
        b'{"time":"2026-11-28T09:15:00"}',
        b'{"time":7}',
        b'{"time":"2026-11-28T09:15:00Z"',
        b'{"a":' + b"[" * 100_000,
    ],
)
def test_a_line_cannot_choose_another_time_than_its_log_allows(line: bytes) -> None:
    assert measured(line + b"\n").first == WRITTEN


@pytest.mark.parametrize("left", [0, 3, 20, -1])
def test_an_incomplete_file_is_not_measured(left: int) -> None:
    whole = zstandard.compress(b"line\n" * 100)
    with pytest.raises(ArchiveError, match=r"empty|cut off"):
        measure(BytesIO(whole[:left]), WRITTEN)
