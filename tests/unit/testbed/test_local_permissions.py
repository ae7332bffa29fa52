"""Calls are checked against policies: what a request needs, and what a statement allows."""

from __future__ import annotations

import json
from typing import Any

import pytest

from testbed.aws.calls import Request, UnknownCallError, needs
from testbed.aws.permissions import Need, Policy
from testbed.aws.template import UnsupportedTemplateError

STREAM, TABLE = (f"arn:aws:{what}" for what in ("kinesis:x:1:stream/s", "dynamodb:eu-central-1:123456789012:table/t"))
NO_KEYS: dict[str, str] = {}


def role(*statements: dict[str, Any]) -> Policy:
    policy = Policy("R")
    policy.add({"Statement": [{"Effect": "Allow", "Sid": "S", **s} for s in statements]})
    return policy


def request(service: str, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> Request:
    signed = {"Authorization": f"AWS4-HMAC-SHA256 Credential=ROLE/20261121/eu-central-1/{service}/aws4_request, ..."}
    made = Request.from_primitives(method, f"http://127.0.0.1:1{path}", {**headers, **signed}, body)
    assert isinstance(made, Request)
    return made


def asked(service: str, operation: str, arguments: dict[str, Any]) -> Request:
    headers = {"x-amz-target": f"X.{operation}", "content-type": "application/x-amz-json-1.0"}
    return request(service, "POST", "/", headers, json.dumps(arguments).encode())


def call(service: str, operation: str, arguments: dict[str, Any]) -> list[tuple[str, str]]:
    return [(need.action, need.resource) for need in needs(asked(service, operation, arguments), NO_KEYS)]


def s3(method: str, path: str, **headers: str) -> list[tuple[str, str]]:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return [(need.action, need.resource) for need in needs(request("s3", method, path, given), NO_KEYS)]


def test_an_action_on_a_resource_is_allowed_by_wildcards_as_in_iam() -> None:
    reads = role({"Action": "s3:Get*", "Resource": ["arn:aws:s3:::b/in/*"]})
    assert reads.allows(Need("s3:GetObject", "arn:aws:s3:::b/in/x/y"))
    assert not reads.allows(Need("s3:GetObject", "arn:aws:s3:::b/out/x"))
    assert not reads.allows(Need("s3:PutObject", "arn:aws:s3:::b/in/x"))
    assert not role({"Action": "s3:*", "Resource": "arn:aws:s3:::a.b"}).allows(Need("s3:X", "arn:aws:s3:::aXb"))


def test_a_denial_overrides_an_allowance() -> None:
    both = role({"Action": "*", "Resource": "*"}, {"Effect": "Deny", "Action": "sns:*", "Resource": "*"})
    assert not both.allows(Need("sns:Publish", "t"))
    assert both.unneeded() == ["R: S: * on *"]  # what is denied needs nothing
    assert both.allows(Need("sqs:SendMessage", "q"))


def test_a_condition_must_hold_and_its_key_must_exist() -> None:
    condition = {"StringEquals": {"kms:ViaService": "s3.eu-central-1.amazonaws.com"}}
    through = role({"Action": "kms:Decrypt", "Resource": "k", "Condition": condition})
    _, need = needs(request("s3", "GET", "/b/x", {}), {"arn:aws:s3:::b": "k"})
    assert (need.action, need.resource) == ("kms:Decrypt", "k")
    assert through.allows(need)
    assert not through.allows(Need("kms:Decrypt", "k"))
    _, other = needs(asked("kinesis", "GetRecords", {"StreamARN": STREAM}), {STREAM: "k"})
    assert not through.allows(other)


@pytest.mark.parametrize("more", [{"NotResource": "*"}, {"Condition": {"DateLessThan": {"aws:CurrentTime": "x"}}}])
def test_an_unsupported_statement_is_an_error(more: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedTemplateError, match=r"R: .* is not supported"):
        role({"Action": "*", "Resource": "*", **more})


def test_a_permission_that_no_call_needed_is_listed() -> None:
    two = role({"Action": ["s3:GetObject", "s3:PutObject"], "Resource": "arn:aws:s3:::b/*"})
    two.allows(Need("s3:GetObject", "arn:aws:s3:::b/x"))
    assert two.unneeded() == ["R: S: s3:PutObject on arn:aws:s3:::b/*"]


def test_a_service_may_do_what_the_resource_allows_for_this_source() -> None:
    secure: dict[str, Any] = {"Effect": "Deny", "Principal": "*", "Action": "sqs:*", "Resource": "q"}
    secure["Condition"] = {"Bool": {"aws:SecureTransport": "false"}}
    allows: dict[str, Any] = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
    }
    allows |= {"Resource": "q", "Condition": {"ArnEquals": {"aws:SourceArn": "topic"}}}
    policy, need = Policy("P"), Need("sqs:SendMessage", "q", {"aws:SourceArn": "topic"})
    assert not policy.allows(need, "sns.amazonaws.com")
    policy.add({"Statement": [secure, allows]})
    assert policy.allows(need, "sns.amazonaws.com")
    assert not policy.allows(Need("sqs:SendMessage", "q", {"aws:SourceArn": "another"}), "sns.amazonaws.com")
    assert not policy.allows(need, "events.amazonaws.com")


def test_a_transaction_needs_the_permissions_of_its_items() -> None:
    items = [{kind: {"TableName": "t"}} for kind in ("Put", "Update", "Delete", "ConditionCheck")]
    found = call("dynamodb", "TransactWriteItems", {"TransactItems": items})
    actions = ["PutItem", "UpdateItem", "DeleteItem", "ConditionCheckItem"]
    assert found == [(f"dynamodb:{action}", TABLE) for action in actions]


def test_calls_need_the_actions_of_the_service_authorization_reference() -> None:
    assert call("dynamodb", "Query", {"TableName": "t", "IndexName": "due"}) == [
        ("dynamodb:Query", f"{TABLE}/index/due")
    ]
    assert call("dynamodb", "BatchGetItem", {"RequestItems": {"t": {}}}) == [("dynamodb:BatchGetItem", TABLE)]
    queue = {"QueueUrl": "http://127.0.0.1:1/123456789012/q"}
    assert call("sqs", "DeleteMessageBatch", queue) == [
        ("sqs:DeleteMessage", "arn:aws:sqs:eu-central-1:123456789012:q")
    ]
    assert s3("GET", "/b/a%20b?x-id=GetObject") == [("s3:GetObject", "arn:aws:s3:::b/a b")]
    assert s3("GET", "/b?list-type=2&prefix=x") == [("s3:ListBucket", "arn:aws:s3:::b")]
    assert s3("PUT", "/b/k", x_amz_tagging="a=b") == [
        ("s3:PutObject", "arn:aws:s3:::b/k"),
        ("s3:PutObjectTagging", "arn:aws:s3:::b/k"),
    ]


def test_a_call_that_is_not_listed_is_refused() -> None:
    for service, operation in (("ec2", "RunInstances"), ("sqs", "ListQueues"), ("kinesis", "ListStreams")):
        with pytest.raises(UnknownCallError):
            call(service, operation, {})
    with pytest.raises(UnknownCallError):
        s3("PUT", "/b/k?acl")
