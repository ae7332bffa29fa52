"""Ordinary calls of Vault's clients: `ordinary` draws one, in about the proportions of a recorded day."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from bench.world import (
    APPROLE,
    DATABASE,
    KV,
    PKI,
    ROOT,
    SYS,
    TOKEN,
    TRANSIT,
    Json,
    Mount,
    Namespace,
    Principal,
    Secret,
    World,
    hashed,
)

T = TypeVar("T")
DENIED = "1 error occurred:\n\t* permission denied\n\n"


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call: a request entry and, if `answered`, a response entry that shares its id.

    `path` is what `request.path` says; `answer` is `response.data`; `who` is nobody for an unauthenticated call;
    `login` is the principal whose new token the answer carries; `failed_request` puts the error on both entries.
    """

    operation: str
    path: str
    mount: Mount | None = None
    who: Principal | None = None
    namespace: Namespace = ROOT
    data: Json | None = None
    answer: Json | None = None
    login: Principal | None = None
    error: str = ""
    failed_request: bool = False
    answered: bool = True
    bad_token: bool = False
    rule: str = ""


def ordinary(rng: Random, world: World) -> Call:
    """Draw a call that raises no alert."""
    make = rng.choices(_KINDS, cum_weights=_CUMULATIVE)[0]
    return make(rng, world, _skewed(rng, world.principals))


def _skewed(rng: Random, choices: Sequence[T]) -> T:
    """Draw one from a distribution with a long tail: the first tenth is drawn two times in five."""
    return choices[int(len(choices) * rng.random() ** 2.5)]


def call(
    who: Principal, operation: str, mount: Mount, below: str, data: Json | None = None, answer: Json | None = None
) -> Call:
    """Return one call to Vault, with its response."""
    return Call(
        operation=operation,
        path=mount.point + below,
        mount=mount,
        who=who,
        namespace=who.namespace,
        data=data,
        answer=answer,
    )


def _values(secret: Secret) -> Json:
    return {key: hashed(f"{secret.path}/{key}") for key in secret.keys}


def _version(rng: Random) -> Json:
    return {
        "created_time": hashed(f"created {rng.getrandbits(12)}"),
        "custom_metadata": None,
        "deletion_time": hashed(""),
        "destroyed": False,
        "version": 1 + rng.getrandbits(3),
    }


def _kv_read(rng: Random, world: World, who: Principal) -> Call:
    secret = _skewed(rng, world.secrets)
    answer = {"data": _values(secret), "metadata": _version(rng)}
    return call(who, "read", secret.mount, "data/" + secret.path, None, answer)


def _kv_write(rng: Random, world: World, who: Principal) -> Call:
    secret = _skewed(rng, world.secrets)
    operation = "create" if rng.random() < 0.3 else "update"
    return call(who, operation, secret.mount, "data/" + secret.path, {"data": _values(secret)}, _version(rng))


def _kv_list(rng: Random, world: World, who: Principal) -> Call:
    secret = _skewed(rng, world.secrets)
    count = int(320 * rng.random() ** 4)
    answer: Json = {"keys": count}  # elide_list_responses
    if rng.random() < 0.7:
        answer = {"keys": [hashed(f"{secret.path} {i}") for i in range(count)]}
    return call(who, "list", secret.mount, "metadata/" + secret.path.rpartition("/")[0] + "/", None, answer)


def _kv_metadata(rng: Random, world: World, who: Principal) -> Call:
    secret = _skewed(rng, world.secrets)
    versions = {str(i): {"created_time": hashed(f"{secret.path} {i}"), "destroyed": False} for i in range(1, 6)}
    answer = {"cas_required": False, "current_version": 5, "max_versions": 0, "versions": versions}
    return call(who, "read", secret.mount, "metadata/" + secret.path, None, answer)


def _kv_denied(rng: Random, world: World, who: Principal) -> Call:
    secret = _skewed(rng, world.secrets)
    return Call(
        operation="read",
        path=f"{secret.mount.point}data/{secret.path}",
        mount=secret.mount,
        who=who,
        namespace=who.namespace,
        answer={"error": hashed("denied")},
        error=DENIED,
        failed_request=True,
    )


def _bad_token(rng: Random, world: World, who: Principal) -> Call:
    return Call(
        operation="read",
        path="auth/token/lookup-self",
        mount=TOKEN,
        namespace=who.namespace,
        answer={"error": hashed("denied")},
        error="permission denied",
        failed_request=True,
        bad_token=True,
    )


def _transit(rng: Random, world: World, who: Principal) -> Call:
    text = hashed(f"text {rng.getrandbits(40)}")
    verb, data, answer = "decrypt", {"ciphertext": text}, {"plaintext": text}
    if rng.random() < 0.5:
        verb, data, answer = "encrypt", answer, data
    return call(who, "update", TRANSIT[rng.getrandbits(1)], f"{verb}/{who.policies[-1]}", data, answer)


def _login(rng: Random, world: World, who: Principal) -> Call:
    below = f"login/{who.name}" if who.mount.type in ("userpass", "oidc") else "login"
    return Call(
        operation="update",
        path=who.mount.point + below,
        mount=who.mount,
        namespace=who.namespace,
        data={"role": hashed(who.name), "jwt": hashed(f"{who.name} {who.logins}")},
        login=who,
    )


def _failed_login(rng: Random, world: World, who: Principal) -> Call:
    known = rng.random() < 0.5
    return Call(
        operation="update",
        path="auth/userpass/login/" + who.name,
        mount=who.mount,
        namespace=who.namespace,
        data={"password": hashed(f"bad {rng.getrandbits(30)}")},
        # An unknown name shows in response.data.error alone.
        answer={"error": hashed("invalid username or password")},
        error="invalid credentials" if known else "",
    )


def _lookup_self(rng: Random, world: World, who: Principal) -> Call:
    answer = {
        "accessor": who.token("accessor"),
        "creation_time": 1795246174 + rng.getrandbits(12),
        "creation_ttl": who.ttl_seconds,
        "display_name": hashed(who.display_name),
        "entity_id": hashed(who.entity_id),
        "expire_time": "2026-11-20T11:49:34.854826541Z",
        "explicit_max_ttl": 0,
        "id": who.token("token"),
        "meta": {key: hashed(value) for key, value in who.metadata.items()},
        "num_uses": 0,
        "orphan": True,
        "path": hashed(who.mount.point),
        "policies": [hashed(policy) for policy in who.policies],
        "renewable": True,
        "ttl": who.ttl_seconds - rng.getrandbits(9),
        "type": hashed("service"),
    }
    return call(who, "read", TOKEN, "lookup-self", None, answer)


def _renew_self(rng: Random, world: World, who: Principal) -> Call:
    return call(who, "update", TOKEN, "renew-self", {"increment": 0})


def _revoke_self(rng: Random, world: World, who: Principal) -> Call:
    return call(who, "update", TOKEN, "revoke-self")


def _secret_id(rng: Random, world: World, who: Principal) -> Call:
    secret_id = {
        "secret_id": hashed(f"secret id {rng.getrandbits(40)}"),
        "secret_id_accessor": hashed(f"secret id accessor {rng.getrandbits(40)}"),
        "secret_id_num_uses": 0,
        "secret_id_ttl": 0,
    }
    return call(who, "update", APPROLE[rng.getrandbits(1)], f"role/{who.name}/secret-id", None, secret_id)


def _certificate(rng: Random, world: World, who: Principal) -> Call:
    return issue(rng, who, PKI[rng.getrandbits(8) % len(PKI)], f"issue/{who.policies[-1]}")


def issue(rng: Random, who: Principal, mount: Mount, below: str) -> Call:
    """Return the issuing of a certificate by a PKI mount."""
    answer = {
        "ca_chain": [hashed("ca"), hashed("root ca")],
        "certificate": hashed(f"certificate {rng.getrandbits(40)}"),
        "expiration": 1795249775 + rng.getrandbits(12),
        "issuing_ca": hashed("ca"),
        "private_key": hashed(f"key {rng.getrandbits(40)}"),
        "private_key_type": hashed("rsa"),
        "serial_number": hashed(f"serial {rng.getrandbits(40)}"),
    }
    return call(who, "update", mount, below, {"common_name": hashed(who.name), "ttl": hashed("72h")}, answer)


def _database(rng: Random, world: World, who: Principal) -> Call:
    answer = {"username": hashed(f"user {rng.getrandbits(40)}"), "password": hashed(f"password {rng.getrandbits(40)}")}
    return call(who, "read", DATABASE[rng.getrandbits(1)], f"creds/{who.policies[-1]}", None, answer)


def _capabilities(rng: Random, world: World, who: Principal) -> Call:
    paths = [hashed(_skewed(rng, world.secrets).path) for _ in range(3)]
    return call(who, "update", SYS, "capabilities-self", {"paths": paths}, {"capabilities": [hashed("read")]})


def _unwrap(rng: Random, world: World, who: Principal) -> Call:
    token = {"token": hashed(f"wrapped {rng.getrandbits(40)}")}
    answer = {"secret_id": hashed(f"unwrapped {rng.getrandbits(40)}")}
    return call(who, "update", SYS, "wrapping/unwrap", token, answer)


def _mounts(rng: Random, world: World, who: Principal) -> Call:
    mounts = {
        mount.point: {
            "accessor": hashed(mount.accessor),
            "config": {"default_lease_ttl": 0, "force_no_cache": False, "max_lease_ttl": 0},
            "description": hashed(mount.point),
            "external_entropy_access": False,
            "local": False,
            "options": {"version": hashed("2")},
            "plugin_version": hashed(""),
            "running_plugin_version": hashed("v0.15.0"),
            "running_sha256": hashed(""),
            "seal_wrap": False,
            "type": hashed(mount.type),
            "uuid": hashed(f"uuid {mount.point}"),
        }
        for mount in (*KV, *TRANSIT, *PKI, *DATABASE)
    }
    return call(who, "read", SYS, "internal/ui/mounts", None, {"auth": {}, "secret": mounts})


def _administration(rng: Random, world: World, who: Principal) -> Call:
    """Reads next to what the rules watch: the status of root generation, a policy, the audit devices."""
    status = Call(operation="read", path="sys/generate-root/attempt", answer={"complete": False, "started": False})
    reads = (
        status,
        call(world.admin, "read", SYS, "policies/acl/" + who.policies[-1], None, {"policy": hashed(who.name)}),
        call(world.admin, "list", SYS, "policies/acl/", None, {"keys": 41}),
        call(world.admin, "read", SYS, "audit", None, {"file/": {"type": hashed("file")}}),
        call(world.admin, "update", TOKEN, "lookup", {"token": hashed(who.name)}, {"ttl": 300}),
    )
    return reads[rng.getrandbits(8) % len(reads)]


Maker = Callable[[Random, World, Principal], Call]
_SHARES: tuple[tuple[Maker, float], ...] = (
    (_kv_read, 42.0),
    (_transit, 13.0),
    (_login, 11.0),
    (_lookup_self, 6.0),
    (_renew_self, 6.0),
    (_kv_write, 5.0),
    (_kv_list, 3.0),
    (_certificate, 3.0),
    (_database, 3.0),
    (_secret_id, 2.0),
    (_capabilities, 1.5),
    (_revoke_self, 1.0),
    (_kv_metadata, 1.0),
    (_unwrap, 1.0),
    (_kv_denied, 0.8),
    (_failed_login, 0.7),
    (_administration, 0.5),
    (_mounts, 0.3),
    (_bad_token, 0.2),
)
_KINDS = [maker for maker, _ in _SHARES]
_CUMULATIVE = [sum(share for _, share in _SHARES[: i + 1]) for i in range(len(_SHARES))]
