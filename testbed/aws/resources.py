"""Creates every resource of a template: in moto through boto3, or as a definition that the local AWS itself uses.

Nothing is skipped silently: a type or property that is neither used nor listed here with a reason is an error.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from testbed.aws.functions import FunctionSpec
from testbed.aws.instances import Instances
from testbed.aws.permissions import Need, Policy
from testbed.aws.template import ACCOUNT, REGION, Made, Resource, UnsupportedTemplateError, arn_of

_ROLES_ONLY = "only the roles of callers are checked; the tests of the templates check it"
_LOGS = "a function's log is a file, `LocalAws.log`, and Firehose's is `Deliveries.failures`"
NOT_CREATED = {
    **dict.fromkeys(
        (
            "AWS::EC2::EIP",
            "AWS::EC2::FlowLog",
            "AWS::EC2::Instance",
            "AWS::EC2::InternetGateway",
            "AWS::EC2::Route",
            "AWS::EC2::RouteTable",
            "AWS::EC2::SecurityGroup",
            "AWS::EC2::SecurityGroupEgress",
            "AWS::EC2::SecurityGroupIngress",
            "AWS::EC2::Subnet",
            "AWS::EC2::SubnetRouteTableAssociation",
            "AWS::EC2::VPC",
            "AWS::EC2::VPCEndpoint",
            "AWS::EC2::VPCGatewayAttachment",
            "AWS::ElasticLoadBalancingV2::Listener",
            "AWS::ElasticLoadBalancingV2::LoadBalancer",
            "AWS::ElasticLoadBalancingV2::TargetGroup",
            "AWS::Route53::RecordSet",
            "Custom::VpcRestrictDefaultSG",
        ),
        "there is no network of AWS here; the tests of the templates check it",
    ),
    "AWS::SSM::Document": "there are no sessions here",
    "AWS::CloudWatch::Alarm": "`LocalAws.fired_alarms` evaluates those on metrics of ours; AWS writes none here",
    "AWS::KMS::Key": "moto encrypts nothing; permissions on it are checked, by its ARN. Keys that sign are created",
    "AWS::Logs::LogGroup": _LOGS,
    "AWS::Logs::LogStream": _LOGS,
    "AWS::SNS::TopicPolicy": _ROLES_ONLY,
    "AWS::SecretsManager::ResourcePolicy": _ROLES_ONLY,
}
# Properties that have no effect here, by type ("" for every type), each with its reason.
WITHOUT_EFFECT = {
    "": {"Tags": "for people and bills", "Description": "for people"},
    "AWS::DynamoDB::Table": {
        "DeletionProtectionEnabled": "nobody deletes a table here",
        "PointInTimeRecoverySpecification": "nobody restores a table here",
        "SSESpecification": "moto encrypts nothing; with this key AWS requires no permission of the caller",
    },
    "AWS::IAM::Role": {
        "AssumeRolePolicyDocument": "the local AWS assigns the roles; the tests of the templates check it",
        "MaxSessionDuration": "the local AWS ends no session",
        "ManagedPolicyArns": "they grant nothing here: a call that needs one is refused",
    },
    "AWS::Kinesis::Stream": {"RetentionPeriodHours": "moto never deletes records"},
    "AWS::KinesisFirehose::DeliveryStream": {
        "DeliveryStreamEncryptionConfigurationInput": "what waits here is in memory",
        "DeliveryStreamType": "only DirectPut: SNS and the functions put into it",
    },
    "AWS::Lambda::EventInvokeConfig": {"MaximumEventAgeInSeconds": "no event waits here: no function is throttled"},
    "AWS::Lambda::EventSourceMapping": {
        "MaximumBatchingWindowInSeconds": "a batch is what there is: nothing waits for more",
        "MetricsConfig": "no metrics here; `LocalAws.invocations` counts",
    },
    "AWS::Lambda::Function": {
        "Architectures": "the bundle is that of the running machine",
        "EphemeralStorage": "`/tmp` is that of this machine",
        "Code": "the same sources, bundled for the running interpreter",
        "LoggingConfig": "a function's log is a file: `LocalAws.log`",
        "Runtime": "the running interpreter",
        "TracingConfig": "there is no X-Ray here",
    },
    "AWS::S3::Bucket": {
        "LifecycleConfiguration": "moto deletes and moves nothing",
        "LoggingConfiguration": "there are no access logs here",
        "OwnershipControls": "there is only one account",
        "PublicAccessBlockConfiguration": "nobody but this machine reaches it",
    },
}
# Those that others refer to, of what is not created.
_ATTRIBUTES = ("AvailabilityZone", "CanonicalHostedZoneID", "DNSName", "DefaultSecurityGroup", "GroupId")
_ROOT = f"arn:aws:iam::{ACCOUNT}:root"
# The only values of these properties that are supported; the defaults may be left out.
_PLAIN = {"ParallelizationFactor": 1}
_POSITIONS = {":kinesis:": ("TRIM_HORIZON",), ":dynamodb:": ("LATEST", "TRIM_HORIZON")}
_MAPPING = {**_PLAIN, "FunctionResponseTypes": ["ReportBatchItemFailures"]}


@dataclass
class Maker:
    """Creates resources with boto3, and collects the definitions of those that the local AWS runs itself.

    Roles are by name, all other resources by ARN; `keys` are the KMS keys by the ARN of the resource that they encrypt.
    """

    client: Callable[[str], Any]
    roles: dict[str, Policy] = field(default_factory=dict)
    policies: dict[str, Policy] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    key_policies: dict[str, Policy] = field(default_factory=dict)
    bucket_policies: dict[str, Policy] = field(default_factory=dict)
    functions: dict[str, FunctionSpec] = field(default_factory=dict)
    retries: dict[str, int] = field(default_factory=dict)  # of asynchronous invocations
    mappings: list[dict[str, Any]] = field(default_factory=list)
    rules: dict[str, dict[str, Any]] = field(default_factory=dict)
    deliveries: dict[str, dict[str, Any]] = field(default_factory=dict)
    instances: Instances = field(default_factory=Instances)

    def make(self, resource: Resource) -> Made:
        """Create one resource; raises `UnsupportedTemplateError`."""
        *_, service, kind = resource.type.split("::")
        if resource.type == "AWS::KMS::Key" and resource.get("KeyUsage") == "SIGN_VERIFY":
            return self._signing_key(resource)
        if resource.type in NOT_CREATED:
            named = dict.fromkeys(_ATTRIBUTES, resource.name)
            return Made(resource.name, {"Arn": arn_of(service.lower(), resource.name), **named})
        if made := self.instances.make(resource):
            return made
        if resource.type not in _KINDS:
            raise UnsupportedTemplateError(f"{resource}: its type is not supported")
        how, begins = _KINDS[resource.type]
        arn = begins + resource.name
        resource = replace(resource, properties=self._with_secrets(resource, resource.properties))
        try:
            ref = how(self, resource, arn) or resource.name
        except (BotoCoreError, ClientError, KeyError) as error:
            text = " ".join(str(error).split())
            raise UnsupportedTemplateError(f"{resource}: cannot be created: {type(error).__name__}: {text}") from error
        _only(
            resource,
            resource.properties,
            {*resource.asked, *WITHOUT_EFFECT[""], *WITHOUT_EFFECT.get(resource.type, ())},
        )
        return Made(ref, {"Arn": arn, f"{kind}Name": resource.name} if begins else {})

    def admits(self, service: str, need: Need) -> bool:
        """Return whether the policy of the needed resource allows this to a service."""
        return need.resource in self.policies and self.policies[need.resource].allows(need, f"{service}.amazonaws.com")

    def _signing_key(self, resource: Resource) -> Made:
        made = self.client("kms").create_key(**resource.some("KeySpec", "KeyUsage"))["KeyMetadata"]
        policy = self.key_policies[made["Arn"]] = Policy(resource.logical_id)
        statements = resource["KeyPolicy"]["Statement"]
        policy.add({"Statement": [it for it in statements if it["Principal"] != {"AWS": _ROOT}]})
        _only(resource, resource.properties, {*resource.asked, *WITHOUT_EFFECT[""], "PendingWindowInDays"})
        return Made(made["KeyId"], {"Arn": made["Arn"]})

    def _bucket(self, resource: Resource, arn: str) -> None:
        s3, name = self.client("s3"), {"Bucket": resource.name}
        where, locked = {"LocationConstraint": REGION}, resource.get("ObjectLockEnabled", False)
        s3.create_bucket(**name, ObjectLockEnabledForBucket=locked, CreateBucketConfiguration=where)
        if versioning := resource.some("VersioningConfiguration"):
            s3.put_bucket_versioning(**name, **versioning)
        if lock := resource.some("ObjectLockConfiguration"):
            s3.put_object_lock_configuration(**name, **lock)
        for rule in resource.get("BucketEncryption", {}).get("ServerSideEncryptionConfiguration", ()):
            if key := rule["ServerSideEncryptionByDefault"].get("KMSMasterKeyID"):
                self.keys[arn] = key
        if events := resource.get("NotificationConfiguration"):
            if events != {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}:
                raise UnsupportedTemplateError(f"{resource}: only notifications through EventBridge are supported")
            s3.put_bucket_notification_configuration(**name, NotificationConfiguration={"EventBridgeConfiguration": {}})

    def _bucket_policy(self, resource: Resource, _: str) -> None:
        policy = self.bucket_policies[f"arn:aws:s3:::{resource['Bucket']}"] = Policy(str(resource))
        policy.add(resource["PolicyDocument"])

    def _stream(self, resource: Resource, arn: str) -> None:
        shards = resource.some("ShardCount", "StreamModeDetails")
        self.client("kinesis").create_stream(StreamName=resource.name, **shards)
        if encryption := resource.get("StreamEncryption"):
            self.keys[arn] = encryption["KeyId"]

    def _table(self, resource: Resource, _: str) -> None:
        dynamodb, name = self.client("dynamodb"), {"TableName": resource.name}
        same = ("AttributeDefinitions", "BillingMode", "KeySchema")
        dynamodb.create_table(**name, **resource.some(*same))
        if expiry := resource.some("TimeToLiveSpecification"):
            dynamodb.update_time_to_live(**name, **expiry)

    def _topic(self, resource: Resource, arn: str) -> str:
        if key := resource.get("KmsMasterKeyId"):
            self.keys[arn] = key
        return str(self.client("sns").create_topic(Name=resource.name)["TopicArn"])

    def _subscription(self, resource: Resource, _: str) -> str:
        where = resource.some("TopicArn", "Protocol", "Endpoint")
        if where["Protocol"] not in ("email", "firehose", "sqs"):
            raise UnsupportedTemplateError(f"{resource}: the protocol {where['Protocol']} is not supported")
        attributes = resource.some(
            "FilterPolicy", "FilterPolicyScope", "RawMessageDelivery", "RedrivePolicy", "SubscriptionRoleArn"
        )
        return str(self.client("sns").subscribe(**where, Attributes=_as_text(attributes))["SubscriptionArn"])

    def _queue(self, resource: Resource, _: str) -> str:
        attributes = resource.some(
            "MessageRetentionPeriod", "RedrivePolicy", "SqsManagedSseEnabled", "VisibilityTimeout"
        )
        made = self.client("sqs").create_queue(QueueName=resource.name, Attributes=_as_text(attributes))
        return str(made["QueueUrl"])

    def _queue_policy(self, resource: Resource, _: str) -> None:
        for url in resource["Queues"]:
            self._admit(arn_of("sqs", url.rpartition("/")[2]), resource, resource["PolicyDocument"])

    def _permission(self, resource: Resource, _: str) -> None:
        granted = {"Effect": "Allow", "Action": resource["Action"], "Resource": resource["FunctionName"]}
        condition = {"ArnLike": {"aws:SourceArn": resource["SourceArn"]}}
        document = {"Statement": {**granted, "Principal": {"Service": resource["Principal"]}, "Condition": condition}}
        self._admit(resource["FunctionName"], resource, document)

    def _admit(self, arn: str, resource: Resource, document: Mapping[str, Any]) -> None:
        self.policies.setdefault(arn, Policy(str(resource))).add(document)

    def _role(self, resource: Resource, _: str) -> None:
        role = self.roles[resource.name] = Policy(resource.logical_id)
        for policy in resource.get("Policies", ()):
            role.add(policy["PolicyDocument"])

    def _secret(self, resource: Resource, _: str) -> str:
        given = {}
        if how := resource.get("GenerateSecretString"):
            _only(resource, how, {"PasswordLength", "ExcludePunctuation"})
            made_up = self.client("secretsmanager").get_random_password(**how)
            given = {"SecretString": made_up["RandomPassword"]}
        made = str(self.client("secretsmanager").create_secret(Name=resource.name, **given)["ARN"])
        if key := resource.get("KmsKeyId"):
            self.keys[made] = key
        return made

    def _function(self, resource: Resource, arn: str) -> None:
        variables = resource.get("Environment", {}).get("Variables", {})
        self.functions[arn] = FunctionSpec(
            name=resource.name,
            arn=arn,
            handler=resource["Handler"],
            role=resource["Role"].rpartition("/")[2],
            memory_mib=resource.get("MemorySize", 128),
            timeout_seconds=resource.get("Timeout", 3),
            environment=dict(variables),
        )

    def _with_secrets(self, resource: Resource, value: Any) -> Any:
        """Return a value with those of secrets instead of dynamic references to them, as CloudFormation does."""
        match value:
            case dict():
                return {name: self._with_secrets(resource, inside) for name, inside in value.items()}
            case list():
                return [self._with_secrets(resource, inside) for inside in value]
            case str() if "{{resolve:" in value:
                secret = value.removeprefix("{{resolve:secretsmanager:").removesuffix(":SecretString}}")
                if value != f"{{{{resolve:secretsmanager:{secret}:SecretString}}}}":
                    raise UnsupportedTemplateError(f"{resource}: {value} is not supported")
                return str(self.client("secretsmanager").get_secret_value(SecretId=secret)["SecretString"])
        return value

    def _event_invoke_config(self, resource: Resource, _: str) -> None:
        if (qualifier := resource["Qualifier"]) != "$LATEST":
            raise UnsupportedTemplateError(f"{resource}: the version {qualifier} is not supported")
        function = arn_of("lambda", f"function:{resource['FunctionName']}")
        self.retries[function] = resource.get("MaximumRetryAttempts", 2)

    def _mapping(self, resource: Resource, _: str) -> None:
        names = ("BisectBatchOnFunctionError", "MaximumRecordAgeInSeconds", "MaximumRetryAttempts", "DestinationConfig")
        own = ("FunctionName", "EventSourceArn", "BatchSize", "ScalingConfig", "StartingPosition")
        given = resource.some(*own, *names)
        if _PLAIN | resource.some(*_MAPPING) != _MAPPING:
            raise UnsupportedTemplateError(f"{resource}: only {_MAPPING} is supported")
        source = given["EventSourceArn"]
        allowed = [one for kind, some in _POSITIONS.items() if kind in source for one in some]
        if "StartingPosition" in given and given["StartingPosition"] not in allowed:
            raise UnsupportedTemplateError(f"{resource}: only the starting positions {allowed} are supported")
        self.mappings.append(given)

    def _rule(self, resource: Resource, arn: str) -> None:
        rule = resource.some("EventPattern", "ScheduleExpression", "Targets")
        for target in rule["Targets"]:
            _only(resource, target, {"Arn", "Id", "DeadLetterConfig", "RetryPolicy"})
        if resource.get("State", "ENABLED") == "ENABLED":
            self.rules[arn] = rule

    def _delivery(self, resource: Resource, arn: str) -> None:
        destination = resource["ExtendedS3DestinationConfiguration"]
        _only(resource, destination, _DELIVERY)
        self.deliveries[arn] = {"Name": resource.name, **destination}


# The last two have no effect here: the bucket encrypts by default, and `Deliveries.failures` is the log.
_DELIVERY = {
    *("BucketARN", "BufferingHints", "CompressionFormat", "ErrorOutputPrefix", "Prefix", "RoleARN"),
    *("EncryptionConfiguration", "CloudWatchLoggingOptions"),
}
# How each type is created, and the prefix of its ARN if others refer to it.
_KINDS: dict[str, tuple[Callable[[Maker, Resource, str], str | None], str]] = {
    "AWS::DynamoDB::Table": (Maker._table, arn_of("dynamodb", "table/")),
    "AWS::Events::Rule": (Maker._rule, arn_of("events", "rule/")),
    "AWS::IAM::Role": (Maker._role, f"arn:aws:iam::{ACCOUNT}:role/"),
    "AWS::Kinesis::Stream": (Maker._stream, arn_of("kinesis", "stream/")),
    "AWS::KinesisFirehose::DeliveryStream": (Maker._delivery, arn_of("firehose", "deliverystream/")),
    "AWS::Lambda::EventInvokeConfig": (Maker._event_invoke_config, ""),
    "AWS::Lambda::EventSourceMapping": (Maker._mapping, ""),
    "AWS::Lambda::Function": (Maker._function, arn_of("lambda", "function:")),
    "AWS::Lambda::Permission": (Maker._permission, ""),
    "AWS::S3::Bucket": (Maker._bucket, "arn:aws:s3:::"),
    "AWS::S3::BucketPolicy": (Maker._bucket_policy, ""),
    "AWS::SNS::Subscription": (Maker._subscription, ""),
    "AWS::SNS::Topic": (Maker._topic, arn_of("sns", "")),
    "AWS::SQS::Queue": (Maker._queue, arn_of("sqs", "")),
    "AWS::SQS::QueuePolicy": (Maker._queue_policy, ""),
    "AWS::SecretsManager::Secret": (Maker._secret, ""),
}


def _only(resource: Resource, given: Iterable[str], known: Iterable[str]) -> None:
    if strange := set(given) - set(known):
        raise UnsupportedTemplateError(f"{resource}: its property {min(strange)} is not supported")


def _as_text(attributes: Mapping[str, Any]) -> dict[str, str]:
    """Return attributes as SNS and SQS accept them: any value but a text as JSON."""
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in attributes.items()}
