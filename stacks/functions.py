"""How a function of ours runs: its role and log group are its own, its handler is `lambdas.<name>.handler`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from aws_cdk import AssetHashType, Duration, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from stacks import permissions
from stacks.bundling import ROOT, Target, build_bundle, digest
from vaultwatch.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a function gets. `traced` (X-Ray) is off where every batch of the stream passes."""

    description: str
    memory_mib: int
    timeout_seconds: int
    traced: bool = True


def make_code(stack: Stack, settings: Settings) -> lambda_.Code:
    """The bundle that every function of the stack runs; raises `RuleError`, `BundleError`.

    CDK's own way of building assets (a callback, with Docker behind it) would bury the one line that says what is
    wrong with a rule in two stack traces.
    """
    if not stack.bundling_required:  # as in `cdk list`
        return lambda_.Code.from_asset(str(ROOT / "lambdas"))
    target = Target(settings.lambda_python, settings.lambda_architecture)
    bundle = build_bundle(target, ROOT / ".bundle" / f"lambdas-{target.name}")
    return lambda_.Code.from_asset(str(bundle), asset_hash=digest(bundle), asset_hash_type=AssetHashType.CUSTOM)


def make_function(
    scope: Construct,
    name: str,
    *,
    code: lambda_.Code,
    settings: Settings,
    shape: Shape,
    environment: Mapping[str, str],
    may: Sequence[iam.PolicyStatement],
) -> lambda_.Function:
    """One function, with these variables, and these permissions besides writing its log."""
    parent = Construct(scope, name.capitalize())
    group = make_log_group(parent, "Logs", settings)
    tracing = [permissions.trace()] if shape.traced else []
    role = make_role(parent, "lambda", name, [permissions.write_logs(group), *tracing, *may])
    if shape.traced:
        reason = "X-Ray knows no resources; the two actions send segments and read nothing."
        permissions.acknowledge(role, "IAM5[Resource::*]", reason)
    return lambda_.Function(
        parent,
        "Function",
        description=shape.description,
        runtime=lambda_.Runtime(f"python{settings.lambda_python}", lambda_.RuntimeFamily.PYTHON),
        architecture=lambda_.Architecture.custom(settings.lambda_architecture),
        code=code,
        handler=f"lambdas.{name}.handler",
        memory_size=shape.memory_mib,
        timeout=Duration.seconds(shape.timeout_seconds),
        # CDK adds statements of its own to a role that it may change.
        role=role.without_policy_updates(),
        log_group=group,
        tracing=lambda_.Tracing.ACTIVE if shape.traced else lambda_.Tracing.DISABLED,
        environment={"POWERTOOLS_METRICS_NAMESPACE": "Vaultwatch", "POWERTOOLS_SERVICE_NAME": name, **environment},
    )


def owner(function: lambda_.Function) -> Construct:
    """What holds the function, its role and its log group."""
    return cast(Construct, function.node.scope)


def make_role(scope: Construct, service: str, name: str, may: Sequence[iam.PolicyStatement]) -> iam.Role:
    """A role that one AWS service takes on, with all it may do in the role itself."""
    return iam.Role(
        scope,
        "Role",
        assumed_by=iam.ServicePrincipal(f"{service}.amazonaws.com"),
        description=f"What {name} may do",
        inline_policies={"Allowed": iam.PolicyDocument(statements=list(may))},
    )


def make_log_group(scope: Construct, construct_id: str, settings: Settings) -> logs.LogGroup:
    """A log group whose entries go after the days of the settings."""
    group = logs.LogGroup(scope, construct_id, removal_policy=RemovalPolicy.DESTROY)
    resource = cast(logs.CfnLogGroup, group.node.default_child)
    resource.retention_in_days = settings.log_retention_days
    return group
