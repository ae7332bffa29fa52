"""Certificates on the local AWS: the real function, KMS keys that sign, and an STS that checks signatures."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from cryptography import x509

from stacks.constructs.permissions import NEEDED_BY_AWS
from testbed.aws import LocalAws
from testbed.aws.template import REGION, Template
from testbed.host_values import NODE
from testbed.log_server import VAULTWATCH
from tests.support.authority import DOMAIN, HOSTS, INSTANCE, new_csr, new_key, pem, verified
from tests.support.authority_stack import STACK, synthesize_authority
from vaultwatch.authority.certificates import common_name
from vaultwatch.authority.request import digest_of, prove

HOUR = 3600.0


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    return synthesize_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def aws(bundle: Path, template: Template) -> Iterator[LocalAws]:
    """One for each test: another local AWS in this process would empty it."""
    with LocalAws({STACK: template}, bundle) as aws:
        yield aws
        aws.endpoint.calls.clear()  # whose refusals are what these tests are about


def session_of(aws: LocalAws, role: str, name: str = INSTANCE) -> boto3.Session:
    found = aws.instance_environment(role, name)
    return boto3.Session(
        found["AWS_ACCESS_KEY_ID"], found["AWS_SECRET_ACCESS_KEY"], found["AWS_SESSION_TOKEN"], region_name=REGION
    )


def request_of(aws: LocalAws, session: boto3.Session, **changes: str) -> dict[str, Any]:
    csr = new_csr(new_key())
    credentials: Any = session.get_credentials()
    proof = prove(credentials, url=aws.endpoint.url, region=REGION, digest=digest_of(csr))
    identity = {"authorization": proof.authorization, "date": proof.date, "token": proof.token}
    return {"csr": pem(csr), "identity": {**identity, **changes}}


def ask(aws: LocalAws, session: boto3.Session, request: dict[str, Any]) -> dict[str, Any]:
    client = session.client("lambda", endpoint_url=aws.endpoint.url)
    function = aws.physical_id(STACK, "Authority/Function")
    answer = client.invoke(FunctionName=function, Payload=json.dumps(request))
    assert "FunctionError" not in answer
    found: dict[str, Any] = json.loads(answer["Payload"].read())
    return found


@pytest.mark.parametrize("role", HOSTS)
def test_each_host_gets_a_certificate_for_its_names(aws: LocalAws, tmp_path: Path, role: str) -> None:
    session = session_of(aws, role)
    answer = ask(aws, session, request_of(aws, session))

    made, authority = (x509.load_pem_x509_certificate(answer[name].encode()) for name in ("certificate", "authority"))
    assert common_name(made) == HOSTS[role].name
    assert verified(tmp_path, made, authority, "-verify_hostname", HOSTS[role].dns[0]) == "OK"


@pytest.mark.parametrize("changes", [{"token": "another"}, {"authorization": "x"}])
def test_a_forged_request_fails_here_as_on_aws(aws: LocalAws, changes: dict[str, str]) -> None:
    session = session_of(aws, "vaultwatch-vault-1")

    assert ask(aws, session, request_of(aws, session, **changes)).keys() == {"error"}


def test_a_role_that_is_no_host_may_not_even_ask(aws: LocalAws) -> None:
    session = session_of(aws, f"{STACK}-AuthorityFunctionRole36D0C66C")

    with pytest.raises(ClientError, match="lambda:InvokeFunction"):
        ask(aws, session, request_of(aws, session))


def test_a_host_can_neither_sign_itself_nor_replace_the_authority(aws: LocalAws) -> None:
    session = session_of(aws, "vaultwatch-vault-1")
    kms, ssm = (session.client(name, endpoint_url=aws.endpoint.url) for name in ("kms", "ssm"))
    key = aws.physical_id(STACK, "Authority/Key")
    arn = aws.client("kms").describe_key(KeyId=key)["KeyMetadata"]["Arn"]

    with pytest.raises(ClientError, match="kms:Sign"):
        kms.sign(KeyId=arn, Message=b"x", SigningAlgorithm="ECDSA_SHA_256")
    with pytest.raises(ClientError, match="ssm:PutParameter"):
        ssm.put_parameter(Name=f"/vaultwatch/vaultwatch/authority/{key}", Value="x", Type="String")


def test_with_the_stolen_credential_of_sign_nobody_can_replace_the_authority(aws: LocalAws) -> None:
    role = aws.physical_id(STACK, "Authority/Function/Role")
    ssm = aws.client("ssm", role)
    name = f"/vaultwatch/vaultwatch/authority/{aws.physical_id(STACK, 'Authority/Key')}"
    aws.tick(HOUR)

    with pytest.raises(ClientError, match="ssm:PutParameter"):
        ssm.put_parameter(Name=name, Value="x", Type="String", Overwrite=True)
    with pytest.raises(ClientError, match="ParameterAlreadyExists"):
        ssm.put_parameter(Name=name, Value="x", Type="String", Overwrite=False)


def test_with_it_nobody_can_change_the_key_or_reach_anything_else(aws: LocalAws) -> None:
    role, key = aws.physical_id(STACK, "Authority/Function/Role"), aws.physical_id(STACK, "Authority/Key")
    key = aws.client("kms").describe_key(KeyId=key)["KeyMetadata"]["Arn"]
    aws.client("kms", role).get_public_key(KeyId=key)
    calls: dict[str, tuple[str, dict[str, Any]]] = {
        "schedule_key_deletion": ("kms", {"KeyId": key}),
        "disable_key": ("kms", {"KeyId": key}),
        "create_grant": ("kms", {"KeyId": key, "GranteePrincipal": "x", "Operations": ["Sign"]}),
        "put_key_policy": ("kms", {"KeyId": key, "PolicyName": "default", "Policy": "{}"}),
        "put_item": ("dynamodb", {"TableName": "x", "Item": {}}),
        "put_object": ("s3", {"Bucket": "x", "Key": "archive/x", "Body": b"x"}),
        "put_record": ("kinesis", {"StreamName": "x", "Data": b"x", "PartitionKey": "x"}),
        "get_secret_value": ("secretsmanager", {"SecretId": "x"}),
    }
    for operation, (service, arguments) in calls.items():
        with pytest.raises(ClientError, match="AccessDenied"):
            getattr(aws.client(service, role), operation)(**arguments)


def test_the_function_needs_each_of_its_permissions(bundle: Path, template: Template) -> None:
    with LocalAws({STACK: template}, bundle) as aws:
        for role in HOSTS:
            session = session_of(aws, role)
            assert "certificate" in ask(aws, session, request_of(aws, session))
        reasons = {f"*: {sid}: *": why for sid, why in NEEDED_BY_AWS.items() if sid in ("WriteLogs", "Trace")}
        assert aws.unneeded_permissions(reasons) == []
        assert aws.failures == []


def test_an_alarm_fires_when_a_certificate_is_not_reported_for_six_hours(bundle: Path, template: Template) -> None:
    with LocalAws({STACK: template}, bundle) as aws:
        for _ in range(6):
            session = session_of(aws, "vaultwatch-vault-1")
            ask(aws, session, request_of(aws, session))
            aws.tick(HOUR)
        fired = aws.fired_alarms()
        assert "vaultwatch-vault-1-certificate-ends" not in fired
        assert "vaultwatch-authority-ends" not in fired
        assert {"vaultwatch-log-server-certificate-ends", "vaultwatch-vault-7-certificate-ends"} <= fired


def test_an_alarm_fires_when_the_key_of_the_authority_is_disabled(bundle: Path, template: Template) -> None:
    with LocalAws({STACK: template}, bundle) as aws:
        aws.endpoint.fault = lambda call: "DisabledException" if call.operation == "Sign" else ""
        aws.tick(6 * HOUR)
        assert "vaultwatch-authority-ends" in aws.fired_alarms()
        assert {outcome.error[:6] for outcome in aws.failures} == {"error:"}


@dataclass(frozen=True)
class Host:
    """A node whose root is a folder, with the credentials of an instance."""

    aws: LocalAws
    root: Path

    def command(self, **more: str) -> subprocess.CompletedProcess[str]:
        """Run `vaultwatch host certificate` as its unit does."""
        role = self.aws.instance_environment("vaultwatch-vault-1", INSTANCE)
        return subprocess.run(
            [str(VAULTWATCH), "host", "certificate", f"--values={self.root}/host.json", f"--root={self.root}"],
            env={"PATH": os.defpath, **role, **more},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def host(aws: LocalAws, tmp_path: Path) -> Host:
    values = {**NODE, "region": REGION, "sign_function": aws.physical_id(STACK, "Authority/Function")}
    (tmp_path / "host.json").write_text(json.dumps(values))
    return Host(aws, tmp_path)


def test_the_command_gets_a_certificate_and_then_keeps_it(host: Host, tmp_path: Path) -> None:
    first, second = host.command(), host.command()

    assert (first.returncode, first.stderr, second.returncode, second.stderr) == (0, "", 0, "")
    assert "vault-1: a new certificate" in first.stdout
    assert "vault-1: the certificate stays in use" in second.stdout
    for place in ("etc/vaultwatch/tls", "etc/vault.d/tls"):
        made, authority = (
            x509.load_pem_x509_certificate((host.root / place / name).read_bytes())
            for name in ("host.pem", "authority.pem")
        )
        assert verified(tmp_path, made, authority, "-verify_hostname", f"vault-1.{DOMAIN}") == "OK"
    assert "PRIVATE KEY" not in first.stdout + second.stdout


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "the authority refuses: STS does not accept the signature"),
        ({"AWS_SESSION_TOKEN": ""}, "no credentials of a role were found"),
        ({"AWS_ENDPOINT_URL_LAMBDA": "http://127.0.0.1:1"}, "the function sign cannot be reached: "),
    ],
)
def test_the_command_says_in_one_line_why_it_gets_no_certificate(
    host: Host, environment: dict[str, str], said: str
) -> None:
    done = host.command(**environment)

    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert said in done.stderr
    assert not (host.root / "etc/vaultwatch/tls/host.pem").exists()
