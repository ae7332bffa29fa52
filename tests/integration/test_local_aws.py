"""The local AWS with a small template of its own: functions, event sources, permissions, and what moto lacks."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from testbed.aws import LocalAws, LocalAwsError, UnsupportedTemplateError
from testbed.aws.functions import Function, FunctionSpec

CODE = '''
import base64, json, os, sys, time
import boto3

def batch(event, context):
    """Fails as the records say; says what it was given."""
    failed = []
    for record in event["Records"]:
        data = base64.b64decode(record["kinesis"]["data"]).decode() if "kinesis" in record else record["body"]
        print("got", data, flush=True)
        if data == "raise":
            raise ValueError(data)
        if data.startswith("{"):
            boto3.client("s3").put_object(**json.loads(data), Body=b"x")
        if data == "fail":
            failed.append(record["kinesis"]["sequenceNumber"] if "kinesis" in record else record["messageId"])
    return {"batchItemFailures": [{"itemIdentifier": item} for item in failed]}

def odd(event, context):
    if event == "sleep":
        time.sleep(600)
    if event == "memory":
        return len(b"x" * (200 << 20))
    if event == "child" and os.fork() == 0:
        held = b"x" * (200 << 20)
    if event == "child":
        time.sleep(600)
    if event == "exit":
        os._exit(3)
    if event == "modules":
        import importlib.util
        return [name for name in ("boto3", "pytest", "vaultwatch", "msgspec") if importlib.util.find_spec(name)]
    return {"event": event, "time": time.time(), "left": context.get_remaining_time_in_millis()}
'''


def allow(actions: list[str], *resources: Any) -> dict[str, Any]:
    return {"Sid": actions[0], "Effect": "Allow", "Action": actions, "Resource": list(resources)}


def policy(service: str, queue: str, source: Any) -> dict[str, Any]:
    arn = {"Fn::GetAtt": [queue, "Arn"]}
    statement = allow(["sqs:SendMessage"], arn) | {"Principal": {"Service": f"{service}.amazonaws.com"}}
    statement["Condition"] = {"ArnEquals": {"aws:SourceArn": source}}
    properties = {"Queues": [{"Ref": queue}], "PolicyDocument": {"Statement": [statement]}}
    return {"Type": "AWS::SQS::QueuePolicy", "Properties": properties}


def get(name: str, attribute: str = "Arn") -> dict[str, Any]:
    return {"Fn::GetAtt": [name, attribute]}


def resource(kind: str, **properties: Any) -> dict[str, Any]:
    return {"Type": f"AWS::{kind}", "Properties": properties}


def template() -> dict[str, Any]:
    stream = ["kinesis:DescribeStreamSummary", "kinesis:GetRecords", "kinesis:GetShardIterator", "kinesis:ListShards"]
    queue = ["sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"]
    objects = {"Fn::Join": ["", [get("Bucket"), "/*"]]}
    may = [allow(stream, get("Stream")), allow(queue, get("Queue")), allow(["s3:ListBucket"], get("Bucket"))]
    may.append(allow(["s3:PutObject"], {"Fn::Join": ["", [get("Bucket"), "/aws/*"]]}))
    to_s3: dict[str, Any] = {
        "BucketARN": get("Bucket"),
        "RoleARN": get("Writer"),
        "Prefix": "alerts/dt=!{timestamp:yyyy-MM-dd}/",
    }
    to_s3 |= {"CompressionFormat": "GZIP", "BufferingHints": {"IntervalInSeconds": 300, "SizeInMBs": 5}}
    put = ["firehose:PutRecord", "firehose:PutRecordBatch"]
    writing = {"PolicyDocument": {"Statement": [allow(["s3:PutObject"], objects)]}}
    feeding = {"PolicyDocument": {"Statement": [allow(put, get("Delivery"))]}}
    partial = ["ReportBatchItemFailures"]
    from_stream: dict[str, Any] = {
        "FunctionName": get("Function"),
        "EventSourceArn": get("Stream"),
        "FunctionResponseTypes": partial,
    }
    from_stream |= {"StartingPosition": "TRIM_HORIZON", "BatchSize": 10, "BisectBatchOnFunctionError": True}
    from_stream |= {"MaximumRetryAttempts": 1, "DestinationConfig": {"OnFailure": {"Destination": get("Bucket")}}}
    from_queue = {"FunctionName": get("Function"), "EventSourceArn": get("Queue"), "FunctionResponseTypes": partial}
    created = {"source": ["aws.s3"], "detail": {"object": {"key": [{"prefix": "in/"}]}}}
    redrive = {"RedrivePolicy": {"deadLetterTargetArn": get("Undelivered")}}
    people = {"TopicArn": {"Ref": "Topic"}, "FilterPolicy": {"disposition": ["first"]}}
    secret = {"Fn::Join": ["", ["{{resolve:secretsmanager:", {"Ref": "Secret"}, ":SecretString}}"]]}
    mails = {"TopicArn": {"Ref": "Topic"}, "FilterPolicy": {"disposition": ["first", "summary"], "key": [secret]}}
    return {
        "Resources": {
            "Bucket": resource(
                "S3::Bucket",
                ObjectLockEnabled=True,
                NotificationConfiguration={"EventBridgeConfiguration": {"EventBridgeEnabled": True}},
            ),
            "Stream": resource("Kinesis::Stream", ShardCount=1),
            "Dead": resource("SQS::Queue"),
            "Queue": resource(
                "SQS::Queue",
                VisibilityTimeout=9000,
                RedrivePolicy={"deadLetterTargetArn": get("Dead"), "maxReceiveCount": 2},
            ),
            "Events": resource("SQS::Queue"),
            "EventsPolicy": policy("events", "Events", get("NewObjects")),
            "NewObjects": resource("Events::Rule", EventPattern=created, Targets=[{"Id": "1", "Arn": get("Events")}]),
            "People": resource("SQS::Queue"),
            "PeoplePolicy": policy("sns", "People", {"Ref": "Topic"}),
            "Topic": resource("SNS::Topic"),
            "ToQueue": resource(
                "SNS::Subscription", Protocol="sqs", Endpoint=get("People"), RawMessageDelivery=True, **people
            ),
            "ToNobody": resource("SNS::Subscription", Protocol="sqs", Endpoint=get("Dead"), **people, **redrive),
            "Undelivered": resource("SQS::Queue"),
            "UndeliveredPolicy": policy("sns", "Undelivered", {"Ref": "Topic"}),
            "ToMail": resource("SNS::Subscription", Protocol="email", Endpoint="a@example.org", **mails),
            "Secret": resource(
                "SecretsManager::Secret", GenerateSecretString={"PasswordLength": 40, "ExcludePunctuation": True}
            ),
            "ToFirehose": resource(
                "SNS::Subscription",
                Protocol="firehose",
                Endpoint=get("Delivery"),
                TopicArn={"Ref": "Topic"},
                SubscriptionRoleArn=get("Feed"),
            ),
            "Delivery": resource("KinesisFirehose::DeliveryStream", ExtendedS3DestinationConfiguration=to_s3),
            "Feed": resource("IAM::Role", Policies=[feeding]),
            "Writer": resource("IAM::Role", Policies=[writing]),
            "Role": resource("IAM::Role", Policies=[{"PolicyDocument": {"Statement": may}}]),
            "Function": resource("Lambda::Function", Handler="toy.batch", Role=get("Role"), Timeout=30, MemorySize=256),
            "FromStream": resource("Lambda::EventSourceMapping", **from_stream),
            "FromQueue": resource("Lambda::EventSourceMapping", **from_queue, BatchSize=10),
        }
    }


@pytest.fixture(scope="session")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("code")
    (folder / "toy.py").write_text(CODE)
    return folder


@pytest.fixture
def aws(code: Path) -> Iterator[LocalAws]:
    with LocalAws({"toy": template()}, code) as aws:
        yield aws


@pytest.fixture(scope="module")
def odd(code: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Function]:
    """A single function, with a limit of a minute and 128 MiB."""
    from testbed.aws.clock import Clock

    scratch = tmp_path_factory.mktemp("scratch")
    spec = FunctionSpec("odd", "arn:odd", "toy.odd", "", 128, 60.0, {})
    function = Function(spec, code, scratch / "odd.log", Clock(scratch / "moved"), {})
    yield function
    function.close()


def put(aws: LocalAws, *records: str) -> None:
    entries: Any = [{"Data": record.encode(), "PartitionKey": "p"} for record in records]
    aws.client("kinesis").put_records(StreamName=aws.physical_id("toy", "Stream"), Records=entries)


def got(aws: LocalAws) -> list[str]:
    return [line.removeprefix("got ") for line in aws.log("toy.batch").splitlines() if line.startswith("got ")]


def waiting(aws: LocalAws, queue: str) -> list[str]:
    found = aws.client("sqs").receive_message(QueueUrl=aws.physical_id("toy", queue), MaxNumberOfMessages=10)
    return [message["Body"] for message in found.get("Messages", ())]


@pytest.mark.parametrize(
    ("event", "seconds", "error"),
    [
        ("sleep", 0.5, "timeout: after 0.5 s"),
        ("memory", 60, "memory: "),
        ("child", 60, "memory: "),
        ("exit", 60, "exit: status 3"),
    ],
)
def test_a_function_is_killed_when_it_takes_too_long_or_too_much_and_the_next_event_finds_a_new_one(
    odd: Function, event: str, seconds: float, error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as limited:
        limited.setattr(odd, "spec", replace(odd.spec, timeout_seconds=seconds))
        assert odd.invoke(event).error.startswith(error)
    assert odd.invoke("again").payload["event"] == "again"


def test_a_host_meets_faults_and_other_processes_may_reach_a_service_at_an_address_of_its_own(code: Path) -> None:
    with LocalAws({"toy": template()}, code, {"sns": "http://127.0.0.1:9"}) as aws:
        assert aws.environment("host")["AWS_ENDPOINT_URL_SNS"] == "http://127.0.0.1:9"
        aws.endpoint.hosts = frozenset({"host"})
        aws.endpoint.fault = lambda call: "InvalidArgumentException" if call.operation == "ListStreams" else ""
        with pytest.raises(ClientError, match="injected by the test"):
            aws.client("kinesis", "host").list_streams()
        assert aws.client("kinesis").list_streams()["StreamNames"]


def test_a_function_sees_its_bundle_and_lambdas_own_packages_only(odd: Function) -> None:
    assert odd.invoke("modules").payload == ["boto3"]


def test_a_function_has_the_time_of_the_moved_clock(odd: Function) -> None:
    before = odd.invoke("time").payload
    odd.clock.move(3600)
    after = odd.invoke("time").payload
    assert 3600 <= after["time"] - before["time"] < 3660
    assert 0 < after["left"] <= 60_000


def test_a_batch_is_split_until_the_failing_record_is_alone_and_is_discarded(aws: LocalAws) -> None:
    put(aws, "a", "b", "raise", "c")
    aws.run_until_idle()
    assert got(aws)[-1] == "raise"
    assert "c" not in got(aws)  # the shard waits
    aws.tick(60)
    assert got(aws)[-1] == "c"
    s3, bucket = aws.client("s3"), aws.physical_id("toy", "Bucket")
    [given_up] = s3.list_objects_v2(Bucket=bucket, Prefix="aws/lambda/")["Contents"]
    report = json.loads(s3.get_object(Bucket=bucket, Key=given_up["Key"])["Body"].read())
    assert report["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert report["KinesisBatchInfo"]["batchSize"] == 1
    assert len(json.loads(report["payload"])["Records"]) == 1


def test_a_partial_response_moves_the_shard_to_the_first_record_that_failed(aws: LocalAws) -> None:
    put(aws, "a", "b", "fail", "c")
    aws.run_until_idle()
    assert got(aws).count("a") == got(aws).count("b") == 1
    aws.tick(60)
    assert got(aws).count("fail") > 1
    assert aws.failures == []


def test_a_message_that_failed_reappears_after_its_visibility_timeout_and_ends_in_the_dead_letters(
    aws: LocalAws,
) -> None:
    for body in ("fail", "fine"):
        aws.client("sqs").send_message(QueueUrl=aws.physical_id("toy", "Queue"), MessageBody=body)
    aws.run_until_idle()
    assert sorted(got(aws)) == ["fail", "fine"]
    aws.tick(8900)
    assert sorted(got(aws)) == ["fail", "fine"]
    aws.tick(200)
    assert sorted(got(aws)) == ["fail", "fail", "fine"]
    aws.tick(9100)
    assert waiting(aws, "Dead") == ["fail"]


def test_a_call_that_the_role_does_not_allow_fails_in_the_function_and_the_test(code: Path) -> None:
    aws = LocalAws({"toy": template()}, code).__enter__()
    put(aws, json.dumps({"Bucket": aws.physical_id("toy", "Bucket"), "Key": "elsewhere"}))
    aws.run_until_idle()
    assert "AccessDenied" in aws.failures[0].error
    assert aws.client("s3").list_objects_v2(Bucket=aws.physical_id("toy", "Bucket"))["KeyCount"] == 0
    with pytest.raises(LocalAwsError, match="s3:PutObject"):
        aws.__exit__(None, None, None)


def test_a_function_killed_after_its_call_gets_the_records_again(aws: LocalAws) -> None:
    kills = iter(["kill after"])
    aws.endpoint.fault = lambda call: next(kills, "") if call.operation == "PutObject" else ""
    put(aws, json.dumps({"Bucket": aws.physical_id("toy", "Bucket"), "Key": "aws/x"}))
    aws.run_until_idle()
    aws.tick(10)
    assert [outcome.error for outcome in aws.failures] == ["exit: status -9"]
    assert len(got(aws)) == 2


def test_unneeded_permissions_and_reasons_without_effect_are_listed(aws: LocalAws) -> None:
    reasons = {"Feed: *": "nothing was published", "Role: s3:PutObject: *": "nothing was written", "X": "?"}
    aws.run_until_idle()
    unneeded = aws.unneeded_permissions(reasons)
    assert any(line.startswith("Role: sqs:DeleteMessage: sqs:DeleteMessage on") for line in unneeded)
    assert not any("GetRecords" in line or line.startswith("Feed") for line in unneeded)
    assert unneeded[-1] == "X: all of these were needed"


def test_sns_delivers_by_filter_and_policy_and_a_failed_subscriber_affects_no_other(
    aws: LocalAws,
) -> None:
    bodies = json.dumps({"default": "for machines", "email": "for people"})
    for disposition in ("first", "suppressed"):
        attributes: Any = {"disposition": {"DataType": "String", "StringValue": disposition}}
        topic = {"TopicArn": aws.physical_id("toy", "Topic"), "Subject": "s", "MessageAttributes": attributes}
        aws.client("sns").publish(Message=bodies, MessageStructure="json", **topic)
    assert waiting(aws, "People") == ["for machines"]
    assert [json.loads(body)["Message"] for body in waiting(aws, "Undelivered")] == ["for machines"]
    assert aws.mails == []  # they ask for another attribute, too
    assert ["Dead" in failure and "policy" in failure for failure in aws.deliveries.failures] == [True]
    aws.tick(299)
    s3, bucket = aws.client("s3"), aws.physical_id("toy", "Bucket")
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    aws.tick(2)
    [found] = s3.list_objects_v2(Bucket=bucket, Prefix="alerts/dt=20")["Contents"]
    lines = gzip.decompress(s3.get_object(Bucket=bucket, Key=found["Key"])["Body"].read()).splitlines()
    assert [json.loads(line)["MessageAttributes"]["disposition"]["Value"] for line in lines] == ["first", "suppressed"]


def test_a_mail_is_sent_only_of_what_has_each_attribute_with_a_value_that_the_filter_names(aws: LocalAws) -> None:
    secret = aws.client("secretsmanager").get_secret_value(SecretId=aws.physical_id("toy", "Secret"))["SecretString"]
    reference = aws.client("sns").list_subscriptions()["Subscriptions"]
    found = [
        aws.client("sns").get_subscription_attributes(SubscriptionArn=one["SubscriptionArn"])["Attributes"]
        for one in reference
        if one["Protocol"] == "email"
    ]
    assert [json.loads(one["FilterPolicy"])["key"] for one in found] == [[secret]]
    for disposition, *keys in (
        ("first", secret),
        ("first", secret[:-1]),
        ("first", f"{secret} "),
        ("first",),
        ("suppressed", secret),
        ("summary", secret),
    ):
        given = {"disposition": disposition, **({"key": keys[0]} if keys else {})}
        attributes: Any = {name: {"DataType": "String", "StringValue": value} for name, value in given.items()}
        topic = aws.physical_id("toy", "Topic")
        aws.client("sns").publish(TopicArn=topic, Message=str(given), MessageAttributes=attributes)
    assert [(mail.address, secret in mail.text, "summary" in mail.text) for mail in aws.mails] == [
        ("a@example.org", True, False),
        ("a@example.org", True, True),
    ]


def test_a_new_object_reaches_the_queue_of_the_rule_that_wants_it(aws: LocalAws) -> None:
    for key in ("in/a b", "out/a"):
        aws.client("s3").put_object(Bucket=aws.physical_id("toy", "Bucket"), Key=key, Body=b"12345")
    [event] = [json.loads(body) for body in waiting(aws, "Events")]
    assert event["detail-type"] == "Object Created"
    assert (event["detail"]["object"]["key"], event["detail"]["object"]["size"]) == ("in/a b", 5)


def test_a_rule_that_its_target_does_not_allow_is_an_error(code: Path) -> None:
    wrong = template()
    del wrong["Resources"]["EventsPolicy"]
    with pytest.raises(UnsupportedTemplateError, match="NewObjects: the policy of its target does not allow it"):
        LocalAws({"toy": wrong}, code).__enter__()


def test_an_upload_with_a_wrong_checksum_is_refused(aws: LocalAws) -> None:
    import base64

    s3, where = aws.client("s3"), {"Bucket": aws.physical_id("toy", "Bucket"), "Key": "in/x"}
    right = base64.b64encode(sha256(b"body").digest()).decode()
    s3.put_object(**where, Body=b"body", ChecksumSHA256=right)
    with pytest.raises(ClientError, match="BadDigest"):
        s3.put_object(**where, Body=b"bodY", ChecksumSHA256=right)


def test_an_upload_without_a_checksum_is_refused_where_objects_are_locked(aws: LocalAws) -> None:
    account: Any = {"aws_access_key_id": "local", "aws_secret_access_key": "local", "region_name": "eu-central-1"}
    config = Config(request_checksum_calculation="when_required")
    s3 = boto3.client("s3", endpoint_url=aws.endpoint.url, config=config, **account)
    with pytest.raises(ClientError, match="InvalidRequest"):
        s3.put_object(Bucket=aws.physical_id("toy", "Bucket"), Key="in/x", Body=b"body")


def test_a_transaction_that_fails_leaves_every_item_as_it_was(aws: LocalAws) -> None:
    dynamodb, key = aws.client("dynamodb"), {"AttributeName": "k", "AttributeType": "S"}
    schema = [{"AttributeName": "k", "KeyType": "HASH"}]
    dynamodb.create_table(TableName="t", AttributeDefinitions=[key], KeySchema=schema, BillingMode="PAY_PER_REQUEST")
    dynamodb.put_item(TableName="t", Item={"k": {"S": "a"}, "n": {"N": "1"}})
    one = {":one": {"N": "1"}}
    change = {"Key": {"k": {"S": "a"}}, "UpdateExpression": "ADD n :one", "ExpressionAttributeValues": one}
    new = {"Item": {"k": {"S": "b"}}}
    impossible = {"Key": {"k": {"S": "c"}}, "ConditionExpression": "attribute_exists(k)"}
    items: list[dict[str, Any]] = [{"Update": change}, {"Put": new}, {"ConditionCheck": impossible}]
    with pytest.raises(ClientError, match="ConditionalCheckFailed"):
        dynamodb.transact_write_items(
            TransactItems=[{kind: {"TableName": "t", **inner}} for item in items for kind, inner in item.items()]
        )
    assert dynamodb.scan(TableName="t")["Items"] == [{"k": {"S": "a"}, "n": {"N": "1"}}]


def test_a_second_one_in_the_same_process_is_refused(aws: LocalAws, code: Path) -> None:
    with pytest.raises(LocalAwsError, match="another local AWS"), LocalAws({}, code):
        pass
    put(aws, "a")
    aws.run_until_idle()
    assert got(aws) == ["a"]
