"""Which archived segments can contain a line of a given moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from vaultwatch.archive.listing import copy_of, segments_near
from vaultwatch.aws import keys

BEGIN = datetime(2026, 11, 21, tzinfo=UTC)
LENGTHS = st.lists(st.integers(1, 3600), min_size=1, max_size=40)


class Bucket:
    """The part of S3 that is used: listing keys by prefix and delimiter, a few on each page."""

    def __init__(self, names: list[str]) -> None:
        self.names = sorted(names)

    def get_paginator(self, _operation: str) -> Bucket:
        return self

    def paginate(self, *, Prefix: str, Delimiter: str = "", **_bucket: str) -> list[dict[str, Any]]:  # noqa: N803
        found = [name for name in self.names if name.startswith(Prefix)]
        if Delimiter:
            folders = {Prefix + name.removeprefix(Prefix).partition("/")[0] + "/" for name in found}
            return [{"CommonPrefixes": [{"Prefix": folder}]} for folder in sorted(folders)]
        return [{"Contents": [{"Key": name}]} for name in found] or [{}]


def starts_of(lengths: list[int]) -> list[datetime]:
    return [BEGIN + timedelta(seconds=sum(lengths[:count])) for count in range(len(lengths))]


@given(LENGTHS, st.data())
def test_the_segment_of_a_line_is_among_them_even_if_the_line_is_a_minute_out_of_order(
    lengths: list[int], data: st.DataObject
) -> None:
    starts = starts_of(lengths)
    names = [keys.segment("audit", "vault-1", number, start) for number, start in enumerate(starts, 1)]
    place = data.draw(st.integers(0, len(starts) - 1))
    late = data.draw(st.integers(-60, 60))
    moment = starts[place] + timedelta(seconds=data.draw(st.integers(0, lengths[place] - 1)) + late)
    assert names[place] in segments_near(Bucket(names), "logs", moment)  # type: ignore[arg-type]


@given(LENGTHS, st.lists(st.tuples(st.integers(1, 41), st.integers(0, 20_000)), max_size=3), st.data())
def test_segments_that_somebody_adds_hide_none_that_another_one_has_followed(
    lengths: list[int], added: list[tuple[int, int]], data: st.DataObject
) -> None:
    starts = starts_of([*lengths, 1])
    names = [keys.segment("audit", "vault-1", number, start) for number, start in enumerate(starts, 1)]
    others = [keys.segment("audit", "vault-1", number, BEGIN + timedelta(seconds=at)) for number, at in added]
    place = data.draw(st.integers(0, len(lengths) - 1))
    moment = starts[place] + timedelta(seconds=data.draw(st.integers(0, lengths[place])))
    assert names[place] in segments_near(Bucket([*names, *others]), "logs", moment)  # type: ignore[arg-type]


@given(LENGTHS, st.integers(0, 20_000))
def test_no_segment_is_read_that_ends_or_begins_more_than_a_minute_away(lengths: list[int], after: int) -> None:
    moment = BEGIN + timedelta(seconds=after)
    starts = starts_of(lengths)
    ends = [*starts[1:], datetime.max.replace(tzinfo=UTC)]
    minute = timedelta(minutes=1)
    near = {
        keys.segment("audit", "vault-1", number, start)
        for number, (start, end) in enumerate(zip(starts, ends, strict=True), 1)
        if start - minute <= moment and (end == ends[-1] or moment <= end + minute)
    }
    names = [keys.segment("audit", "vault-1", number, start) for number, start in enumerate(starts, 1)]
    assert set(segments_near(Bucket(names), "logs", moment)) == near  # type: ignore[arg-type]


def test_every_source_and_node_is_searched_and_other_keys_are_skipped() -> None:
    names = [keys.segment(source, node, 1, BEGIN) for source in ("audit", "server") for node in ("vault-1", "vault-2")]
    others = ["archive/source=audit/node=vault-1/dt=2026-11-21/manifest", "archive/stray", "alerts/x"]
    assert segments_near(Bucket(names + others), "logs", BEGIN) == names  # type: ignore[arg-type]


@given(LENGTHS, st.integers(-7200, 20_000), st.data())
def test_the_segments_of_an_hour_are_those_of_all_its_moments(
    lengths: list[int], after: int, data: st.DataObject
) -> None:
    begin, end = BEGIN + timedelta(seconds=after), BEGIN + timedelta(seconds=after + 3600)
    starts = starts_of(lengths)
    names = [keys.segment("audit", "vault-1", number, start) for number, start in enumerate(starts, 1)]
    found = copy_of(Bucket(names), "logs", "audit", begin, end)  # type: ignore[arg-type]
    moment = begin + timedelta(seconds=data.draw(st.integers(0, 3600)))
    assert {*segments_near(Bucket(names), "logs", begin), *segments_near(Bucket(names), "logs", end)} <= {*found.keys}  # type: ignore[arg-type]
    assert {*segments_near(Bucket(names), "logs", moment)} <= {*found.keys}  # type: ignore[arg-type]
    assert found.is_passed == (starts[-1] >= end)


def test_a_copy_is_of_every_node_of_one_source() -> None:
    names = [keys.segment(source, node, 1, BEGIN) for source in ("audit", "audit-file") for node in ("a", "b")]
    found = copy_of(Bucket(names), "logs", "audit", BEGIN, BEGIN + timedelta(hours=1))  # type: ignore[arg-type]
    assert found == (names[:2], False)
