"""Event keys and outcomes: all records of one event have the same key, and no other event has it."""

import hashlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaultwatch.reading.identity import (
    ServerEventKeys,
    audit_event_key,
    encoded_in_order,
    is_response,
    outcome,
    parse_time,
)
from vaultwatch.reading.records import NO_ORIGIN, Origin, ServerMessage
from vaultwatch.reading.server_log import ServerLogReader

SALT_A, SALT_B = "hmac-sha256:" + "a" * 64, "hmac-sha256:" + "b" * 64


def entry(kind: str = "response", **members: Any) -> dict[str, Any]:
    return {"type": kind, "time": "2026-11-21T07:29:41.123456789Z", "request": {"path": "a"}, **members}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.text(max_size=3), inside, max_size=6),
)


class TestEncodedInOrder:
    @given(JSON)
    def test_members_are_in_the_order_of_their_names_without_blanks(self, value: Any) -> None:
        expected = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert msgspec.json.decode(encoded_in_order(value)) == value
        assert encoded_in_order(value) == msgspec.json.encode(msgspec.json.decode(expected.encode()))

    def test_no_order_of_many_names_takes_long(self) -> None:
        """In quadratic time, so many would take minutes."""
        found = encoded_in_order({"@level": "error", "x": 0, **{f"{number:07}": "v" for number in range(300_000)}})
        assert found.startswith(b'{"0000000":"v","0000001":"v",')


class TestOutcome:
    @pytest.mark.parametrize(
        ("fields", "expected"),
        [
            (entry("request"), "unknown"),
            (entry("request", error=""), "unknown"),
            (entry("request", error=None), "unknown"),
            (entry("request", error="permission denied"), "failed"),
            (entry("kmip-request"), "unknown"),
            (entry("kmip-response"), "succeeded"),
            (entry(), "succeeded"),
            (entry(error="permission denied"), "failed"),
            (entry(error="internal error"), "unknown"),
            (entry(error="1 error occurred:\n\t* internal error\n\n"), "unknown"),
            (entry(error="1 error occurred:\n\t* context canceled\n\n"), "unknown"),
            (entry(error="failed to persist entry: context deadline exceeded"), "unknown"),
            (
                entry(
                    error="1 error occurred:\n\t* failed to persist policy: leadership lost while committing log\n\n"
                ),
                "unknown",
            ),
            (entry(error="Unexpected response code: 500 (leadership lost while committing log)"), "unknown"),
            (entry(error="internal error of a name"), "failed"),
            (entry(error=["internal error"]), "failed"),
            (entry(error="", response=None), "succeeded"),
            (entry(response={}), "succeeded"),
            (entry(response={"data": None}), "succeeded"),
            (entry(response={"data": {"error": SALT_A}}), "failed"),
            (entry(response={"data": {"error": SALT_A, "warnings": None, "x": ""}}), "failed"),
            (entry(response={"data": {"error": SALT_A, "keys": ["a"]}}), "succeeded"),
            (entry(response={"data": {"errors": [SALT_A]}}), "failed"),
            (entry(response={"data": {"errors": [SALT_A], "error": None}}), "failed"),
            (entry(response={"data": {"errors": [SALT_A], "nonce": SALT_B}}), "succeeded"),
            (entry(response={"data": {"errors": []}}), "succeeded"),
            # A secret of a key-value engine of version 1, whose lease stands beside it.
            (entry(response={"data": {"error": SALT_A}, "secret": {}}), "succeeded"),
            (entry(response={"data": {"errors": [SALT_A]}, "secret": {}}), "succeeded"),
            (entry(response={"data": {"error": SALT_A}, "secret": None}), "failed"),
            (entry(error="permission denied", response={"data": {"error": SALT_A}, "secret": {}}), "failed"),
            (entry("request", response={"data": {"errors": [SALT_A]}}), "unknown"),
            (entry(response={"data": {"error": ""}}), "succeeded"),
            (entry(response={"data": {"error": None}}), "succeeded"),
            (entry(response={"data": ["error"]}), "succeeded"),
            (entry(response="error"), "succeeded"),
            (entry(auth={"policy_results": {"allowed": False}}), "succeeded"),
            (entry("request", response={"data": {"error": SALT_A}}), "unknown"),
        ],
    )
    def test_table(self, fields: dict[str, Any], expected: str) -> None:
        assert outcome(fields) == expected

    def test_a_response_is_recognised_by_the_end_of_its_type(self) -> None:
        assert [is_response({"type": kind}) for kind in ("request", "response", "kmip-response")] == [False, True, True]


class TestAuditKeys:
    def test_an_entry_with_a_request_id_has_it_as_its_key(self) -> None:
        assert audit_event_key(entry(request={"id": "r1"})) == "r1"
        assert audit_event_key(entry("request", request={"id": "r1", "path": "b"}, error="x")) == "r1"

    @pytest.mark.parametrize("request_id", [None, "", 7, {"a": 1}])
    def test_without_an_id_devices_with_other_salts_and_clocks_agree(self, request_id: Any) -> None:
        def of_device(salt: str, time: str) -> dict[str, Any]:
            auth = {"accessor": salt, "display_name": "root", "tokens": [salt, "clear"]}
            return entry(auth=auth, time=time, request={"id": request_id, "path": "a", "data": {"k": {"v": salt}}})

        key = audit_event_key(of_device(SALT_A, "2026-11-21T07:29:41.1Z"))
        assert len(key) == 64
        for time in ("2026-11-21T07:29:41.999999999Z", "2026-11-21T07:29:41Z", "2026-11-21T07:29:41.1Z"):
            assert audit_event_key(of_device(SALT_B, time)) == key
        assert audit_event_key(of_device(SALT_B, "2026-11-21T07:29:42.1Z")) != key

    def test_without_an_id_the_order_of_keys_does_not_matter(self) -> None:
        fields = entry(auth={"a": 1, "b": 2})
        assert audit_event_key(fields) == audit_event_key(dict(reversed(fields.items())))

    @pytest.mark.parametrize(
        "other", [{"request": {"path": "b"}}, {"type": "request"}, {"error": "x"}, {"auth": {"policies": ["root"]}}]
    )
    def test_without_an_id_another_event_has_another_key(self, other: dict[str, Any]) -> None:
        assert audit_event_key(entry()) != audit_event_key({**entry(), **other})

    @pytest.mark.parametrize("time", [None, 5, "", "yesterday"])
    def test_an_invalid_time_is_tolerated(self, time: Any) -> None:
        assert len(audit_event_key(entry(time=time))) == 64


def message(line: bytes, origin: Origin = NO_ORIGIN) -> ServerMessage:
    reader = ServerLogReader()
    (record,) = reader.feed(line, origin, 0.0) + reader.flush()
    assert isinstance(record, ServerMessage)
    return record


NODE = Origin("prod", "vault-a", "server")
TEXT = b"2026-11-21T07:29:41.065Z [INFO]  core: vault is sealed"
AS_JSON = b'{"@level":"info","@message":"vault is sealed","@module":"core","@timestamp":"2026-11-21T07:29:41.065830Z"}'
HEADERS = [
    b"Nov 21 07:29:41 host vault[812]: ",
    b"<13>Nov 21 07:29:41 host vault[812]: ",
    b"2026-11-21T07:29:41.065Z host vault[812]: ",
    b"<14>1 2026-11-21T07:29:41.065830Z host vault 812 - - ",
    b"2026-11-21T07:29:41.065830008Z stdout F ",
    b"vault[812]: ",
]
BEFORE = [*HEADERS, b"", b"vault.log:", b"84: ", b"   84\t", b"a,b,", b"vault-0 vault ", b"\x1b[36mvault\x1b[0m | "]
OWN = [
    *(TEXT, TEXT + b": a=b", TEXT.replace(b"INFO] ", b"WARN] "), TEXT.replace(b"41.065", b"41.066"), TEXT + b" 84: x"),
    *(AS_JSON, AS_JSON.replace(b'"core"', b'"seal"'), AS_JSON.replace(b'"}', b'","a":"b"}'), TEXT + b" " + AS_JSON),
]


class TestServerKeys:
    @pytest.mark.parametrize("header", HEADERS)
    @pytest.mark.parametrize("line", [TEXT, AS_JSON])
    def test_a_syslog_header_does_not_matter(self, header: bytes, line: bytes) -> None:
        assert ServerEventKeys().key(message(header + line, NODE)) == ServerEventKeys().key(message(line, NODE))

    @pytest.mark.parametrize("header", [b"", *HEADERS])
    def test_messages_of_one_moment_differ_by_their_text(self, header: bytes) -> None:
        other = AS_JSON.replace(b"is sealed", b"is unsealed")
        assert ServerEventKeys().key(message(header + AS_JSON)) != ServerEventKeys().key(message(header + other))

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            (TEXT, TEXT.replace(b"41.065", b"41.066")),
            (TEXT, TEXT.replace(b"INFO] ", b"WARN] ")),
            (TEXT, TEXT.replace(b"core:", b"seal:")),
            (TEXT, TEXT.replace(b"sealed", b"unsealed")),
        ],
    )
    def test_time_level_module_and_text_are_part_of_the_key(self, one: bytes, other: bytes) -> None:
        assert ServerEventKeys().key(message(one)) != ServerEventKeys().key(message(other))

    @pytest.mark.parametrize(
        "before", [b"vault.log:", b"84: ", b"    84\t", b"vault-0 vault ", b"{app=x} ", b"\x1b[36mv\x1b[0m "]
    )
    @pytest.mark.parametrize("line", [TEXT, AS_JSON])
    def test_what_another_program_has_put_before_it_does_not_matter(self, before: bytes, line: bytes) -> None:
        assert ServerEventKeys().key(message(before + line, NODE)) == ServerEventKeys().key(message(line, NODE))

    @pytest.mark.parametrize("line", [TEXT, AS_JSON])
    def test_colours_do_not_matter(self, line: bytes) -> None:
        coloured = line.replace(b"vault", b"\x1b[31mvault\x1b[0m")
        assert ServerEventKeys().key(message(coloured, NODE)) == ServerEventKeys().key(message(line, NODE))

    @given(st.lists(st.tuples(st.sampled_from(BEFORE), st.sampled_from(OWN)), min_size=2, max_size=2))
    def test_keys_are_equal_if_and_only_if_the_texts_of_the_messages_are(
        self, lines: list[tuple[bytes, bytes]]
    ) -> None:
        (before, one), (before_other, other) = lines
        keys = {ServerEventKeys().key(message(line, NODE)) for line in (before + one, before_other + other)}
        assert (len(keys) == 1) == (one == other)

    def test_the_node_is_part_of_the_key(self) -> None:
        other = Origin("prod", "vault-b", "server")
        assert ServerEventKeys().key(message(TEXT, NODE)) != ServerEventKeys().key(message(TEXT, other))

    def test_of_several_lines_only_the_first_is_part_of_the_key(self) -> None:
        reader = ServerLogReader()
        head = TEXT + b": x/"
        for line in (head, b"  error=", b"  | more", b"  "):
            assert not reader.feed(line, NODE, 0.0)
        (whole,) = reader.flush()
        assert isinstance(whole, ServerMessage)
        assert b"more" in whole.raw
        assert ServerEventKeys().key(whole) == ServerEventKeys().key(message(head, NODE))

    def test_the_key_of_a_banner_has_the_last_time_logged_and_its_ordinal_since(self) -> None:
        banner = message(b"==> Vault shutdown triggered", NODE)

        def keys(*lines: bytes) -> list[str]:
            log = ServerEventKeys()
            return [log.key(message(line, NODE)) for line in lines]

        twice = keys(TEXT, banner.raw, banner.raw)
        assert len(set(twice)) == 3
        assert keys(TEXT, banner.raw, banner.raw) == twice
        assert keys(TEXT.replace(b"41.065", b"41.066"), banner.raw)[1] not in twice
        after_another_node = ServerEventKeys()
        after_another_node.key(message(TEXT, Origin("prod", "vault-b", "server")))
        assert after_another_node.key(banner) == keys(banner.raw)[0]

    def test_the_key_of_a_banner_has_the_time_of_its_header(self) -> None:
        line = b"Nov 21 07:29:41 host vault[812]: ==> Vault shutdown triggered"
        log = ServerEventKeys()
        assert log.key(message(line)) == log.key(message(line.replace(b"[812]", b"[813]")))
        assert log.key(message(line)) != log.key(message(line.replace(b":41 ", b":42 ")))

    @pytest.mark.parametrize(
        "header", [b"2026-11-21T07:29:42.065830008Z stdout F ", b"2026-11-21T07:29:42.1Z ", b"v | "]
    )
    def test_the_key_of_a_banner_has_no_time_of_a_header_without_a_node(self, header: bytes) -> None:
        def keys(before: bytes) -> list[str]:
            log = ServerEventKeys()
            return [log.key(message(before + line)) for line in (TEXT, b"panic: runtime error", b"panic: again")]

        assert keys(header) == keys(b"")

    def test_the_order_and_the_blanks_of_json_do_not_matter(self) -> None:
        key = ServerEventKeys().key(message(AS_JSON))
        members = json.loads(AS_JSON)
        for other in (json.dumps(dict(reversed(members.items()))), json.dumps(members), AS_JSON.decode() + "  "):
            assert ServerEventKeys().key(message(other.encode())) == key
        assert ServerEventKeys().key(message(AS_JSON.replace(b'"}', b'","@level":"info"}'))) != key

    def test_nodes_are_bounded(self) -> None:
        log = ServerEventKeys(max_nodes=10)
        for number in range(100):
            log.key(message(TEXT, Origin("c", f"n{number}", "server")))
        assert len(log._last) <= 10

    def test_the_formula(self) -> None:
        parts = ["2026-11-21T07:29:41.065Z", "info", "core", "vault-a"]
        expected = hashlib.sha256("\0".join(parts).encode() + b"\0" + TEXT).hexdigest()
        assert ServerEventKeys().key(message(TEXT, NODE)) == expected


class TestTime:
    @pytest.mark.parametrize("digits", range(1, 10))
    def test_any_number_of_decimals(self, digits: int) -> None:
        moment = parse_time(f"2026-11-21T07:29:41.{'123456789'[:digits]}Z")
        assert moment
        assert moment.microsecond == int("123456"[:digits].ljust(6, "0"))

    @pytest.mark.parametrize("text", [None, 5, "", "x", "2026-11-21T07:29:41", "2026-13-01T00:00:00Z", "\ud800", {}])
    def test_anything_else_is_no_time(self, text: Any) -> None:
        assert parse_time(text) is None

    @pytest.mark.parametrize("text", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00"])
    def test_a_time_that_does_not_exist_in_another_zone_is_no_time(self, text: str) -> None:
        assert parse_time(text) is None

    @given(st.text())
    def test_no_text_raises(self, text: str) -> None:
        parse_time(text)
        audit_event_key(json.loads(json.dumps(entry(time=text))))
