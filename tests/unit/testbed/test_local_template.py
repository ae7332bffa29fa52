"""Templates resolved; anything unsupported stops with one line that names it."""

from __future__ import annotations

from typing import Any

import pytest

from testbed.aws.resources import _KINDS, NOT_CREATED, WITHOUT_EFFECT, Maker
from testbed.aws.template import Made, Resource, Templates, UnsupportedTemplateError
from tests.support.dynamodb import local_aws, make_client

OTHER = {
    "Resources": {"Key961B73FD": {"Type": "T", "Properties": {}}},
    "Outputs": {"O": {"Value": {"Fn::GetAtt": ["Key961B73FD", "Arn"]}, "Export": {"Name": "other:key"}}},
}


def resolve(value: Any) -> Any:
    made: list[Resource] = []

    def make(resource: Resource) -> Made:
        made.append(resource)
        return Made(f"ref of {resource.logical_id}", {"Arn": f"arn of {resource.logical_id}"})

    main = {"Resources": {"A": {"Type": "T", "Properties": {"P": value}}, "B": {"Type": "T"}}}
    Templates({"main": main, "other": OTHER}, make).made("main", "A")
    return made[-1].properties.get("P")


@pytest.mark.parametrize(
    ("value", "resolved"),
    [
        ({"Ref": "B"}, "ref of B"),
        ({"Fn::GetAtt": ["B", "Arn"]}, "arn of B"),
        ({"Fn::Join": ["/", [{"Ref": "B"}, "*"]]}, "ref of B/*"),
        ({"Fn::Sub": "${AWS::AccountId}-${B}"}, "123456789012-ref of B"),
        ({"Fn::ImportValue": "other:key"}, "arn of Key961B73FD"),
        ([{"Ref": "AWS::NoValue"}, {"a": [{"Ref": "B"}]}], [{"a": ["ref of B"]}]),
    ],
)
def test_a_reference_is_resolved(value: Any, resolved: Any) -> None:
    assert resolve(value) == resolved


@pytest.mark.parametrize(
    "value",
    [{"Fn::If": ["C", 1, 2]}, {"Ref": "Parameter"}, {"Fn::ImportValue": "nobody"}, {"Fn::GetAtt": ["B", "Secret"]}],
)
def test_an_unsupported_function_is_an_error(value: Any) -> None:
    with pytest.raises(UnsupportedTemplateError, match=r"^main"):
        resolve(value)


def test_an_unsupported_key_of_a_resource_is_an_error() -> None:
    templates = Templates({"s": {"Resources": {"A": {"Type": "T", "Condition": "C"}}}}, lambda _: Made(""))
    with pytest.raises(UnsupportedTemplateError, match="T s/A: Condition"):
        templates.make_all()


def test_a_resource_is_found_by_its_construct_path() -> None:
    templates = Templates({"other": OTHER}, lambda resource: Made(resource.logical_id))
    assert templates.find("other", "Key").ref == "Key961B73FD"
    with pytest.raises(KeyError, match="Lock"):
        templates.find("other", "Lock")


def test_an_unsupported_type_or_property_is_an_error_that_names_it() -> None:
    maker = Maker(lambda service: pytest.fail("nothing is to be made"))
    with pytest.raises(UnsupportedTemplateError, match="AWS::EC2::Fleet s/Net: its type"):
        maker.make(Resource("s", "Net", "AWS::EC2::Fleet", {}))
    with pytest.raises(UnsupportedTemplateError, match="AWS::IAM::Role s/R: its property PermissionsBoundary"):
        maker.make(Resource("s", "R", "AWS::IAM::Role", {"PermissionsBoundary": "x", "Description": "d"}))


@pytest.mark.parametrize(
    "said",
    [{"ParallelizationFactor": 2}, {"StartingPosition": "LATEST"}, {"FunctionResponseTypes": []}],
)
def test_an_unsupported_mapping_is_an_error(said: dict[str, Any]) -> None:
    plain = {"FunctionName": "f", "EventSourceArn": "s", "FunctionResponseTypes": ["ReportBatchItemFailures"]}
    maker = Maker(lambda service: pytest.fail("nothing is to be made"))
    maker.make(Resource("s", "M", "AWS::Lambda::EventSourceMapping", plain))
    with pytest.raises(UnsupportedTemplateError, match="AWS::Lambda::EventSourceMapping s/M: only"):
        maker.make(Resource("s", "M", "AWS::Lambda::EventSourceMapping", plain | said))


def test_everything_that_is_left_out_has_a_reason() -> None:
    assert not set(NOT_CREATED) & set(_KINDS)
    assert set(WITHOUT_EFFECT) - {""} <= set(_KINDS)
    reasons = [reason for properties in WITHOUT_EFFECT.values() for reason in properties.values()]
    assert all([*reasons, *NOT_CREATED.values()])


def function(text: str) -> Resource:
    variables = {"Variables": {"PLAIN": "text", "KEY": text}}
    return Resource("s", "F", "AWS::Lambda::Function", {"Handler": "h", "Role": "x/r", "Environment": variables})


def test_a_function_gets_the_value_of_a_generated_secret_instead_of_its_reference() -> None:
    with local_aws():
        maker = Maker(make_client)
        generated = {"PasswordLength": 40, "ExcludePunctuation": True}
        secrets = [
            maker.make(Resource("s", name, "AWS::SecretsManager::Secret", {"GenerateSecretString": generated}))
            for name in ("A", "B")
        ]
        found = set()
        for secret in secrets:
            made = maker.make(function(f"{{{{resolve:secretsmanager:{secret.ref}:SecretString}}}}"))
            environment = maker.functions[made.attributes["Arn"]].environment
            assert environment["PLAIN"] == "text"
            found.add(environment["KEY"])
    assert len(found) == 2
    assert all(len(value) == 40 and value.isalnum() for value in found)


@pytest.mark.parametrize("text", ["{{resolve:ssm:/name}}", "{{resolve:secretsmanager:a:SecretString:key}}"])
def test_another_dynamic_reference_is_an_error(text: str) -> None:
    with pytest.raises(UnsupportedTemplateError, match=r"s/F: \{\{resolve:"):
        Maker(make_client).make(function(text))
