"""A record's size is bounded: its largest values are left out first, and fields that an alert shows are shortened."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.work import growth
from vaultwatch.reading.bounds import MAX_RECORD_BYTES, bounded, brief

ENTRY: dict[str, Any] = {
    "type": "request", "time": "2026-11-21T07:29:41.5Z", "auth": {"display_name": "ldap-me"},
    "request": {"id": "r1", "operation": "update", "path": "sys/seal", "namespace": {"path": "team/"}},
}  # fmt: skip
LEAVES = (
    st.none() | st.integers() | st.floats() | st.builds(str.__mul__, st.text(max_size=5), st.sampled_from([1, 900]))
)
RECORDS = st.dictionaries(
    st.text(max_size=5),
    st.recursive(LEAVES, lambda below: st.lists(below) | st.dictionaries(st.text(max_size=5), below), max_leaves=20),
)


def size(value: Any) -> int:
    return len(msgspec.json.encode(value))


class TestBrief:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (None, ""),
            ("a", "a"),
            (5, "5"),
            (True, "true"),
            ({"a": [1]}, '{"a":[1]}'),
            ("abcdef", "abc…"),
            ("abcd", "abcd"),
        ],
    )
    def test_is_text_of_at_most_the_limit(self, value: Any, expected: str) -> None:
        assert brief(value, 4 if value in ("abcdef", "abcd") else 100) == expected


def nested(depth: int, leaf: Any) -> Any:
    for _ in range(depth):
        leaf = {"a": leaf}
    return leaf


class TestBounded:
    @pytest.mark.parametrize(("more", "untouched"), [(0, True), (1, False)])
    def test_a_record_of_the_limit_itself_is_untouched(self, more: int, untouched: bool) -> None:
        record = {"a": "x" * (MAX_RECORD_BYTES - len('{"a":""}') + more)}
        assert (bounded(record) is record) is untouched

    @settings(max_examples=25)
    @given(RECORDS, st.integers(300, 3_000))
    def test_the_result_is_never_larger_than_the_limit(self, record: dict[str, Any], limit: int) -> None:
        found = bounded(record, limit)
        assert size(found) <= limit
        assert size(record) > limit or found is record
        if size(record) > limit:
            assert hashlib.sha256(msgspec.json.encode(record)).hexdigest() in json.dumps(found)
            assert found == bounded(record, limit)

    @pytest.mark.parametrize(
        "shape",
        [
            lambda kib: "x" * kib * 2**10,
            lambda kib: "\0" * kib * 2**10,
            lambda kib: "é" * kib * 2**9,
            lambda kib: {"k" * kib * 2**10: 1},
            lambda kib: {f"key{number}": "v" for number in range(kib * 100)},
            lambda kib: ["v"] * kib * 200,
            lambda kib: [{"a": 1}] * kib * 100,
            lambda kib: [["x" * 10] * 100] * kib,
            lambda kib: {f"key{number}": "v" * 300 for number in range(kib * 3)},
            lambda kib: nested(90, "x" * kib * 2**10),
            lambda kib: nested(90, ["x" * 200] * kib * 5),
        ],
    )
    def test_a_mebibyte_of_any_shape_is_left_out_and_the_rest_stays(self, shape: Callable[[int], Any]) -> None:
        record, half = ({**ENTRY, "response": {"data": shape(kib), "mount_type": "kv"}} for kib in (1024, 512))
        found = bounded(record)
        assert growth(lambda kib: bounded(record if kib == 1024 else half), 512) < 3
        assert size(found) <= MAX_RECORD_BYTES
        assert {key: found[key] for key in found if key != "response"} == ENTRY
        assert found["response"]["mount_type"] == "kv"
        assert hashlib.sha256(msgspec.json.encode(record)).hexdigest() in json.dumps(found["response"])
        assert "bytes left out" in json.dumps(found["response"])

    def test_the_largest_value_is_left_out_first_and_the_order_stays(self) -> None:
        record = {"a": "x" * 20_000, "b": "y" * 30_000, "c": 1}
        found = bounded(record)
        assert list(found) == ["a", "b", "c"]
        assert found["a"] == record["a"]
        assert found["b"].startswith("[30002 bytes left out; SHA-256 of the whole record: ")

    def test_of_two_large_values_only_the_largest_part_of_one_is_cut(self) -> None:
        record = {"a": {"large": "x" * 25_000, "small": 1}, "b": {"large": "y" * 20_000, "small": 2}}
        found = bounded(record)
        assert found["b"] == record["b"]
        assert found["a"]["small"] == 1
        assert "bytes left out" in found["a"]["large"]

    def test_many_names_of_a_whole_record(self) -> None:
        found = bounded({f"key{number}": "v" * 100 for number in range(10_000)})
        assert list(found) == ["left_out"]

    @pytest.mark.parametrize("beside", [0, 2**10, 2**20])
    def test_what_an_alert_names_keeps_its_beginning_however_large_the_rest(self, beside: int) -> None:
        huge = "x" * 2**16
        request: dict[str, Any] = {"path": huge, "operation": huge, "remote_address": huge, "namespace": {"path": huge}}
        auth = {"display_name": huge, "entity_id": huge}
        entry: dict[str, Any] = {
            "time": huge,
            "auth": auth,
            "request": {**request, "data": "y" * beside},
            "error": huge,
        }
        found = bounded(entry)
        assert size(found) <= MAX_RECORD_BYTES
        for cut in (found["time"], *found["auth"].values(), found["request"]["namespace"]["path"], found["error"]):
            assert brief(cut) == brief(huge)
            assert hashlib.sha256(msgspec.json.encode(entry)).hexdigest() in cut
        assert {brief(found["request"][name]) for name in ("path", "operation", "remote_address")} == {brief(huge)}
        assert entry["request"]["path"] == huge
        assert bounded(found) is found
