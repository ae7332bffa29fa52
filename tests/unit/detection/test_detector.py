"""The detector: responses complete requests, one stream may have both logs, and no line is lost or stops it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from testbed.recorded import RECORDINGS
from tests.unit.detection.records import FAILED, HEAD, SEAL, SERVER, SHUTDOWN, VALUE, found, request, response, rule
from vaultwatch.detection.detector import Detector
from vaultwatch.detection.line_reader import Source
from vaultwatch.detection.verdict import Verdict
from vaultwatch.detection.waiting import MAX_WAITING
from vaultwatch.reading.hclog import without_colours
from vaultwatch.reading.identity import Act, act_of, audit_event_key
from vaultwatch.reading.records import AuditEntry, Origin, Rejected, read_audit_entry, split_tag
from vaultwatch.reading.syslog_header import strip_syslog_header
from vaultwatch.rules.conditions import Exists, Number
from vaultwatch.rules.pack import Rule, shipped_rules


def run(lines: Iterable[bytes], rules: Sequence[Rule] = (SEAL, SERVER), source: Source = "auto") -> list[Verdict]:
    detector = Detector(rules, source=source)
    return detector.feed(lines) + detector.flush()


ALICE, MALLORY = (dict[str, Any]({"auth": {"display_name": name}}) for name in ("alice", "mallory"))


def acts(verdicts: Iterable[Verdict]) -> list[tuple[str, str]]:
    return [(one.record["auth"]["display_name"], one.outcome) for one in verdicts]


class TestForgedEntries:
    """With the id of a request that is under way."""

    def test_a_forged_request_does_not_get_the_response_of_the_real_one(self) -> None:
        alerts = run([request(**MALLORY), request(**ALICE), response(**ALICE)])
        assert acts(alerts) == [("alice", "unknown"), ("alice", "succeeded"), ("mallory", "unknown")]

    def test_a_forged_response_does_not_complete_the_real_request(self) -> None:
        alerts = run([request(**ALICE), response(**MALLORY, error="denied"), response(**ALICE)])
        assert acts(alerts) == [("mallory", "failed"), ("alice", "succeeded")]

    def test_of_an_event_and_a_rule_one_act_waits_however_many_are_forged(self) -> None:
        detector = Detector([SEAL])
        forged = [request(auth={"display_name": f"mallory-{number}"}) for number in range(100)]
        assert len(detector.feed([request(**ALICE), *forged])) == 100
        assert acts(detector.flush()) == [("alice", "unknown")]

    @pytest.mark.parametrize("real", [[request(**ALICE), response(**ALICE)], [response(**ALICE)]])
    def test_a_forged_request_of_nobody_does_not_either(self, real: list[bytes]) -> None:
        [*_, answered, forged] = run([request(), *real])
        assert acts([answered]) == [("alice", "succeeded")]
        assert (forged.record.get("auth"), forged.outcome) == (None, "unknown")

    def test_whom_a_login_names_its_request_lacks(self) -> None:
        given = {"display_name": "alice", "accessor": "a1"}
        assert found(run([request(), response(auth=given, response={"auth": given})])) == [("seal", "e1", "succeeded")]

    def test_no_event_of_a_real_server_shows_two_acts(self) -> None:
        compared = 0
        for log in RECORDINGS.glob("*/*/audit*.jsonl"):
            seen = dict[str, Act]()
            for entry in map(read_audit_entry, log.read_bytes().splitlines()):
                if isinstance(entry, AuditEntry):
                    act, key = act_of(entry), audit_event_key(entry.fields)
                    compared += key in seen
                    assert seen.setdefault(key, act).agrees_with(act)
        assert compared > 1000


class TestOutcome:
    def test_a_request_waits_for_its_response(self) -> None:
        detector = Detector([SEAL])
        assert detector.feed([request()]) == []
        assert found(detector.feed([request("e2"), response("e1")])) == [("seal", "e1", "succeeded")]
        assert found(detector.flush()) == [("seal", "e2", "unknown")]
        assert detector.flush() == []

    def test_the_response_is_recognised_by_its_id_even_if_no_rule_matches_it(self) -> None:
        alerts = run([request(), response(path="", error="denied")])
        assert found(alerts) == [("seal", "e1", "failed")]
        assert alerts[0].record["request"]["path"] == "sys/seal"
        assert alerts[0].response == json.loads(response(path="", error="denied"))

    def test_a_request_that_failed_gives_its_verdict_at_once(self) -> None:
        detector = Detector([SEAL])
        assert found(detector.feed([request(error="permission denied")])) == [("seal", "e1", "failed")]
        assert not detector.is_waiting

    def test_a_failed_copy_of_a_waiting_request_completes_it(self) -> None:
        detector = Detector([SEAL])
        assert detector.feed([request()]) == []
        assert found(detector.feed([request(error="denied")])) == [("seal", "e1", "failed")]
        assert detector.flush() == []

    def test_a_response_without_its_request_gives_its_verdict_at_once(self) -> None:
        assert found(Detector([SEAL]).feed([response()])) == [("seal", "e1", "succeeded")]

    def test_rules_that_match_only_the_response_give_verdicts_with_those_of_the_request(self) -> None:
        alerts = run([request(), response(error="denied")], [SEAL, FAILED])
        assert sorted(found(alerts)) == [("failed", "e1", "failed"), ("seal", "e1", "failed")]

    def test_another_device_gives_the_same_keys_and_never_another_outcome(self) -> None:
        one_device = [request(), response()]
        alerts = run([*one_device, *one_device])
        assert len({(alert.rule.name, alert.event_key) for alert in alerts}) == 1
        assert {alert.outcome for alert in alerts} == {"succeeded"}

    def test_interleaved_entries_of_two_devices_are_one_event(self) -> None:
        detector = Detector([SEAL])
        assert found(detector.feed([request(), request(), response()])) == [("seal", "e1", "succeeded")]
        assert found(detector.feed([response()])) == [("seal", "e1", "succeeded")]
        assert detector.flush() == []

    def test_the_response_may_come_in_the_next_file(self) -> None:
        detector = Detector([SEAL])
        assert detector.feed([request()]) + detector.end_log() == []
        detector.begin_log(b"")
        assert found(detector.feed([response()])) == [("seal", "e1", "succeeded")]

    def test_a_response_that_the_gate_cannot_decode_completes_too(self) -> None:
        odd = response().replace(b'"response"', b'"kmip-response"')
        assert found(run([request(), b"prefix " + response()])) == [("seal", "e1", "succeeded")]
        assert found(run([request(), odd])) == [("seal", "e1", "succeeded")]

    def test_without_an_id_every_entry_is_an_event_of_its_own(self) -> None:
        lines = [line.replace(b'"id": "e1", ', b"") for line in (request(), response())]
        assert sorted(outcome for _, _, outcome in found(run(lines))) == ["succeeded", "unknown"]

    def test_on_waiting_is_called_once_for_each_verdict(self) -> None:
        waiting: list[Verdict] = []
        detector = Detector([SEAL], on_waiting=waiting.extend)
        detector.feed([request(), request(), response("e2")])
        assert found(waiting) == found(detector.waiting()) == [("seal", "e1", "unknown")]


class TestTime:
    def test_due_returns_verdicts_that_have_waited_long_enough(self) -> None:
        assert Detector([SEAL]).next_due is None
        detector = Detector([SEAL], wait_seconds=5)
        assert detector.feed([request("e1")], now=10) == []
        assert detector.feed([request("e2")], now=12) == []
        assert detector.next_due == 15
        assert detector.due(now=14.9) == []
        assert found(detector.due(now=15)) == [("seal", "e1", "unknown")]
        assert detector.next_due == 17
        assert found(detector.due(now=100)) == [("seal", "e2", "unknown")]
        assert detector.next_due is None

    def test_a_copy_does_not_prolong_the_waiting(self) -> None:
        detector = Detector([SEAL], wait_seconds=5)
        detector.feed([request()], now=10)
        detector.feed([request()], now=14)
        assert detector.next_due == 15

    def test_a_server_message_waits_for_its_further_lines(self) -> None:
        detector = Detector([SEAL, SERVER])
        assert detector.feed([HEAD % 1], now=10) == []
        moment = detector.next_due
        assert moment is not None
        assert moment > 10
        assert len(detector.due(now=moment)) == 1
        assert detector.next_due is None

    def test_next_due_is_the_earlier_of_both(self) -> None:
        def next_due(*lines: bytes) -> float:
            detector = Detector([SEAL, SERVER])
            detector.feed(lines, now=10)
            assert detector.next_due is not None
            return detector.next_due

        nearer, later = sorted([next_due(request()), next_due(HEAD % 1)])
        assert nearer < later
        assert next_due(request(), HEAD % 1) == next_due(HEAD % 1, request()) == nearer

    def test_the_number_of_waiting_verdicts_is_bounded_and_the_oldest_are_returned(self) -> None:
        detector = Detector([SEAL])
        alerts = detector.feed([request(f"e{n}") for n in range(MAX_WAITING + 2)])
        assert [alert.event_key for alert in alerts] == ["e0", "e1"]
        assert [alert.event_key for alert in detector.flush()][:2] == ["e2", "e3"]


SOURCES: tuple[Source, ...] = ("auto", "audit", "server")


CRASH = [
    b"panic: runtime error: invalid memory address or nil pointer dereference",
    b"[signal SIGSEGV: segmentation violation code=0x1 addr=0x18 pc=0x2a3b4c]",
    b"",
    b"goroutine 421 [running]:",
    b"vault.(*Core).handleRequest(0xc000a1e000, {0x8d0f2a8, 0xc0016b2000})",
    b"\t/src/vault/request_handling.go:1024 +0x1a4",
    b"created by net/http.(*Server).Serve",
]


@pytest.mark.parametrize("end", [CRASH, [b"fatal error: concurrent map writes", *CRASH[2:]]], ids=["panic", "fatal"])
@pytest.mark.parametrize(
    "before", [[], [request("r1")], [HEAD % 1, request("r1"), response("r1")]], ids=["nothing", "audit", "both"]
)
def test_a_crash_is_read_whatever_the_log_has_before_it(before: list[bytes], end: list[bytes]) -> None:
    detector = Detector(shipped_rules())
    found = [*detector.feed([*before, *end]), *detector.flush()]
    assert [verdict.rule.name for verdict in found if verdict.rule.name == "server_panic"] == ["server_panic"]
    assert detector.counts.rejected == 0


class TestBothLogsInOneStream:
    def test_line_by_line(self) -> None:
        lines = [HEAD % 1, request("e1"), HEAD % 2, request("e2", path="x"), SHUTDOWN, response("e1")]
        detector = Detector([SEAL, SERVER])
        alerts = detector.feed(lines) + detector.flush()
        assert [alert.rule.service for alert in alerts].count("server") == 3
        assert found(alert for alert in alerts if alert.rule.service == "audit") == [("seal", "e1", "succeeded")]
        assert (detector.counts.audit, detector.counts.server, detector.counts.rejected) == (3, 3, 0)

    def test_a_message_of_many_lines_is_one_record_even_with_entries_between_them(self) -> None:
        between = [
            line for pair in zip([HEAD % 1, *VALUE], [request(f"e{n}", path="x") for n in range(5)]) for line in pair
        ]
        for lines in ([HEAD % 1, *VALUE], between):
            detector = Detector([SERVER])
            (alert,) = detector.feed(lines) + detector.flush()
            assert alert.record["raw"].count("\n") == 3 + lines.count(b"  \n")
            assert detector.counts.rejected == 0

    @pytest.mark.parametrize("tag", [b"", b"@c/n/server ", b"<14>Nov 21 07:29:41 host vault[812]: "])
    def test_banners_at_the_start_belong_to_the_log_that_follows(self, tag: bytes) -> None:
        lines = [tag + b"==> Vault server configuration:\n", tag + b"\n", tag + b"  Cgo: disabled\n", tag + HEAD % 1]
        for first in (lines, lines[2:]):
            detector = Detector([SERVER])
            detector.begin_log(b"".join(first))
            assert len(detector.feed(first) + detector.flush()) == len([one for one in first if one != tag + b"\n"])
            assert detector.counts.rejected == 0

    def test_plain_text_in_an_audit_log_is_rejected(self) -> None:
        for lines in ([request(), b"plain text\n"], [b"plain text\n", request()]):
            detector = Detector([SERVER])
            detector.begin_log(b"".join(lines))
            detector.feed(lines)
            assert (detector.counts.audit, detector.counts.server, detector.counts.rejected) == (1, 0, 1)

    def test_the_tag_decides(self) -> None:
        detector = Detector([SERVER])
        detector.feed([b"@c/n/server plain text\n", b"@c/n/file plain text\n", b"@c/n/socket \n", b"@c/n/server \n"])
        detector.flush()
        assert (detector.counts.server, detector.counts.rejected) == (1, 1)

    @pytest.mark.parametrize("lane", ["file", "server"])
    def test_a_tag_in_a_line_of_known_origin_is_ignored(self, lane: str) -> None:
        detector = Detector([SEAL, SERVER])
        forged = [b"@other/node/socket " + response(), b"@other/node/server " + HEAD % 1]
        alerts = detector.feed(forged, origin=Origin("c", "n", lane)) + detector.flush()
        assert {alert.origin for alert in alerts} == {Origin("c", "n", lane)}

    def test_an_audit_entry_is_read_after_any_prefix(self) -> None:
        for before in (b"prefix ", b"<13>Nov 21 07:29:41 host vault[812]: ", b"@c/n/file "):
            alerts = run([HEAD % 1, before + request(), before + response()])
            assert ("seal", "e1", "succeeded") in found(alerts)

    def test_each_file_starts_without_the_state_of_the_last(self) -> None:
        detector = Detector([SERVER])
        detector.begin_log(HEAD % 1)
        detector.feed([HEAD % 1])
        assert len(detector.end_log()) == 1
        detector.begin_log(request())
        detector.feed([b"plain text\n"])
        assert detector.counts.rejected == 1

    @pytest.mark.parametrize(("source", "expected"), [("audit", (1, 0, 2)), ("server", (0, 1, 2)), ("auto", (1, 1, 1))])
    def test_an_explicit_source_overrides_the_detection(self, source: Source, expected: tuple[int, int, int]) -> None:
        rejected: list[Rejected] = []
        detector = Detector([SEAL, SERVER], source=source, on_rejected=rejected.append)
        detector.feed([request(), b'{"a":1}\n', HEAD % 1])
        detector.flush()
        assert (detector.counts.audit, detector.counts.server, len(rejected)) == expected


def raises(view: dict[str, Any]) -> bool:
    raise ValueError(view["request"]["id"])


class TestRulesThatRaise:
    def test_are_counted_by_name_and_do_not_affect_others(self) -> None:
        errors: list[tuple[str, str]] = []
        broken = Rule(rule(Exists("local", True), "broken").compiled, matches=raises)
        detector = Detector([broken, SEAL], on_rule_error=lambda name, error: errors.append((name, str(error))))
        alerts = detector.feed([request(), response(), request("e2", path="x")])
        assert found(alerts) == [("seal", "e1", "succeeded")]
        assert detector.counts.rule_errors == {"broken": 3}
        assert errors == [("broken", "e1"), ("broken", "e1"), ("broken", "e2")]
        assert detector.counts.audit == 3


BYTES = st.binary(max_size=60).map(lambda line: line.replace(b"\n", b""))
AUDIT_LIKE = st.dictionaries(
    st.sampled_from(["time", "type", "auth", "request", "response", "error"]),
    st.recursive(
        st.none() | st.integers() | st.text() | st.sampled_from(["request", "response", "hmac-sha256:a"]),
        lambda below: (
            st.lists(below, max_size=3)
            | st.dictionaries(
                st.sampled_from(["id", "path", "data", "error", "accessor", "policies", "namespace", "entity_id"]),
                below,
            )
        ),
        max_leaves=8,
    ),
).map(lambda entry: json.dumps({"type": "request", "request": {}, **entry}).encode())
SERVER_LIKE = st.sampled_from([HEAD % 1, *VALUE, SHUTDOWN, b'{"@level":"info","@message":"x","@timestamp":5}'])
LINES = st.lists(
    st.builds(
        bytes.__add__,
        st.sampled_from([b"", b"", b"@c/n/file ", b"@c/n/server ", b"<13>Nov 21 07:29:41 host vault[1]: "]),
        BYTES | AUDIT_LIKE | AUDIT_LIKE.map(lambda line: line[:-3]) | SERVER_LIKE,
    ),
    max_size=8,
)


def says_something(line: bytes) -> bool:
    """Return whether a line has more than a tag, a header and terminal escapes."""
    text = without_colours(split_tag(line)[1])
    return bool(without_colours(strip_syslog_header(text)[1]).strip())


class TestNothingIsLost:
    @example([b"\x1b[A"], "server", False)
    @example([b"\0 "], "server", False)
    @example([b"<13>Nov 21 07:29:41 host vault[1]: \0"], "server", False)
    @given(LINES, st.sampled_from(SOURCES), st.booleans())
    def test_no_bytes_raise_and_every_line_is_accounted_for(
        self, lines: list[bytes], source: Source, whole_pack: bool
    ) -> None:
        rejected: list[Rejected] = []
        rules = shipped_rules() if whole_pack else [SEAL, SERVER, rule(Exists("time", True), "all")]
        detector = Detector(rules, source=source, zone=UTC, on_rejected=rejected.append)
        lines = [line.rstrip(b"\n") + b"\n" for line in lines]
        detector.begin_log(b"".join(lines))
        alerts = detector.feed(lines) + detector.flush()
        assert not detector.counts.rule_errors
        assert detector.counts.rejected == len(rejected)
        of_messages = sum(one.record["raw"].count("\n") + 1 for one in alerts if one.rule.name == SERVER.name)
        assert whole_pack or detector.counts.audit + len(rejected) + of_messages >= sum(map(says_something, lines))
        assert detector.counts.audit + detector.counts.server + len(rejected) <= len(lines)

    @example([b"@-/-/socket "])
    @given(st.lists(BYTES | AUDIT_LIKE, max_size=8))
    def test_of_an_audit_log_every_line_that_is_not_blank_is_one_record(self, lines: list[bytes]) -> None:
        detector = Detector([SEAL], source="audit")
        detector.feed(lines)
        assert detector.counts.audit + detector.counts.rejected == sum(
            bool(split_tag(line)[1].strip()) for line in lines
        )

    def test_blank_lines_are_no_records(self) -> None:
        for source in SOURCES:
            detector = Detector([SEAL, SERVER], source=source)
            detector.feed([b"\n", b"\r\n", b"", b"  \n", b"@c/n/file \n", b"@c/n/server \n"])
            detector.flush()
            assert (detector.counts.audit, detector.counts.server, detector.counts.rejected) == (0, 0, 0)

    @pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
    def test_rejected_lines_are_complete(self, end: bytes) -> None:
        rejected: list[Rejected] = []
        Detector([SEAL], on_rejected=rejected.append).feed([b"@c/n/file broken \xff\0 line" + end])
        assert [(one.raw, one.origin.node) for one in rejected] == [(b"broken \xff\0 line", "n")]

    def test_deep_nesting_does_not_hide_a_call(self) -> None:
        deep = request()[:-2] + b',"response":{"data":' + b'{"a":' * 9_999 + b"1" + b"}" * 9_999 + b"}}\n"
        assert found(run([deep])) == [("seal", "e1", "unknown")]

    @pytest.mark.parametrize(
        "line",
        [
            request(time="0001-01-01T00:00:00Z"),
            request(time="9999-12-31T23:59:59-14:00"),
            request(auth={"accessor": ["a"], "policies": {"a": "b"}}),
            request(error=[1]),
            request(response={"data": {"error": {"a": 1}}}),
        ],
    )
    def test_members_of_unexpected_types_are_tolerated(self, line: bytes) -> None:
        detector = Detector([*shipped_rules(), SEAL], zone=UTC)
        assert "seal" in {alert.rule.name for alert in detector.feed([line]) + detector.flush()}
        assert not detector.counts.rule_errors


def test_local_time_is_computed_for_rules_that_ask() -> None:
    asks = rule(Number("local.hour", "eq", 7), "hour")
    detector = Detector([asks], zone=UTC)
    assert found(detector.feed([response()])) == [("hour", "e1", "succeeded")]


def test_alerts_of_staged_rules_are_marked_as_staged() -> None:
    (alert,) = run([response()], [rule(Exists("time", True), staged=True)])
    assert alert.rule.staged
