"""What a machine reaches in its network: the instance metadata service and the name server."""

from __future__ import annotations

import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.test import Client
from werkzeug.wrappers import Request

from testbed.aws.sts import Session
from testbed.machines.dns import answer_to
from testbed.machines.metadata import Instance, Metadata

ADDRESS, ROLE = "10.90.0.11", "vaultwatch-eu-central-1-vault-1"
CREDENTIALS = f"/latest/meta-data/iam/security-credentials/{ROLE}"
LIFETIME = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}


@pytest.fixture
def session() -> Session:
    return Session(ROLE, "i-0123456789abcdef0")


@pytest.fixture
def client(session: Session) -> Client:
    instance = Instance("i-0123456789abcdef0", ADDRESS, "#cloud-boothook\n", lambda: session)
    return Client(Request.application(Metadata({ADDRESS: instance}).respond))


def ask(client: Client, path: str, token: str, address: str = ADDRESS) -> tuple[int, str]:
    given = {"X-aws-ec2-metadata-token": token}
    answer = client.get(path, headers=given, environ_base={"REMOTE_ADDR": address})
    return answer.status_code, answer.text


def token_of(client: Client, address: str = ADDRESS, headers: dict[str, str] = LIFETIME) -> tuple[int, str]:
    answer = client.put("/latest/api/token", headers=headers, environ_base={"REMOTE_ADDR": address})
    return answer.status_code, answer.text


def test_an_instance_reads_its_metadata_and_the_credentials_of_its_role(client: Client, session: Session) -> None:
    _, token = token_of(client)

    assert ask(client, "/latest/meta-data/instance-id", token) == (200, "i-0123456789abcdef0")
    assert ask(client, "/latest/meta-data/local-ipv4", token) == (200, ADDRESS)
    assert ask(client, "/latest/meta-data/iam/security-credentials/", token) == (200, ROLE)
    found = json.loads(ask(client, CREDENTIALS, token)[1])
    assert (found["AccessKeyId"], found["Token"]) == (session.access_key, session.token)


@pytest.mark.parametrize("token", ["", "wrong"])
def test_without_a_token_the_metadata_service_answers_nothing(client: Client, token: str) -> None:
    assert ask(client, CREDENTIALS, token)[0] == 401


def test_a_token_is_of_no_use_to_another_machine(client: Client) -> None:
    _, token = token_of(client)

    assert ask(client, CREDENTIALS, token, address="10.90.0.12")[0] == 404


@pytest.mark.parametrize("headers", [{}, {**LIFETIME, "X-Forwarded-For": "192.0.2.1"}])
def test_a_request_without_a_lifetime_or_through_a_proxy_gets_no_token(client: Client, headers: dict[str, str]) -> None:
    assert token_of(client, headers=headers)[0] == 400


def query(name: str, kind: int = 1) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, 1)


def resolve(name: str) -> str | None:
    return {"vault-1.vaultwatch.internal": ADDRESS}.get(name)


def test_the_name_server_answers_with_the_address_of_a_name_in_any_case() -> None:
    answer = answer_to(query("Vault-1.vaultwatch.internal"), resolve)

    assert answer is not None
    assert (answer[:2], answer[3] & 15, answer[-4:]) == (b"\0\7", 0, bytes([10, 90, 0, 11]))


def test_a_known_name_has_no_ipv6_address_and_an_unknown_one_does_not_exist() -> None:
    no_data, no_name = answer_to(query("vault-1.vaultwatch.internal", kind=28), resolve), answer_to(query("a"), resolve)

    assert no_data is not None
    assert no_name is not None
    assert [(it[3] & 15, it[6:8]) for it in (no_data, no_name)] == [(0, b"\0\0"), (3, b"\0\0")]


@given(st.binary(max_size=600))
def test_whatever_is_no_query_gets_no_answer_and_no_error(data: bytes) -> None:
    answer_to(data, resolve)
