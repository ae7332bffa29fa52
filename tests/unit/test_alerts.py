"""Alerts are complete, bounded, right for the outcome, free of secrets, and have the same id on every way."""

import hashlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaultwatch.alerts import REFUSED, Alert, alert_id, alert_of, title_and_level
from vaultwatch.detection.verdict import completed, on_entry, on_message
from vaultwatch.dispatch.groups import group_key, is_each_notified
from vaultwatch.reading.bounds import MAX_RECORD_BYTES
from vaultwatch.reading.identity import Outcome, audit_event_key
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


class TestLongTexts:
    @pytest.mark.parametrize("length", [5_000, 100_000])
    @pytest.mark.parametrize("field", ["path", "namespace", "principal"])
    def test_two_that_begin_alike_are_not_the_same(self, field: str, length: int) -> None:
        found = set()
        for text in ("x" * length, "x" * length + "y"):
            request = {**REQUEST, "path": text, "namespace": {"path": text}}
            shown = getattr(alert(entry(request=request, auth={"display_name": text})), field)
            assert len(shown) <= 1024
            found.add(shown)
        assert len(found) == 2

    @pytest.mark.parametrize("field", ["path", "namespace", "principal"])
    def test_none_is_the_same_as_one_that_is_written_like_what_is_shown_of_it(self, field: str) -> None:
        for text in ("x" * 5_000, f"a/s.{'A' * 24}"):
            shown = [text]
            while len(shown) < 4:
                request = {**REQUEST, "path": shown[-1], "namespace": {"path": shown[-1]}}
                shown.append(getattr(alert(entry(request=request, auth={"display_name": shown[-1]})), field))
                assert len(shown[-1]) <= 1024
            assert len(set(shown)) == 4


class TestRunbook:
    RULE = msgspec.structs.replace(
        RULE, runbook="Look (vault audit list -detailed; vault read sys/x).\nOutside of Vault, vaults and vault."
    )

    @pytest.mark.parametrize(
        ("version", "program"), [("v2.6.2+builtin.bao", "bao"), ("v1.19.1+builtin.vault", "vault"), ("", "vault")]
    )
    def test_its_commands_are_for_the_product_that_wrote_the_entry(self, version: str, program: str) -> None:
        found = alert(entry(request={**REQUEST, "mount_running_version": version}), self.RULE)
        steps = (f"Look ({program} audit list -detailed; {program} read sys/x).", "Outside of Vault, vaults and vault.")
        assert found.actions[:2] == steps

    @pytest.mark.parametrize(
        "command",
        ["login", "lease", "unwrap", "ssh", "transit", "debug", "monitor", "server", "agent", "path-help", "pki"],
    )
    def test_every_command_is_for_the_product(self, command: str) -> None:
        rule = msgspec.structs.replace(self.RULE, runbook=f"vault {command} -help")
        found = alert(entry(request={**REQUEST, "mount_running_version": "v2.6.2+builtin.bao"}), rule)
        assert found.actions[0] == f"bao {command} -help"

    @pytest.mark.parametrize("text", ["cp /opt/vault read-only", "/opt/vault read x", "my-vault read", "vault reading"])
    def test_another_word_is_no_command(self, text: str) -> None:
        rule = msgspec.structs.replace(self.RULE, runbook=text)
        found = alert(entry(request={**REQUEST, "mount_running_version": "v2.6.2+builtin.bao"}), rule)
        assert found.actions[0] == text

    @pytest.mark.parametrize(
        ("members", "first"),
        [({}, "Look"), ({"error": "permission denied"}, REFUSED), ({"error": "failed to parse"}, REFUSED)],
    )
    def test_of_what_was_refused_says_so_first(self, members: dict[str, Any], first: str) -> None:
        found = alert(entry(), self.RULE, entry("response", response={}, **members))
        assert found.actions[0].startswith(first)
        assert any(action.startswith("Look") for action in found.actions[:2])
        assert found.actions.count(REFUSED) == (first == REFUSED)

    def test_of_what_was_only_requested_does_not(self) -> None:
        assert REFUSED not in alert(entry(), self.RULE).actions

    def test_of_a_rule_on_refusals_does_not(self) -> None:
        rule = msgspec.structs.replace(self.RULE, denied_title=self.RULE.title)
        assert alert(entry("response", error="permission denied"), rule).actions[0].startswith("Look")

    def test_that_is_empty_stays_empty(self) -> None:
        rule = msgspec.structs.replace(self.RULE, runbook="")
        assert alert(entry("response", error="permission denied", auth=None), rule).actions == ()


class TestId:
    def test_the_formula(self) -> None:
        expected = hashlib.sha256(b"audit_x\0r1").hexdigest()[:32]
        assert alert_id("audit_x", "r1") == expected == alert(entry()).id == alert(entry("response")).id

    def test_the_parts_do_not_run_into_each_other(self) -> None:
        assert alert_id("a", "bc") != alert_id("ab", "c")

    def test_a_long_event_key_is_shortened_but_all_of_it_is_part_of_the_id(self) -> None:
        keys = ["x" * 5_000 + "1", "x" * 5_000 + "2"]
        one, other = (alert(entry(request={**REQUEST, "id": key})) for key in keys)
        assert one.id != other.id
        assert one.event_key != other.event_key
        assert len(one.event_key) == 1024

    def test_an_act_of_a_workflow_whose_author_chose_a_long_name_is_notified_like_any_other(self) -> None:
        """OpenBao's ids of such requests end with the names of the workflow, the flow and the request."""
        rule = msgspec.structs.replace(RULE, group_by=("request.id",))
        acts = [f"5ef8.authed.workflow.w.flow[0].{'A' * 1500}.request[{n}].{n}" for n in range(2)]
        alerts = [alert(entry(request={**REQUEST, "id": act}), rule) for act in acts]
        assert all(map(is_each_notified, alerts))
        assert len({group_key(one) for one in alerts}) == 1


class TestAudit:
    def test_everything_that_a_reader_needs(self) -> None:
        found = alert(entry())
        assert found == Alert(
            id=alert_id("audit_x", "r1"), rule="audit_x", title="X done", level=Level.HIGH, service="audit",
            time="2026-11-21T07:29:41.5Z", event_key="r1", outcome="unknown",
            summary="ldap-me (10.1.1.1) asked to seal the server in namespace team/: no response logged",
            principal="e1", who="ldap-me (entity e1)", path="sys/seal", namespace="team/", remote_address="10.1.1.1",
            cluster="prod", node="vault-a", lane="file",
            actions=("First.", "Then.", "vault token revoke -accessor acc1  # on OpenBao: bao instead of vault"),
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
    def test_the_principal_is_the_first_known_name(self, auth: Any, request_: Any, expected: str) -> None:
        assert alert(entry(auth=auth, request=request_)).principal == expected

    @pytest.mark.parametrize("odd", [None, 5, True, [], {}, {"a": "b"}, ["x"]])
    def test_members_of_any_type_are_tolerated(self, odd: Any) -> None:
        request = {**dict.fromkeys((*REQUEST, "mount_point", "mount_type"), odd)}
        asked = entry(auth=dict.fromkeys(AUTH, odd), request=request, time=odd)
        msgspec.json.encode(alert(asked))
        response = entry("response", request=request, response={"auth": odd})
        assert alert(asked, response=response).outcome == "succeeded"

    def test_an_alert_of_a_staged_rule_is_staged(self) -> None:
        staged = RuleFacts(name="s", title="S", level=Level.LOW, service="audit", staged=True)
        assert [alert(entry(), rule).staged for rule in (RULE, staged)] == [False, True]

    def test_texts_are_short_and_an_alert_is_small_whatever_the_entry(self) -> None:
        huge = "x" * 2**20
        request = {**REQUEST, "path": huge, "remote_address": huge, "operation": huge, "namespace": {"path": huge}}
        found = alert(entry(auth={"display_name": huge, "entity_id": huge}, request=request, time=huge, error=huge))
        assert size(found) < MAX_RECORD_BYTES + 10_000
        assert len(found.summary) < 1_500


class TestCompletion:
    @pytest.mark.parametrize(
        ("members", "outcome", "words"),
        [
            ({}, "succeeded", "ldap-me (10.1.1.1) sealed the server in namespace team/: succeeded"),
            (
                {"error": "1 error occurred:\n\t* permission denied\n\n"},
                "failed",
                "ldap-me (10.1.1.1) tried to seal the server in namespace team/: denied: permission denied",
            ),
        ],
    )
    def test_the_response_shows_the_outcome(self, members: dict[str, Any], outcome: str, words: str) -> None:
        response = entry("response", response={"auth": {"accessor": "acc2"}}, **members)
        found = alert(entry(), response=response)
        assert (found.outcome, found.summary) == (outcome, words)
        assert found.record == response.fields
        assert found.actions[-1].startswith("vault token revoke -accessor acc2")
        assert [line for line in found.actions[:-1] if line != REFUSED] == [*alert(entry()).actions]
        assert (found.id, found.time) == (alert(entry()).id, alert(entry()).time)


class TestTitle:
    """Title and level fit the outcome."""

    NAMED = RuleFacts(
        name="audit_x", title="Policy written", level=Level.MEDIUM, service="audit",
        denied_title="Policy change denied", denied_level=Level.HIGH, unanswered_title="Policy change requested",
    )  # fmt: skip

    @pytest.mark.parametrize(
        ("outcome", "error", "expected"),
        [
            ("succeeded", "", ("Policy written", Level.MEDIUM)),
            ("unknown", "", ("Policy change requested", Level.MEDIUM)),
            ("failed", "permission denied", ("Policy change denied", Level.HIGH)),
            ("failed", "failed to parse policy", ("Policy change denied", Level.MEDIUM)),
            ("failed", "", ("Policy change denied", Level.MEDIUM)),
        ],
    )
    def test_is_the_one_of_the_rule(self, outcome: Outcome, error: str, expected: tuple[str, Level]) -> None:
        assert title_and_level(self.NAMED, outcome, error) == expected

    @pytest.mark.parametrize("error", ["permission denied", "invalid request"])
    def test_a_rule_can_lower_the_level_of_whatever_failed(self, error: str) -> None:
        lowered = msgspec.structs.replace(self.NAMED, denied_level=Level.LOW)
        assert title_and_level(lowered, "failed", error)[1] is Level.LOW

    @pytest.mark.parametrize(
        ("outcome", "title"), [("succeeded", "X done"), ("unknown", "X done"), ("failed", "X done (denied)")]
    )
    def test_of_a_rule_with_one_title_only(self, outcome: Outcome, title: str) -> None:
        assert title_and_level(RULE, outcome, "permission denied") == (title, Level.HIGH)

    def test_follows_the_response(self) -> None:
        denied = entry("response", error="permission denied")
        assert alert(entry(), self.NAMED).title == "Policy change requested"
        found = alert(entry(), self.NAMED, denied)
        assert (found.title, found.level, found.error) == ("Policy change denied", Level.HIGH, "permission denied")


TOKEN = "hvs.CAESIRAWTOKENEXAMPLE"


class TestSecrets:
    @pytest.mark.parametrize(
        "members",
        [
            {"request": {**REQUEST, "path": f"auth/token/lookup/{TOKEN}"}},
            {"request": {**REQUEST, "headers": {"x-vault-token": [TOKEN], "authorization": ["Bearer " + TOKEN]}}},
            {"request": {**REQUEST, "path": "x" * 1_010 + "/" + TOKEN}},
            {"request": {**REQUEST, "path": "x" * 5_000 + TOKEN, "data": {"a": "x" * 40_000}}},
            {"request": {**REQUEST, "path": "x" * 1_010 + "/" + TOKEN + "y" * 3_000, "data": {"a": "x" * 40_000}}},
            {"request": {**REQUEST, "namespace": {"path": TOKEN}, "remote_address": TOKEN, "id": TOKEN}},
            {"request": {**REQUEST, "data": {TOKEN: {"a": [TOKEN]}}}},
            {"auth": {**AUTH, "display_name": TOKEN, "entity_id": TOKEN, "accessor": TOKEN}},
            {"auth": {**AUTH, "metadata": {"role_name": TOKEN}}, "time": TOKEN},
            {"error": f"1 error occurred:\n\t* bad token {TOKEN}\n\n"},
            {"response": {"data": {"errors": [f"bad token {TOKEN}"]}}},
        ],
    )
    def test_are_nowhere_in_an_alert(self, members: dict[str, Any]) -> None:
        rule = msgspec.structs.replace(RULE, group_by=("request.path", "auth.display_name"))
        found = alert(entry("response", **members), rule)
        assert b"CAESIRAW" not in msgspec.json.encode(found)
        assert found.id == alert_id("audit_x", members.get("request", REQUEST)["id"])

    def test_of_a_server_log_message_are_nowhere_in_an_alert(self) -> None:
        fields = {"token": TOKEN, "path": TOKEN, "error": TOKEN}
        raw = b'{"@message":"x","t":"\\u0068vs.CAESIRAWTOKENEXAMPLE"}'
        message = ServerMessage("", "info", TOKEN, f"Root Token: {TOKEN}", fields, raw, ORIGIN)
        rule = msgspec.structs.replace(RULE, service="server")
        found = alert_of(on_message(rule, message, server_view(message), "key", ""))
        assert b"CAESIRAW" not in msgspec.json.encode(found)
        assert found.summary.startswith('vault-a logged: "[redacted sha256:47e424ffe914]: Root Token: [redacted')

    @given(st.recursive(st.just(f"x {TOKEN} y") | st.none(), lambda below: st.dictionaries(st.text(), below)))
    def test_are_not_in_the_record_at_any_depth(self, data: Any) -> None:
        found = alert(entry(request={**REQUEST, "data": data}))
        assert b"CAESIRAW" not in msgspec.json.encode(found)


class TestServer:
    def test_everything_that_a_reader_needs(self) -> None:
        rule = RuleFacts(name="server_x", title="X", level=Level.LOW, service="server", runbook="Look.")
        fields = {"path": "file/", "type": ["a"], "empty": "", "huge": "y" * 2_000}
        message = ServerMessage("2026-11-21T07:29:41Z", "info", "core", "disabled", fields, b"raw line", ORIGIN)
        found = alert_of(on_message(rule, message, server_view(message), "key", message.time))
        assert found.summary.startswith('vault-a logged: "core: disabled path=file/ type=[\\u0022a\\u0022] huge=yyy')
        assert len(found.summary) <= 1024
        assert (found.id, found.event_key) == (alert_id("server_x", "key"), "key")
        assert (found.path, found.principal, found.node, found.outcome) == ("file/", "vault-a", "vault-a", "unknown")
        assert (found.cluster, found.lane, found.actions, found.service) == ("prod", "file", ("Look.",), "server")
        assert found.record == {
            "time": "2026-11-21T07:29:41Z", "level": "info", "module": "core", "message": "disabled",
            "fields": fields, "raw": "raw line",
        }  # fmt: skip

    @pytest.mark.parametrize(("program", "said", "expected"), [
        ("openbao", "x", "bao"), ("bao", "x", "bao"), ("vault", "x", "vault"), ("openbao-0", "vault is sealed", "bao"),
        ("", "==> OpenBao shutdown triggered", "bao"), ("", "==> Vault shutdown triggered", "vault"),
        ("", "x", "vault"),
    ])  # fmt: skip
    def test_its_commands_are_for_the_product_that_its_header_or_message_names(
        self, program: str, said: str, expected: str
    ) -> None:
        rule = RuleFacts(name="server_x", title="X", level=Level.LOW, service="server", runbook="Look (vault status).")
        message = ServerMessage("", "info", "core", said, {"a": "OpenBao"}, b"line", ORIGIN, program=program)
        found = alert_of(on_message(rule, message, server_view(message), "key", ""))
        assert found.actions == (f"Look ({expected} status).",)

    @pytest.mark.parametrize(("fields", "path"), [
        ({"path": "secret/a"}, "secret/a"), ({"request_path": "secret/b"}, "secret/b"),
        ({"path": "file/", "request_path": "secret/b"}, "file/"), ({}, ""),
    ])  # fmt: skip
    def test_the_path_is_that_of_the_request_whatever_the_field_is_called(
        self, fields: dict[str, str], path: str
    ) -> None:
        rule = RuleFacts(name="server_x", title="X", level=Level.LOW, service="server")
        message = ServerMessage("2026-11-21T07:29:41Z", "error", "core", "failed to audit", fields, b"line", ORIGIN)
        assert alert_of(on_message(rule, message, server_view(message), "key", message.time)).path == path

    def test_a_banner(self) -> None:
        message = ServerMessage("", "", "", "==> stop", {}, b"==> stop", header_time="Nov 21 07:29:41", host="h")
        rule = RuleFacts(name="server_x", title="X done", level=Level.LOW, service="server")
        found = alert_of(on_message(rule, message, server_view(message), "key", "Nov 21 07:29:41"))
        assert (found.summary, found.time, found.principal) == ('h logged: "==> stop"', "Nov 21 07:29:41", "h")


class TestRecordThatCannotBeDescribed:
    """A fault in the sentences must lose neither the alert nor those after it."""

    @pytest.mark.parametrize("part", ["sentence", "redacted", "revocations", "bounded"])
    def test_raises_an_alert_without_a_record_and_with_the_same_id(
        self, monkeypatch: pytest.MonkeyPatch, part: str
    ) -> None:
        def broken(*_: Any) -> Any:
            raise ZeroDivisionError("a text of a log")

        whole = alert(entry())
        monkeypatch.setattr(f"vaultwatch.alerts.{part}", broken)
        bare = alert(entry())
        assert (bare.id, bare.rule, bare.level, bare.title) == (whole.id, whole.rule, whole.level, whole.title)
        assert "ZeroDivisionError" in bare.summary
        assert "a text of a log" not in str(bare)
