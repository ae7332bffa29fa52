"""The few calls that must raise an alert: one for each shipped rule."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from bench.calls import Call, Maker, call, issue
from bench.world import BREAK_GLASS, KV, PKI, PROD, PROD_US, SYS, Json, Principal, World, hashed


def _unauthenticated(operation: str, path: str, data: Json | None = None, answer: Json | None = None) -> Call:
    return Call(operation=operation, path=path, data=data, answer=answer)


def _generation(started: bool, complete: bool, progress: int) -> Json:
    return {"complete": complete, "nonce": hashed("nonce"), "progress": progress, "required": 2, "started": started}


def _root_used(rng: Random, world: World, who: Principal) -> Call:
    return call(world.root, "read", SYS, "internal/counters/activity", None, {"months": 1})


def _break_glass(rng: Random, world: World, who: Principal) -> Call:
    door = "secret/data/door"
    return Call(operation="read", path=door, mount=KV[0], who=who, namespace=BREAK_GLASS, answer={"data": {}})


def _generation_started(rng: Random, world: World, who: Principal) -> Call:
    if rng.random() < 0.5:
        return _unauthenticated("update", "sys/generate-root/attempt", None, _generation(True, False, 0))
    return call(world.admin, "update", SYS, "generate-root-token/attempt", None, _generation(True, False, 0))


def _generation_progress(rng: Random, world: World, who: Principal) -> Call:
    key = {"key": hashed("share 1"), "nonce": hashed("nonce")}
    return _unauthenticated("update", "sys/generate-root/update", key, _generation(True, False, 1))


def _generation_completed(rng: Random, world: World, who: Principal) -> Call:
    key = {"key": hashed("share 2"), "nonce": hashed("nonce")}
    if rng.random() < 0.5:
        return _unauthenticated("update", "sys/generate-root/update", key, _generation(True, True, 2))
    return call(world.admin, "update", SYS, "generate-root-token/update", key, _generation(True, True, 2))


def _generation_cancelled(rng: Random, world: World, who: Principal) -> Call:
    return _unauthenticated("delete", "sys/generate-root/attempt")


def _policy_written(rng: Random, world: World, who: Principal) -> Call:
    kind = ("policies/acl/", "policy/")[rng.getrandbits(1)]
    return call(world.admin, "update", SYS, f"{kind}team-{who.policies[-1]}", {"policy": hashed(who.name)})


def _sentinel_policy_changed(rng: Random, world: World, who: Principal) -> Call:
    kind = ("policies/rgp/", "policies/egp/")[rng.getrandbits(1)]
    return call(world.admin, "update", SYS, f"{kind}team-{who.policies[-1]}", {"policy": hashed(who.name)})


def _policy_deleted(rng: Random, world: World, who: Principal) -> Call:
    return call(world.admin, "delete", SYS, ("policies/acl/", "policy/")[rng.getrandbits(1)] + who.policies[-1])


def _emergency(rng: Random, world: World, who: Principal) -> Call:
    return call(world.admin, "read", KV[0], "data/emergency-only/unseal", None, {"data": {"key": hashed("unseal")}})


def _forbidden(rng: Random, world: World, who: Principal) -> Call:
    mount = KV[rng.getrandbits(8) % len(KV)]
    path = mount.point + "data/never-use/database"
    return Call(operation="read", path=path, mount=mount, who=who, namespace=PROD, answer={"data": {}})


def _guarded(rng: Random, world: World, who: Principal) -> Call:
    certificate = issue(rng, who, PKI[rng.getrandbits(8) % len(PKI)], "issue/web")
    return replace(certificate, namespace=PROD_US)


def _seal(rng: Random, world: World, who: Principal) -> Call:
    return Call(operation="update", path="sys/seal", who=world.admin, answered=False)


def _step_down(rng: Random, world: World, who: Principal) -> Call:
    return Call(operation="update", path="sys/step-down", who=world.admin, answered=False)


def _audit_disabled(rng: Random, world: World, who: Principal) -> Call:
    return call(world.admin, "delete", SYS, "audit/file")


WORTHY: dict[str, Maker] = {
    "audit_root_policy_used": _root_used,
    "audit_breakglass_namespace_used": _break_glass,
    "audit_root_generation_started": _generation_started,
    "audit_root_generation_progress": _generation_progress,
    "audit_root_generation_completed": _generation_completed,
    "audit_root_generation_cancelled": _generation_cancelled,
    "audit_policy_written": _policy_written,
    "audit_sentinel_policy_changed": _sentinel_policy_changed,
    "audit_policy_deleted": _policy_deleted,
    "audit_emergency_path_used": _emergency,
    "audit_forbidden_path_in_namespace": _forbidden,
    "audit_guarded_certificate_issued": _guarded,
    "audit_seal_requested": _seal,
    "audit_step_down_requested": _step_down,
    "audit_device_disabled": _audit_disabled,
}
