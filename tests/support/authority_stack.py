"""A stack with nothing but an authority and the roles of its hosts, for tests of the construct and on the local AWS."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from aws_cdk import App, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns

from stacks.bundling import ROOT
from stacks.constructs.alarms import Alarms
from stacks.constructs.authority import Authority
from stacks.constructs.function import FunctionDefaults
from stacks.constructs.permissions import allow
from tests.support.authority import DOMAIN, HOSTS
from vaultwatch.settings import Settings

STACK = "vaultwatch-authority"
Template = dict[str, Any]


def synthesize_authority(outdir: Path, *, deployment: str = "vaultwatch") -> Template:
    """Return the template, without the code of the function."""
    os.environ.setdefault("JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION", "18,20")
    app = App(analytics_reporting=False, context={"aws:cdk:bundling-stacks": []}, outdir=str(outdir))
    add_authority(app, deployment)
    app.synth()
    template: Template = json.loads((outdir / f"{STACK}.template.json").read_text())
    return template


def add_authority(app: App, deployment: str = "vaultwatch") -> Stack:
    """Add the stack to an app."""
    stack = Stack(app, STACK)
    alarms = Alarms(stack, "Alarms", deployment=deployment, topic=sns.Topic(stack, "Operations"))
    code = lambda_.Code.from_asset(str(ROOT / "lambdas"))
    defaults = FunctionDefaults(settings=Settings(deployment=deployment), code=code, alarms=alarms)
    authority = Authority(stack, "Authority", defaults=defaults, domain=DOMAIN, hosts=HOSTS)
    for role in HOSTS:
        may = iam.PolicyDocument(statements=[allow("Ask", ["lambda:InvokeFunction"], [authority.function_arn])])
        iam.Role(
            stack,
            role,
            role_name=role,
            assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"),
            inline_policies={"Allowed": may},
        )
    return stack
