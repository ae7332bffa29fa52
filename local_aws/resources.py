"""Every resource of a template made: in moto by boto3, or as a plan of what the local AWS does itself.

Nothing is skipped silently: a type or a property that is neither made nor listed here, with its reason, stops it.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local_aws.functions import FunctionSpec
from local_aws.permissions import Role, Statement, read_policy
from local_aws.template import ACCOUNT, REGION, Made, NotDoneHereError, Resource

NEEDS_NOTHING = {
    "AWS::CloudWatch::Alarm": "nothing here measures what it judges; the tests of the templates read it",
}
# Properties that make no difference here, by type ("" for every type), each with its reason.
MATTERS_NOT = {
    "": {"Tags": "for people and bills"},
    "AWS::Events::Rule": {"Description": "for people"},
    "AWS::IAM::Role": {
        "AssumeRolePolicyDocument": "the local AWS gives each function its role; the tests of the templates read it",
        "Description": "for people",
    },
    "AWS::KMS::Key": {"PendingWindowInDays": "nobody deletes a key here"},
    "AWS::KinesisFirehose::DeliveryStream": {
        "DeliveryStreamEncryptionConfigurationInput": "what waits here is in memory",
        "DeliveryStreamType": "only SNS puts into it",
    },
    "AWS::Lambda::EventInvokeConfig": {"MaximumEventAgeInSeconds": "no event waits here: no function is throttled"},
    "AWS::Lambda::EventSourceMapping": {"MetricsConfig": "no metrics here; `LocalAws.invocations` counts"},
    "AWS::Lambda::Function": {
        "Architectures": "the bundle is that of the running machine",
        "Code": "the same sources, bundled for the running interpreter",
        "Description": "for people",
        "LoggingConfig": "a function's log is a file: `LocalAws.log`",
        "Runtime": "the running interpreter",
        "TracingConfig": "no X-Ray here",
    },
    "AWS::S3::Bucket": {"LoggingConfiguration": "no access logs here"},
}


@dataclass
class Plan:
    """What moto does not do with the resources made; tables are by ARN."""

    roles: dict[str, Role] = field(default_factory=dict)
    policies: dict[str, list[Statement]] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    functions: dict[str, FunctionSpec] = field(default_factory=dict)
    asynchronous: dict[str, dict[str, Any]] = field(default_factory=dict)
    mappings: list[dict[str, Any]] = field(default_factory=list)
    rules: dict[str, dict[str, Any]] = field(default_factory=dict)
    deliveries: dict[str, dict[str, Any]] = field(default_factory=dict)
    locked_buckets: set[str] = field(default_factory=set)
    buckets_with_events: set[str] = field(default_factory=set)


class Properties:
    """The properties of one resource, each taken once; `finish` complains of one that nobody took."""

    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        self._left = dict(resource.properties)

    def __call__(self, name: str, default: Any = None) -> Any:
        return self._left.pop(name, default)

    def some(self, *names: str) -> dict[str, Any]:
        """Those of these that are there."""
        return {name: self._left.pop(name) for name in names if name in self._left}

    def finish(self) -> None:
        """Raise `NotDoneHereError` for one that is left and matters."""
        matters_not = MATTERS_NOT[""] | MATTERS_NOT.get(self._resource.type, {})
        if left := set(self._left) - set(matters_not):
            raise NotDoneHereError(f"{self._resource}: its property {min(left)} is not known here")


class Maker:
    """Makes resources; `client` gives boto3's client of a service. `plan` grows meanwhile."""

    def __init__(self, client: Callable[[str], Any]) -> None:
        self.plan = Plan()
        self._client = client

    def make(self, resource: Resource) -> Made:
        """Make one; raises `NotDoneHereError`."""
        if resource.type in NEEDS_NOTHING:
            return Made(resource.name)
        if (how := _MAKERS.get(resource.type)) is None:
            raise NotDoneHereError(f"{resource}: its type is not known here")
        properties = Properties(resource)
        try:
            made = how(self, resource, properties)
        except (BotoCoreError, ClientError, KeyError) as error:
            text = " ".join(str(error).split())
            raise NotDoneHereError(f"{resource}: cannot be made: {type(error).__name__}: {text}") from error
        properties.finish()
        return made

    def _bucket(self, resource: Resource, take: Properties) -> Made:
        name, s3 = resource.name.lower()[:63], self._client("s3")
        arn = f"arn:aws:s3:::{name}"
        locked = bool(take("ObjectLockEnabled", False))
        where = {"LocationConstraint": REGION}
        s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=locked, CreateBucketConfiguration=where)
        if locked:
            self.plan.locked_buckets.add(name)
        for name_of_property, call, argument, convert in _BUCKET_PROPERTIES:
            if (value := take(name_of_property)) is not None:
                getattr(s3, call)(Bucket=name, **{argument: convert(value)})
        for rule in resource.properties.get("BucketEncryption", {}).get("ServerSideEncryptionConfiguration", ()):
            if key := rule["ServerSideEncryptionByDefault"].get("KMSMasterKeyID"):
                self.plan.keys[arn] = key
        events = take("NotificationConfiguration", {"EventBridgeConfiguration": {}})
        if set(events) != {"EventBridgeConfiguration"}:
            raise NotDoneHereError(f"{resource}: notifies otherwise than through EventBridge")
        if events["EventBridgeConfiguration"].get("EventBridgeEnabled"):
            self.plan.buckets_with_events.add(name)
        return Made(name, {"Arn": arn})

    def _key(self, _: Resource, take: Properties) -> Made:
        kms = self._client("kms")
        policy = json.dumps(take("KeyPolicy"))
        key = kms.create_key(Description=take("Description", ""), Policy=policy)["KeyMetadata"]
        if take("EnableKeyRotation"):
            kms.enable_key_rotation(KeyId=key["KeyId"])
        return Made(key["KeyId"], {"Arn": key["Arn"]})

    def _stream(self, resource: Resource, take: Properties) -> Made:
        kinesis, name = self._client("kinesis"), {"StreamName": resource.name}
        kinesis.create_stream(**name, **take.some("ShardCount", "StreamModeDetails"))
        if (hours := take("RetentionPeriodHours", 24)) > 24:
            kinesis.increase_stream_retention_period(**name, RetentionPeriodHours=hours)
        arn = kinesis.describe_stream_summary(**name)["StreamDescriptionSummary"]["StreamARN"]
        if encryption := take("StreamEncryption"):
            kinesis.start_stream_encryption(**name, **encryption)
            self.plan.keys[arn] = encryption["KeyId"]
        return Made(resource.name, {"Arn": arn})

    def _table(self, resource: Resource, take: Properties) -> Made:
        dynamodb, name = self._client("dynamodb"), {"TableName": resource.name}
        same = (
            "AttributeDefinitions",
            "BillingMode",
            "DeletionProtectionEnabled",
            "GlobalSecondaryIndexes",
            "KeySchema",
        )
        encrypted = {"Enabled": take("SSESpecification", {}).get("SSEEnabled", False)}
        made = dynamodb.create_table(**name, **take.some(*same), SSESpecification=encrypted)
        if expiry := take("TimeToLiveSpecification"):
            dynamodb.update_time_to_live(**name, TimeToLiveSpecification=expiry)
        if backups := take("PointInTimeRecoverySpecification"):
            dynamodb.update_continuous_backups(**name, PointInTimeRecoverySpecification=backups)
        return Made(resource.name, {"Arn": made["TableDescription"]["TableArn"]})

    def _topic(self, resource: Resource, take: Properties) -> Made:
        attributes = take.some("KmsMasterKeyId")
        arn = self._client("sns").create_topic(Name=resource.name, Attributes=attributes)["TopicArn"]
        if attributes:
            self.plan.keys[arn] = attributes["KmsMasterKeyId"]
        return Made(arn, {"TopicArn": arn, "TopicName": resource.name})

    def _subscription(self, resource: Resource, take: Properties) -> Made:
        attributes = take.some("FilterPolicyScope", "SubscriptionRoleArn")
        if policy := take("FilterPolicy"):
            attributes["FilterPolicy"] = json.dumps(policy)
        if take("RawMessageDelivery"):
            attributes["RawMessageDelivery"] = "true"
        where = take.some("TopicArn", "Protocol", "Endpoint")
        if where["Protocol"] not in ("email", "firehose", "sqs"):
            raise NotDoneHereError(f"{resource}: nothing is delivered by {where['Protocol']} here")
        return Made(self._client("sns").subscribe(**where, Attributes=attributes)["SubscriptionArn"])

    def _queue(self, resource: Resource, take: Properties) -> Made:
        plain = take.some("MessageRetentionPeriod", "SqsManagedSseEnabled", "VisibilityTimeout")
        attributes = {name: str(value).lower() for name, value in plain.items()}
        if redrive := take("RedrivePolicy"):
            attributes["RedrivePolicy"] = json.dumps(redrive)
        sqs = self._client("sqs")
        url = sqs.create_queue(QueueName=resource.name, Attributes=attributes)["QueueUrl"]
        arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{resource.name}"
        return Made(url, {"Arn": arn, "QueueName": resource.name})

    def _policy_of_queues(self, resource: Resource, take: Properties) -> Made:
        return self._policy(resource, take, [f"arn:aws:sqs:{REGION}:{ACCOUNT}:{_last(q)}" for q in take("Queues")])

    def _policy_of_topics(self, resource: Resource, take: Properties) -> Made:
        return self._policy(resource, take, take("Topics"))

    def _policy_of_bucket(self, resource: Resource, take: Properties) -> Made:
        return self._policy(resource, take, [f"arn:aws:s3:::{take('Bucket')}"])

    def _policy(self, resource: Resource, take: Properties, arns: list[str]) -> Made:
        statements = read_policy(str(resource), take("PolicyDocument"))
        for arn in arns:
            self.plan.policies.setdefault(arn, []).extend(statements)
        return Made(resource.name)

    def _role(self, resource: Resource, take: Properties) -> Made:
        arn = f"arn:aws:iam::{ACCOUNT}:role/{resource.name}"
        documents = [policy["PolicyDocument"] for policy in take("Policies", ())]
        statements = [found for document in documents for found in read_policy(str(resource), document)]
        self.plan.roles[arn] = Role(resource.logical_id, statements)
        return Made(resource.name, {"Arn": arn})

    def _secret(self, resource: Resource, take: Properties) -> Made:
        settings = take.some("Description", "KmsKeyId")
        arn = self._client("secretsmanager").create_secret(Name=resource.name, **settings)["ARN"]
        if "KmsKeyId" in settings:
            self.plan.keys[arn] = settings["KmsKeyId"]
        return Made(arn, {"Id": arn})

    def _log_group(self, resource: Resource, take: Properties) -> Made:
        logs = self._client("logs")
        logs.create_log_group(logGroupName=resource.name)
        if days := take("RetentionInDays"):
            logs.put_retention_policy(logGroupName=resource.name, retentionInDays=days)
        return Made(resource.name, {"Arn": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{resource.name}:*"})

    def _log_stream(self, resource: Resource, take: Properties) -> Made:
        self._client("logs").create_log_stream(logGroupName=take("LogGroupName"), logStreamName=resource.name)
        return Made(resource.name)

    def _function(self, resource: Resource, take: Properties) -> Made:
        arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{resource.name}"
        self.plan.functions[arn] = FunctionSpec(
            name=resource.name,
            arn=arn,
            handler=take("Handler"),
            role_arn=take("Role"),
            memory_mib=take("MemorySize", 128),
            timeout_seconds=take("Timeout", 3),
            environment=take("Environment", {}).get("Variables", {}),
        )
        return Made(resource.name, {"Arn": arn})

    def _event_invoke_config(self, resource: Resource, take: Properties) -> Made:
        if (qualifier := take("Qualifier")) != "$LATEST":
            raise NotDoneHereError(f"{resource}: there is no version {qualifier} here")
        arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{take('FunctionName')}"
        self.plan.asynchronous[arn] = take.some("MaximumRetryAttempts")
        return Made(resource.name)

    def _permission(self, resource: Resource, take: Properties) -> Made:
        granted = {"Effect": "Allow", "Action": take("Action"), "Resource": take("FunctionName")}
        condition = {"ArnLike": {"aws:SourceArn": take("SourceArn", "*")}}
        document = {"Statement": {**granted, "Principal": {"Service": take("Principal")}, "Condition": condition}}
        self.plan.policies.setdefault(granted["Resource"], []).extend(read_policy(str(resource), document))
        return Made(resource.name)

    def _mapping(self, resource: Resource, take: Properties) -> Made:
        names = ("FunctionName", "EventSourceArn", "StartingPosition", "BatchSize", "BisectBatchOnFunctionError")
        more = ("MaximumBatchingWindowInSeconds", "MaximumRecordAgeInSeconds", "MaximumRetryAttempts", "ScalingConfig")
        rest = ("ParallelizationFactor", "DestinationConfig", "FunctionResponseTypes")
        mapping_id = str(uuid.uuid5(uuid.NAMESPACE_URL, resource.name))
        self.plan.mappings.append({"Id": mapping_id, **take.some(*names, *more, *rest)})
        return Made(mapping_id)

    def _rule(self, resource: Resource, take: Properties) -> Made:
        arn = f"arn:aws:events:{REGION}:{ACCOUNT}:rule/{resource.name}"
        rule = take.some("EventPattern", "ScheduleExpression", "State", "Targets")
        for target in rule["Targets"]:
            if strange := set(target) - {"Arn", "Id", "DeadLetterConfig", "RetryPolicy"}:
                raise NotDoneHereError(f"{resource}: {min(strange)} of a target is not known here")
        if rule.pop("State", "ENABLED") == "ENABLED":
            self.plan.rules[arn] = rule
        return Made(resource.name, {"Arn": arn})

    def _delivery(self, resource: Resource, take: Properties) -> Made:
        arn = f"arn:aws:firehose:{REGION}:{ACCOUNT}:deliverystream/{resource.name}"
        to = take("ExtendedS3DestinationConfiguration")
        if strange := set(to) - _DELIVERY:
            raise NotDoneHereError(f"{resource}: {min(strange)} of its destination is not known here")
        self.plan.deliveries[arn] = {"Name": resource.name, **to}
        return Made(resource.name, {"Arn": arn})


def _last(url: str) -> str:
    return url.rpartition("/")[2]


# The last two make no difference here: the bucket encrypts by default, and `LocalAws.failures` is the log.
_DELIVERY = {
    *("BucketARN", "BufferingHints", "CompressionFormat", "ErrorOutputPrefix", "Prefix", "RoleARN"),
    *("EncryptionConfiguration", "CloudWatchLoggingOptions"),
}
_MAKERS: dict[str, Callable[[Maker, Resource, Properties], Made]] = {
    "AWS::DynamoDB::Table": Maker._table,
    "AWS::Events::Rule": Maker._rule,
    "AWS::IAM::Role": Maker._role,
    "AWS::KMS::Key": Maker._key,
    "AWS::Kinesis::Stream": Maker._stream,
    "AWS::KinesisFirehose::DeliveryStream": Maker._delivery,
    "AWS::Lambda::EventInvokeConfig": Maker._event_invoke_config,
    "AWS::Lambda::EventSourceMapping": Maker._mapping,
    "AWS::Lambda::Function": Maker._function,
    "AWS::Lambda::Permission": Maker._permission,
    "AWS::Logs::LogGroup": Maker._log_group,
    "AWS::Logs::LogStream": Maker._log_stream,
    "AWS::S3::Bucket": Maker._bucket,
    "AWS::S3::BucketPolicy": Maker._policy_of_bucket,
    "AWS::SNS::Subscription": Maker._subscription,
    "AWS::SNS::Topic": Maker._topic,
    "AWS::SNS::TopicPolicy": Maker._policy_of_topics,
    "AWS::SQS::Queue": Maker._queue,
    "AWS::SQS::QueuePolicy": Maker._policy_of_queues,
    "AWS::SecretsManager::Secret": Maker._secret,
}


def _encryption(value: dict[str, Any]) -> dict[str, Any]:
    rules = [
        {"ApplyServerSideEncryptionByDefault": rule["ServerSideEncryptionByDefault"]}
        | {"BucketKeyEnabled": rule.get("BucketKeyEnabled", False)}
        for rule in value["ServerSideEncryptionConfiguration"]
    ]
    return {"Rules": rules}


def _lifecycle(value: dict[str, Any]) -> dict[str, Any]:
    """CloudFormation's names into S3's; a name that is in neither is refused by boto3."""
    rules = []
    for given in value["Rules"]:
        rule = dict(given)
        rule["ID"], rule["Filter"] = rule.pop("Id"), {"Prefix": rule.pop("Prefix", "")}
        if "ExpirationInDays" in rule:
            rule["Expiration"] = {"Days": rule.pop("ExpirationInDays")}
        if "ExpiredObjectDeleteMarker" in rule:
            rule["Expiration"] = {"ExpiredObjectDeleteMarker": rule.pop("ExpiredObjectDeleteMarker")}
        for transition in (transitions := [dict(item) for item in rule.pop("Transitions", ())]):
            transition["Days"] = transition.pop("TransitionInDays")
        rules.append(rule | ({"Transitions": transitions} if transitions else {}))
    return {"Rules": rules}


def _same(value: Any) -> Any:
    return value


_BUCKET_PROPERTIES: tuple[tuple[str, str, str, Callable[[Any], Any]], ...] = (
    ("VersioningConfiguration", "put_bucket_versioning", "VersioningConfiguration", _same),
    ("BucketEncryption", "put_bucket_encryption", "ServerSideEncryptionConfiguration", _encryption),
    ("LifecycleConfiguration", "put_bucket_lifecycle_configuration", "LifecycleConfiguration", _lifecycle),
    ("ObjectLockConfiguration", "put_object_lock_configuration", "ObjectLockConfiguration", _same),
    ("OwnershipControls", "put_bucket_ownership_controls", "OwnershipControls", _same),
    ("PublicAccessBlockConfiguration", "put_public_access_block", "PublicAccessBlockConfiguration", _same),
)
