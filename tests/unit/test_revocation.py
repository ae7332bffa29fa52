"""A revoke command works: it has the right program and the right namespace, and is safe to paste; or there is none."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from vaultwatch.revocation import revocations

RECORDINGS = Path(__file__).parents[1] / "data" / "recordings"
BAO = {"mount_running_version": "v2.0.0+builtin.bao", "mount_type": "kv"}
VAULT = {"mount_running_version": "v1.14.2+builtin.vault", "mount_type": "kv"}


def entry(accessor: Any = "acc1", created: Any = None, results: Any = None, **request: Any) -> dict[str, Any]:
    return {
        "auth": {"accessor": accessor, "policy_results": {"granting_policies": results}},
        "request": request,
        "response": {"auth": {"accessor": created}},
    }


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (BAO, "bao token revoke -accessor acc1"),
        (VAULT, "vault token revoke -accessor acc1"),
        ({"mount_running_plugin_version": "v2.0.0+builtin.bao"}, "bao token revoke -accessor acc1"),
        ({"mount_type": "kv"}, "vault token revoke -accessor acc1"),
        ({"mount_running_version": "v0.15.0+builtin", "mount_type": "kv"}, "vault token revoke -accessor acc1"),
        ({"path": "sys/seal"}, "vault token revoke -accessor acc1  # on OpenBao: bao instead of vault"),
    ],
)
def test_the_program_is_that_of_the_product_that_wrote_the_entry(request_: dict[str, Any], expected: str) -> None:
    assert revocations(entry(**request_)) == [expected]


@pytest.mark.parametrize("product", ["vault-1.14.2", "openbao-2.6.2"])
def test_the_product_of_every_recorded_entry_with_a_mount_is_known(product: str) -> None:
    program = "bao" if product.startswith("openbao") else "vault"
    lines = (RECORDINGS / product / "ordinary-day" / "audit.jsonl").read_text().splitlines()
    entries = [json.loads(line) for line in lines if '"mount_type"' in line and '"accessor"' in line]
    assert entries
    for one in entries:
        one["auth"]["accessor"] = "acc1"
        assert revocations(one)[-1] == f"{program} token revoke -accessor acc1"


class TestNamespace:
    def test_a_root_token_used_in_a_namespace_is_revoked_in_root(self) -> None:
        used = entry("acc1", namespace={"id": "3sWfFh", "path": "team/"}, **BAO)
        assert revocations(used) == ["bao token revoke -accessor acc1"]

    def test_a_token_of_the_namespace_that_it_is_used_in(self) -> None:
        used = entry("acc1.3sWfFh", namespace={"id": "3sWfFh", "path": "team/"}, **BAO)
        assert revocations(used) == ["bao token revoke -namespace=team/ -accessor acc1.3sWfFh"]

    def test_a_token_of_a_namespace_that_only_its_policies_name(self) -> None:
        results = [{"name": "a", "namespace_id": "3sWfFh", "namespace_path": "team/"}]
        used = entry("acc1.3sWfFh", results=results, namespace={"id": "root"}, **BAO)
        assert revocations(used) == ["bao token revoke -namespace=team/ -accessor acc1.3sWfFh"]

    @pytest.mark.parametrize("namespace", [{"id": "root"}, {"id": "3sWfFh", "path": "a;b/"}, {"id": "3sWfFh"}, None])
    def test_without_a_path_for_it_there_is_no_command(self, namespace: Any) -> None:
        (said,) = revocations(entry("acc1.3sWfFh", namespace=namespace, **BAO))
        assert said == "To revoke the token with accessor acc1.3sWfFh, first find the path of its namespace 3sWfFh."


def test_the_token_that_was_created_comes_first() -> None:
    found = revocations(entry("acc1", created="acc2", **VAULT))
    assert [re.sub(r".* ", "", command) for command in found] == ["acc2", "acc1"]
    assert len(revocations(entry("acc1", created="acc1", **VAULT))) == 1


def test_so_does_one_whose_response_is_wrapped() -> None:
    wrapped = {**entry("acc1", **VAULT), "response": {"wrap_info": {"accessor": "acc3", "wrapped_accessor": "acc2"}}}
    assert [re.sub(r".* ", "", command) for command in revocations(wrapped)] == ["acc2", "acc1"]


@pytest.mark.parametrize(
    "accessor",
    [
        *("hmac-sha256:aa", "", None, 5, "a b", "-self", "a;rm -rf /", "$(x)", "a\nb", "`x`", "a" * 201, "é", ["acc"]),
        "hvs.CAESIRAWTOKENEXAMPLE",
    ],
)
def test_there_is_none_for_an_accessor_that_a_shell_would_interpret_or_that_is_a_token(accessor: Any) -> None:
    assert revocations(entry(accessor, **VAULT)) == []


class TestOfAHashedAccessor:
    """A device with hmac_accessor=true, which is the default: no command can name the token."""

    ENTITY = "9bf1c5d0-1c7f-4c6a-9a7e-3d1f0b9f2c11"

    def used(self, accessor: str = "hmac-sha256:aa", entity: Any = ENTITY, **request: Any) -> list[str]:
        return revocations({"auth": {"accessor": accessor, "entity_id": entity}, "request": {**BAO, **request}})

    def test_the_entity_is_disabled_which_refuses_all_its_tokens(self) -> None:
        (said,) = self.used(namespace={"id": "root"})
        assert said.startswith(f"bao write identity/entity/id/{self.ENTITY} disabled=true  # ")

    @pytest.mark.parametrize("entity", [None, "", 5, "a;b", "-x", "hvs.CAESIRAWTOKENEXAMPLE"])
    def test_without_an_entity_there_is_no_command(self, entity: Any) -> None:
        assert self.used(entity=entity) == []

    def test_in_a_namespace_the_entity_can_be_of_another_one(self) -> None:
        assert self.used(namespace={"id": "3sWfFh", "path": "team/"}) == []

    def test_a_clear_accessor_needs_none(self) -> None:
        assert self.used(accessor="acc1") == ["bao token revoke -accessor acc1"]


@pytest.mark.parametrize("odd", [None, 5, [], [1], "x", {"granting_policies": [5, {"namespace_id": 1}]}])
def test_members_of_any_type_are_tolerated(odd: Any) -> None:
    assert revocations({"auth": odd, "request": odd, "response": odd}) == []
    assert len(revocations({"auth": {"accessor": "a", "policy_results": odd}, "request": {"namespace": odd}})) == 1
