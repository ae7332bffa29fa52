"""The invented cluster of the corpus: its mounts, namespaces, clients and secrets.

Names are invented; sizes, counts and shapes follow the recordings of real servers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from random import Random
from typing import Any

PRINCIPALS = 3_000
SECRETS = 18_000
Json = dict[str, Any]

TEAMS = ("payments", "ledger", "search", "mobile", "platform", "billing", "risk", "logistics", "catalog", "identity")
STAGES = ("dev", "test", "staging", "live")
BUSY_STAGES = ("dev", "test", "prod", "prod")
"""Of secrets: half of them are below a path that a shipped rule names."""
BUSY_SECRETS, BUSY_POLICIES = 6_000, 500
SECRET_NAMES = ("database", "api-key", "smtp", "tls", "s3", "kafka", "oauth-client", "webhook", "license", "ssh-key")
# Names of people: with characters that Go's encoder escapes (& < >), and letters beyond ASCII.
PEOPLE = ("alice", "bob", "zoë", "o'neil", "jürgen", "r&d-bot", "mei", "<ops>", "søren", "ana")


@dataclass(frozen=True)
class Mount:
    """A mounted secrets engine or auth method; `point` ends with a slash."""

    point: str
    type: str
    auth: bool = False

    @property
    def accessor(self) -> str:
        """Vault's name for it: type and eight hex digits."""
        prefix = "auth_" if self.auth else ""
        return f"{prefix}{self.type}_{hashlib.sha256(self.point.encode()).hexdigest()[:8]}"


@dataclass(frozen=True)
class Namespace:
    """A tenant; the root namespace has no path."""

    id: str
    path: str = ""

    def logged(self) -> Json:
        """Its value in `request.namespace`."""
        return {"id": self.id, "path": self.path} if self.path else {"id": self.id}


ROOT = Namespace("root")
TEAM_A, TEAM_B, SHOP = Namespace("nR7ca", "team-a/"), Namespace("Wq2Zt", "team-b/"), Namespace("h3JkP", "eu/shop/")
TENANTS = (ROOT, ROOT, ROOT, TEAM_A, TEAM_B, SHOP)
BUSY_SHARE = 6
"""One client in so many is of the namespace `prod/`, which a shipped rule names."""
BREAK_GLASS = Namespace("bG9xx", "break-glass/")
PROD = Namespace("pR0dd", "prod/")
PROD_US = Namespace("uS3aa", "prod-us/")

SYS = Mount("sys/", "system")
TOKEN = Mount("auth/token/", "token", auth=True)
KV = tuple(Mount(point, "kv") for point in ("secret/", "kv/", "team-payments/kv/", "apps/secrets/", "legacy-kv/"))
TRANSIT = (Mount("transit/", "transit"), Mount("crypto/", "transit"))
PKI = (Mount("pki/", "pki"), Mount("pki_int/", "pki"), Mount("certs/web/", "pki"))
DATABASE = (Mount("database/", "database"), Mount("postgres-live/", "database"))
APPROLE = (Mount("auth/approle/", "approle", auth=True), Mount("auth/ci/", "approle", auth=True))
KUBERNETES = Mount("auth/k8s-eu1/", "kubernetes", auth=True)
USERPASS = Mount("auth/userpass/", "userpass", auth=True)
OIDC = Mount("auth/oidc/", "oidc", auth=True)


def uuid(rng: Random) -> str:
    """Return the text of a random UUID, from the generator's random numbers."""
    digits = f"{rng.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


@lru_cache(maxsize=50_000)
def hashed(value: str) -> str:
    """Return what an audit device writes instead of a string: the same text for the same value."""
    return "hmac-sha256:" + hashlib.sha256(b"salt of the device\0" + value.encode()).hexdigest()


@dataclass
class Principal:
    """A client of Vault; `auth` is that of its entries, renewed by each login, in one form per version of Vault."""

    name: str
    display_name: str
    policies: list[str]
    metadata: dict[str, str]
    mount: Mount
    namespace: Namespace
    address: str
    ttl_seconds: int
    entity_id: str
    logins: int = 0
    auth: Json = field(default_factory=dict)
    newer_auth: Json = field(default_factory=dict)

    def log_in(self, issue_time: str) -> None:
        """Give it a new token, from `issue_time` on (RFC 3339, seconds)."""
        self.logins += 1
        granting = [{"name": p, "namespace_id": self.namespace.id, "type": "acl"} for p in self.policies[:1]]
        # Vault 1.17 and later write as many blank entries before the real ones.
        blanks: list[dict[str, str]] = [{"type": ""} for _ in granting]
        self.auth = self._auth(granting, issue_time)
        self.newer_auth = self._auth(blanks + granting, issue_time)

    def token(self, what: str) -> str:
        """Return the hashed value of a field of its current token."""
        return hashed(f"{what} {self.logins} of {self.name}")

    def issued(self) -> Json:
        """Return its token as in the answer to a login."""
        newest = {k: v for k, v in self.auth.items() if k not in ("policy_results", "token_issue_time")}
        return newest | {"entity_created": True} if self.logins == 1 else newest

    def _auth(self, granting: list[dict[str, str]], issue_time: str) -> Json:
        auth: Json = {
            "client_token": self.token("token"),
            "accessor": self.token("accessor"),
            "display_name": self.display_name,
            "policies": self.policies,
            "token_policies": self.policies,
            "policy_results": {"allowed": True, "granting_policies": granting},
        }
        if self.metadata:
            auth |= {"metadata": self.metadata, "entity_id": self.entity_id}
        return auth | {"token_type": "service", "token_ttl": self.ttl_seconds, "token_issue_time": issue_time}


@dataclass(frozen=True)
class Secret:
    """One KV secret: a path below a mount, and the names of its fields."""

    mount: Mount
    path: str
    keys: tuple[str, ...]


@dataclass(frozen=True)
class World:
    """Everything that can be called, and all clients."""

    principals: list[Principal]
    secrets: list[Secret]
    admin: Principal
    root: Principal


def build(rng: Random, start: str, *, busy: bool = False) -> World:
    """Create the cluster, in which every principal logged in at `start` (RFC 3339).

    If it is `busy`, the shipped rules name paths and a namespace of many of its calls.
    """
    principals = [_principal(rng, number) for number in range(PRINCIPALS)]
    for number, principal in enumerate(principals if busy else ()):
        principal.policies.append(f"app-{number % BUSY_POLICIES}")
        if number % BUSY_SHARE == 0:
            principal.namespace = PROD
    stages, secrets = (BUSY_STAGES, BUSY_SECRETS) if busy else (STAGES, SECRETS)
    admin = _person(rng, "alice", ["admin", "default"], USERPASS)
    root = Principal("root", "root", ["root"], {}, TOKEN, ROOT, "10.0.0.9", 0, "")
    for principal in (*principals, admin, root):
        principal.log_in(start)
    return World(principals, [_secret(rng, number, stages) for number in range(secrets)], admin, root)


def _principal(rng: Random, number: int) -> Principal:
    team, stage = TEAMS[number % len(TEAMS)], STAGES[number // len(TEAMS) % len(STAGES)]
    name = f"{team}-{stage}-{number}"
    kind = rng.random()
    if kind < 0.1:
        person = _person(rng, f"{PEOPLE[number % len(PEOPLE)]}{number}", [f"{team}-dev", "default"], OIDC)
        person.namespace = TENANTS[number % len(TENANTS)]
        return person
    mount = KUBERNETES if kind < 0.5 else APPROLE[number % len(APPROLE)]
    key = "service_account_name" if mount is KUBERNETES else "role_name"
    policies = ["default", f"{team}-{stage}", f"{team}-read"][: 2 + number % 2]
    namespace, ttl_seconds = TENANTS[number % len(TENANTS)], 1200 + 600 * (number % 6)
    shown = mount.point[5:-1]
    return Principal(name, shown, policies, {key: name}, mount, namespace, _address(rng), ttl_seconds, uuid(rng))


def _person(rng: Random, name: str, policies: list[str], mount: Mount) -> Principal:
    metadata = {"username": name} if mount is USERPASS else {"role": "staff", "email": f"{name}@example.test"}
    display_name = f"{mount.type}-{name}"
    return Principal(name, display_name, policies, metadata, mount, ROOT, _address(rng), 2_764_800, uuid(rng))


def _address(rng: Random) -> str:
    return f"10.{rng.getrandbits(5)}.{rng.getrandbits(8)}.{rng.getrandbits(8)}"


def _secret(rng: Random, number: int, stages: Sequence[str]) -> Secret:
    team, stage = TEAMS[number % len(TEAMS)], stages[rng.getrandbits(2)]
    name = SECRET_NAMES[rng.getrandbits(8) % len(SECRET_NAMES)]
    keys = ("username", "password", "host", "port", "ca", "client_id", "client_secret", "note")
    return Secret(KV[number % len(KV)], f"{team}/{stage}/{name}-{number}", keys[: 1 + rng.getrandbits(8) % len(keys)])
