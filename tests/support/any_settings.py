"""Settings that nobody listed: each setting on its own is one that a person could write, right or nearly right."""

from __future__ import annotations

from typing import Any, get_args, get_type_hints

from hypothesis import strategies as st
from msgspec import Meta

from vaultwatch.rules.facts import Level
from vaultwatch.settings import Settings

_ZONES = [f"eu-central-1{letter}" for letter in "abcdef"]
_SUBNETS = [f"subnet-0123456789abcdef{number}" for number in range(6)]
_RANGES = ["10.0.0.0/8", "10.1.2.0/24", "172.16.0.0/12", "192.168.1.0/24", "10.90.0.0/20", "100.64.0.0/10"]
_WRONG_RANGES = ["0.0.0.0/0", "10.0.0.1/8", "fd00::/8", "8.8.8.0/24", "10.0.0.0/33", "", "10.0.0.0/255.0.0.0"]
_NAMES = ["old-vault", "a", "vault-1", "n" * 32, "0", "node-with-a-name"]
_WRONG_NAMES = ["vault", "log-server", "Vault", "-a", "a-", "n" * 33, "a.b", ""]
_ROLES = ["OldVault", "path-less_role@x", "r" * 64, "A", "B", "C"]
_WRONG_ROLES = ["a/b", "", "r" * 65, "arn:aws:iam::1:role/x"]
_TEXTS: dict[str, tuple[list[str], list[str]]] = {
    "deployment": (["vaultwatch", "a", "blue", "aws-blue", "session-1", "a" * 30, "x-"], ["1a", "A", "a" * 31, "ä"]),
    "timezone": (["UTC", "Europe/Berlin"], ["Mars/Olympus", ""]),
    "slack_channel": (["", "C0123456789"], ["#general", "general"]),
    "vault_version": (["2.0.3", "1.21.4", "1.18.0-ent.hsm"], ["v2", "2.0"]),
    "openbao_version": (["2.6.2", "2.4.0-beta20250101"], ["latest"]),
    "vault_sha256": (["0" * 64], ["0" * 63, "G" * 64]),
    "openbao_sha256": (["f" * 64], ["F" * 64]),
    "vault_instance_type": (
        ["m7g.large", "t4g.micro", "r8gd.48xlarge", "c7gn.metal"],
        ["m5.large", "m7g", "g4dn.xlarge"],
    ),
    "log_server_instance_type": (["t4g.medium", "m7g.large"], ["t3.medium", ""]),
    "vpc_cidr": (
        ["10.90.0.0/20", "10.0.0.0/16", "192.168.7.0/24", "172.20.0.0/22"],
        ["10.0.0.0/8", "10.0.0.0/25", "10"],
    ),
    "vpc_id": (["", "vpc-0123456789abcdef0", "vpc-01234567"], ["vpc-x"]),
    "image_serial": (["20260923", "20260923.1"], ["latest", "19990101"]),
    "image_id": (["", "ami-0123456789abcdef0"], ["ami-x"]),
    "package_snapshot": (["20261001T000000Z"], ["now", "20261001"]),
}


def _texts(name: str) -> st.SearchStrategy[Any]:
    right, wrong = _TEXTS[name]
    return _mostly(st.sampled_from(right), st.sampled_from(wrong))


def _mostly(right: st.SearchStrategy[Any], wrong: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Draw a right value nine times out of ten, so that many settings together are right often enough."""
    return st.integers(0, 9).flatmap(lambda tenth: wrong if tenth == 9 else right)


def _ranges() -> st.SearchStrategy[Any]:
    return st.lists(_mostly(st.sampled_from(_RANGES), st.sampled_from(_WRONG_RANGES)), max_size=3)


_SPECIAL: dict[str, st.SearchStrategy[Any]] = {
    "alert_emails": st.lists(st.sampled_from(["a@example.org", "b@example.org", "c@example.org"]), max_size=3),
    "operations_emails": st.lists(st.sampled_from(["a@example.org", "o@example.org"]), max_size=2, unique=True),
    "silenced_rules": st.lists(st.sampled_from(["audit_device_disabled", "no_such_rule", ""]), max_size=2),
    "vault_clients": _ranges(),
    "external_clients": _ranges(),
    "egress_ranges": _ranges(),
    "egress_prefix_lists": st.lists(st.sampled_from(["pl-6ea54007", "pl-x"]), max_size=2),
    "external_nodes": st.dictionaries(
        _mostly(st.sampled_from(_NAMES), st.sampled_from(_WRONG_NAMES)),
        _mostly(st.sampled_from(_ROLES), st.sampled_from(_WRONG_ROLES)),
        max_size=5,
    ),
    "vpc_subnets": st.dictionaries(
        st.sampled_from([*_ZONES, "Frankfurt"]), st.sampled_from([*_SUBNETS, "x"]), max_size=5
    ),
    "zones": st.lists(st.sampled_from(_ZONES), max_size=4),
}


def _value(name: str, hint: Any) -> st.SearchStrategy[Any]:
    if name in _SPECIAL:
        return _SPECIAL[name]
    if name in _TEXTS:
        return _texts(name)
    return _of_hint(hint)


def _of_hint(hint: Any) -> st.SearchStrategy[Any]:
    """Draw a value of a setting whose type and bounds say everything, and now and then one beside them."""
    kind, meta = hint.__origin__, next(part for part in hint.__metadata__ if isinstance(part, Meta))
    if kind is bool:
        return st.booleans()
    if kind is int:
        least, most = int(meta.ge or 0), int(meta.le or 0)
        right = st.sampled_from([least, most]) | st.integers(least, min(most, least + 500))
        return _mostly(right, st.sampled_from([least - 1, most + 1, "1", None]))
    choices = [level.name.lower() for level in Level] if kind is Level else list(get_args(kind))
    return _mostly(st.sampled_from(choices), st.sampled_from(["other", 0]))


def any_settings() -> st.SearchStrategy[dict[str, Any]]:
    """Draw the settings of a deployment: some of them, the others keep their defaults."""
    hints = get_type_hints(Settings, include_extras=True)
    return st.sets(st.sampled_from(sorted(hints)), max_size=12).flatmap(
        lambda names: st.fixed_dictionaries({name: _value(name, hints[name]) for name in sorted(names)})
    )
