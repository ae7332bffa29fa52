"""The authority in the template: who may use its key, what the function may do, and which alarms watch it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Validations
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from cdk_nag import AwsSolutionsChecks

from stacks.bundling import ROOT
from stacks.constructs.alarms import Alarms
from stacks.constructs.authority import Authority
from stacks.constructs.function import FunctionDefaults
from tests.support.authority import DOMAIN, HOSTS
from tests.support.authority_stack import add_authority, synthesize_authority
from tests.support.templates import Template, of_type, properties, statements, text
from vaultwatch.authority.names import Host, read_hosts
from vaultwatch.errors import SettingError
from vaultwatch.settings import Settings


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    return synthesize_authority(tmp_path_factory.mktemp("authority"))


def test_the_key_signs_never_leaves_kms_and_outlives_its_stack(template: Template) -> None:
    [key] = of_type(template, "KMS::Key").values()

    assert (key["Properties"]["KeySpec"], key["Properties"]["KeyUsage"]) == ("ECC_NIST_P256", "SIGN_VERIFY")
    assert (key["DeletionPolicy"], key["UpdateReplacePolicy"]) == ("Retain", "Retain")
    assert key["Properties"]["PendingWindowInDays"] == 30


def test_only_the_role_of_sign_may_use_the_key_whatever_other_policies_allow(template: Template) -> None:
    by_sid = {it.get("Sid"): it for it in properties(template, "KMS::Key")["KeyPolicy"]["Statement"]}
    role = "<AuthorityFunctionRole.Arn>"

    sign, nobody_else = by_sid["SignCertificates"], by_sid["NobodyElseSigns"]
    assert (text(sign["Principal"]["AWS"]), sign["Action"]) == (role, ["kms:GetPublicKey", "kms:Sign"])
    assert (nobody_else["Effect"], nobody_else["Principal"], nobody_else["Action"]) == (
        "Deny",
        {"AWS": "*"},
        "kms:Sign",
    )
    assert text(nobody_else["Condition"]["ArnNotEquals"]["aws:PrincipalArn"]) == role
    assert by_sid.keys() == {None, "SignCertificates", "NobodyElseSigns"}


def test_the_function_may_store_the_certificate_of_the_authority_and_never_replace_it(template: Template) -> None:
    [role] = [it for name, it in of_type(template, "IAM::Role").items() if name.startswith("AuthorityFunction")]
    found = {it["Sid"]: it for it in statements(role)}
    parameter = "arn:<AWS::Partition>:ssm:<AWS::Region>:<AWS::AccountId>:parameter/vaultwatch/vaultwatch/authority/*"

    assert found.keys() == {"WriteLogs", "Trace", "KeepAuthority", "NeverReplace"}
    assert found["KeepAuthority"]["Action"] == ["ssm:GetParameter", "ssm:PutParameter"]
    assert found["NeverReplace"]["Effect"] == "Deny"
    assert found["NeverReplace"]["Condition"] == {"StringEquals": {"ssm:Overwrite": "true"}}
    assert {text(found[sid]["Resource"]) for sid in ("KeepAuthority", "NeverReplace")} == {parameter}


def test_a_key_of_another_deployment_has_a_certificate_of_its_own(template: Template) -> None:
    variables = properties(template, "Lambda::Function")["Environment"]["Variables"]

    assert text(variables["AUTHORITY_PARAMETER"]) == "/vaultwatch/vaultwatch/authority/<AuthorityKey>"
    assert text(variables["AUTHORITY_KEY"]) == "<AuthorityKey.Arn>"
    assert variables["AWS_STS_REGIONAL_ENDPOINTS"] == "regional"


def test_the_function_reads_the_hosts_of_the_template_as_they_were_given(template: Template) -> None:
    variables = properties(template, "Lambda::Function")["Environment"]["Variables"]

    assert read_hosts(variables["HOSTS"], variables["DOMAIN"]) == HOSTS


def test_the_template_contains_no_secret(template: Template) -> None:
    assert not re.search("PRIVATE KEY|BEGIN|SecretString", json.dumps(template))


def test_only_its_schedule_may_invoke_it_besides_the_roles_of_hosts(template: Template) -> None:
    [permission] = of_type(template, "Lambda::Permission").values()

    assert permission["Properties"]["Principal"] == "events.amazonaws.com"
    assert text(permission["Properties"]["SourceArn"]) == "<AuthoritySchedule.Arn>"
    assert properties(template, "Events::Rule", "AuthoritySchedule")["ScheduleExpression"] == "rate(1 hour)"


def test_whoever_ends_or_opens_its_key_raises_an_alarm(template: Template) -> None:
    rule = properties(template, "Events::Rule", "AuthorityKeyEnds")

    assert rule["State"] == "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS"
    assert set(rule["EventPattern"]["detail"]["eventName"]) == {"DisableKey", "PutKeyPolicy", "ScheduleKeyDeletion"}
    keys = rule["EventPattern"]["detail"]["requestParameters"]["keyId"]
    assert [text(it) for it in keys] == ["<AuthorityKey.Arn>", "<AuthorityKey>"]
    assert alarms_of(template)["authority-key-ends"]["MetricName"] == "ApproximateNumberOfMessagesVisible"


def alarms_of(template: Template) -> dict[str, dict[str, Any]]:
    found = [alarm["Properties"] for alarm in of_type(template, "CloudWatch::Alarm").values()]
    return {alarm["AlarmName"].removeprefix("vaultwatch-"): alarm for alarm in found}


def test_every_certificate_has_an_alarm_that_fires_when_it_ends_or_is_not_reported(template: Template) -> None:
    alarms = alarms_of(template)

    days = {f"{host.name}-certificate-ends": 7 for host in HOSTS.values()} | {"authority-ends": 90}
    for name, threshold in days.items():
        found = alarms[name]
        assert (found["Statistic"], found["Threshold"], found["Period"]) == ("Minimum", threshold, 6 * 3600), name
        assert (found["ComparisonOperator"], found["TreatMissingData"]) == ("LessThanThreshold", "breaching"), name
    assert alarms.keys() == {*days, "sign-errors", "sign-throttled", "sign-refused-requests", "authority-key-ends"}


def test_every_alarm_says_what_to_do(template: Template) -> None:
    for name, alarm in alarms_of(template).items():
        said = text(alarm["AlarmDescription"])
        assert len(re.findall(r"[\w/`]\. ?", said)) >= 3, name
        assert len(said) <= 900, name  # CloudWatch accepts 1,024, with the name of a queue in it


def test_more_hosts_than_a_variable_of_lambda_holds_stop_synthesis() -> None:
    stack = add_authority(App(context={"aws:cdk:bundling-stacks": []}))
    alarms = Alarms(stack, "More", deployment="d", topic=sns.Topic(stack, "Topic"))
    many = {
        f"role-{number}": Host(f"vault-{number}", (f"vault-{number}.{DOMAIN}",), ("client",)) for number in range(50)
    }

    with pytest.raises(SettingError, match="cannot certify 50 hosts"):
        Authority(stack, "Second", defaults=defaults_with(alarms), domain=DOMAIN, hosts=many)


def defaults_with(alarms: Alarms) -> FunctionDefaults:
    return FunctionDefaults(settings=Settings(), code=lambda_.Code.from_asset(str(ROOT / "lambdas")), alarms=alarms)


def test_cdk_nag_finds_nothing_in_it(tmp_path: Path) -> None:
    app = App(context={"aws:cdk:bundling-stacks": []}, outdir=str(tmp_path))
    add_authority(app)  # with a topic that is open: the one finding shows that the rules ran
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    with pytest.raises(RuntimeError, match="ValidationFailed"):
        app.synth()

    [report] = json.loads((tmp_path / "validation-report.json").read_text())["pluginReports"]
    found = {at["constructPath"].split("/")[1] for it in report["violations"] for at in it["violatingConstructs"]}
    assert found == {"Operations"}
