"""What people are told: complete, of bounded size, and the same id however an event arrives."""

import hashlib
from typing import Any

import msgspec
import pytest

from vaultwatch.alerts import Alert, alert_id, alert_of
from vaultwatch.detection.verdict import completed, on_entry, on_message
from vaultwatch.reading.bounds import MAX_RECORD_BYTES
from vaultwatch.reading.identity import audit_event_key
from vaultwatch.reading.records import AuditEntry, Origin, ServerMessage
from vaultwatch.reading.view import audit_view, server_view
from vaultwatch.rules.facts import Level, RuleFacts

RULE = RuleFacts(name="audit_x", title="X done", level=Level.HIGH, service="audit", runbook="First.\n\n  Then.\n")
ORIGIN = Origin("prod", "vault-a", "file")
AUTH = {"display_name": "ldap-me", "entity_id": "e1", "accessor": "acc1", "policies": ["root"]}
REQUEST = {
    "id": "r1", "operation": "update", "path": "sys/seal", "remote_address": "10.1.1.1", "namespace": {"path": "team/"},
}  # fmt: skip


def entry(kind: str = "request", **members: Any) -> AuditEntry:
    whole = {"type": kind, "time": "2026-11-21T07:29:41.5Z", "auth": AUTH, "request": REQUEST, **members}
    return AuditEntry({key: value for key, value in whole.items() if value != "absent"}, ORIGIN)


def alert(record: AuditEntry, rule: RuleFacts = RULE, response: AuditEntry | None = None) -> Alert:
    verdict = on_entry(rule, record, audit_view(record), audit_event_key(record.fields))
    return alert_of(verdict if response is None else completed(verdict, response, audit_view(response)))


def size(value: Any) -> int:
    return len(msgspec.json.encode(value))


class TestLevels:
    def test_are_ordered(self) -> None:
        names = ["informational", "low", "medium", "high", "critical"]
        assert [Level(name).rank for name in names] == [0, 1, 2, 3, 4]


class TestId:
    def test_the_formula(self) -> None:
        expected = hashlib.sha256(b"audit_x\0r1").hexdigest()[:32]
        assert alert_id("audit_x", "r1") == expected == alert(entry()).id == alert(entry("response")).id

    def test_the_parts_do_not_run_into_each_other(self) -> None:
        assert alert_id("a", "bc") != alert_id("ab", "c")

    def test_a_long_event_key_is_shown_cut_and_counts_whole(self) -> None:
        keys = ["x" * 5_000 + "1", "x" * 5_000 + "2"]
        one, other = (alert(entry(request={**REQUEST, "id": key})) for key in keys)
        assert one.id != other.id
        assert len(one.event_key) == 1024


class TestAudit:
    def test_everything_that_a_reader_needs(self) -> None:
        found = alert(entry())
        assert found == Alert(
            id=alert_id("audit_x", "r1"), rule="audit_x", title="X done", level=Level.HIGH, service="audit",
            time="2026-11-21T07:29:41.5Z", event_key="r1", outcome="unknown",
            summary="X done: ldap-me from 10.1.1.1 in namespace team/ asked for update sys/seal: no answer was seen",
            principal="e1", path="sys/seal", namespace="team/", remote_address="10.1.1.1",
            cluster="prod", node="vault-a", lane="file",
            actions=("First.", "Then.", "vault token revoke -namespace=team/ -accessor acc1"),
            record=entry().fields,
        )  # fmt: skip

    @pytest.mark.parametrize(
        ("auth", "request_", "expected"),
        [
            (AUTH, REQUEST, "e1"),
            ({**AUTH, "entity_id": ""}, REQUEST, "ldap-me"),
            ({**AUTH, "entity_id": None, "display_name": ""}, REQUEST, "10.1.1.1"),
            (None, REQUEST, "10.1.1.1"),
            ("absent", {"id": "r1"}, "vault-a"),
            ([1], {"id": "r1"}, "vault-a"),
        ],
    )
    def test_the_principal_is_the_first_that_is_known(self, auth: Any, request_: Any, expected: str) -> None:
        assert alert(entry(auth=auth, request=request_)).principal == expected

    @pytest.mark.parametrize("odd", [None, 5, True, [], {}, {"a": "b"}, ["x"]])
    def test_members_of_any_type_are_survived(self, odd: Any) -> None:
        request = {**dict.fromkeys((*REQUEST, "mount_point", "mount_type"), odd)}
        asked = entry(auth=dict.fromkeys(AUTH, odd), request=request, time=odd)
        msgspec.json.encode(alert(asked))
        response = entry("response", request=request, response={"auth": odd})
        assert alert(asked, response=response).outcome == "succeeded"

    def test_staging_is_passed_on(self) -> None:
        staged = RuleFacts(name="s", title="S", level=Level.LOW, service="audit", staged=True)
        assert [alert(entry(), rule).staged for rule in (RULE, staged)] == [False, True]

    def test_no_text_is_long_and_an_alert_stays_small_whatever_the_entry(self) -> None:
        huge = "x" * 2**20
        request = {**REQUEST, "path": huge, "remote_address": huge, "operation": huge, "namespace": {"path": huge}}
        found = alert(entry(auth={"display_name": huge, "entity_id": huge}, request=request, time=huge, error=huge))
        assert size(found) < MAX_RECORD_BYTES + 10_000
        assert len(found.summary) < 1_500


class TestRevocation:
    def test_of_the_token_made_and_of_the_one_used(self) -> None:
        found = alert(entry("response", response={"auth": {"accessor": "acc2"}}))
        assert [action.rpartition(" ")[2] for action in found.actions[2:]] == ["acc2", "acc1"]

    @pytest.mark.parametrize(
        "accessor",
        ["hmac-sha256:aa", "", None, 5, "a b", "-self", "a;rm -rf /", "$(x)", "a\nb", "`x`", "a" * 201, "é", ["acc"]],
    )
    def test_never_of_what_a_shell_would_take_otherwise(self, accessor: Any) -> None:
        assert alert(entry(auth={**AUTH, "accessor": accessor})).actions == ("First.", "Then.")

    def test_a_namespace_that_a_shell_would_take_otherwise_is_left_out(self) -> None:
        found = alert(entry(request={**REQUEST, "namespace": {"path": "a;b/"}}))
        assert found.actions[-1] == "vault token revoke -accessor acc1"


class TestCompletion:
    @pytest.mark.parametrize(
        ("members", "outcome", "words"),
        [({}, "succeeded", "it succeeded"), ({"error": "permission denied"}, "failed", "it was refused or failed")],
    )
    def test_the_response_tells_the_outcome(self, members: dict[str, Any], outcome: str, words: str) -> None:
        response = entry("response", response={"auth": {"accessor": "acc2"}}, **members)
        found = alert(entry(), response=response)
        assert found.outcome == outcome
        assert found.summary == alert(entry()).summary.replace("no answer was seen", words)
        assert found.record == response.fields
        assert found.actions == (*alert(entry()).actions, "vault token revoke -namespace=team/ -accessor acc2")
        assert (found.id, found.time) == (alert(entry()).id, alert(entry()).time)

    def test_a_path_with_a_colon_is_not_cut(self) -> None:
        request = {**REQUEST, "path": "kv/a: b: c"}
        found = alert(entry(request=request), response=entry("response", request=request))
        assert found.summary.endswith("asked for update kv/a: b: c: it succeeded")


class TestServer:
    def test_everything_that_a_reader_needs(self) -> None:
        rule = RuleFacts(name="server_x", title="X", level=Level.LOW, service="server", runbook="Look.")
        fields = {"path": "file/", "type": ["a"], "empty": "", "huge": "y" * 2_000}
        message = ServerMessage("2026-11-21T07:29:41Z", "info", "core", "disabled", fields, b"raw line", ORIGIN)
        found = alert_of(on_message(rule, message, server_view(message), "key", message.time))
        assert found.summary.startswith('X: core: disabled path=file/ type=["a"] huge=yyy')
        assert len(found.summary) <= 1024
        assert (found.id, found.event_key) == (alert_id("server_x", "key"), "key")
        assert (found.path, found.principal, found.node, found.outcome) == ("file/", "vault-a", "vault-a", "unknown")
        assert (found.cluster, found.lane, found.actions, found.service) == ("prod", "file", ("Look.",), "server")
        assert found.record == {
            "time": "2026-11-21T07:29:41Z", "level": "info", "module": "core", "message": "disabled",
            "fields": fields, "raw": "raw line",
        }  # fmt: skip

    def test_a_banner(self) -> None:
        message = ServerMessage("", "", "", "==> stop", {}, b"==> stop", header_time="Nov 21 07:29:41", host="h")
        rule = RuleFacts(name="server_x", title="X done", level=Level.LOW, service="server")
        found = alert_of(on_message(rule, message, server_view(message), "key", "Nov 21 07:29:41"))
        assert (found.summary, found.time, found.principal) == ("X done: ==> stop", "Nov 21 07:29:41", "h")
