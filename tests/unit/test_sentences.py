"""The sentence of an alert says who did what to which path, from where, with what outcome, and is never wrong."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaultwatch.reading.identity import Outcome, outcome
from vaultwatch.rules.correlations import Counted
from vaultwatch.sentences import (
    caller,
    caller_with_id,
    counted_sentence,
    error_words,
    message_sentence,
    outcome_words,
    sentence,
)

RECORDINGS = Path(__file__).parents[1] / "data" / "recordings"
ALICE = {"display_name": "userpass-alice", "entity_id": "04af", "metadata": {"username": "alice"}}


def entry(operation: Any, path: Any, auth: Any = ALICE, **request: Any) -> dict[str, Any]:
    return {"auth": auth, "request": {"operation": operation, "path": path, "remote_address": "127.0.0.1", **request}}


class TestOrder:
    def test_who_where_from_what_outcome(self) -> None:
        found = entry("update", "sys/policies/acl/ops")
        assert sentence(found, "succeeded", "") == "userpass-alice (127.0.0.1) wrote policy ops: succeeded"

    def test_a_denied_act_was_only_tried(self) -> None:
        found = entry("update", "sys/policies/acl/ops")
        expected = "userpass-alice (127.0.0.1) tried to write policy ops: denied: permission denied"
        assert sentence(found, "failed", "permission denied") == expected

    def test_an_act_without_a_response_was_asked_for(self) -> None:
        found = entry("delete", "sys/audit/file")
        expected = "userpass-alice (127.0.0.1) asked to disable audit device file: no response logged"
        assert sentence(found, "unknown", "") == expected

    def test_the_namespace_is_named(self) -> None:
        found = entry("read", "secret/data/x", namespace={"id": "1", "path": "team/"}, remote_address=None)
        assert sentence(found, "succeeded", "") == "userpass-alice read secret/data/x in namespace team/: succeeded"


class TestTextFromALogCannotImitateTheSentence:
    @pytest.mark.parametrize(
        ("path", "shown"),
        [
            ("sys/policies/acl/x: it was refused or failed", 'policy "x: it was refused or failed"'),
            ('sys/policies/acl/x": denied', 'policy "x\\u0022: denied"'),
            ("sys/policies/acl/x\u201d: denied", 'policy "x\\u201d: denied"'),
            ("sys/policies/acl/", "sys/policies/acl/"),
        ],
    )
    def test_a_path_that_is_no_plain_name_is_in_quotation_marks(self, path: str, shown: str) -> None:
        assert shown in sentence(entry("update", path), "succeeded", "")

    @given(st.text(), st.text(), st.text(min_size=1))
    def test_outside_quotation_marks_only_plain_names_differ(self, path: str, name: str, error: str) -> None:
        found = entry("read", f"secret/{path}", {"display_name": f"userpass-{name}"})
        bare = re.sub('"[^"]*"', "Q", sentence(found, "failed", error))
        names = r"(Q|[A-Za-z0-9_./@+*=~%$-]+)"
        ending = rf"(denied|failed): ({names}|[\w ./,'-]+)"
        assert re.fullmatch(rf"{names} \(127\.0\.0\.1\) tried to read {names}: {ending}", bare)

    def test_a_user_called_root_token_is_not_the_root_token(self) -> None:
        assert caller({"auth": {"display_name": "root token"}}) == '"root token"'


class TestCaller:
    @pytest.mark.parametrize(
        ("auth", "name", "with_id"),
        [
            (ALICE, "userpass-alice", "userpass-alice (entity 04af)"),
            (
                {"display_name": "approle", "entity_id": "1", "metadata": {"role_name": "ci"}},
                "approle ci",
                "approle ci (entity 1)",
            ),
            ({"display_name": "approle", "metadata": {"role_name": "app"}}, "approle app", "approle app"),
            ({"display_name": "kubernetes-ci", "metadata": {"role_name": "ci"}}, "kubernetes-ci", "kubernetes-ci"),
            (
                {"display_name": "token", "accessor": "a1", "metadata": {"role_name": "root"}},
                "token with accessor a1",
                "token with accessor a1",
            ),
            ({"display_name": "token-ci", "metadata": {"role_name": "root"}}, "token-ci", "token-ci"),
            ({"display_name": "root", "policies": ["root"]}, "root token", "root token"),
            ({"display_name": "root", "entity_id": "9"}, "root", "root (entity 9)"),
            (
                {"display_name": "root", "entity_id": "9", "metadata": {"role_name": "token"}},
                '"root token"',
                '"root token" (entity 9)',
            ),
            (
                {"display_name": "unauthenticated", "metadata": {"role_name": "client"}},
                '"unauthenticated client"',
                '"unauthenticated client"',
            ),
            ({"display_name": "entity", "metadata": {"role_name": "04af"}}, '"entity 04af"', '"entity 04af"'),
            ({"entity_id": "04af"}, "entity 04af", "entity 04af"),
            ({"display_name": "token", "entity_id": "04af"}, "token", "token (entity 04af)"),
            ({"display_name": "token", "accessor": "a1"}, "token with accessor a1", "token with accessor a1"),
            ({"display_name": "token", "accessor": "hmac-sha256:00"}, "token without a name", "token without a name"),
            ({"display_name": "token", "policies": ["root"]}, "token with policy root", "token with policy root"),
            (
                {
                    "display_name": "token",
                    "accessor": "hmac-sha256:00",
                    "policies": ["default", "ops", "a: b", 5, "d", "e"],
                },
                'token with policies ops, "a: b", d and 1 more',
                'token with policies ops, "a: b", d and 1 more',
            ),
            ({"accessor": "a1", "token_type": "default"}, "token with accessor a1", "token with accessor a1"),
            ({"display_name": "token"}, "token without a name", "token without a name"),
            ({"token_type": "default"}, "unauthenticated client", "unauthenticated client"),
            (None, "unauthenticated client", "unauthenticated client"),
            ([5], "unauthenticated client", "unauthenticated client"),
        ],
    )
    def test_names_come_before_ids(self, auth: Any, name: str, with_id: str) -> None:
        assert caller({"auth": auth}) == name
        assert caller_with_id({"auth": auth}) == with_id

    def test_a_client_whose_token_is_refused_before_its_policies_are_read_has_one(self) -> None:
        refused = {"auth": {"token_type": "default"}, "request": {"client_token_accessor": "hmac-sha256:00"}}
        assert caller(refused) == "token without a name"


class TestDeed:
    @pytest.mark.parametrize(
        ("operation", "path", "past"),
        [
            ("update", "sys/policy/old", "wrote policy old"),
            ("delete", "sys/policies/egp/e", "deleted policy e"),
            ("update", "sys/audit/file", "enabled audit device file"),
            ("update", "sys/auth/ldap", "enabled auth method ldap"),
            ("update", "sys/auth/ldap/tune", "tuned the mount ldap"),
            ("delete", "sys/mounts/secret", "disabled secrets engine secret"),
            ("update", "sys/generate-root/attempt", "started generating a root token"),
            ("delete", "sys/generate-root-token/attempt", "cancelled the generation of a root token"),
            ("update", "sys/generate-root-token/update", "submitted a key share for a root token"),
            ("update", "sys/rotate/root/init", "started a rekey"),
            ("update", "sys/step-down", "made the active node step down"),
            ("update", "sys/wrapping/lookup", "looked up a wrapped response"),
            ("update", "sys/wrapping/rewrap", "rewrapped a wrapped response"),
            ("update", "sys/storage/raft/autopilot/configuration", "changed the settings of autopilot"),
            ("update", "sys/storage/raft/demote", "demoted a node of the raft cluster"),
            ("update", "sys/storage/raft/promote", "promoted a node of the raft cluster"),
            ("update", "sys/storage/raft/snapshot", "restored a snapshot of the storage"),
            ("update", "sys/storage/raft/snapshot-force", "restored a snapshot of the storage by force"),
            ("update", "sys/config/auditing/request-headers/x-a", "set the audit of request header x-a"),
            ("delete", "sys/config/auditing/request-headers/x-a", "ended the audit of request header x-a"),
            ("delete", "sys/config/ui/headers/x-a", "reset header x-a of the web interface"),
            ("update", "pki/intermediate/generate/internal", "generated an intermediate CA at pki"),
            ("delete", "pki/issuer/old", "deleted issuer old at pki"),
            ("delete", "pki/key/old", "deleted key old at pki"),
            ("delete", "pki/roles/web", "deleted PKI role web at pki"),
            ("delete", "pki/cel/roles/web", "deleted PKI role web at pki"),
            ("patch", "pki/issuer/old", "changed issuer old at pki"),
            ("update", "pki/issuer/old/revoke", "revoked issuer old at pki"),
            ("delete", "transit/keys/app/soft-delete", "soft-deleted transit key app at transit"),
            ("update", "transit/keys/app/soft-delete-restore", "restored transit key app at transit"),
            ("update", "auth/jwt/cel/role/ci", "wrote role ci of auth method jwt"),
            ("delete", "auth/cert/crls/old", "deleted revocation list old of auth method cert"),
            ("delete", "ssh/roles/web", "deleted SSH role web at ssh"),
            ("delete", "database/roles/ro", "deleted database role ro at database"),
            ("delete", "database/config/pg", "deleted database connection pg at database"),
            ("update", "secret/metadata/app", "changed the settings of secret app at secret"),
            ("read", "sys/storage/raft/snapshot", "took a snapshot of the storage"),
            ("update", "auth/userpass/login/bob", "logged in at auth/userpass/login/bob"),
            ("update", "auth/corp/eu/login/bob", "logged in at auth/corp/eu/login/bob"),
            ("update", "auth/userpass/users/login", "wrote user login of auth method userpass"),
            ("update", "auth/token/roles/login", "wrote token role login"),
            ("update", "auth/token/create/login", "created a token"),
            ("update", "auth/ldap/config/login", "configured auth method ldap"),
            ("update", "auth/token/create", "created a token"),
            ("read", "secret/data/app", "read secret/data/app"),
            ("list", "secret/metadata/", "listed secret/metadata/"),
            ("update", "secret/data/app", "updated secret/data/app"),
            ("update", "sys/raw/x", "wrote sys/raw/x"),
            ("recover", "kv/x", "recovered kv/x"),
            ("update", "sys/rekey/verify", "submitted a key share for a rekey"),
            ("delete", "sys/rotate/root/verify", "cancelled a rekey"),
            ("update", "sys/rotate/root", "rotated the root key"),
            ("update", "sys/loggers/core", "changed the log level of core"),
            ("update", "sys/quotas/rate-limit/all", "set rate-limit quota all"),
            ("update", "sys/namespaces/api-lock/lock/team", "locked namespace team"),
            ("update", "sys/namespaces/team/seal", "sealed namespace team"),
            ("update", "sys/locked-users/auth_userpass_1/unlock/bob", "unlocked user bob"),
            ("update", "identity/entity/merge", "merged entities"),
            ("update", "identity/entity/batch-delete", "deleted entities"),
            ("update", "identity/group/name/admins", "wrote group admins"),
            ("delete", "identity/mfa/login-enforcement/all", "deleted MFA enforcement all"),
            ("create", "identity/oidc/client/app", "wrote OIDC client app"),
            ("update", "auth/userpass/users/bob/password", "set the password of user bob of auth method userpass"),
            ("update", "auth/eu/approle/role/app/policies", "wrote role app of auth method eu/approle"),
            ("update", "auth/approle/role/app/secret-id", "created a secret id of role app of auth method approle"),
            ("update", "auth/approle/role/app/secret-id/lookup", "wrote auth/approle/role/app/secret-id/lookup"),
            ("update", "auth/token/roles/ci", "wrote token role ci"),
            ("update", "auth/ldap/config", "configured auth method ldap"),
            ("alias-lookahead", "auth/x", "called alias-lookahead on auth/x"),
            ("read", None, "read no path"),
            (None, "a", "called an operation without a name on a"),
            ("update", "sys/policies/acl/{0}", 'wrote policy "{0}"'),
        ],
    )
    def test_common_requests_are_named_and_others_quoted(self, operation: Any, path: Any, past: str) -> None:
        assert sentence(entry(operation, path), "succeeded", "") == f"userpass-alice (127.0.0.1) {past}: succeeded"

    def test_an_engine_is_known_by_its_type_wherever_it_is_mounted(self) -> None:
        issued = entry("update", "ca-eu/issue/web", mount_type="pki", mount_point="ca-eu/")
        assert "issued a certificate with role web at ca-eu: " in sentence(issued, "succeeded", "")
        trimmed = entry("update", "keys-eu/keys/app/trim", mount_type="transit", mount_point="keys-eu/")
        assert "deleted old versions of transit key app at keys-eu: " in sentence(trimmed, "succeeded", "")
        saved = entry("read", "keys-eu/backup/app", mount_type="transit", mount_point="keys-eu/")
        assert "backed up transit key app at keys-eu: " in sentence(saved, "succeeded", "")
        destroyed = entry("update", "kv-eu/destroy/app", mount_type="kv", mount_point="kv-eu/")
        assert "destroyed versions of secret app at kv-eu: " in sentence(destroyed, "succeeded", "")
        deleted = entry("delete", "pki/root", namespace={"id": "1", "path": "team/"})
        assert "deleted all issuers and keys at pki in namespace team/: " in sentence(deleted, "succeeded", "")
        secret = entry("update", "ca-eu/issue/web", mount_type="kv", mount_point="ca-eu/")
        assert "updated ca-eu/issue/web" in sentence(secret, "succeeded", "")

    @pytest.mark.parametrize(
        ("path", "mount", "past"),
        [
            ("auth/x/role/y/config", "auth/x/role/y/", "configured auth method x/role/y"),
            ("auth/x/users/login", "auth/x/users/", "logged in at auth/x/users/login"),
            ("auth/x/login/y/role/ci", "auth/x/login/y/", "wrote role ci of auth method x/login/y"),
        ],
    )
    def test_what_a_method_is_called_makes_no_other_act(self, path: str, mount: str, past: str) -> None:
        said = sentence(entry("update", path, mount_type="jwt", mount_point=mount), "succeeded", "")
        assert said == f"userpass-alice (127.0.0.1) {past}: succeeded"


class TestOutcome:
    @pytest.mark.parametrize(
        ("found", "error", "words"),
        [
            ("succeeded", "", "succeeded"),
            ("unknown", "", "no response logged"),
            ("unknown", "internal error", 'may have succeeded: "internal error"'),
            ("failed", "permission denied", "denied: permission denied"),
            ("failed", "invalid credentials", "failed: invalid credentials"),
            ("failed", "", "denied or failed"),
        ],
    )
    def test_in_words(self, found: Outcome, error: str, words: str) -> None:
        assert outcome_words(found, error) == words

    @pytest.mark.parametrize(
        ("members", "words"),
        [
            ({"error": "1 error occurred:\n\t* permission denied\n\n"}, "permission denied"),
            ({"error": "2 errors occurred:\n\t* a\n\t* b: c\n\n"}, "a; b: c"),
            ({"error": "invalid credentials"}, "invalid credentials"),
            ({"error": "", "response": {"data": {"error": "bad share"}}}, "bad share"),
            ({"response": {"data": {"errors": ["bad share", "hmac-sha256:00"]}}}, "bad share"),
            ({"response": {"data": {"error": "hmac-sha256:00"}}}, ""),
            ({"error": None}, ""),
            ({"error": {"a": 1}, "response": [5]}, ""),
            ({"error": "a\x1b[2J\u202eb"}, "a\\u001b[2J\\u202eb"),
        ],
    )
    def test_the_errors_own_words(self, members: dict[str, Any], words: str) -> None:
        assert error_words(members) == words

    @pytest.mark.parametrize("error", ["x" * 10**6, "9 errors occurred:" + "\n\t* x" * 10**5])
    def test_a_long_error_is_shortened(self, error: str) -> None:
        assert len(error_words({"error": error})) <= 200


class TestServerLog:
    def test_names_the_node_the_module_and_the_fields(self) -> None:
        found = message_sentence("vault-1", "core", "root generation finished", {"nonce": "1b2c", "empty": ""})
        assert found == 'vault-1 logged: "core: root generation finished nonce=1b2c"'

    def test_without_node_and_module(self) -> None:
        assert message_sentence("", "", "==> stop", {}) == 'the server logged: "==> stop"'


@given(st.text(), st.text(), st.text(), st.text())
def test_a_sentence_is_one_printable_bounded_line(operation: str, path: str, name: str, error: str) -> None:
    found = entry(operation, path, {"display_name": name, "entity_id": name}, namespace={"path": name})
    for said in (
        sentence(found, "failed", error_words({"error": error})),
        message_sentence(name, path, error, {"a": path}),
    ):
        assert said.isprintable()
        assert len(said) < 1_500


@pytest.mark.parametrize("product", ["vault-1.14.2", "openbao-2.6.2"])
def test_every_recorded_entry_has_a_sentence(product: str) -> None:
    for log in (RECORDINGS / product).glob("*/audit.jsonl"):
        for line in log.read_text().splitlines():
            found = json.loads(line)
            said = sentence(found, outcome(found), error_words(found))
            assert said.isprintable()
            assert outcome_words(outcome(found), error_words(found)) in said


def test_what_messages_are_counted_by_is_named_as_in_the_message_and_one_hour_is_the_hour() -> None:
    moment = ("2026-11-21T07:00:01Z", "e1")
    counted = Counted(
        type="event_count", least=300, of="", timespan_seconds=3_600, window="2026-11-21T07:00:00Z",
        by={"fields.peer": "10.0.0.7:8201"}, values=("failed to heartbeat to",), first=moment, last=moment,
    )  # fmt: skip
    said = counted_sentence({}, counted)
    assert said.startswith('peer "10.0.0.7:8201": at least 300 events in the hour from 2026-11-21T07:00:00Z: "')
