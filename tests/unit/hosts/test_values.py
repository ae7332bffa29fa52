"""host.json: one flat object, of which every value is known, needed and checked."""

from pathlib import Path

import msgspec
import pytest

from testbed.host_values import HOSTS, LOG_SERVER, NODE, WATCHING_LOG_SERVER
from vaultwatch.errors import SettingError
from vaultwatch.hosts.values import ROLES, VALUES, check_values, read_values


@pytest.mark.parametrize("values", HOSTS.values(), ids=HOSTS)
def test_each_host_of_a_deployment_is_accepted(values: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "host.json"
    file.write_bytes(msgspec.json.encode(values))
    assert read_values(file) == values


@pytest.mark.parametrize("values", HOSTS.values(), ids=HOSTS)
def test_each_value_of_a_host_is_required(values: dict[str, str]) -> None:
    for name in values.keys() - {"role", "handler"}:
        with pytest.raises(SettingError, match=f"no value for {name}"):
            check_values({other: value for other, value in values.items() if other != name})


def test_a_misspelled_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(SettingError, match="unknown value `clusters`; did you mean `cluster`"):
        check_values({**NODE, "clusters": "a"})


def test_a_value_of_another_role_or_handler_is_refused() -> None:
    with pytest.raises(SettingError, match="a log-server does not use kms_seal_key"):
        check_values({**LOG_SERVER, "kms_seal_key": NODE["kms_seal_key"]})
    with pytest.raises(SettingError, match="stream"):
        check_values({**WATCHING_LOG_SERVER, "stream": "vaultwatch"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", "vault/1"),
        ("name", "vault-9 "),
        ("name", ""),
        ("cluster", "a b"),
        ("cluster", "a/b"),
        ("log_server", "log server"),
        ("audit_buffer_bytes", "4G"),
        ("audit_buffer_bytes", "0"),
        ("nodes", "vault-1.internal,"),
        ("product", "consul"),
        ("region", "eu-central-1\n"),
        ("kms_seal_key", 'arn:aws:kms:x" }'),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_by_name_and_not_quoted(name: str, value: str) -> None:
    with pytest.raises(SettingError, match=f"^{name}: ") as raised:
        check_values({**NODE, name: value})
    assert len(value) < 2 or value not in str(raised.value)


@pytest.mark.parametrize("role", ["", "vault", "node\n"])
def test_an_unknown_role_is_refused(role: str) -> None:
    with pytest.raises(SettingError, match="role: it has to be one of node, log-server, external-node"):
        check_values({**NODE, "role": role})


@pytest.mark.parametrize("content", [b"", b"[]", b'{"role": 1}', b'{"role": null}', b"\xff"])
def test_what_is_no_flat_object_of_texts_is_refused_with_the_file(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "host.json"
    file.write_bytes(content)
    with pytest.raises(SettingError, match=str(file)):
        read_values(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="No such file"):
        read_values(tmp_path / "host.json")


def test_every_value_says_what_it_is_and_who_needs_it() -> None:
    assert all(value.meaning.endswith(".") and set(value.roles) <= set(ROLES) for value in VALUES.values())
    assert {name for values in HOSTS.values() for name in values} == set(VALUES)
