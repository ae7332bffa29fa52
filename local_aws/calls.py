"""What a request to AWS asks for: the operation, and what IAM wants allowed for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import parse_qs, unquote

from local_aws.permissions import Need
from local_aws.template import ACCOUNT, REGION


class UnknownCallError(Exception):
    """Nobody has written down what this call needs."""


@dataclass(frozen=True)
class Request:
    """One HTTP request to an AWS service ("dynamodb"); header names are in lower case."""

    service: str
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @cached_property
    def operation(self) -> str:
        """The operation's name in the protocols that have one; of S3, the method."""
        if target := self.headers.get("x-amz-target"):
            return target.rpartition(".")[2]
        return self.method if self.service == "s3" else str(self.arguments.get("Action", "?"))

    @cached_property
    def arguments(self) -> dict[str, Any]:
        """The arguments of protocols that send them as JSON or as a form."""
        if self.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            return {name: values[0] for name, values in parse_qs(self.body.decode()).items()}
        found: dict[str, Any] = json.loads(self.body or b"{}")
        return found

    @property
    def bucket_and_key(self) -> tuple[str, str]:
        """Of S3, where a bucket is the first part of the path."""
        bucket, _, key = unquote(self.path).lstrip("/").partition("/")
        return bucket, key


def needs(request: Request) -> list[Need]:
    """What IAM wants allowed for it, without the keys it encrypts with; raises `UnknownCallError`."""
    service, operation = request.service, request.operation
    if service == "s3":
        return _s3(request)
    if service not in _RESOURCES:
        raise UnknownCallError(f"{service}:{operation}")
    if service == "dynamodb" and operation.startswith("Transact"):
        return _transaction(request.arguments)
    try:
        resources = _RESOURCES[service](request.arguments)
    except KeyError as error:
        raise UnknownCallError(f"{service}:{operation}") from error
    return [Need(f"{service}:{_SINGULAR.get(operation, operation)}", resource) for resource in resources]


# Calls for several are allowed by the action for one (Service Authorization Reference of SQS and SNS).
_SINGULAR = {
    "ChangeMessageVisibilityBatch": "ChangeMessageVisibility",
    "DeleteMessageBatch": "DeleteMessage",
    "PublishBatch": "Publish",
    "SendMessageBatch": "SendMessage",
}


def _arn(service: str, name: str) -> str:
    return name if name.startswith("arn:") else f"arn:aws:{service}:{REGION}:{ACCOUNT}:{name}"


def _table(name: str) -> str:
    return name if name.startswith("arn:") else _arn("dynamodb", f"table/{name}")


def _tables(arguments: Mapping[str, Any]) -> list[str]:
    if "RequestItems" in arguments:
        return [_table(name) for name in arguments["RequestItems"]]
    index = f"/index/{arguments['IndexName']}" if "IndexName" in arguments else ""
    return [_table(arguments["TableName"]) + index]


def _stream(arguments: Mapping[str, Any]) -> list[str]:
    return [arguments.get("StreamARN") or _arn("kinesis", f"stream/{arguments['StreamName']}")]


_RESOURCES: dict[str, Callable[[Mapping[str, Any]], list[str]]] = {
    "dynamodb": _tables,
    "kinesis": _stream,
    "secretsmanager": lambda arguments: [_arn("secretsmanager", arguments["SecretId"])],
    "sns": lambda arguments: [arguments["TopicArn"]],
    "sqs": lambda arguments: [_arn("sqs", arguments["QueueUrl"].rpartition("/")[2])],
}


def _transaction(arguments: Mapping[str, Any]) -> list[Need]:
    """A transaction needs the rights of what is in it (DynamoDB guide, IAM for transactions)."""
    names = {"ConditionCheck": "ConditionCheckItem"}
    return [
        Need(f"dynamodb:{names.get(kind, f'{kind}Item')}", _table(inner["TableName"]))
        for item in arguments["TransactItems"]
        for kind, inner in item.items()
    ]


def _s3(request: Request) -> list[Need]:
    bucket, key = request.bucket_and_key
    where = f"arn:aws:s3:::{bucket}/{key}" if key else f"arn:aws:s3:::{bucket}"
    asked = set(request.query) & _SUBRESOURCES
    found = _S3_ACTIONS.get((request.method, bool(key), min(asked, default="")))
    if found is None or len(asked - {"partNumber"}) > 1:
        raise UnknownCallError(f"s3:{request.method} with {sorted(request.query)}")
    actions = [found, *(action for header, action in _S3_HEADERS.items() if header in request.headers)]
    result = [Need(f"s3:{action}", where) for action in actions]
    if source := request.headers.get("x-amz-copy-source"):
        result.append(Need("s3:GetObject", f"arn:aws:s3:::{unquote(source).lstrip('/')}"))
    return result


# Parts of the query that make another action of a request; `x-id`, `list-type`, `prefix` and the like do not.
_SUBRESOURCES = {
    *("acl", "delete", "legal-hold", "location", "lifecycle", "object-lock", "policy", "retention", "tagging"),
    *("uploadId", "uploads", "versionId", "versioning", "versions", "attributes", "restore", "notification"),
}
_S3_ACTIONS = {
    ("GET", True, ""): "GetObject",
    ("HEAD", True, ""): "GetObject",
    ("GET", True, "versionId"): "GetObjectVersion",
    ("HEAD", True, "versionId"): "GetObjectVersion",
    ("PUT", True, ""): "PutObject",
    ("POST", True, "uploads"): "PutObject",
    ("PUT", True, "uploadId"): "PutObject",
    ("POST", True, "uploadId"): "PutObject",
    ("DELETE", True, "uploadId"): "AbortMultipartUpload",
    ("DELETE", True, ""): "DeleteObject",
    ("GET", False, ""): "ListBucket",
    ("HEAD", False, ""): "ListBucket",
    ("GET", False, "location"): "GetBucketLocation",
    ("GET", False, "uploads"): "ListBucketMultipartUploads",
    ("GET", False, "versions"): "ListBucketVersions",
}
_S3_HEADERS = {"x-amz-object-lock-mode": "PutObjectRetention", "x-amz-tagging": "PutObjectTagging"}

# With a key of one's own, AWS uses it in the caller's name (guides of each service on KMS permissions).
_KEY_ACTIONS = {
    "s3:PutObject": ("kms:GenerateDataKey",),
    "s3:GetObject": ("kms:Decrypt",),
    "s3:GetObjectVersion": ("kms:Decrypt",),
    "sns:Publish": ("kms:Decrypt", "kms:GenerateDataKey"),
    "kinesis:PutRecord": ("kms:GenerateDataKey",),
    "kinesis:PutRecords": ("kms:GenerateDataKey",),
    "kinesis:GetRecords": ("kms:Decrypt",),
    "secretsmanager:GetSecretValue": ("kms:Decrypt",),
    "sqs:ReceiveMessage": ("kms:Decrypt",),
    "sqs:SendMessage": ("kms:Decrypt", "kms:GenerateDataKey"),
}


def key_needs(need: Need, keys: Mapping[str, str]) -> list[Need]:
    """What it needs of the key of its resource; `keys` are the ARNs of keys by the ARN of what they encrypt."""
    service, _, _ = need.action.partition(":")
    key = keys.get(need.resource.partition("/")[0] if service == "s3" else need.resource)
    context = {"kms:ViaService": f"{service}.{REGION}.amazonaws.com"}
    return [Need(action, key, context) for action in _KEY_ACTIONS.get(need.action, ()) if key]
