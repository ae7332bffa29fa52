"""Who asks is found out by STS alone: each way in which such schemes were attacked elsewhere is a test here.

The public flaws of Vault's AWS auth method (CVE-2020-16250 and its kin) let the caller choose the address of the call,
its method or parameters, further headers, or the form of the answer.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.wrappers import Response

from testbed.aws.template import ACCOUNT, REGION
from tests.support.authority import INSTANCE, StsStandIn, now
from vaultwatch.authority.caller import Account, Caller, Sts, identify
from vaultwatch.authority.request import BODY, CONTENT_TYPE, SIGNED_HEADERS, Identity, Request
from vaultwatch.errors import CertificateError, RequestRefused

DIGEST = "ab" * 32
ROLE = "vaultwatch-vault-1"
ARN = f"arn:aws:sts::{ACCOUNT}:assumed-role/{ROLE}/{INSTANCE}"
XML = 'xmlns="https://sts.amazonaws.com/doc/2011-06-15/"'


def identified(sts: StsStandIn, identity: Identity, digest: str = DIGEST, **more: Any) -> Caller:
    options = {"sts": Sts(more.pop("url", sts.url), REGION), "account": Account("aws", ACCOUNT), "now": now(), **more}
    return identify(identity, digest, **options)


def signed(sts: StsStandIn, **session: str) -> Identity:
    return sts.identity(sts.session(**session), DIGEST)


def changed(identity: Identity, **values: str) -> Identity:
    return msgspec.structs.replace(identity, **values)


def answering(sts: StsStandIn, body: str, status: int = 200, **headers: str) -> Identity:
    """Let STS answer with this instead, and return an identity that is otherwise right."""
    sts.answer = lambda _: Response(body, status, headers=headers)
    return signed(sts)


def test_an_instance_is_identified_by_the_name_of_its_role(sts: StsStandIn) -> None:
    assert identified(sts, signed(sts)) == Caller(ROLE, is_instance=True)


@pytest.mark.parametrize("name", [ROLE, "i-0123456789abcdef0x", "xi-0123456789abcdef0", "i-", "i-0123456789ABCDEF0"])
def test_a_session_that_somebody_named_himself_is_not_that_of_an_instance(sts: StsStandIn, name: str) -> None:
    assert identified(sts, signed(sts, name=name)) == Caller(ROLE, is_instance=False)


def test_a_session_that_is_named_like_a_role_is_not_taken_for_it(sts: StsStandIn) -> None:
    assert identified(sts, signed(sts, role="other", name=ROLE)).role == "other"


def test_the_function_makes_the_call_itself_with_nothing_of_the_callers_but_three_headers(sts: StsStandIn) -> None:
    identity = signed(sts)
    identified(sts, identity)

    [call] = sts.calls
    assert (call.method, call.path, call.query_string, call.get_data()) == ("POST", "/", b"", BODY.encode())
    sent = {name.lower(): value for name, value in call.headers.items()}
    assert sent.pop("authorization") == identity.authorization
    assert sent == {
        "host": sts.url.removeprefix("http://"),
        "content-type": CONTENT_TYPE,
        "content-length": str(len(BODY)),
        "x-amz-date": identity.date,
        "x-amz-security-token": identity.token,
        "x-vaultwatch-csr": DIGEST,
        "accept-encoding": sent["accept-encoding"],
        "user-agent": sent["user-agent"],
    }
    assert set(SIGNED_HEADERS.split(";")) <= set(sent)


@pytest.mark.parametrize(
    "field",
    [
        {"url": "https://sts.attacker.example"},
        {"host": "sts.attacker.example"},
        {"method": "GET"},
        {"body": "Action=GetCallerIdentity&Action=AssumeRole"},
        {"query": "Action=GetCallerIdentity"},
        {"headers": {"Accept": "application/json"}},
    ],
)
def test_the_caller_cannot_choose_the_address_the_method_the_body_or_another_header(field: dict[str, Any]) -> None:
    identity = {"authorization": "x", "date": "20261128T000000Z", "token": "x", **field}
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.convert({"csr": "x", "identity": identity}, Request)


@pytest.mark.parametrize("name", ["authorization", "date", "token"])
def test_a_value_that_would_add_a_header_is_refused_before_anything_is_sent(sts: StsStandIn, name: str) -> None:
    good = msgspec.to_builtins(signed(sts))
    bad = {**good, name: f"{good[name]}\r\nX-Amz-Target: other"}

    with pytest.raises((msgspec.ValidationError, RequestRefused)):
        identified(sts, msgspec.convert(bad, Identity))
    assert sts.calls == []


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text + ", SignedHeaders=host",
        lambda text: text.replace("SignedHeaders=", "SignedHeaders=host, SignedHeaders="),
        lambda text: text.replace(";x-vaultwatch-csr", ""),
        lambda text: text.replace("x-vaultwatch-csr", "x-vaultwatch-csr;x-other"),
        lambda text: text.replace("content-type;host", "host;content-type"),
        lambda text: text.replace("host;", "host;host;"),
        lambda text: text.replace("/sts/", "/s3/"),
        lambda text: text.replace(f"/{REGION}/", "/us-east-1/"),
        lambda text: text.replace("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"),
        lambda text: text.replace(
            "Credential=", "Credential=AKIA0000000000000000/20200101/x/sts/aws4_request, Credential="
        ),
        lambda text: text + " ",
        lambda text: text + "\n",
        lambda text: text.upper(),
        lambda text: "",
    ],
)
def test_a_header_authorization_of_another_form_is_refused_before_anything_is_sent(
    sts: StsStandIn, change: Any
) -> None:
    identity = signed(sts)

    with pytest.raises(RequestRefused):
        identified(sts, changed(identity, authorization=change(identity.authorization)))
    assert sts.calls == []


def test_a_signature_without_the_header_of_the_csr_is_refused_although_sts_would_accept_it(sts: StsStandIn) -> None:
    """For example the login of an instance to a Vault server, which somebody recorded there."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    session = sts.session()
    call = AWSRequest("POST", f"{sts.url}/", {"Content-Type": CONTENT_TYPE}, BODY)
    SigV4Auth(Credentials(session.access_key, session.secret_key, session.token), "sts", REGION).add_auth(call)
    login = Identity(call.headers["Authorization"], call.headers["X-Amz-Date"], session.token)

    with pytest.raises(RequestRefused, match="does not have the expected form"):
        identified(sts, login)


def test_a_proof_for_one_csr_is_of_no_use_for_another(sts: StsStandIn) -> None:
    with pytest.raises(RequestRefused, match="SignatureDoesNotMatch"):
        identified(sts, signed(sts), digest="cd" * 32)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("token", "another", "InvalidClientTokenId"),
        ("authorization", None, "SignatureDoesNotMatch"),
    ],
)
def test_a_forged_request_is_refused(sts: StsStandIn, field: str, value: str | None, said: str) -> None:
    identity = signed(sts)
    forged = value or identity.authorization[:-64] + "0" * 64

    with pytest.raises(RequestRefused, match=said):
        identified(sts, changed(identity, **{field: forged}))


def test_a_signature_for_another_host_is_refused(sts: StsStandIn) -> None:
    session, url = sts.session(), sts.url
    sts.url = f"https://sts.{REGION}.amazonaws.com"
    identity = sts.identity(session, DIGEST)
    sts.url = url

    with pytest.raises(RequestRefused, match="SignatureDoesNotMatch"):
        identified(sts, identity)


@pytest.mark.parametrize("minutes", [-6, 6, 60 * 24])
def test_a_stale_or_future_signature_is_refused_before_anything_is_sent(sts: StsStandIn, minutes: int) -> None:
    with pytest.raises(RequestRefused):
        identified(sts, signed(sts), now=now() + timedelta(minutes=minutes))
    assert sts.calls == []


def test_a_date_that_differs_from_that_of_the_signature_is_refused(sts: StsStandIn) -> None:
    identity = signed(sts)
    for date in ("20200101T000000Z", identity.date[:-2] + f"{(int(identity.date[-2]) + 1) % 10}Z", "20261399T000000Z"):
        with pytest.raises(RequestRefused):
            identified(sts, changed(identity, date=date))


@pytest.mark.parametrize(
    "session",
    [
        {"account": "210987654321"},
        {"partition": "aws-cn"},
    ],
)
def test_another_account_or_partition_is_refused(sts: StsStandIn, session: dict[str, str]) -> None:
    with pytest.raises(RequestRefused, match="not a role of this account"):
        identified(sts, signed(sts, **session))


@pytest.mark.parametrize(
    "arn",
    [
        f"arn:aws:iam::{ACCOUNT}:user/{ROLE}",
        f"arn:aws:iam::{ACCOUNT}:user/assumed-role/{ROLE}/{INSTANCE}",
        f"arn:aws:iam::{ACCOUNT}:role/{ROLE}",
        f"arn:aws:sts::{ACCOUNT}:federated-user/{ROLE}",
        f"arn:aws:sts::{ACCOUNT}:assumed-role/evil/{ROLE}/{INSTANCE}",
        f"arn:aws:sts::{ACCOUNT}:assumed-role/{ROLE}/{INSTANCE}/x",
        f"x{ARN}",
        f"{ARN}\n",
        f" {ARN}",
        "",
    ],
)
def test_an_arn_that_only_resembles_that_of_a_role_is_refused(sts: StsStandIn, arn: str) -> None:
    inside = f"<GetCallerIdentityResult><Arn>{arn}</Arn></GetCallerIdentityResult>"
    identity = answering(sts, f"<GetCallerIdentityResponse {XML}>{inside}</GetCallerIdentityResponse>")

    with pytest.raises(RequestRefused, match="not a role of this account"):
        identified(sts, identity)


RESULT = f"<GetCallerIdentityResult><Arn>{ARN}</Arn></GetCallerIdentityResult>"


@pytest.mark.parametrize(
    "body",
    [
        f"<GetCallerIdentityResponse>{RESULT}</GetCallerIdentityResponse>",  # without the namespace
        f"<AssumeRoleResponse {XML}>{RESULT}</AssumeRoleResponse>",
        f"<x {XML}><GetCallerIdentityResponse>{RESULT}</GetCallerIdentityResponse></x>",
        f"<GetCallerIdentityResponse {XML}>{RESULT}{RESULT}</GetCallerIdentityResponse>",
        f"<GetCallerIdentityResponse {XML}><Arn>{ARN}</Arn></GetCallerIdentityResponse>",
        f"<GetCallerIdentityResponse {XML}>{RESULT.replace(ARN, f'{ARN}<b/>x')}</GetCallerIdentityResponse>",
        f"<GetCallerIdentityResponse {XML}>{RESULT.replace(ARN, f'{ARN}<!-- -->x')}</GetCallerIdentityResponse>",
        f'<!DOCTYPE x [<!ENTITY a "{ARN}">]><GetCallerIdentityResponse {XML}>{RESULT}</GetCallerIdentityResponse>',
        f"<GetCallerIdentityResponse {XML}>{RESULT}</GetCallerIdentityResponse>{' ' * 20_000}",
        f'{{"Error": "<GetCallerIdentityResponse {XML}>{RESULT}</GetCallerIdentityResponse>"}}',
        "",
        "\x00",
    ],
)
def test_an_answer_of_any_other_form_identifies_nobody(sts: StsStandIn, body: str) -> None:
    with pytest.raises(CertificateError, match="has an unknown form"):
        identified(sts, answering(sts, body))


@given(st.binary(max_size=300))
def test_no_answer_whatever_it_contains_ends_in_another_error(body: bytes) -> None:
    from unittest import mock

    identity = Identity(
        f"AWS4-HMAC-SHA256 Credential=ASIA000000000000/{now():%Y%m%d}/{REGION}/sts/aws4_request, "
        f"SignedHeaders={SIGNED_HEADERS}, Signature={'0' * 64}",
        f"{now():%Y%m%dT%H%M%SZ}",
        "token",
    )
    with mock.patch.object(Sts, "call", return_value=(200, body)), pytest.raises(CertificateError):
        identify(identity, DIGEST, sts=Sts("", REGION), account=Account("aws", ACCOUNT), now=now())


def test_a_redirect_is_not_followed(sts: StsStandIn) -> None:
    identity = answering(sts, "", 302, Location=f"{sts.url}/other")

    with pytest.raises(RequestRefused):
        identified(sts, identity)
    assert [call.path for call in sts.calls] == ["/"]


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_failure_of_sts_is_no_refusal_and_is_tried_again(sts: StsStandIn, status: int) -> None:
    with pytest.raises(CertificateError, match="STS failed") as raised:
        identified(sts, answering(sts, "", status))
    assert not isinstance(raised.value, RequestRefused)


def test_without_an_answer_of_sts_nobody_is_identified(sts: StsStandIn) -> None:
    with pytest.raises(CertificateError, match="STS did not answer: "):
        identified(sts, signed(sts), url="http://127.0.0.1:1")


def test_an_error_never_contains_what_the_caller_sent(sts: StsStandIn) -> None:
    identity = answering(sts, f"<ErrorResponse {XML}><Error><Message>token</Message></Error></ErrorResponse>", 403)

    with pytest.raises(RequestRefused, match="unknown reason") as raised:
        identified(sts, identity)
    assert identity.token not in str(raised.value)
    assert identity.authorization not in str(raised.value)
