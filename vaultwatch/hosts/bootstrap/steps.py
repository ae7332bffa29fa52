"""The steps of a bootstrap. Each does nothing if an earlier run has done it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from msgspec.structs import replace

from vaultwatch.backoff import Backoff
from vaultwatch.errors import BootstrapError
from vaultwatch.hosts.bootstrap.administrator import Password, create_administrator
from vaultwatch.hosts.bootstrap.calls import Api, expect
from vaultwatch.hosts.bootstrap.devices import enable_devices
from vaultwatch.hosts.bootstrap.keys import Kept, Keys, KeyStore
from vaultwatch.hosts.bootstrap.logins import allow_login
from vaultwatch.hosts.bootstrap.plan import Plan

_KEYS_OF_ANOTHER = (
    "the cluster is new, but the secret has the recovery keys of an earlier one: keep them elsewhere, empty the "
    "secret, and run this again"
)
_KEYS_OF_NOBODY = (
    "the cluster is initialised, but nobody has stored its recovery keys: if it was initialised by hand, store them "
    "yourself; if it is empty, stop Vault, remove its data on every node, and start it again"
)
_KEYS_LOST = "nobody has the keys of the cluster, whose initialisation was interrupted: its storage is moved aside"
_PAUSES = Backoff(0.1, 5.0)


class Local(KeyStore, Protocol):
    """A `KeyStore` whose content can be removed."""

    def remove(self) -> None:
        """Remove the keys."""
        ...


class Attempt(Protocol):
    """An initialisation that is known after a loss of power; see `bootstrap.attempt.Attempt`."""

    def begin(self) -> None:
        """Note that the cluster is about to be initialised."""
        ...

    def is_begun(self) -> bool:
        """Return whether it was begun and has not ended."""
        ...

    def end(self) -> None:
        """Note that the keys are stored."""
        ...

    def start_over(self) -> None:
        """Let Vault begin with an empty storage."""
        ...


def bootstrap(
    api: Api,
    plan: Plan,
    *,
    keys: Kept,
    local: Local,
    attempt: Attempt,
    password: Password,
    report: Callable[[str], None],
    wait_seconds: float = 300.0,
) -> None:
    """Set up a fresh cluster, or go on where an earlier run ended; on a cluster that is set up, do nothing.

    Args:
        api: A node of the cluster.
        plan: What to set up.
        keys: Where the recovery keys are kept.
        local: Where they are kept until `keys` has them.
        attempt: Whether the initialisation was interrupted before anybody had the keys.
        password: Where the administrator's password is kept, if administrators do not log in by IAM.
        report: Called with a line for each step that is done.
        wait_seconds: How long to wait for the node to answer, and to be unsealed.

    Raises:
        BootstrapError: It cannot go on. Nothing has to be undone before it is run again.
    """
    if keys.is_completed():
        report("the cluster is set up: nothing to do")
        return
    _wait(lambda: _answers(api), wait_seconds, "the node does not answer")
    held = _initialised(api, plan, keys=keys, local=local, attempt=attempt, report=report, wait_seconds=wait_seconds)
    if not held.completed:
        _set_up(api, plan, held, keys=keys, password=password, report=report, wait_seconds=wait_seconds)
    keys.complete()
    report("the cluster is set up, and its root token is revoked")


def _set_up(
    api: Api,
    plan: Plan,
    held: Keys,
    *,
    keys: KeyStore,
    password: Password,
    report: Callable[[str], None],
    wait_seconds: float,
) -> None:
    _wait(lambda: _serves(api, held.root_token), wait_seconds, "the node is initialised, but serves no request")
    if not held.configured:
        _check_root_token(api, held.root_token)
        enable_devices(api, plan, held.root_token, report)
        create_administrator(api, plan, held.root_token, password, report)
        for login in plan.logins:
            allow_login(api, login, held.root_token, report)
        keys.write(replace(held, configured=True))
    _revoke_root_token(api, held.root_token)
    keys.write(replace(held, configured=True, completed=True, root_token=""))


def _initialised(
    api: Api,
    plan: Plan,
    *,
    keys: KeyStore,
    local: Local,
    attempt: Attempt,
    report: Callable[[str], None],
    wait_seconds: float,
) -> Keys:
    """Return the keys of the cluster, after initialising it if it is new."""
    held, unsent = keys.read(), local.read()
    if attempt.is_begun() and not (held or unsent) and _is_initialised(api):
        report(_KEYS_LOST)
        _start_over(api, attempt, wait_seconds)
    if not _is_initialised(api):
        if held:
            raise BootstrapError(_KEYS_OF_ANOTHER)
        attempt.begin()
        unsent = _initialise(api, plan)
        local.write(unsent)
        report("the cluster is initialised")
    held = held or _stored(keys, unsent)
    local.remove()
    attempt.end()
    return held


def _start_over(api: Api, attempt: Attempt, wait_seconds: float) -> None:
    """Empty a cluster whose keys only Vault's lost answer had: nobody can have used it.

    No other node has joined: the first is not ready while the attempt lasts, and the others are created when it is.
    """
    attempt.start_over()
    _wait(lambda: _answers(api), wait_seconds, "the node does not answer")


def _is_initialised(api: Api) -> bool:
    return bool(expect(api.get("sys/init"), "sys/init").body.get("initialized"))


def _stored(keys: KeyStore, unsent: Keys | None) -> Keys:
    if unsent is None:
        raise BootstrapError(_KEYS_OF_NOBODY)
    keys.write(unsent)
    return unsent


def _initialise(api: Api, plan: Plan) -> Keys:
    shares = {"recovery_shares": plan.recovery_shares, "recovery_threshold": plan.recovery_threshold}
    made = expect(api.put("sys/init", shares), "sys/init").body
    found, token = made.get("recovery_keys_base64"), made.get("root_token")
    if not isinstance(found, list) or len(found) != plan.recovery_shares or not isinstance(token, str):
        raise BootstrapError("the answer of sys/init has no recovery keys: is auto-unseal configured?")
    return Keys(recovery_keys=tuple(map(str, found)), threshold=plan.recovery_threshold, root_token=token)


def _check_root_token(api: Api, token: str) -> None:
    answer = api.get("auth/token/lookup-self", token)
    if answer.status == 403:
        raise BootstrapError(
            "the root token was revoked before the cluster was set up: create another one with the recovery keys "
            "(`operator generate-root`), and put it into the secret as root_token"
        )
    expect(answer, "auth/token/lookup-self")


def _revoke_root_token(api: Api, token: str) -> None:
    """Revoke the root token; an earlier run may have done so already."""
    answer = api.put("auth/token/revoke-self", {}, token)
    if answer.status != 403:
        expect(answer, "auth/token/revoke-self")
    after = api.get("auth/token/lookup-self", token)
    if after.status != 403:
        raise BootstrapError(f"the root token is still valid after its revocation: {after.status} {after.errors}")


def _serves(api: Api, token: str) -> bool:
    """Return whether the node serves requests: sys/health says so a moment earlier (seen on OpenBao 2.6.2)."""
    try:
        return api.get("auth/token/lookup-self", token).status < 500
    except BootstrapError:
        return False


def _answers(api: Api) -> bool:
    try:
        api.get("sys/health")
    except BootstrapError:
        return False
    return True


def _wait(holds: Callable[[], bool], seconds: float, otherwise: str) -> None:
    end_at, failures = time.monotonic() + seconds, 0
    while not holds():
        if time.monotonic() > end_at:
            raise BootstrapError(f"{otherwise} within {seconds:.0f} s")
        failures += 1
        time.sleep(_PAUSES.seconds(failures))
