"""All templates: what cdk-nag and cfn-lint find, and that synthesis is reproducible without network or account."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import Stack, Validations
from aws_cdk import aws_sqs as sqs
from cdk_nag import AwsSolutionsChecks

import app
from stacks.bundling import ROOT, Target, fetch_wheels
from stacks.host_bundle import PYTHON
from tests.stacks.conftest import NOTIFIED
from tests.support.templates import Template, as_list, of_type, statements, text
from vaultwatch.printable import one_line

NO_BUNDLE: dict[str, Any] = {"aws:cdk:bundling-stacks": []}
REPORT = "validation-report.json"
NOWHERE = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
STATEFUL = {
    "archive": {
        "AccessLogs8B620ECA",
        "Alerts91F83244",
        "ArchiveDA4CB258",
        "Key961B73FD",
        "SnapshotsD03D071C",
    },
    "alerting": {"Key961B73FD", "OperationsKey2329F47A", "Stream790BDEE4", "AlertsTable3C20DA98"},
    "log-server": {"AuthorityKeyE0BB6CEB", "HostData14B33162", "HostLogF9CB81B2", "Key961B73FD"},
    "vault": {"Key961B73FD", "SealKey94782D95", "Vault1Audit5B25C118", "Vault1Data02A9D546"},
}


HOST_STACKS = ("log-server", "network", "vault")
SUBNETS = {f"eu-central-1{zone}": f"subnet-0123456789abcdef{n}" for n, zone in enumerate("abc")}
COMBINATIONS: dict[str, dict[str, Any]] = {
    "one node": {},
    "three nodes in an existing VPC": {
        "vault_nodes": 3,
        "vpc_id": "vpc-0123456789abcdef0",
        "vpc_subnets": SUBNETS,
        "vault_clients": ["10.0.0.0/8"],
    },
    "five nodes of OpenBao, a NAT gateway, watch": {
        "vault": "openbao",
        "vault_nodes": 5,
        "nat": "gateway",
        "log_server_handler": "watch",
    },
    "external nodes, no NAT": {
        "vault": "external",
        "external_nodes": {"old-vault": "OldVault"},
        "external_clients": ["10.1.0.0/16"],
        "nat": "none",
        "interface_endpoints": False,
    },
}
"""Settings that lead to different resources. All templates of each pass cdk-nag, and those of its hosts cfn-lint."""


@pytest.mark.parametrize("stack", STATEFUL)
def test_resources_with_data_keep_their_logical_ids(templates: dict[str, Template], stack: str) -> None:
    """Another logical id is another resource: CloudFormation would make an empty one beside it."""
    holding = {
        f"AWS::{kind}" for kind in ("DynamoDB::Table", "EC2::Volume", "Kinesis::Stream", "KMS::Key", "S3::Bucket")
    }
    found = {name for name, it in templates[stack]["Resources"].items() if it["Type"] in holding}

    assert found == STATEFUL[stack]


def test_resources_with_data_have_a_deletion_policy(templates: dict[str, Template]) -> None:
    kept = {
        "KMS::Key": "Retain",
        "S3::Bucket": "Retain",
        "DynamoDB::Table": "Retain",
        "Kinesis::Stream": "Delete",  # the archive has every line of it
        "Logs::LogGroup": "Delete",
        "Logs::LogStream": "Delete",
        "SQS::Queue": "Delete",
        "SecretsManager::Secret": "Delete",  # a person puts it there again; alerts can be read without their seals
        "EC2::Volume": "Retain",
    }
    found = {
        (it["Type"].removeprefix("AWS::"), it.get("DeletionPolicy"), it.get("UpdateReplacePolicy"))
        for template in templates.values()
        for name, it in template["Resources"].items()
        if it["Type"].removeprefix("AWS::") in kept and not name.startswith("Recovery")
    }

    assert found == {(kind, policy, policy) for kind, policy in kept.items()}


def test_no_resource_has_a_fixed_name_that_two_deployments_would_share(templates: dict[str, Template]) -> None:
    names = ("BucketName", "TableName", "RoleName", "QueueName", "TopicName", "FunctionName", "LogGroupName", "Name")
    named = [
        found
        for template in templates.values()
        for it in template["Resources"].values()
        for key in names
        if isinstance(found := it.get("Properties", {}).get(key), str)
    ]

    assert [name for name in named if not re.search(r"\bvaultwatch[.-]", name)] == []  # the name of the deployment


def test_everything_that_can_be_tagged_names_its_deployment(templates: dict[str, Template]) -> None:
    tagged = [
        it["Properties"]["Tags"] for it in templates["alerting"]["Resources"].values() if "Tags" in it["Properties"]
    ]

    assert len(tagged) > 40
    assert all({"Key": "deployment", "Value": "vaultwatch"} in tags for tags in tagged)


def test_a_template_has_neither_conditions_nor_parameters_of_its_own(templates: dict[str, Template]) -> None:
    for template in templates.values():
        assert "Conditions" not in template
        assert set(template["Parameters"]) == {"BootstrapVersion"}


def test_a_second_deployment_shares_nothing_with_the_first(tmp_path: Path) -> None:
    app.build({**NO_BUNDLE, "vaultwatch": {"deployment": "blue"}}, outdir=str(tmp_path)).synth()

    assert sorted(path.name for path in tmp_path.glob("*.template.json")) == [
        "blue-alerting.template.json",
        "blue-archive.template.json",
        "blue-log-server.template.json",
        "blue-network.template.json",
        "blue-vault.template.json",
    ]
    assert "vaultwatch-archive:" not in (tmp_path / "blue-alerting.template.json").read_text()


def test_cfn_lint_finds_nothing(templates: dict[str, Template], outdir: Path) -> None:
    assert _lint(sorted(outdir.glob("*.template.json"))) == (0, "", "")


@pytest.mark.parametrize("combination", COMBINATIONS)
def test_cdk_nag_finds_nothing_but_what_is_acknowledged_and_no_acknowledgement_is_stale(
    tmp_path: Path, combination: str
) -> None:
    settings = {**NOTIFIED, **COMBINATIONS[combination]}
    checked = app.build({**NO_BUNDLE, "vaultwatch": settings}, outdir=str(tmp_path))
    # One finding on purpose: it shows that the rules ran, and without any there is no report.
    sqs.Queue(Stack(checked, "wrong"), "Open")
    Validations.of(checked).add_plugins(AwsSolutionsChecks(checked))
    with pytest.raises(RuntimeError, match="ValidationFailed"):
        checked.synth()

    [report] = json.loads((tmp_path / "validation-report.json").read_text())["pluginReports"]
    found = {at["constructPath"].partition("/")[0] for it in report["violations"] for at in it["violatingConstructs"]}
    assert found == {"wrong"}
    suppressed = {(it["acknowledgedAt"], it["acknowledgedId"]) for it in report["suppressedViolations"]}
    assert suppressed == set(_acknowledgements(tmp_path))
    hosts = [path for path in sorted(tmp_path.glob("*.template.json")) if path.name.split(".")[0].endswith(HOST_STACKS)]
    # W3010: the zones of an existing VPC are named in the settings.
    assert combination == "one node" or _lint(hosts, "--ignore-checks", "W3005", "W3010") == (0, "", "")


def test_every_acknowledgement_names_the_control_that_compensates_for_it(
    templates: dict[str, Template], outdir: Path
) -> None:
    reasons = _acknowledgements(outdir).values()

    assert len(reasons) > 5
    assert all(len(reason.split()) >= 10 for reason in reasons)


def test_an_acknowledgement_about_a_prefix_says_what_the_role_may_do_below_it(alerting: Template, outdir: Path) -> None:
    actions = {"read": {"s3:GetObject"}, "write": {"s3:PutObject"}}
    allowed: dict[tuple[str, str], set[str]] = defaultdict(set)
    for name, role in of_type(alerting, "IAM::Role").items():
        for statement in statements(role):
            for resource in as_list(statement["Resource"]):
                if found := re.fullmatch(r"<archive:\w+\.Arn>/(.+/)\*", text(resource)):
                    allowed[name.partition("FunctionRole")[0], found[1]] |= {
                        action.removesuffix("Version") for action in as_list(statement["Action"])
                    }

    said = {}
    for (construct, rule), reason in _acknowledgements(outdir).items():
        if not construct.startswith("vaultwatch-alerting/"):
            continue  # test_hosts.py lists what hosts may do
        if (folder := re.search(r"Arn\w+/(.+/)\*", rule)) and (only := re.search(r"role may only (\w+)", reason)):
            said[construct.split("/")[1], folder[1]] = actions[only[1]]

    assert said == {at: may for at, may in allowed.items() if not at[0].startswith("History")}


def test_two_syntheses_without_network_or_account_give_the_same_bytes(sources: Path, tmp_path: Path) -> None:
    """With the functions' code, whose packages are downloaded before, and with the CDK's own validation on in one."""
    for python, pinned in (
        ("3.14", "lambdas/requirements.txt"),
        ("3.14", "lambdas/requirements-sign.txt"),
        (PYTHON, "assets/python/requirements.txt"),
    ):
        fetch_wheels(Target(python, "arm64"), sources / pinned, sources / ".bundle/wheels")
    # As on a busy machine, where the CDK reports how long it took.
    context = {"vaultwatch": NOTIFIED, "@aws-cdk/core.slowSynthThreshold": 0}

    def synth(outdir: Path) -> subprocess.CompletedProcess[str]:
        own = shutil.copytree(sources, tmp_path / f"sources-{outdir.name}", symlinks=True)  # a bundle each
        return _run_app(own, outdir, context, CDK_VALIDATION=outdir.name, HOME="", **NOWHERE)

    runs = [tmp_path / "true", tmp_path / "false"]
    with ThreadPoolExecutor() as both:
        assert [(run.returncode, run.stderr) for run in both.map(synth, runs)] == [(0, "")] * 2
    first, second = ({name: text for name, text in _files(outdir).items() if name != REPORT} for outdir in runs)
    assert any(name.endswith("/vaultwatch/rules/pack.json") for name in first)
    assert first == second


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("stream_shard", "there is no such setting; did you mean `stream_shards`?"),
        ("lines\nand \x1b[2J", "there is no such setting"),
    ],
)
def test_a_wrong_setting_stops_synthesis_with_one_line(tmp_path: Path, setting: str, said: str) -> None:
    done = _run_app(ROOT, tmp_path, {**NO_BUNDLE, "vaultwatch": {setting: 1}})

    assert done.returncode == 1
    assert done.stderr == f"cdk synth: vaultwatch.{one_line(setting)}: {said}\n"


def test_a_broken_rule_stops_synthesis_with_one_line(sources: Path, tmp_path: Path) -> None:
    own = shutil.copytree(sources, tmp_path / "own", symlinks=True)
    (own / "rules/broken.yml").write_text("title: [\n")

    done = _run_app(own, tmp_path / "out", {})

    assert done.returncode == 1
    assert re.match(r"cdk synth: \S*broken\.yml, line 1: ", done.stderr)
    assert done.stderr.count("\n") == 1


def _run_app(root: Path, outdir: Path, context: dict[str, Any], **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the app as the CDK's command line does, without an account."""
    given = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    given |= {"CDK_CONTEXT_JSON": json.dumps(context), "CDK_OUTDIR": str(outdir), **environ}
    given["CDK_PERF_COUNTERS_FILE"] = str(outdir / "performance-counters.json")
    command = [sys.executable, "app.py"]
    return subprocess.run(command, cwd=root, env=given, capture_output=True, text=True, check=False)


def _lint(templates: list[Path], *options: str) -> tuple[int, str, str]:
    command = [str(Path(sys.executable).with_name("cfn-lint")), *options]
    command += ["--regions", "eu-central-1", "us-east-1", "--"]
    found = subprocess.run(
        [*command, *map(str, templates)],
        cwd=ROOT,  # where .cfnlintrc is
        capture_output=True,
        text=True,
        check=False,
    )
    return found.returncode, found.stdout, found.stderr


def _files(folder: Path) -> dict[str, str]:
    # The CDK writes the folder in which jsii unpacked it, into where in its code a subnet was created.
    temporary = re.compile(rb"jsii-kernel-\w+")
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(temporary.sub(b"", path.read_bytes())).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def _acknowledgements(outdir: Path) -> dict[tuple[str, str], str]:
    """The reason of each acknowledgement, by construct and by finding."""
    return {
        (construct.lstrip("/"), rule): reason
        for path in outdir.glob("*.metadata.json")
        for construct, entries in json.loads(path.read_text()).items()
        for entry in entries
        if entry["type"] == "aws:cdk:acknowledged-rules"
        for rule, reason in entry["data"].items()
        if rule.startswith("AwsSolutions")  # the CDK acknowledges findings of its own rules itself
    }
