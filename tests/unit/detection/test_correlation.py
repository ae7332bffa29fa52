"""Correlations: what counts, in which group, and that it counts once, whichever way it arrives."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.unit.detection.records import rule
from vaultwatch.alerts import Alert, alert_of
from vaultwatch.detection.ahead import Ahead, NotingCorrelator, NotingWaiting, count_most
from vaultwatch.detection.counting import Counting
from vaultwatch.detection.detector import Detector
from vaultwatch.detection.verdict import Verdict
from vaultwatch.rules.conditions import And, Keyword, Never, Text
from vaultwatch.rules.correlations import Correlation
from vaultwatch.rules.pack import Rule

BEGIN = datetime(2026, 11, 21, 7, 0, 0, tzinfo=UTC)
READS = rule(Text("request.operation", "eq", "read", False), "reads")
LOUD = rule(Text("request.operation", "eq", "read", False), "loud")
WRITES = rule(Text("request.operation", "eq", "update", False), "writes")
LOGGED = rule(Text("message", "eq", "failed", False), "logged", "server")


def counting(kind: str = "event_count", base: Sequence[Rule] = (READS,), **members: Any) -> list[Rule]:
    """Return a correlation, which raises an alert at three within ten minutes, with its base rules."""
    members = {"threshold": 3, "timespan_seconds": 600, "group_by": ("auth.entity_id",), **members}
    correlation = Correlation(type=kind, rules=tuple(one.name for one in base), **members)  # type: ignore[arg-type]
    service, group_by = base[0].service, correlation.group_by
    return [*base, rule(Never(), "many", service, correlation=correlation, group_by=group_by)]


def entry(number: int, seconds: float = 0, who: str | None = "alice", operation: str = "read", **members: Any) -> bytes:
    fields = {
        "time": (BEGIN + timedelta(seconds=seconds)).isoformat(),
        "type": "response",
        "auth": {"display_name": who, "entity_id": who},
        "request": {"id": f"e{number}", "operation": operation, "path": f"kv/{number}", "remote_address": "10.0.0.1"},
        **members,
    }
    return json.dumps(fields).encode() + b"\n"


def verdicts(rules: Iterable[Rule], lines: Iterable[bytes]) -> list[Verdict]:
    detector = Detector(rules, zone=UTC)
    return detector.feed(lines) + detector.flush()


def alerts(rules: Iterable[Rule], lines: Iterable[bytes]) -> list[Alert]:
    return [alert_of(verdict) for verdict in verdicts(rules, lines)]


def ids(rules: Iterable[Rule], lines: Iterable[bytes]) -> list[str]:
    return [alert.id for alert in alerts(rules, lines)]


def left_by(rules: Iterable[Rule], lines: Iterable[bytes], **options: Any) -> Ahead:
    """Return what a detector leaves behind that reads ahead."""
    waiting = NotingWaiting()
    detector = Detector(rules, zone=UTC, waiting=waiting, correlator=NotingCorrelator, **options)
    detector.feed(lines)
    return waiting.leave(detector)


class TestCounting:
    def test_an_alert_is_raised_when_the_threshold_is_reached_and_base_rules_raise_none(self) -> None:
        assert alerts(counting(), [entry(n) for n in range(2)]) == []
        (alert,) = alerts(counting(), [entry(n) for n in range(9)])
        assert alert.rule == "many"

    def test_base_rules_raise_alerts_too_with_generate(self) -> None:
        raised = [alert.rule for alert in alerts(counting(generate=True), [entry(n) for n in range(3)])]
        assert sorted(raised) == ["many", "reads", "reads", "reads"]

    @pytest.mark.parametrize("others", [[], [LOUD]], ids=["few fields", "decoded in full"])
    def test_names_that_somebody_gives_to_his_tokens_divide_no_count(self, others: list[Rule]) -> None:
        rules = [*counting(group_by=("auth.entity_id", "auth.display_name")), *others]
        of_one = [entry(n, auth={"entity_id": "alice", "display_name": f"token-{n}"}) for n in range(3)]
        assert [one.rule for one in alerts(rules, of_one) if one.rule == "many"] == ["many"]
        of_nobody = [entry(n, auth={"display_name": f"token-{n}"}) for n in range(3)]
        assert [one.rule for one in alerts(rules, of_nobody) if one.rule == "many"] == []

    @pytest.mark.parametrize("others", [[], [LOUD]], ids=["few fields", "decoded in full"])
    def test_the_same_path_in_another_namespace_is_another_one(self, others: list[Rule]) -> None:
        rules = [*counting("value_count", fields=("request.path",)), *others]
        paths = ["kv/a", "kv/b", "kv/a", "kv//a"]
        namespaces = ["", "", "team/", ""]
        requests = [
            {"id": f"e{n}", "operation": "read", "path": path, "namespace": {"path": namespaces[n]}}
            for n, path in enumerate(paths)
        ]
        lines = [entry(n, request=request) for n, request in enumerate(requests)]
        assert [one.rule for one in alerts(rules, lines[:2]) if one.rule == "many"] == []
        (alert,) = [one for one in alerts(rules, lines[:3]) if one.rule == "many"]
        assert "kv/a, kv/b, team/kv/a" in alert.summary
        assert [one.rule for one in alerts(rules, [*lines[:2], lines[3]]) if one.rule == "many"] == ["many"]

    def test_another_rule_that_matches_the_same_entries_raises_its_alerts(self) -> None:
        other = rule(Text("request.path", "eq", "kv/1", False), "other")
        raised = [alert.rule for alert in alerts([*counting(), other], [entry(n) for n in range(3)])]
        assert sorted(raised) == ["many", "other"]

    def test_each_group_has_a_count_of_its_own(self) -> None:
        by_two = [entry(n, who=who) for n, who in enumerate(["alice", "bob"] * 2)]
        assert alerts(counting(), by_two) == []
        (alert,) = alerts(counting(), [*by_two, entry(5, who="bob")])
        assert alert.group_values == ("bob",)

    @pytest.mark.parametrize("separator", ["\0", ", ", "\1", "\0\1", "\1\2"])
    def test_no_text_makes_one_group_of_two(self, separator: str) -> None:
        callers = [("a", separator.join("bc")), (separator.join("ab"), "c")]
        lines = [
            entry(n, auth={"entity_id": one, "display_name": other})
            for n, (one, other) in enumerate(callers * 3)
        ]  # fmt: skip
        rules = counting(group_by=("auth.entity_id", "auth.display_name"))
        assert len(set(ids(rules, lines))) == 2

    def test_no_text_makes_one_value_of_two(self) -> None:
        callers = [("a", "b\0c"), ("a\0b", "c"), ("a\0b\0c", "d")]
        lines = [entry(n, auth={"entity_id": one, "display_name": other}) for n, (one, other) in enumerate(callers)]
        rules = counting("value_count", group_by=(), fields=("auth.entity_id", "auth.display_name"))
        assert len(ids(rules, lines)) == 1

    def test_a_text_that_reads_like_a_list_counts_apart_from_the_list(self) -> None:
        names = ["a, b", ["a", "b"], '"a, b"', ["a, b", "c"], ["a", "b, c"]]
        lines = [entry(n, auth={"display_name": name}) for n, name in enumerate(names)]
        (alert,) = alerts(counting("value_count", threshold=5, group_by=(), fields=("auth.display_name",)), lines)
        assert len(alert.record["counted"]["values"]) == 5

    @pytest.mark.parametrize("group_by", [("request.path",), ("request.path", "request.id.none")])
    def test_the_name_of_a_login_is_the_same_in_any_case(self, group_by: tuple[str, ...]) -> None:
        """OpenBao logs in, locks and identifies Alice, alice and ALICE as one user (userpass, LDAP, RADIUS)."""

        def logins(*paths: str) -> list[bytes]:
            request = {"operation": "read", "remote_address": "10.0.0.1"}
            return [entry(n, request={**request, "id": f"e{n}", "path": path}) for n, path in enumerate(paths)]

        names = logins(*(f"auth/ldap/login/{name}" for name in ("Alice", "alice", "aLICE")))
        (alert,) = alerts(counting(group_by=group_by), names)
        assert alert.group_values[0] == "auth/ldap/login/alice"
        assert alerts(counting(group_by=group_by), logins("kv/login/A", "kv/login/a", "kv/login/A")) == []
        assert alerts(counting(group_by=group_by), logins(*(f"auth/{m}/login/a" for m in ("l", "L", "l")))) == []
        assert alerts(counting("value_count", group_by=("auth.entity_id",), fields=("request.path",)), names) == []

    def test_what_has_none_of_the_group_in_clear_does_not_count(self) -> None:
        assert alerts(counting(), [entry(n, who=None) for n in range(9)]) == []
        assert alerts(counting(), [entry(n, who=f"hmac-sha256:{'0' * 64}") for n in range(9)]) == []

    def test_without_a_group_everything_is_counted_together(self) -> None:
        assert len(alerts(counting(group_by=()), [entry(n, who=None) for n in range(9)])) == 1

    def test_an_alert_names_the_clusters_of_what_was_counted_if_there_are_several(self) -> None:
        def counted(*clusters: str) -> Any:
            lines = [b"@%s/n/file " % one.encode() + entry(n) for n, one in enumerate(clusters)]
            (alert,) = alerts(counting(threshold=len(clusters)), lines)
            return alert

        assert "cluster" not in counted("prod", "prod", "prod").summary
        several = counted("prod", "test", "prod")
        assert several.summary.endswith("; on the clusters prod, test")
        assert (several.cluster, several.record["counted"]["clusters"]) == ("prod", ["prod", "test"])
        assert len(counted(*(f"c{n}" for n in range(12))).record["counted"]["clusters"]) == 10

    def test_an_event_counts_once_however_many_entries_and_devices_log_it(self) -> None:
        copies = [tag + entry(n, type=kind) for n in range(2) for kind in ("request", "response")
                  for tag in (b"@c/n/file ", b"@c/n/socket ")]  # fmt: skip
        assert alerts(counting(), copies) == []
        assert len(alerts(counting(), [*copies, b"@c/n/socket " + entry(2)])) == 1

    def test_values_are_counted_each_once(self) -> None:
        rules = counting("value_count", fields=("request.remote_address",))
        same = [entry(n) for n in range(9)]
        others = [
            entry(n, request={"id": f"o{n}", "operation": "read", "remote_address": f"10.0.0.{n}"}) for n in (2, 3)
        ]
        assert alerts(rules, same) == []
        assert len(alerts(rules, same + others)) == 1

    def test_a_value_that_is_absent_or_hashed_does_not_count(self) -> None:
        rules = counting("value_count", fields=("request.data.a",))
        hashed = [
            entry(n, request={"id": f"o{n}", "operation": "read", "data": {"a": f"hmac-sha256:{n:064}"}})
            for n in range(9)
        ]
        assert alerts(rules, [*hashed, *(entry(n) for n in range(9))]) == []

    def test_temporal_wants_every_rule_to_match_within_the_timespan(self) -> None:
        rules = counting("temporal", (READS, WRITES), threshold=2)
        assert alerts(rules, [entry(n) for n in range(9)]) == []
        assert alerts(rules, [entry(1), entry(2, 1200, operation="update")]) == []
        (alert,) = alerts(rules, [entry(2, 60, operation="update"), entry(1)])
        assert "at least 2 rules matched in the 10 minutes from" in alert.summary
        assert "writes, reads" in alert.summary

    def test_an_alias_stands_for_another_field_in_each_rule(self) -> None:
        aliases = {"who": {"reads": "auth.entity_id", "writes": "auth.display_name"}}
        rules = counting("temporal", (READS, WRITES), threshold=2, group_by=("who",), aliases=aliases)
        by_name = entry(2, operation="update", auth={"display_name": "alice", "entity_id": "other"})
        (alert,) = alerts(rules, [entry(1), by_name])
        assert alert.group_values == ("alice",)

    def test_messages_of_the_server_log_are_counted(self) -> None:
        rules = counting(base=(LOGGED,), group_by=())
        lines = [b"2026-11-21T07:29:4%d.933Z [ERROR] core: failed\n" % n for n in range(3)]
        (alert,) = alerts(rules, lines)
        assert alert.service == "server"
        assert alert.summary.startswith(
            "at least 3 events in the 10 minutes from 2026-11-21T07:20:00Z: failed; first at"
        )

    def test_records_without_a_time_are_not_counted_and_this_is_counted(self) -> None:
        detector = Detector(counting(), zone=UTC)
        assert detector.feed([entry(n, time="yesterday") for n in range(9)]) == []
        assert detector.counts.undated == 9

    def test_what_has_a_time_of_more_than_an_hour_ahead_takes_no_room_and_is_counted_as_such(self) -> None:
        detector = Detector(counting(), zone=UTC)
        detector.correlator.received = BEGIN.timestamp()
        forged = [entry(n, seconds=3601 + n, who=f"forged-{n}") for n in range(50)]
        assert detector.feed([entry(1), entry(2), *forged]) == []
        assert (detector.counts.future, len(detector.correlator.counting.largest(99))) == (50, 2)
        assert len(detector.feed([entry(3, seconds=3599 - 3600)])) == 1

    def test_of_an_entry_that_has_a_member_twice_both_values_count_also_if_it_is_read_ahead(self) -> None:
        rules = counting("value_count", threshold=2, fields=("request.path",))
        line = entry(1).replace(b'"path": "kv/1"', b'"path": "kv/1", "path": "kv/2"')
        in_order = Detector(rules, zone=UTC, is_thorough=True)
        assert [one.rule.name for one in in_order.feed([line])] == ["many"]
        ahead = left_by(rules, [line], is_thorough=True)
        assert [step.thing for part in ahead.parts for step in part.steps] == ["kv/1", "kv/2"]

    def test_groups_that_are_dropped_are_counted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("vaultwatch.detection.correlation.Counting", lambda: Counting(max_halves=10))
        detector = Detector(counting(), zone=UTC)
        detector.feed([entry(n, who=f"made-up-{n}") for n in range(100)])
        assert detector.counts.groups_dropped > 85

    def test_also_those_that_are_dropped_when_what_another_process_counted_is_counted_again(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ahead = left_by(counting(), [entry(n, who=f"made-up-{n}") for n in range(100)])
        monkeypatch.setattr("vaultwatch.detection.correlation.Counting", lambda: Counting(max_halves=10))
        detector = Detector(counting(), zone=UTC)
        for _, again in count_most(detector, ahead):
            again()
        assert detector.counts.groups_dropped > 85


class TestIdentity:
    def test_the_id_depends_on_rule_group_and_window_alone(self) -> None:
        lines = [entry(n, seconds=n) for n in range(9)]
        (expected,) = ids(counting(), lines)
        for other in (lines[::-1], lines[3:] + lines[:3], [line for line in lines for _ in (1, 2)], lines[4:]):
            assert ids(counting(), other) == [expected]
        assert ids(counting(), [entry(n, 600 + n) for n in range(9)]) != [expected]
        assert ids(counting(), [entry(n, n, who="bob") for n in range(9)]) != [expected]

    def test_it_is_the_same_whether_few_fields_are_decoded_or_all(self) -> None:
        full = And((READS.compiled.condition, Keyword("contains", "kv/")))  # a keyword may be in any field
        (few,) = alerts(counting(), [entry(n) for n in range(3)])
        (all_fields,) = alerts(counting(base=(rule(full, "reads"),)), [entry(n) for n in range(3)])
        assert few == all_fields

    def test_an_entry_without_an_id_counts_by_its_content(self) -> None:
        without = {"operation": "read", "path": "kv/a"}
        lines = [entry(n, request={**without, "path": f"kv/{n}"}) for n in range(3)]
        assert len(alerts(counting(), [*lines, *lines])) == 1
        assert alerts(counting(), lines[:1] * 5) == []


class TestAlert:
    def test_it_says_how_many_in_what_time_by_whom_what_and_when(self) -> None:
        rules = counting("value_count", fields=("request.path",))
        (alert,) = alerts(rules, [entry(n, n) for n in range(3)])
        assert alert.summary == (
            "alice: at least 3 different paths in the 10 minutes from 2026-11-21T07:00:00Z: kv/0, kv/1, kv/2; "
            "first at 2026-11-21T07:00:00+00:00, last at 2026-11-21T07:00:02+00:00"
        )
        assert (alert.principal, alert.who, alert.title) == ("alice", "alice", "many")
        assert alert.record["counted"]["values"] == ["kv/0", "kv/1", "kv/2"]
        assert alert.record["counted"]["last"] == ["2026-11-21T07:00:02+00:00", "e2"]
        assert alert.record["first_record"]["request"]["id"] == "e0"

    def test_a_group_of_addresses_names_the_address(self) -> None:
        (alert,) = alerts(counting(group_by=("request.remote_address",)), [entry(n) for n in range(3)])
        assert alert.summary.startswith("10.0.0.1: at least 3 events")
        assert (alert.principal, alert.who) == ("10.0.0.1", "")

    def test_no_text_of_a_log_can_imitate_the_sentence_or_show_a_secret(self) -> None:
        token = "hvs." + "A" * 24
        rules = counting(
            "value_count", fields=("request.path",), group_by=("request.path", "auth.entity_id"), threshold=1
        )
        hostile = {"id": "e1", "operation": "read", "path": f"kv/{token}\nalice: at least 9"}
        (alert,) = alerts(rules, [entry(1, who="bob; first at noon", request=hostile)])
        assert token not in str(alert)
        assert "\n" not in alert.summary
        assert '"bob; first at noon"' in alert.summary

    def test_its_size_is_bounded(self) -> None:
        rules = counting("value_count", fields=("request.path",), threshold=10)
        lines = [
            entry(n, request={"id": f"e{n}", "operation": "read", "path": f"{n}" + "x" * 100_000}) for n in range(10)
        ]
        (alert,) = alerts(rules, lines)
        assert len(json.dumps(alert.record)) < 33 * 1024
        assert len(alert.summary) < 2_000


class TestTokens:
    """Values of `request.client_token` count by their hashes, by which the same token tried again shows."""

    TOKENS = ("request.client_token",)

    def lines(self, tokens: Iterable[str]) -> list[bytes]:
        entries = [(json.loads(entry(number)), token) for number, token in enumerate(tokens)]
        made = [one | {"request": one["request"] | {"client_token": token}} for one, token in entries]
        return [json.dumps(one).encode() + b"\n" for one in made]

    @pytest.mark.parametrize("prefix", ["hmac-sha256:", "s."])
    def test_different_ones_raise_an_alert_that_shows_none_of_them(self, prefix: str) -> None:
        rules = counting("value_count", fields=self.TOKENS, group_by=("request.remote_address",))
        (alert,) = alerts(rules, self.lines(f"{prefix}{number:064x}" for number in range(3)))
        assert "at least 3 different tokens" in alert.summary
        assert not alert.record["counted"].get("values")
        assert f"{prefix}0" not in repr(alert)

    def test_one_that_is_tried_again_counts_once(self) -> None:
        rules = counting("value_count", fields=self.TOKENS, group_by=("request.remote_address",))
        assert not alerts(rules, self.lines(["hmac-sha256:aa", "hmac-sha256:bb"] * 9))

    def test_nobody_is_known_by_the_hash_of_a_token(self) -> None:
        rules = counting(group_by=self.TOKENS)
        assert not alerts(rules, self.lines(["hmac-sha256:aa"] * 9))
