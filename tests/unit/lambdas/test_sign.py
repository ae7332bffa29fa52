"""The function `sign`: it certifies hosts, refuses everybody else in one sentence, and shows what will end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest
from botocore.exceptions import ClientError
from cryptography import x509

from testbed.aws.template import ACCOUNT, REGION
from tests.support.authority import DOMAIN, HOSTS, StsStandIn, new_key, now, pem, sts_stand_in, verified
from tests.support.dynamodb import local_aws, make_client
from tests.support.functions import Context, start, watching
from vaultwatch.authority.certificates import certify_host
from vaultwatch.authority.request import Request
from vaultwatch.aws import metrics
from vaultwatch.errors import CertificateError

PARAMETER = "/vaultwatch/authority"


@dataclass
class Function:
    """The function in this process, with KMS and SSM of moto."""

    sts: StsStandIn
    module: ModuleType
    key: str

    def ask(self, request: Request | dict[str, Any], **changes: Any) -> dict[str, Any]:
        """Send a request, as JSON."""
        event = json.loads(msgspec.json.encode(request)) | changes
        answer: dict[str, Any] = json.loads(json.dumps(self.module.handler(event, Context())))
        return answer

    def check(self) -> dict[str, Any]:
        """Start the function as its schedule does."""
        answer: dict[str, Any] = self.module.handler({"source": "aws.events"}, Context())
        return answer


@pytest.fixture
def function(monkeypatch: pytest.MonkeyPatch) -> Iterator[Function]:
    with local_aws(), sts_stand_in() as sts:
        key = make_client("kms").create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["Arn"]
        variables = {
            **metrics.variables("sign", "vaultwatch"),
            "ACCOUNT_ID": ACCOUNT,
            "AUTHORITY_KEY": key,
            "AUTHORITY_NAME": "Vaultwatch",
            "AUTHORITY_PARAMETER": PARAMETER,
            "AWS_DEFAULT_REGION": "eu-west-1",
            "AWS_ENDPOINT_URL_STS": sts.url,
            "AWS_REGION": REGION,
            "DOMAIN": DOMAIN,
            "HOSTS": json.dumps(msgspec.to_builtins(HOSTS)),
            "PARTITION": "aws",
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield Function(sts, start("sign"), key)


def written(printed: str) -> dict[str, Any]:
    """Return the metrics in a log, each with its host."""
    rows = [json.loads(line) for line in printed.splitlines() if '"_aws"' in line]
    names = [(row["_aws"]["CloudWatchMetrics"][0]["Metrics"][0]["Name"], row) for row in rows]
    return {name: (*row[name], row.get("host", "")) for name, row in names}


def test_a_host_gets_a_certificate_and_that_of_the_authority(
    function: Function, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = new_key()
    answer = function.ask(function.sts.request(function.sts.session(), key))

    assert answer.keys() == {"certificate", "authority", "ends"}
    made, authority = (x509.load_pem_x509_certificate(answer[name].encode()) for name in ("certificate", "authority"))
    assert verified(tmp_path, made, authority, "-verify_hostname", f"vault-1.{DOMAIN}") == "OK"
    assert made.public_key() == key.public_key()
    assert answer["ends"] == f"{made.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}"
    assert written(capsys.readouterr().out) == {"CertificateDaysLeft": (30.0, "vault-1")}


def test_two_hosts_have_the_same_authority(function: Function) -> None:
    answers = [function.ask(function.sts.request(function.sts.session(role))) for role in HOSTS]

    assert len({answer["authority"] for answer in answers}) == 1
    assert answers[0]["authority"] == make_client("ssm").get_parameter(Name=PARAMETER)["Parameter"]["Value"]


def test_a_report_writes_the_days_left_and_issues_nothing(
    function: Function, capsys: pytest.CaptureFixture[str]
) -> None:
    key, session = new_key(), function.sts.session()
    authority, at = function.module._authority(), now() - timedelta(days=23)
    used = certify_host(authority.key, authority.certificate, HOSTS["vaultwatch-vault-1"], key.public_key(), at)
    capsys.readouterr()

    answer = function.ask(function.sts.request(session, key, pem(used)))

    assert answer["certificate"] == pem(used)
    days, host = written(capsys.readouterr().out)["CertificateDaysLeft"]
    assert (round(days, 3), host) == (7.0, "vault-1")


def test_a_refused_request_gets_one_sentence_and_is_counted(
    function: Function, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    request = function.sts.request(function.sts.session("another-role"))

    assert function.ask(request) == {"error": "the caller's role is not that of a host of this deployment"}
    assert written(capsys.readouterr().out) == {"RefusedRequests": (1.0, "")}
    [line] = caplog.messages
    assert line == "a request is refused: the caller's role is not that of a host of this deployment"


@pytest.mark.parametrize(
    "changes",
    [{"csr": None}, {"csr": "x" * 4097}, {"identity": {}}, {"other": 1}, {"identity": "x"}, {"source": "elsewhere"}],
)
def test_a_request_of_another_form_is_refused_without_quoting_it(function: Function, changes: dict[str, Any]) -> None:
    answer = function.ask(function.sts.request(function.sts.session()), **changes)

    assert answer == {"error": "the request does not have the expected fields"}
    assert function.sts.calls == []


def test_an_event_that_is_no_object_of_a_request_is_refused(function: Function) -> None:
    assert "error" in function.ask({})


def test_neither_the_answer_nor_the_log_contains_a_secret(
    function: Function, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    session = function.sts.session()
    request = function.sts.request(session)
    stale = msgspec.structs.replace(request.identity, authorization=request.identity.authorization[:-1] + "x")
    said = json.dumps([function.ask(request), function.ask(msgspec.structs.replace(request, identity=stale))])

    printed = capsys.readouterr()
    for secret in (session.token, session.secret_key, request.identity.authorization[-64:], "PRIVATE KEY"):
        assert secret not in said + printed.out + printed.err + caplog.text


def test_the_schedule_lets_the_key_sign_and_shows_how_long_the_authority_is_valid(
    function: Function, capsys: pytest.CaptureFixture[str]
) -> None:
    assert function.check() == {}
    days, _ = written(capsys.readouterr().out)["AuthorityDaysLeft"]
    assert 3649 < days <= 3650


def test_a_disabled_key_shows_at_the_next_run_of_the_schedule(function: Function) -> None:
    function.check()

    def disabled(_: int, name: str, made: bool) -> None:
        if name == "KMS.Sign" and not made:
            raise ClientError({"Error": {"Code": "DisabledException"}}, "Sign")

    with watching(disabled), pytest.raises(ClientError, match="DisabledException"):
        function.check()


def test_a_replaced_certificate_of_the_authority_is_an_error_and_never_used(function: Function) -> None:
    make_client("ssm").put_parameter(Name=PARAMETER, Value="x", Type="String")

    with pytest.raises(CertificateError):
        function.check()


def test_a_failure_of_sts_fails_the_function_and_is_no_refusal(function: Function) -> None:
    from werkzeug.wrappers import Response

    function.sts.answer = lambda _: Response("", 503)
    with pytest.raises(CertificateError, match="STS failed with status 503"):
        function.ask(function.sts.request(function.sts.session()))
