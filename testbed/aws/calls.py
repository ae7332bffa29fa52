"""Requests to AWS: which operation they call, and which permissions they need."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any
from xml.etree import ElementTree

from moto.core import request as moto_request
from moto.core.routing import get_service_router

from testbed.aws.leading_keys import leading_keys
from testbed.aws.permissions import Context, Need
from testbed.aws.template import REGION, arn_of, role_arn

_INVOCATION = re.compile(r"/2015-03-31/functions/([^/]+)/invocations")


_RECORD_SETS = re.compile(r"/2013-04-01/hostedzone/([^/]+)/rrset/?")
_PREFIXES = {"monitoring": "cloudwatch"}  # of permissions, where the name in signatures is another one


class UnknownCallError(Exception):
    """The permissions of this call are not listed in this module."""


class Request(moto_request.Request):
    """One HTTP request to an AWS service."""

    @cached_property
    def credential(self) -> list[str]:
        """Access key, date, region and service from the signature; empty texts if the request is not signed."""
        return [*self.headers.get("authorization", "").partition("Credential=")[2].split("/"), "", "", ""]

    @property
    def service(self) -> str:
        """The service, as in an ARN: "dynamodb"."""
        return self.credential[3]

    @cached_property
    def operation(self) -> str:
        """The operation's name in botocore's model of the service."""
        if self.service == "s3":
            return str(get_service_router("s3").match(self)[0].name)
        if invoked_function(self):
            return "Invoke"
        if self.service == "lambda":
            return str(get_service_router("lambda").match(self)[0].name)
        if _RECORD_SETS.fullmatch(self.path):
            return "ChangeResourceRecordSets"
        return self.headers.get("x-amz-target", "").rpartition(".")[2] or self.form.get("Action", "?")

    @cached_property
    def arguments(self) -> Mapping[str, Any]:
        """The arguments: from the JSON or the form in the body, or with S3 from the path."""
        if self.service == "s3" or (self.service == "lambda" and not invoked_function(self)):
            return get_service_router(self.service).match(self)[1]
        if zone := _RECORD_SETS.fullmatch(self.path):
            return {"HostedZoneId": zone[1]}
        found: Mapping[str, Any] = self.form.to_dict() or json.loads(self.get_data() or b"{}")
        return found


def invoked_function(request: Request) -> str:
    """Return the ARN of the function that a request invokes, "" if it is another request."""
    found = _INVOCATION.fullmatch(request.path) if request.service == "lambda" else None
    return function_arn(found[1]) if found else ""


def function_arn(name: str) -> str:
    """Return the ARN of a function that a call names by its name or its ARN."""
    return name if name.startswith("arn:") else arn_of("lambda", f"function:{name}")


def needs(request: Request, keys: Mapping[str, str]) -> list[Need]:
    """Return the permissions that a request needs.

    Args:
        request: The request.
        keys: The ARNs of KMS keys by the ARN of the resource that they encrypt: AWS uses a key with the permissions of
            the caller (each service's guide, on KMS permissions).

    Raises:
        UnknownCallError: This call is not listed here.
    """
    service, found = _PREFIXES.get(request.service, request.service), list[Need]()
    try:
        for action, resource, about in _actions(request):
            found.append(Need(f"{service}:{action}", resource, about))
            if key := keys.get(resource.partition("/")[0] if service == "s3" else resource):
                context = {"kms:ViaService": f"{service}.{REGION}.amazonaws.com", "kms:GrantIsForAWSResource": "true"}
                found += [Need(f"kms:{action}", key, context) for action in _KEY_ACTIONS.get(action, ())]
    except KeyError as error:
        raise UnknownCallError(f"{service}:{request.operation}") from error
    return found


def _actions(request: Request) -> list[tuple[str, str, Context]]:
    """Return each action with its resource and the context of conditions; `KeyError` for a call not listed here."""
    operation, arguments = request.operation, request.arguments
    match request.service:
        case service if service in _NAMED_BY:
            return [(operation, arguments[_NAMED_BY[service]], {})]
        case "kinesis":
            return [
                (operation, arguments.get("StreamARN") or arn_of("kinesis", f"stream/{arguments['StreamName']}"), {})
            ]
        case "dynamodb":
            return _row_actions(operation, arguments)
        case "firehose":
            return [(operation, arn_of("firehose", f"deliverystream/{arguments['DeliveryStreamName']}"), {})]
        case "lambda" if invoked_function(request):
            return [("InvokeFunction", invoked_function(request), {})]
        case "ssm" if "Name" in arguments:
            replacing = {"ssm:Overwrite": str(arguments.get("Overwrite", False)).lower()}
            context = replacing if operation == "PutParameter" else {}
            return [(operation, arn_of("ssm", f"parameter{arguments['Name']}"), context)]
        case "sns":
            named = arguments.get("TopicArn") or arguments["SubscriptionArn"]
            return [(operation.removesuffix("Batch"), named, {})]
        case "sqs":
            return [(operation.removesuffix("Batch"), arn_of("sqs", arguments["QueueUrl"].rpartition("/")[2]), {})]
        case "s3":
            return _object_actions(request)
    return _host_actions(request)


def _object_actions(request: Request) -> list[tuple[str, str, Context]]:
    """Return those of S3; a version of an object needs an action of its own."""
    operation, arguments = request.operation, request.arguments
    action = _S3_ACTIONS[operation] + ("Version" if "versionId" in request.args else "")
    headers = [action for header, action in _S3_HEADERS.items() if header in request.headers]
    context = {"s3:prefix": request.args["prefix"]} if "prefix" in request.args else {}
    if action == "PutObject":
        context["s3:ObjectCreationOperation"] = str(operation in _CREATING).lower()
    if "if-none-match" in request.headers:
        context["s3:if-none-match"] = request.headers["if-none-match"]
    where = "arn:aws:s3:::" + "/".join(arguments[name] for name in ("Bucket", "Key") if name in arguments)
    found: list[tuple[str, str, Context]] = [(action, where, context) for action in (action, *headers)]
    if source := request.headers.get("x-amz-copy-source"):
        found.append(("GetObject", f"arn:aws:s3:::{source.lstrip('/')}", {}))
    return found


def _host_actions(request: Request) -> list[tuple[str, str, Context]]:
    """Return those of the services that only hosts call."""
    operation, arguments = request.operation, request.arguments
    match request.service:
        case "ec2" if operation == "AttachVolume":
            kinds = ("volume", "VolumeId"), ("instance", "InstanceId")
            return [(operation, arn_of("ec2", f"{kind}/{arguments[given]}"), {}) for kind, given in kinds]
        case "route53":
            return [(operation, f"arn:aws:route53:::hostedzone/{arguments['HostedZoneId']}", _records(request))]
        case "cloudformation":
            return [(operation, arn_of("cloudformation", f"stack/{arguments['StackName']}/1"), {})]
        case "monitoring" if operation == "PutMetricData":
            return [(operation, "*", {"cloudwatch:namespace": arguments["Namespace"]})]
    return [(operation, _RESOURCES[request.service, operation](arguments), {})]


def record_sets(request: Request) -> list[tuple[str, dict[str, Any]]]:
    """Return the changes that a call of Route 53 asks for: action, and a record set with its values."""
    root = ElementTree.fromstring(request.get_data())  # noqa: S314  from a host of this machine
    found = []
    for change in root.iterfind(".//{*}Change"):
        one: dict[str, Any] = {name: change.findtext(f".//{{*}}{name}", "") for name in ("Name", "Type")}
        one["values"] = [it.text for it in change.iterfind(".//{*}Value")]
        found.append((change.findtext("{*}Action", ""), one))
    return found


def _records(request: Request) -> Context:
    changes, key = record_sets(request), "route53:ChangeResourceRecordSets"
    return {
        f"{key}Actions": tuple(action for action, _ in changes),
        f"{key}NormalizedRecordNames": tuple(record["Name"].rstrip(".").lower() for _, record in changes),
        f"{key}RecordTypes": tuple(record["Type"] for _, record in changes),
    }


def _row_actions(operation: str, arguments: Mapping[str, Any]) -> list[tuple[str, str, Context]]:
    """Return those of DynamoDB: a transaction needs the permissions of its parts (DynamoDB guide), a batch its own."""
    if "TransactItems" in arguments:
        inside = [(_PARTS[kind], asked) for item in arguments["TransactItems"] for kind, asked in item.items()]
        parts = [(action, asked["TableName"], asked) for action, asked in inside]
    elif "RequestItems" in arguments:
        parts = [(operation, table, asked) for table, asked in arguments["RequestItems"].items()]
    else:
        parts = [(operation, arguments["TableName"], arguments)]
    index = f"/index/{arguments['IndexName']}" if "IndexName" in arguments else ""
    return [
        (action, arn_of("dynamodb", f"table/{table}{index}"), leading_keys(table, asked))
        for action, table, asked in parts
    ]


# The argument that is the ARN of the resource.
_NAMED_BY = {"kms": "KeyId", "secretsmanager": "SecretId"}
_PARTS = {
    "ConditionCheck": "ConditionCheckItem",
    "Delete": "DeleteItem",
    "Get": "GetItem",
    "Put": "PutItem",
    "Update": "UpdateItem",
}

_RESOURCES: Mapping[tuple[str, str], Callable[[Mapping[str, Any]], str]] = {
    ("ec2", "CreateTags"): lambda given: arn_of("ec2", f"instance/{given['ResourceId.1']}"),
    ("ec2", "DescribeInstances"): lambda given: "*",
    ("ec2", "TerminateInstances"): lambda given: arn_of("ec2", f"instance/{given['InstanceId.1']}"),
    ("events", "DisableRule"): lambda given: arn_of("events", f"rule/{given['Name']}"),
    ("iam", "AttachRolePolicy"): lambda given: role_arn(given["RoleName"]),
    ("iam", "DeleteRole"): lambda given: role_arn(given["RoleName"]),
    ("iam", "GetRole"): lambda given: role_arn(given["RoleName"]),
    ("iam", "PutRolePolicy"): lambda given: role_arn(given["RoleName"]),
    ("lambda", "GetFunction"): lambda given: function_arn(given["FunctionName"]),
    ("lambda", "GetFunctionConfiguration"): lambda given: function_arn(given["FunctionName"]),
    ("lambda", "ListFunctions"): lambda given: "*",
    ("lambda", "UpdateFunctionCode"): lambda given: function_arn(given["FunctionName"]),
    ("logs", "DeleteLogGroup"): lambda given: arn_of("logs", given["logGroupName"]),
    ("logs", "GetLogEvents"): lambda given: arn_of("logs", given["logGroupName"]),
    ("logs", "PutLogEvents"): lambda given: arn_of("logs", given["logGroupName"]),
    ("monitoring", "DeleteAlarms"): lambda given: arn_of("cloudwatch", f"alarm:{_first(given, 'AlarmNames')}"),
    ("monitoring", "DisableAlarmActions"): lambda given: arn_of("cloudwatch", f"alarm:{_first(given, 'AlarmNames')}"),
    ("ssm", "SendCommand"): lambda given: arn_of("ec2", f"instance/{given['InstanceIds'][0]}"),
    ("ssm", "StartSession"): lambda given: arn_of("ec2", f"instance/{given['Target']}"),
    ("ssm", "UpdateInstanceInformation"): lambda given: "*",
    ("sts", "AssumeRole"): lambda given: given["RoleArn"],
}
"""The resource of a call that is on one, by service and operation. A log group's ARN is that of the templates here."""


def _first(given: Mapping[str, Any], name: str) -> str:
    return str(given[name][0] if name in given else given[f"{name}.member.1"])


_CREATING = ("CompleteMultipartUpload", "CopyObject", "PutObject")
"""The operations that make an object; the others of an upload in parts do not."""
_S3_ACTIONS = {
    "AbortMultipartUpload": "AbortMultipartUpload",
    "CompleteMultipartUpload": "PutObject",
    "CopyObject": "PutObject",
    "CreateMultipartUpload": "PutObject",
    "DeleteBucketPolicy": "DeleteBucketPolicy",
    "DeleteObject": "DeleteObject",
    "GetBucketPolicy": "GetBucketPolicy",
    "GetObject": "GetObject",
    "HeadBucket": "ListBucket",
    "HeadObject": "GetObject",
    "ListObjectsV2": "ListBucket",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "PutBucketPolicy": "PutBucketPolicy",
    "PutBucketVersioning": "PutBucketVersioning",
    "PutObject": "PutObject",
    "PutObjectRetention": "PutObjectRetention",
    "UploadPart": "PutObject",
}
_S3_HEADERS = {"x-amz-object-lock-mode": "PutObjectRetention", "x-amz-tagging": "PutObjectTagging"}
_KEY_ACTIONS = {
    "AttachVolume": ("CreateGrant", "Decrypt"),
    "GetObject": ("Decrypt",),
    "GetRecords": ("Decrypt",),
    "GetSecretValue": ("Decrypt",),
    "Publish": ("Decrypt", "GenerateDataKey"),
    "PutObject": ("GenerateDataKey",),
    "PutRecord": ("GenerateDataKey",),
    "PutRecords": ("GenerateDataKey",),
    "PutSecretValue": ("Decrypt", "GenerateDataKey"),
    "ReceiveMessage": ("Decrypt",),
    "SendMessage": ("Decrypt", "GenerateDataKey"),
}
