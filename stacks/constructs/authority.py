"""The private authority: a key in KMS, and the function `sign`, which certifies hosts with it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from aws_cdk import ArnFormat, Aws, Duration, RemovalPolicy, Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from stacks.constructs import permissions
from stacks.constructs.alarms import FIVE_MINUTES, Alarms
from stacks.constructs.function import Function, FunctionDefaults, FunctionSize
from stacks.constructs.watched_calls import watch_calls
from vaultwatch.authority.names import Host
from vaultwatch.aws import metrics
from vaultwatch.errors import SettingError

_HOUR, _SIX_HOURS = Duration.hours(1), Duration.hours(6)
_HOST_DAYS, _AUTHORITY_DAYS = 7, 90
_MAX_HOSTS_BYTES = 3000  # Lambda's limit is 4 KB for all variables together


class Authority(Construct):
    """The authority of a deployment. No host has its key: KMS never gives it away, and only `sign` may use it.

    Args:
        scope: The construct that holds the authority.
        construct_id: The id within `scope`.
        defaults: The settings, the alarms, and the code: the bundle with the library for certificates.
        domain: The domain outside which nothing is certified.
        hosts: What is certified for each role, by the name of the role.

    Attributes:
        function_arn: The ARN of the function `sign`.

    Raises:
        SettingError: There are too many hosts.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        defaults: FunctionDefaults,
        domain: str,
        hosts: Mapping[str, Host],
    ) -> None:
        super().__init__(scope, construct_id)
        self._parameters = f"/vaultwatch/{defaults.settings.deployment}/authority"
        function = Function(
            self,
            "Function",
            defaults=defaults,
            name="sign",
            description="Certifies the keys of hosts, and every hour checks the key of the authority",
            size=FunctionSize(memory_mib=512, timeout_seconds=30),
            environment={
                "ACCOUNT_ID": Aws.ACCOUNT_ID,
                "AUTHORITY_NAME": f"Vaultwatch {defaults.settings.deployment}",
                "AWS_STS_REGIONAL_ENDPOINTS": "regional",  # the default only of newer versions of botocore
                "DOMAIN": domain,
                "HOSTS": _encoded(hosts),
                "PARTITION": Aws.PARTITION,
            },
            statements=self._parameter_statements(),
            effect="Hosts get no certificates: new ones cannot start, and present ones end within ten days.",
        )
        below = "The key is not known in advance; below this prefix there is only the authority's certificate."
        arn = f"arn:<AWS::Partition>:ssm:<AWS::Region>:<AWS::AccountId>:parameter{self._parameters}/*"
        permissions.acknowledge(function, f"IAM5[Resource::{arn}]", below)
        resource = function.resource
        key = _signing_key(self, f"{resource.role.role_arn}" if resource.role else "")
        _watch_key(self, key, defaults.alarms)
        resource.add_environment("AUTHORITY_KEY", key.key_arn)
        resource.add_environment("AUTHORITY_PARAMETER", f"{self._parameters}/{key.key_id}")
        self.function_arn = resource.function_arn
        self._check_hourly(function)
        _watch(defaults.alarms, hosts)

    def _parameter_statements(self) -> list[iam.PolicyStatement]:
        """Allow to store a certificate, and never to replace one."""
        resource = Stack.of(self).format_arn(
            service="ssm",
            resource="parameter",
            resource_name=f"{self._parameters.removeprefix('/')}/*",
            arn_format=ArnFormat.SLASH_RESOURCE_NAME,
        )
        replacing = iam.PolicyStatement(
            sid="NeverReplace",
            effect=iam.Effect.DENY,
            actions=["ssm:PutParameter"],
            resources=[resource],
            conditions={"StringEquals": {"ssm:Overwrite": "true"}},
        )
        return [permissions.allow("KeepAuthority", ["ssm:GetParameter", "ssm:PutParameter"], [resource]), replacing]

    def _check_hourly(self, function: Function) -> None:
        rule = events.Rule(
            self,
            "Schedule",
            description="Starts the function sign every hour, which checks the key of the authority",
            schedule=events.Schedule.rate(_HOUR),
        )
        function.resource.configure_async_invoke(retry_attempts=0, max_event_age=_HOUR)
        rule.add_target(targets.LambdaFunction(function.resource, retry_attempts=0, max_event_age=_HOUR))


def _encoded(hosts: Mapping[str, Host]) -> str:
    text = msgspec.json.encode(hosts).decode()
    if len(text) > _MAX_HOSTS_BYTES:
        raise SettingError(f"the authority cannot certify {len(hosts)} hosts with names as long as these")
    return text


def _signing_key(scope: Construct, role_arn: str) -> kms.Key:
    """Make the key. Its policy lets nobody but `sign` use it, whatever other policies allow.

    Administrators can still change this policy, disable the key or delete it; the hourly check of `sign` then fails.
    """
    key = kms.Key(
        scope,
        "Key",
        description="Signs the certificates of Vaultwatch's hosts",
        key_spec=kms.KeySpec.ECC_NIST_P256,
        key_usage=kms.KeyUsage.SIGN_VERIFY,
        pending_window=Duration.days(30),
        removal_policy=RemovalPolicy.RETAIN,
    )
    sign = iam.PolicyStatement(
        sid="SignCertificates",
        principals=[iam.ArnPrincipal(role_arn)],
        actions=["kms:GetPublicKey", "kms:Sign"],
        resources=["*"],
    )
    nobody_else = iam.PolicyStatement(
        sid="NobodyElseSigns",
        effect=iam.Effect.DENY,
        principals=[iam.AnyPrincipal()],
        actions=["kms:Sign"],
        resources=["*"],
        conditions={"ArnNotEquals": {"aws:PrincipalArn": role_arn}},
    )
    for statement in (sign, nobody_else):
        key.add_to_resource_policy(statement)
    return key


def _watch_key(scope: Construct, key: kms.Key, alarms: Alarms) -> None:
    watch_calls(
        scope,
        "KeyEnds",
        name="authority-key-ends",
        source="kms",
        calls=["DisableKey", "PutKeyPolicy", "ScheduleKeyDeletion"],
        resource={"requestParameters": {"keyId": [key.key_arn, key.key_id]}},
        text="Somebody disabled the key of the authority, scheduled its deletion, or changed who may sign with it. "
        "Without it hosts get no certificates, and the present ones end within ten days; whoever may sign with it can "
        "pose as any host. Cancel the deletion, enable the key and restore its policy, unless you meant it.",
        alarms=alarms,
    )


def _watch(alarms: Alarms, hosts: Mapping[str, Host]) -> None:
    """Alarm long before a certificate ends, and when nobody reports it any more."""
    alarms.add(
        "authority-ends",
        alarms.own_metric(metrics.AUTHORITY_DAYS_LEFT, "sign", period=_SIX_HOURS, statistic="Minimum"),
        "The certificate of the authority ends within 90 days, or for six hours its key has not signed: the key is "
        "disabled or about to be deleted, or the schedule of the function sign does not run. Hosts get no new "
        "certificates, and the present ones end within ten days. Enable the key, or renew the certificate.",
        threshold=_AUTHORITY_DAYS,
        silence_is_failure=True,
    )
    alarms.add(
        "sign-refused-requests",
        alarms.own_metric(metrics.REFUSED_REQUESTS, "sign", period=FIVE_MINUTES),
        "The function sign refused a request for a certificate. Its log says why. A host has a wrong clock or role, or "
        "somebody uses the credentials of a host to get a certificate that it should not have. Find out which.",
    )
    for host in hosts.values():
        _watch_host(alarms, host.name)


def _watch_host(alarms: Alarms, name: str) -> None:
    metric = alarms.own_metric(metrics.CERTIFICATE_DAYS_LEFT, "sign", period=_SIX_HOURS, statistic="Minimum", host=name)
    alarms.add(
        f"{name}-certificate-ends",
        metric,
        f"The certificate of {name} ends within seven days, although it should have been renewed at ten, or for six "
        "hours the host has not reported it. When it ends, no log line reaches the log server any more. On the host, "
        "`journalctl -u vaultwatch-certificate` says why.",
        threshold=_HOST_DAYS,
        silence_is_failure=True,
    )
