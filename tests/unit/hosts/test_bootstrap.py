"""Bootstrap of a fresh cluster: once, whoever runs it twice, and whatever ends it in the middle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import boto3
import msgspec
import pytest
from moto import mock_aws

from testbed.vault_api import FakeVault, serving
from vaultwatch.errors import BootstrapError
from vaultwatch.hosts.bootstrap import (
    Attempt,
    Keys,
    LocalKeys,
    NodeLogin,
    Plan,
    Secret,
    SecretKeys,
    VaultApi,
    audit_devices,
    bootstrap,
)
from vaultwatch.hosts.bootstrap.api import Answer

ALICE = "arn:aws:iam::111122223333:role/alice"
DEVICES = audit_devices("/var/log/vault")
DECLARED = {f"{device.path}/": {"type": device.type, "options": device.options} for device in DEVICES}
LOGINS = tuple(
    NodeLogin(name, policy="path ...", authority="-----BEGIN CERTIFICATE-----", nodes="vault-*")
    for name in ("snapshot", "canary")
)
COMMON: Any = {"devices": DEVICES, "policy": "path ...", "administrators": (ALICE,), "logins": LOGINS}
VAULT = Plan(product="vault", server_id="vault.internal", **COMMON)
OPENBAO = Plan(product="openbao", **COMMON)


T = TypeVar("T")


class Killed(BaseException):
    """The process was killed."""


@dataclass
class Memory:
    """A `KeyStore` or a password in memory."""

    value: Any = None
    everything: list[Any] = field(default_factory=list)
    completed: bool = False

    def read(self) -> Any:
        return self.value

    def write(self, value: Any) -> None:
        self.value = value
        self.everything.append(value)

    def remove(self) -> None:
        self.value = None

    def is_completed(self) -> bool:
        return self.completed

    def complete(self) -> None:
        self.completed = True


@dataclass
class Attempted:
    """An `Attempt` in memory.

    Attributes:
        start_over: Lets Vault begin with an empty storage.
        counted: Makes a call that has an effect.
    """

    start_over: Callable[[], None] = lambda: None
    counted: Callable[[Callable[[], None]], None] = lambda call: call()
    begun: bool = False

    def begin(self) -> None:
        self.counted(lambda: setattr(self, "begun", True))

    def is_begun(self) -> bool:
        return self.begun

    def end(self) -> None:
        self.counted(lambda: setattr(self, "begun", False))


@dataclass
class Cluster:
    """A cluster, what is kept about it, and how many calls a run may make before it is killed.

    Attributes:
        calls: The calls that are left; the one after them kills the process, before it has an effect or after it.
        answers: Whether the call that kills it still has its effect.
    """

    vault: FakeVault
    keys: Memory = field(default_factory=Memory)
    local: Memory = field(default_factory=Memory)
    attempt: Attempted = field(default_factory=Attempted)
    password: Memory = field(default_factory=Memory)
    said: list[str] = field(default_factory=list)
    calls: int = 1_000_000
    effect: bool = False

    def get(self, path: str, token: str = "") -> Answer:
        return self._counted(lambda: self._answer("GET", path, {}, token))

    def put(self, path: str, body: dict[str, Any], token: str = "") -> Answer:
        return self._counted(lambda: self._answer("PUT", path, body, token))

    def run(self, plan: Plan) -> None:
        keys, local, password = (self._watched(memory) for memory in (self.keys, self.local, self.password))
        attempt, report = self.attempt, self.said.append
        attempt.counted, attempt.start_over = self._counted, lambda: self._counted(self._empty)
        bootstrap(self, plan, keys=keys, local=local, attempt=attempt, password=password, report=report, wait_seconds=0)

    def _empty(self) -> None:
        self.vault = FakeVault(self.vault.product, self.vault.declared)

    def _answer(self, method: str, path: str, body: dict[str, Any], token: str) -> Answer:
        return Answer(*self.vault.answer(method, path, body, token))

    def _watched(self, memory: Memory) -> Any:
        cluster = self

        class Watched:
            def read(self) -> Any:
                return cluster._counted(memory.read)

            def write(self, value: Any) -> None:
                cluster._counted(lambda: memory.write(value))

            def remove(self) -> None:
                cluster._counted(memory.remove)

            def is_completed(self) -> bool:
                return cluster._counted(memory.is_completed)

            def complete(self) -> None:
                cluster._counted(memory.complete)

        return Watched()

    def _counted(self, call: Callable[[], T]) -> T:
        self.calls -= 1
        if self.calls < 0:
            if self.effect:
                call()
            raise Killed
        return call()


def of(plan: Plan) -> Cluster:
    return Cluster(FakeVault(plan.product, declared=DECLARED if plan.product == "openbao" else {}))


def is_set_up(cluster: Cluster) -> bool:
    vault, held = cluster.vault, cluster.keys.value
    return (
        vault.initialisations == 1
        and vault.audit.keys() == {"file/", "socket/"}
        and {"sys/policies/acl/administrator", "auth/cert/certs/snapshot", "auth/cert/certs/canary"}
        <= vault.written.keys()
        and not vault.tokens
        and (len(held.recovery_keys), held.root_token, held.completed) == (5, "", True)
        and cluster.local.value is None
        and cluster.keys.completed
    )


@pytest.mark.parametrize("plan", [VAULT, OPENBAO], ids=lambda plan: plan.product)
class TestOnce:
    def test_a_new_cluster_is_set_up_and_has_no_root_token(self, plan: Plan) -> None:
        cluster = of(plan)
        cluster.run(plan)
        assert is_set_up(cluster)

    def test_a_second_run_reads_no_keys_and_changes_nothing(self, plan: Plan) -> None:
        cluster = of(plan)
        cluster.run(plan)
        before, held = msgspec.json.encode(cluster.vault.written), cluster.keys.value
        cluster.run(plan)
        assert (msgspec.json.encode(cluster.vault.written), cluster.keys.value) == (before, held)
        assert cluster.said[-1] == "the cluster is set up: nothing to do"

    @pytest.mark.parametrize("power", [False, True], ids=["process", "power"])
    @pytest.mark.parametrize("effect", [False, True], ids=["before", "after"])
    def test_a_run_killed_at_any_call_is_completed_by_the_next(self, plan: Plan, effect: bool, power: bool) -> None:
        """Without power, the copy of the keys in memory is lost as well."""
        whole = of(plan)
        whole.run(plan)
        needed, emptied = 1_000_000 - whole.calls, []
        for calls in range(needed):
            cluster = of(plan)
            cluster.calls, cluster.effect = calls, effect
            with pytest.raises(Killed):
                cluster.run(plan)
            cluster.calls = 1_000_000
            if power:
                cluster.local.value = None
            cluster.run(plan)
            assert is_set_up(cluster), calls
            emptied += [calls] if any("storage is moved aside" in line for line in cluster.said) else []
        assert len(emptied) == (2 if power else 1)  # the keys are in Vault's answer, then in memory, then in the secret

    def test_a_run_killed_at_two_calls_is_completed_by_the_third(self, plan: Plan) -> None:
        whole = of(plan)
        whole.run(plan)
        needed = 1_000_000 - whole.calls
        for first in range(needed):
            for second in range(0, needed, 3):
                cluster = of(plan)
                for calls in (first, second, 1_000_000):
                    cluster.calls = calls
                    try:
                        cluster.run(plan)
                    except Killed:
                        continue
                assert is_set_up(cluster), (first, second)


class TestAdministrators:
    def test_on_vault_log_in_by_iam_and_cannot_replay_the_login_of_another_server(self) -> None:
        cluster = of(VAULT)
        cluster.run(VAULT)
        assert cluster.vault.written["auth/aws/role/administrator"]["bound_iam_principal_arn"] == [ALICE]
        assert cluster.vault.written["auth/aws/config/client"] == {"iam_server_id_header_value": "vault.internal"}
        assert cluster.password.value is None

    @pytest.mark.parametrize("plan", [OPENBAO, msgspec.structs.replace(VAULT, administrators=())])
    def test_otherwise_have_a_password_that_only_the_secret_holds(self, plan: Plan) -> None:
        cluster = of(plan)
        cluster.run(plan)
        user = cluster.vault.written["auth/userpass/users/administrator"]
        assert (user["password"], user["token_policies"]) == (cluster.password.value, ["administrator"])
        assert len(cluster.password.value) >= 40
        assert not any(cluster.password.value in line for line in cluster.said)


class TestAttempt:
    def test_it_is_on_the_disk_from_its_begin_to_its_end(self, tmp_path: Path) -> None:
        attempt = Attempt(tmp_path / "bootstrap" / "initialising", lambda: None)
        assert not attempt.is_begun()
        attempt.begin()
        attempt.begin()
        assert Attempt(tmp_path / "bootstrap" / "initialising", lambda: None).is_begun()
        attempt.end()
        attempt.end()
        assert not attempt.is_begun()

    def test_a_cluster_whose_keys_the_secret_has_keeps_its_storage(self) -> None:
        cluster = of(VAULT)
        cluster.vault.unreachable = frozenset({"socket"})
        with pytest.raises(BootstrapError):
            cluster.run(VAULT)
        cluster.attempt.begun, cluster.vault.unreachable = True, frozenset()
        cluster.run(VAULT)
        assert is_set_up(cluster)
        assert not any("moved aside" in line for line in cluster.said)


class TestRefusals:
    def test_the_keys_of_another_cluster_are_never_overwritten(self) -> None:
        cluster = of(VAULT)
        cluster.keys.write(old := Keys(recovery_keys=("a",), threshold=1, completed=True))
        with pytest.raises(BootstrapError, match="the recovery keys of an earlier one"):
            cluster.run(VAULT)
        assert (cluster.keys.value, cluster.vault.initialisations) == (old, 0)

    def test_a_cluster_that_somebody_else_initialised_is_left_alone(self) -> None:
        cluster = of(VAULT)
        cluster.vault.initialisations = 1
        with pytest.raises(BootstrapError, match="if it was initialised by hand"):
            cluster.run(VAULT)
        assert (cluster.vault.audit, cluster.vault.written) == ({}, {})

    def test_a_device_that_cannot_be_enabled_leaves_the_root_token_for_the_next_run(self) -> None:
        cluster = of(VAULT)
        cluster.vault.unreachable = frozenset({"socket"})
        with pytest.raises(BootstrapError, match="sys/audit/socket: 400: sanity check failed"):
            cluster.run(VAULT)
        cluster.vault.unreachable = frozenset()
        cluster.run(VAULT)
        assert is_set_up(cluster)

    def test_a_device_with_other_options_is_named(self) -> None:
        cluster = of(OPENBAO)
        cluster.vault.declared = DECLARED | {"file/": {"type": "file", "options": {"file_path": "stdout"}}}
        with pytest.raises(BootstrapError, match="audit device file/ has another file_path, mode, elide_list"):
            cluster.run(OPENBAO)

    def test_openbao_without_a_declared_device_is_not_used(self) -> None:
        cluster = of(OPENBAO)
        cluster.vault.declared = {}
        with pytest.raises(BootstrapError, match="file/ is missing: OpenBao's configuration must declare it"):
            cluster.run(OPENBAO)
        assert "sys/policies/acl/administrator" not in cluster.vault.written

    def test_a_root_token_that_somebody_revoked_too_early_is_reported(self) -> None:
        cluster = of(VAULT)
        cluster.vault.unreachable = frozenset({"socket"})
        with pytest.raises(BootstrapError):
            cluster.run(VAULT)
        cluster.vault.tokens.clear()
        with pytest.raises(BootstrapError, match="create another one with the recovery keys"):
            cluster.run(VAULT)

    def test_a_node_that_stays_sealed_is_reported(self) -> None:
        cluster = of(VAULT)
        cluster.vault.sealed = True
        with pytest.raises(BootstrapError, match="is initialised, but serves no request"):
            cluster.run(VAULT)
        assert len(cluster.keys.value.recovery_keys) == 5


class TestKept:
    @pytest.fixture
    def secret(self) -> Any:
        with mock_aws():
            client = boto3.client("secretsmanager")
            client.create_secret(Name="keys")
            yield Secret(client, "keys", "the recovery keys")

    def test_a_secret_without_a_value_has_no_keys(self, secret: Secret) -> None:
        assert SecretKeys(secret).read() is None

    def test_keys_are_read_as_they_were_written(self, secret: Secret, tmp_path: Path) -> None:
        keys = Keys(recovery_keys=("a", "b"), threshold=2, root_token="hvs.x", configured=True)
        for store in (SecretKeys(secret), LocalKeys(tmp_path / "run" / "keys")):
            store.write(keys)
            assert store.read() == keys

    def test_no_error_quotes_a_secret(self, secret: Secret) -> None:
        secret.write("hvs.something else")
        with pytest.raises(BootstrapError) as raised:
            SecretKeys(secret).read()
        assert "hvs" not in str(raised.value)
        assert raised.value.__cause__ is None
        with pytest.raises(BootstrapError, match="cannot store it in Secrets Manager: ResourceNotFound"):
            Secret(secret._client, "elsewhere", "it").write("hvs.secret")

    def test_whether_it_is_completed_is_seen_without_reading_the_keys(self, secret: Secret) -> None:
        keys = SecretKeys(secret)
        assert not keys.is_completed()
        keys.complete()
        secret._client.put_secret_value = secret._client.get_secret_value = None
        assert keys.is_completed()

    def test_only_the_owner_can_read_the_local_copy(self, tmp_path: Path) -> None:
        path = tmp_path / "run" / "keys"
        LocalKeys(path).write(Keys(recovery_keys=("a",), threshold=1))
        assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
        LocalKeys(path).remove()
        assert not path.exists()


class TestHttp:
    def test_a_cluster_is_set_up_over_http(self) -> None:
        vault = FakeVault("vault")
        cluster = Cluster(vault)
        with serving(vault) as address:
            bootstrap(
                VaultApi(address, None),
                VAULT,
                keys=cluster.keys,
                local=cluster.local,
                attempt=cluster.attempt,
                password=cluster.password,
                report=cluster.said.append,
            )
        assert is_set_up(cluster)

    def test_no_error_quotes_the_request(self) -> None:
        with pytest.raises(BootstrapError) as raised:
            VaultApi("http://127.0.0.1:9", None).put("sys/audit/file", {"secret": "hvs.body"}, token="hvs.token")
        assert str(raised.value) == "http://127.0.0.1:9 did not answer PUT sys/audit/file: NewConnectionError"
        assert raised.value.__context__ is None
