"""The budget of one line: what exceeds it is decoded in part, in bounded memory, and an alert says so."""

import json
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vaultwatch.alerts import alert_of
from vaultwatch.detection.detector import Detector
from vaultwatch.reading.budget import (
    BYTES_PER_VALUE,
    MAX_BYTES,
    MAX_LENIENT_BYTES,
    MAX_MESSAGE_BYTES,
    MAX_VALUES,
    MAX_WIDE_BYTES,
    exceeded,
)
from vaultwatch.reading.decoding import decode_object
from vaultwatch.reading.records import NO_ORIGIN, AuditEntry, ServerMessage, read_audit_entry
from vaultwatch.reading.server_log import ServerLogReader
from vaultwatch.rules.pack import shipped_rules

MIB = 1024 * 1024
SIZE = 5 * MIB // 2
MEMORY_FACTOR = 6
HEAD = (
    b'{"time":"2026-11-28T00:00:00Z","type":"request","auth":{"display_name":"eve"},"request":{"id":"a",'
    b'"operation":"delete","path":"sys/audit/file","data":'
)
TAIL = b',"remote_address":"192.0.2.7"},"error":"permission denied"}'
ORDINARY = HEAD.replace(b'"id":"a"', b'"id":"b"') + b"{}" + TAIL


def array(item: bytes, size: int) -> bytes:
    return b"[" + b",".join([item] * (size // (len(item) + 1))) + b"]"


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


SHAPES: dict[str, Callable[[int], bytes]] = {
    "nested arrays": lambda size: array(nested(120), size),
    "nested beyond what can be skipped": lambda size: array(nested(2000), size),
    "nested once": lambda size: nested(size // 2),
    "empty arrays": lambda size: array(b"[]", size),
    "empty arrays beside a deep one": lambda size: b"[" + nested(2000) + b"," + array(b"[]", size) + b"]",
    "empty objects": lambda size: array(b"{}", size),
    "deep objects": lambda size: array(b'{"a":' * 2000 + b"0" + b"}" * 2000, size),
    "digits": lambda size: array(b"1", size),
    "fractions": lambda size: array(b"1.5", size),
    "one number": lambda size: b"9" * size,
    "one text": lambda size: b'"' + b"x" * size + b'"',
    "wide characters": lambda size: b'"' + "\U0001f600".encode() * (size // 4) + b'"',
    "one wide character": lambda size: b'"\xf0\x9f\x98\x80' + b"x" * size + b'"',
    "escapes": lambda size: b'"' + b"\\n" * (size // 2) + b'"',
    "lone surrogates": lambda size: b'"' + b"a\\ud800" * (size // 7) + b'"',
    "control characters": lambda size: b'"' + b"\x01" * size + b'"',
    "not UTF-8": lambda size: b'"' + b"\xff" * size + b'"',
    "a wide name": lambda size: b'{"a":[],"\xf0\x9f\x98\x80' + b"k" * size + b'":0}',
    "a wide name with quotes": lambda size: b'{"a":[],"\xf0\x9f\x98\x80' + b'k\\"' * (size // 3) + b'":0}',
    "many keys": lambda size: b"{" + b",".join(b'"%x":0' % n for n in range(size // 10)) + b"}",
    "objects that are small enough": lambda size: (
        b"{%s}" % b",".join(b'"%d":%s' % (n, array(b"[]", 60_000)) for n in range(size // 60_000))
    ),
}
shape = pytest.mark.parametrize("data", [pytest.param(make, id=name) for name, make in SHAPES.items()])


def read(data: bytes) -> AuditEntry:
    entry = read_audit_entry(HEAD + data + TAIL)
    assert isinstance(entry, AuditEntry)
    return entry


@shape
def test_what_vault_always_writes_is_decoded_whatever_the_client_sent(data: Callable[[int], bytes]) -> None:
    entry = read(data(SIZE))
    assert entry.partial in ("bytes", "values")
    fields = entry.fields
    assert (fields["auth"], fields["error"]) == ({"display_name": "eve"}, "permission denied")
    request = {key: value for key, value in fields["request"].items() if key != "data"}
    expected = {"id": "a", "operation": "delete", "path": "sys/audit/file", "remote_address": "192.0.2.7"}
    assert request == expected
    assert "SHA-256 of the whole: " in fields["left_out"]


def peak_of(line: bytes) -> tuple[int, set[str]]:
    """Return the bytes that evaluating a line takes at most, with the line itself, and the rules of its alerts."""
    detector = Detector(shipped_rules())
    detector.feed([ORDINARY])
    tracemalloc.start()
    try:
        alerts = [alert_of(verdict) for verdict in detector.feed([line]) + detector.flush()]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    return peak + len(line), {alert.rule for alert in alerts}


@shape
def test_a_line_takes_at_most_six_times_its_bytes_until_its_alerts_are_made(data: Callable[[int], bytes]) -> None:
    line = HEAD + data(SIZE) + TAIL
    peak, rules = peak_of(line)
    assert "audit_entry_over_budget" in rules
    assert peak < MEMORY_FACTOR * len(line)


def test_a_path_takes_at_most_six_times_its_bytes() -> None:
    line = HEAD.replace(b'audit/file","data":', "\U0001f600".encode() + b"x" * SIZE + b'","data":0') + TAIL
    peak, rules = peak_of(line)
    assert "audit_entry_over_budget" in rules
    assert peak < MEMORY_FACTOR * len(line)


@pytest.mark.parametrize(
    ("item", "size"),
    [
        (b'{"%07d":0}', MAX_BYTES),
        (b'{"%07d":[]}', MAX_BYTES),
        (b'{"a":{}}', MAX_BYTES),
        (b"[]", MAX_BYTES),
        (b"[[]]", MAX_BYTES),
        (b'"' + b"s." * 12 + b'"', MAX_BYTES),
        ('{"\U0001f600%07d":0}'.encode(), MAX_WIDE_BYTES),
        ('"\U0001f600'.encode() + b"x" * 1000 + b'"', MAX_WIDE_BYTES),
        (b'"' + b"\xff" * 76 + b'"', MAX_LENIENT_BYTES),
    ],
)
def test_a_line_within_its_budget_takes_at_most_six_times_its_bytes_or_4_mib(item: bytes, size: int) -> None:
    values = item.count(b"{") + item.count(b"[") + 1
    item = item.ljust(values * BYTES_PER_VALUE)
    count = (size - 1000) // (len(item) + 4)
    items = [item % number if b"%" in item else item for number in range(count)]
    line = HEAD + b"[" + b",".join(items) + b"]" + TAIL
    peak, rules = peak_of(line)
    assert rules == {"audit_device_disabled"}
    assert peak < max(MEMORY_FACTOR * len(line), 4 * 1024 * 1024)


@pytest.mark.parametrize("part", [b"x/", b"hvs." + b"k" * 20 + b"/"])
def test_a_path_within_the_budget_takes_at_most_six_times_its_bytes(part: bytes) -> None:
    path = part * ((MAX_BYTES - 1000) // len(part))
    line = HEAD.replace(b'file","data":', path + b'","data":0') + TAIL
    peak, _ = peak_of(line)
    assert peak < MEMORY_FACTOR * len(line)


@shape
def test_it_raises_the_alert_of_the_act_and_one_of_its_own_and_what_follows_is_evaluated(
    data: Callable[[int], bytes],
) -> None:
    detector = Detector(shipped_rules())
    verdicts = detector.feed([HEAD + data(SIZE) + TAIL + b"\n", ORDINARY + b"\n"])
    raised = {(verdict.rule.name, verdict.event_key) for verdict in verdicts}
    assert raised == {
        ("audit_device_disabled", "a"),
        ("audit_entry_over_budget", "a"),
        ("audit_device_disabled", "b"),
    }
    assert detector.counts.audit == 2


@pytest.mark.parametrize(
    "text",
    [
        b"x",
        b"k=v ",
        b'a="',
        b'{"a":"\xf0\x9f\x98\x80"a=""}',
        "\U0001f600 a=b ".encode(),
        b"\xf0\x9f\x98\x80" + b"x" * MIB,
    ],
)
def test_a_server_message_takes_at_most_six_times_its_bytes_and_raises_an_alert_of_its_own(text: bytes) -> None:
    peak, rules = peak_of(b"2026-11-28T00:00:00.000Z [ERROR] core: failed: " + text * max(1, MIB // len(text)))
    assert rules == {"server_error", "server_message_over_budget"}
    assert peak < MEMORY_FACTOR * MIB


def test_a_server_message_that_was_cut_has_no_fields_because_the_last_would_be_wrong() -> None:
    reader = ServerLogReader()
    reader.feed(b"2026-11-28T00:00:00.000Z [ERROR] core: failed: k=" + b"v" * MAX_MESSAGE_BYTES, NO_ORIGIN, 0.0)
    (found,) = reader.flush()
    assert isinstance(found, ServerMessage)
    assert (found.partial, found.module, found.fields) == ("bytes", "core", {})


def test_a_small_line_that_no_rule_matches_is_never_over_budget() -> None:
    assert not exceeded(b'{"a":[%s]}' % b",".join([b"[]"] * 6_000))


def test_an_entry_with_a_long_list_of_hashes_is_decoded_in_full() -> None:
    ids = ["hmac-sha256:" + "ab" * 32] * 20_000
    entry = read(json.dumps({"ids": ids}).encode())
    assert not entry.partial
    assert entry.fields["request"]["data"] == {"ids": ids}


def test_data_over_the_budget_never_hides_how_the_request_ended() -> None:
    data = b'{"error":"%s"}' % (b"x" * MAX_BYTES)
    response = HEAD.replace(b'"request","auth"', b'"response","auth"') + b'{"junk":%s}},"response":{"data":%s}}' % (
        array(nested(3), SIZE),
        data,
    )
    entry = read_audit_entry(response)
    assert isinstance(entry, AuditEntry)
    assert list(entry.fields["response"]["data"]) == ["error"]


@settings(max_examples=10)
@example("\x01" * 1000 + '":' + "\x01" * 998, True)
@given(st.text(min_size=2000, max_size=2000), st.booleans())
def test_of_a_text_that_is_too_long_the_beginning_is_kept(text: str, ascii_only: bool) -> None:
    written = json.dumps(text * (MAX_BYTES // 2000 + 10), ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    kept, _, note = read(b'{"a":%s}' % written).fields["request"]["data"]["a"].rpartition("… ")
    assert text.startswith(kept[:300])
    assert len(kept) > 300
    assert note == f"[{len(written)} bytes, cut]"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(["time", "type", "auth", "request", "response", "error", "x"]), JSON), JSON)
def test_any_object_over_the_budget_is_decoded_in_part_or_rejected(entry: dict[str, Any], more: Any) -> None:
    padding = [more] + [[]] * (MAX_VALUES + 1)
    found = decode_object(json.dumps({**entry, "padding": padding}).encode())
    assert not isinstance(found, str)
    assert found.partial == "values"
    for name in ("time", "type", "error"):
        assert found.fields.get(name) == entry.get(name)


@pytest.mark.parametrize("shift", range(2))
@pytest.mark.parametrize("item", ['\\"', '\\\\\\"', ': [k\\"]'])
def test_an_object_with_a_name_of_escaped_quotes_is_left_out_wherever_the_name_is_cut(item: str, shift: int) -> None:
    name = "😀" + "k" * shift + item * (700_000 // len(item))
    line = f'{{"time":"2026-11-28T00:00:00Z","type":"request","request":{{"id":"e","data":{{"a":[],"{name}":0}}}}}}'
    entry = read_audit_entry(line.encode())
    assert isinstance(entry, AuditEntry)
    assert entry.fields["request"]["id"] == "e"
    assert isinstance(entry.fields["request"]["data"], str)
