"""Who called what: every entry of a log is read for it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaultwatch.detection.detector import Detector
from vaultwatch.findings.calls import Call, read_call
from vaultwatch.findings.found import Findings
from vaultwatch.findings.selection import Selection
from vaultwatch.findings.tally import Tally, Use
from vaultwatch.reading.identity import is_response, outcome
from vaultwatch.reading.records import Origin
from vaultwatch.rules.pack import shipped_rules
from vaultwatch.sentences import caller_with_id

RECORDINGS = sorted((Path(__file__).parents[2] / "data" / "recordings").rglob("audit*.jsonl"))
LINES = [line for path in RECORDINGS for line in path.read_bytes().splitlines()]


def entry(**changes: Any) -> bytes:
    request = {"id": "r-1", "operation": "read", "path": "secret/data/a", "mount_point": "secret/", "mount_type": "kv"}
    fields = {"time": "2026-11-21T07:30:00Z", "type": "response", "request": {**request, "remote_address": "10.0.0.1"}}
    return json.dumps({**fields, "auth": {"display_name": "userpass-alice"}, **changes}).encode()


def call(line: bytes) -> Call:
    found = read_call(line)
    assert found
    return found


def test_a_recorded_entry_shows_the_same_as_to_the_reader_of_all_its_fields() -> None:
    for line in LINES:
        fields, found = json.loads(line), call(line)
        assert found.who == caller_with_id(fields)
        assert found.refused == (outcome(fields) == "failed")
        assert found.is_response == is_response(fields)
        assert (found.event, found.time) == (fields["request"]["id"], fields["time"])
        assert found.mount == fields["request"].get("mount_point", found.mount)


def test_each_recorded_call_counts_once() -> None:
    calls = [call(line) for line in LINES]
    counting = [found.event for found in calls if found.counts]
    assert len(counting) > 500
    assert {found.event for found in calls if found.is_response} <= set(counting)
    alone = {found.event for found in calls if found.counts and not found.is_response}
    assert all(found.refused for found in calls if found.event in alone)


def test_a_denied_call_counts_with_its_response_only() -> None:
    denied = {"error": "1 error occurred:\n\t* permission denied\n\n"}
    assert not call(entry(type="request", **denied)).counts
    assert call(entry(**denied)).counts
    assert call(entry(type="request", error="request path is subject to a quota")).counts


def test_a_response_that_holds_only_an_error_was_refused() -> None:
    assert call(entry(response={"data": {"error": "hmac-sha256:00"}})).refused
    assert not call(entry(response={"data": {"error": "", "keys": ["a"]}})).refused
    assert not call(entry(response={"data": {"errors": ["x"], "keys": ["a"]}})).refused
    assert not call(entry(response={"data": {"error": "hmac-sha256:00"}, "secret": {}})).refused


def test_an_entry_with_unusual_types_is_read_too() -> None:
    found = call(entry(time={"a": 1}, auth={"display_name": ["x"]}, error=7))
    assert (found.time, found.who, found.refused) == ('{"a":1}', '"[\\"x\\"]"'.replace('\\"', "\\u0022"), True)


@pytest.mark.parametrize("before", [b"@c/n/socket ", b"<134>Nov 21 07:30:00 host vault: ", b""])
def test_what_is_before_an_entry_does_not_matter(before: bytes) -> None:
    assert call(before + entry()).mount == "secret/"


def test_the_lane_is_that_of_the_tag() -> None:
    assert call(b"@prod/node-1/file " + entry()).lane == "prod/node-1/file"
    found = read_call(entry(), Origin("prod", "node-2", "socket"))
    assert found
    assert found.lane == "prod/node-2/socket"


def test_a_mount_that_is_not_logged_is_the_beginning_of_the_path() -> None:
    assert call(entry(request={"path": "auth/ldap/login/bob"})).mount == "auth/ldap/"
    assert call(entry(request={"path": "team/data/a"})).mount == "team/"
    assert call(entry(request={})).mount == ""


@given(st.binary(max_size=200))
def test_no_bytes_raise(line: bytes) -> None:
    read_call(line)


_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)
_REQUEST = st.dictionaries(
    st.sampled_from(["id", "operation", "path", "mount_point", "mount_type", "remote_address"]), _JSON
)


@given(request=_REQUEST, auth=_JSON, error=_JSON, response=_JSON, time=_JSON)
def test_any_entry_shows_its_outcome_and_its_caller(
    request: Any, auth: Any, error: Any, response: Any, time: Any
) -> None:
    fields = {"type": "response", "request": request, "auth": auth, "error": error, "response": response, "time": time}
    found = call(json.dumps(fields).encode())
    assert found.refused == (outcome(fields) == "failed")
    assert found.who == caller_with_id(fields)


def test_a_detector_passes_every_entry_on_whatever_it_is_wrapped_in() -> None:
    seen: list[bytes] = []

    def note(lines: Sequence[bytes], _origin: Origin | None) -> None:
        seen.extend(lines)

    detector = Detector(shipped_rules(), unwrap=True, on_entries=note)
    wrapped = json.dumps({"log": entry().decode() + "\n", "stream": "stdout", "time": "2026-11-21T07:30:00Z"}).encode()
    detector.feed([*LINES, wrapped, b"no entry", b'{"a":1}'])
    detector.flush()
    assert len(seen) == detector.counts.audit == len(LINES) + 1
    assert all(map(read_call, seen))


def test_a_tally_counts_calls_refusals_and_names() -> None:
    tally = Tally()
    for line in (entry(), entry(error="permission denied"), entry(type="request"), entry(auth=None)):
        tally.count(call(line))
    assert tally.total == Use(calls=3, refused=1)
    assert tally.callers.by_name == {"userpass-alice": Use(2, 1), "unauthenticated client": Use(1, 0)}
    assert tally.addresses.by_name == {"10.0.0.1": Use(3, 1)}
    assert tally.mounts.by_name == {"secret/": Use(3, 1)}


def test_tallies_of_parts_make_that_of_the_whole() -> None:
    whole, first, second = Tally(), Tally(), Tally()
    for number, line in enumerate(LINES[:200]):
        whole.count(call(line))
        (first, second)[number % 2].count(call(line))
    first.add(second)
    assert first == whole


def test_a_tally_of_many_names_stays_small_and_its_sums_exact() -> None:
    tally = Tally()
    for number in range(10_500):
        tally.count(call(entry(auth={"display_name": f"user-{number}"})))
    shown, rest, names = tally.callers.top(5)
    assert sum(use.calls for _, use in shown) + rest.calls == 10_500
    assert len(shown) == 5
    assert names == 9_996
    assert tally.callers.by_name["others"].calls == 500


def test_alerts_count_for_the_caller_the_address_and_the_mount_that_they_name() -> None:
    line = entry(request={"id": "d", "operation": "delete", "path": "sys/audit/f", "remote_address": "10.0.0.9"})
    tally = Tally()
    with Findings(Selection(rules=["audit_device_disabled"]), _fail) as findings:
        findings.add(Detector(shipped_rules()).feed([line]))
        tally.count_alerts(findings)
    assert tally.total.alerts == 1
    counted = [uses.by_name for uses in (tally.callers, tally.addresses, tally.mounts)]
    assert counted == [{"userpass-alice": Use(alerts=1)}, {"10.0.0.9": Use(alerts=1)}, {"sys/": Use(alerts=1)}]


def _fail(_name: str, error: Exception) -> None:
    raise error
