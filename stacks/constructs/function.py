"""A Lambda function with a role and a log group of its own; its handler is `lambdas.<name>.handler`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from aws_cdk import AssetHashType, Aws, Duration, RemovalPolicy, Size, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from stacks.bundling import ROOT, SHARED, Target, build_bundle, digest
from stacks.constructs import permissions
from stacks.constructs.alarms import Alarms
from vaultwatch.aws import metrics
from vaultwatch.settings import Settings


@dataclass(frozen=True, kw_only=True)
class FunctionDefaults:
    """What all functions of a stack have in common.

    Args:
        settings: The settings of the deployment: Python version, architecture, log retention.
        code: The bundle that every function runs.
        alarms: Where the alarms of each function are added.
    """

    settings: Settings
    code: lambda_.Code
    alarms: Alarms


@dataclass(frozen=True, kw_only=True)
class FunctionSize:
    """The size of one function.

    Args:
        memory_mib: Its memory in MiB; Lambda gives CPU in proportion.
        timeout_seconds: After how many seconds Lambda ends it.
        scratch_mib: The size of its folder `/tmp`; 512 MiB cost nothing.
    """

    memory_mib: int
    timeout_seconds: int
    scratch_mib: int = 512


class Function(Construct):
    """One function with its role, its log group and its alarms.

    Args:
        scope: The construct that holds the function.
        construct_id: The id within `scope`.
        defaults: What all functions have in common.
        name: The module in `lambdas`.
        description: What the function does, for people in the console.
        size: Its memory and its time limit.
        environment: Its environment variables, besides those of its metrics.
        statements: What it may do, besides writing its log and its traces.
        effect: What its failures mean, as one sentence for the alarms.
        traced: Whether X-Ray traces it; off where every batch of the stream passes.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        defaults: FunctionDefaults,
        name: str,
        description: str,
        size: FunctionSize,
        environment: Mapping[str, str],
        statements: Sequence[iam.PolicyStatement],
        effect: str,
        traced: bool = True,
    ) -> None:
        super().__init__(scope, construct_id)
        settings = defaults.settings
        group = log_group(self, "Logs", settings)
        tracing = [permissions.trace()] if traced else []
        role = service_role(self, "lambda", name, [permissions.write_logs(group), *tracing, *statements])
        if traced:
            reason = "X-Ray has no resource-level permissions; the two actions send segments and read nothing."
            permissions.acknowledge(role, "IAM5[Resource::*]", reason)
        self.resource = lambda_.Function(
            self,
            "Resource",
            description=description,
            runtime=lambda_.Runtime(f"python{settings.lambda_python}", lambda_.RuntimeFamily.PYTHON),
            architecture=lambda_.Architecture.custom(settings.lambda_architecture),
            code=defaults.code,
            handler=f"lambdas.{name}.handler",
            memory_size=size.memory_mib,
            timeout=Duration.seconds(size.timeout_seconds),
            ephemeral_storage_size=None if size.scratch_mib == 512 else Size.mebibytes(size.scratch_mib),
            # Without this, the CDK would add its own statements to the role.
            role=role.without_policy_updates(),
            log_group=group,
            tracing=lambda_.Tracing.ACTIVE if traced else lambda_.Tracing.DISABLED,
            environment={**metrics.variables(name, settings.deployment), **environment},
        )
        defaults.alarms.watch_function(name, self.resource, effect=effect)


def function_code(stack: Stack, settings: Settings, *, packages: str = SHARED) -> lambda_.Code:
    """Build the bundle that functions of a stack run.

    It is built here and not by the CDK, whose asset bundling (a callback, then Docker) would hide the one line that
    says what is wrong with a rule between two stack traces.

    Args:
        stack: The stack; if the CDK needs no code (`cdk list`), none is built.
        settings: Which Python and which architecture it is for.
        packages: The file in `lambdas` that pins its packages.

    Returns:
        The code, with the digest of its contents as the asset's hash.

    Raises:
        RuleError: If a rule does not compile.
        BundleError: If a package cannot be downloaded or is not the pinned one.
    """
    if not stack.bundling_required:
        return lambda_.Code.from_asset(str(ROOT / "lambdas"))
    target = Target(settings.lambda_python, settings.lambda_architecture)
    kind = packages.removesuffix(".txt").replace("requirements", "lambdas")
    bundle = build_bundle(target, ROOT / ".bundle" / f"{kind}-{target.name}", packages=packages)
    return lambda_.Code.from_asset(str(bundle), asset_hash=digest(bundle), asset_hash_type=AssetHashType.CUSTOM)


def service_role(scope: Construct, service: str, name: str, statements: Sequence[iam.PolicyStatement]) -> iam.Role:
    """Make a role that one AWS service assumes.

    Args:
        scope: The construct that holds the role.
        service: The service, as in "lambda.amazonaws.com".
        name: Who uses the role, for its description.
        statements: Everything the role allows.

    Returns:
        The role, with its permissions in one inline policy.
    """
    return iam.Role(
        scope,
        "Role",
        assumed_by=iam.ServicePrincipal(f"{service}.amazonaws.com", conditions=_of_this_account(service)),
        description=f"What {name} may do",
        inline_policies={"Allowed": iam.PolicyDocument(statements=list(statements))},
    )


def _of_this_account(service: str) -> dict[str, dict[str, str]]:
    """Return the condition that a service acts for this account.

    No documentation says that SNS sends this key when it assumes the role of a subscription. With a key that it does
    not send, deliveries would fail; the only right of that role is to put records on one delivery stream.
    """
    return {} if service == "sns" else {"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}}


def log_group(scope: Construct, construct_id: str, settings: Settings) -> logs.LogGroup:
    """Make a log group that keeps entries as long as the settings say.

    Args:
        scope: The construct that holds the group.
        construct_id: The id within `scope`.
        settings: How many days to keep entries.

    Returns:
        The log group.
    """
    group = logs.LogGroup(scope, construct_id, removal_policy=RemovalPolicy.DESTROY)
    resource = cast(logs.CfnLogGroup, group.node.default_child)
    resource.retention_in_days = settings.log_retention_days
    return group
