"""What is certified is a setting of the function, and a wrong one stops it at its start."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaultwatch.authority.names import Host, is_domain, read_hosts
from vaultwatch.errors import SettingError

NODE: dict[str, Any] = {"name": "vault-1", "dns": ["vault-1.d.internal"], "usage": ["server", "client"]}


def test_hosts_are_read_by_the_name_of_their_role() -> None:
    found = read_hosts(json.dumps({"role-1": NODE}), "d.internal")

    assert found == {"role-1": Host("vault-1", ("vault-1.d.internal",), ("server", "client"))}


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "Vault-1"},
        {"name": "vault_1"},
        {"name": "a" * 64},
        {"name": "vault-1\n"},
        {"name": "*"},
        {"dns": []},
        {"dns": ["vault-1.other.internal"]},
        {"dns": ["d.internal"]},
        {"dns": ["*.d.internal"]},
        {"dns": ["evil-d.internal"]},
        {"dns": [".d.internal"]},
        {"dns": ["vault-1.d.internal."]},
        {"dns": ["vault-1.d.internal\n"]},
        {"dns": [f"{'a' * 64}.d.internal"]},
        {"usage": []},
        {"usage": ["authority"]},
        {"ca": True},
    ],
)
def test_a_host_with_other_names_or_purposes_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match=r"^the hosts of the authority: "):
        read_hosts(json.dumps({"role-1": {**NODE, **wrong}}), "d.internal")


def test_two_hosts_never_share_a_name() -> None:
    with pytest.raises(SettingError, match="two of them have the same name"):
        read_hosts(json.dumps({"role-1": NODE, "role-2": NODE}), "d.internal")


@pytest.mark.parametrize("text", ["", "[]", '{"role": null}', "{"])
def test_what_is_no_object_of_hosts_is_refused(text: str) -> None:
    with pytest.raises(SettingError):
        read_hosts(text, "d.internal")


@given(st.text())
def test_a_domain_has_only_lowercase_labels(text: str) -> None:
    if is_domain(text):
        assert text == text.lower().strip()
        assert all(0 < len(label) <= 63 for label in text.split("."))
        assert set(text) <= set("abcdefghijklmnopqrstuvwxyz0123456789-.")
