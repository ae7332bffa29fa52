"""Audit entries: every shape is read, and a line that cannot be read is kept completely, with the right reason."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.work import growth
from vaultwatch.reading.budget import MAX_DEPTH
from vaultwatch.reading.records import (
    NO_ORIGIN,
    AuditEntry,
    Origin,
    Rejected,
    read_audit_entry,
    split_tag,
)

ENTRY: dict[str, Any] = {
    "time": "2026-11-21T07:29:41.065830008Z",
    "type": "request",
    "auth": {"token_type": "default"},
    "request": {"id": "r1", "operation": "update", "path": "sys/seal"},
}
OF_2018 = (
    b'{"time":"2018-08-15T11:04:09Z","type":"response","auth":{"client_token":"hmac-sha256:a","accessor":"","policies":'
    b'null,"metadata":null,"entity_id":""},"request":{"id":"r1","operation":"read","path":"secret/a","data":null,'
    b'"policy_override":false,"wrap_ttl":0,"headers":null},"response":{"data":null},"error":""}'
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text(), below, max_size=4),
    max_leaves=20,
)


def written(entry: dict[str, Any]) -> bytes:
    return json.dumps(entry).encode()


def read(line: bytes) -> dict[str, Any]:
    record = read_audit_entry(line)
    assert isinstance(record, AuditEntry), record
    return record.fields


def reason(line: bytes) -> str:
    record = read_audit_entry(line)
    assert isinstance(record, Rejected)
    assert record.raw == line
    return record.reason


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in ENTRY.items() if key != name}


class TestShapes:
    @pytest.mark.parametrize(
        "entry",
        [
            ENTRY,
            without("auth"),
            without("time"),
            {**ENTRY, "auth": None},
            {**ENTRY, "type": "response"},
            {**ENTRY, "type": "response", "response": None},
            {**ENTRY, "type": "response", "response": {}},
            {**ENTRY, "type": "kmip-request"},
            {**ENTRY, "type": "kmip-response"},
            {**ENTRY, "request": {}},
            dict(reversed(ENTRY.items())),
            dict(sorted(ENTRY.items())),
            {**ENTRY, "auth": {"policy_results": {"granting_policies": [{"type": ""}, {"name": "a", "type": "acl"}]}}},
        ],
    )
    def test_entries_are_read_whatever_vault_leaves_out_or_reorders(self, entry: dict[str, Any]) -> None:
        assert read(written(entry)) == entry

    def test_an_entry_of_2018_keeps_its_nulls(self) -> None:
        assert read(OF_2018) == json.loads(OF_2018)

    @pytest.mark.parametrize(
        "before",
        [
            b"vault-prod: ",
            b"@cee: ",
            b"Nov 21 07:29:41 host vault[812]: ",
            b"<13>Nov 21 07:29:41 host vault[812]: ",
            b'<14>1 2026-11-21T07:29:41Z host vault 812 - [origin ip="10.0.0.1"] ',
            b"<audit> ",
            b"{prefix} ",
            b"\xef\xbb\xbf",
            b"\xff\xfe ",
            b"\0\0",
            b"  \t",
        ],
    )
    def test_text_before_the_object_is_skipped(self, before: bytes) -> None:
        assert read(before + written(ENTRY)) == ENTRY

    @pytest.mark.parametrize("after", [b"\n", b"\r\n", b"\0\0", b"  "])
    def test_newlines_and_padding_are_skipped(self, after: bytes) -> None:
        assert read(written(ENTRY) + after) == ENTRY

    def test_invalid_utf_8_and_raw_control_characters_are_tolerated(self) -> None:
        line = written(ENTRY).replace(b"sys/seal", b"sys/\xff\x01seal")
        assert read(line)["request"]["path"] == "sys/\ufffd\x01seal"

    def test_a_lone_surrogate_is_replaced_so_that_the_entry_can_be_written_again(self) -> None:
        found = read(written({**ENTRY, "error": "a\ud800b", "auth": {"\udfff": ["\ud800"]}}))
        assert found["error"] == "a\ufffdb"
        assert found["auth"] == {"\ufffd": ["\ufffd"]}
        msgspec.json.encode(found)

    @pytest.mark.parametrize("number", [b"1" * 40, b"1e999", b"-1e999", b"NaN", b"Infinity", b"1e-999"])
    def test_odd_numbers_are_read_and_can_be_written_again(self, number: bytes) -> None:
        line = written(ENTRY)[:-1] + b',"response":{"data":{"n":' + number + b"}}}"
        found = read(line)
        assert found["request"] == ENTRY["request"]
        msgspec.json.encode(found)


class TestDepth:
    """Go reads JSON nested 10,000 deep: a client must not be able to hide a call by nesting its data."""

    @pytest.mark.parametrize("depth", [MAX_DEPTH, 400, 990, 9_999, 100_000])
    @pytest.mark.parametrize("opening", [b'{"a":', b"["])
    @pytest.mark.parametrize("leaf", [b'"}]{[\\""', b'"\xff"'])
    def test_deeply_nested_data_is_left_out_and_everything_else_is_read(
        self, depth: int, opening: bytes, leaf: bytes
    ) -> None:
        closing = b"}" if opening.startswith(b"{") else b"]"
        deep = opening * depth + leaf + closing * depth
        line = written(ENTRY)[:-1] + b',"response":{"data":' + deep + b'},"error":"last"}'
        found = read(line)
        assert found["request"] == ENTRY["request"]
        assert found["error"] == "last"
        assert found["left_out"].startswith(f"[parts of {len(line)} bytes, over the budget of ")
        assert len(json.dumps(found)) < 2_000

    def test_data_that_is_not_deep_is_read_completely_whatever_its_size(self) -> None:
        entry = {**ENTRY, "response": {"data": {"keys": [{"a": [1]}] * 500}}}
        assert read(written(entry)) == entry

    def test_data_at_the_limit_is_read_completely(self) -> None:
        inner: Any = "x"
        for _ in range(MAX_DEPTH - 1):
            inner = {"a": inner}
        entry = {**ENTRY, "response": inner}
        assert read(written(entry)) == entry

    @pytest.mark.parametrize("number", [b"9" * 6_000, b"-" + b"9" * 60_000, b"1e999999", b"0." + b"1" * 6_000])
    def test_a_number_of_any_length_hides_nothing(self, number: bytes) -> None:
        line = written(ENTRY)[:-1] + b',"response":{"data":{"n":%s}}}' % number
        found = read(line)
        assert found["request"] == ENTRY["request"]
        assert isinstance(found["response"]["data"]["n"], float)

    def test_nesting_that_is_not_closed_hides_nothing_before_it(self) -> None:
        entry = read_audit_entry(written(ENTRY)[:-1] + b',"a":' + b"[" * 5_000)
        assert isinstance(entry, AuditEntry)
        assert (entry.fields["request"], entry.partial) == (ENTRY["request"], "depth")


class TestRejects:
    @pytest.mark.parametrize(
        ("line", "why"),
        [
            (written(ENTRY)[:-1], "broken JSON"),
            (written(ENTRY)[:60], "broken JSON"),
            (written(ENTRY)[20:], "broken JSON"),
            (written(ENTRY) * 2, "broken JSON"),
            (b'<json:object name="auth"><json:string name="a">{}</json:string></json:object>', "XML"),
            (b"", "no JSON object"),
            (b"\0" * 40, "no JSON object"),
            (b"\x8a\x01\xfe\x00\x93", "no JSON object"),
            (b"plain text", "no JSON object"),
            (b"[1]", "no JSON object"),
            (b"{}", "no request object"),
            (b'{"type":"request","request":"sys/seal"}', "no request object"),
            (b'{"type":"request","request":null}', "no request object"),
            (b'{"request":{}}', "neither request nor response"),
            (b'{"type":"audit","request":{}}', "neither request nor response"),
            (b'{"type":1,"request":{}}', "neither request nor response"),
            (b'{"type":null,"request":{}}', "neither request nor response"),
            (b'{"@level":"info","@message":"core: x"}', "no request object"),
        ],
    )
    def test_the_reason_is_true_and_the_line_is_complete(self, line: bytes, why: str) -> None:
        assert why in reason(line)

    def test_a_reason_contains_no_content(self) -> None:
        assert "s3cret" not in reason(b'{"type":"request","request":{"data":"s3cret" "s3cret"}}')

    @given(st.binary() | st.binary().map(lambda tail: b'{"type":"request",' + tail))
    def test_no_bytes_raise(self, line: bytes) -> None:
        record = read_audit_entry(line)
        assert isinstance(record, AuditEntry) or record.raw == line

    @given(JSON, JSON, JSON)
    def test_no_values_raise(self, kind: Any, request: Any, auth: Any) -> None:
        read_audit_entry(written({"type": kind, "request": request, "auth": auth}))

    @pytest.mark.parametrize(
        ("start", "repeated"),
        [
            pytest.param(b"", b"{", marks=pytest.mark.long),
            pytest.param(b"", b'{"a":', marks=pytest.mark.long),
            (b"", b'"'),
            (b"", b"\x80"),
            (b'{"a":"', b"x"),
            (b"", b"\0"),
        ],
        ids=["braces", "nested", "quotes", "invalid", "string", "nul"],
    )
    def test_a_line_of_64_mib_takes_linear_time(self, start: bytes, repeated: bytes) -> None:
        line = start + repeated * (2**26 // len(repeated))
        assert growth(lambda size: read_audit_entry(line[:size]), 2**18) < 3
        assert isinstance(read_audit_entry(line), Rejected)


class TestTag:
    def test_is_removed_from_the_line(self) -> None:
        assert split_tag(b"@prod/vault-a.eu/socket {}") == (Origin("prod", "vault-a.eu", "socket"), b"{}")

    def test_is_parsed_once_however_often_it_occurs(self) -> None:
        assert split_tag(b"@c/n/file a")[0] is split_tag(b"@c/n/file b")[0]

    @pytest.mark.parametrize(
        "line",
        [b"", b"@", b"{}", b"@c/n/other x", b"@c/n/file", b"@c//file x", b" @c/n/file x", b"@c/n\n/file x"],
    )
    def test_text_that_is_no_tag_stays(self, line: bytes) -> None:
        assert split_tag(line) == (NO_ORIGIN, line)

    def test_a_sender_cannot_fill_the_memory(self) -> None:
        from vaultwatch.reading import records

        for number in range(5_000):
            split_tag(b"@c/n%d/file x" % number)
        assert len(records._origins) <= 4096
        assert split_tag(b"@c/n1/file x")[0] == Origin("c", "n1", "file")


def test_a_rejected_line_is_kept_with_its_origin() -> None:
    origin, text = split_tag(b"@prod/vault-1/file {broken")
    found = read_audit_entry(text, origin)
    assert isinstance(found, Rejected)
    assert (found.raw, found.origin) == (b"{broken", Origin("prod", "vault-1", "file"))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"a" 1}', "broken JSON: Expecting ':' delimiter at byte 5 of 7"),
        ('{"é" 1}'.encode(), "broken JSON: Expecting ':' delimiter at byte 6 of 8"),
        (b'{"\xff\xe2\x82" 1}', "broken JSON: Expecting ':' delimiter at byte 7 of 9"),
        (b"{", "broken JSON: nothing is behind {"),
        (b'{"a": "b', "broken JSON: cut off at byte 8 of 8"),
        (b'{"a": {"b": 1', "broken JSON: cut off at byte 13 of 13"),
        (b'{"a": {"b":', "broken JSON: cut off at byte 11 of 11"),
        (b'{"a": "\xff\\ud800", "b', "broken JSON: cut off at byte 19 of 19"),
        (b'{"a": "\xff\\u00', "broken JSON: cut off at byte 12 of 12"),
        (b'{"a": "\\q"}', "broken JSON: Invalid \\escape at byte 7 of 11"),
    ],
)
def test_broken_json_is_found_at_a_byte(line: bytes, expected: str) -> None:
    assert reason(line) == expected
