"""Reads synthesized templates: resolves references and CloudFormation's functions, and finds resources by name."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from vaultwatch.errors import VaultwatchError

ACCOUNT, REGION = "123456789012", "eu-central-1"
Template = Mapping[str, Any]
_NO_VALUE = object()
_PSEUDO = {
    "AWS::AccountId": ACCOUNT,
    "AWS::NoValue": _NO_VALUE,
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::URLSuffix": "amazonaws.com",
}
# Functions that need nothing but their argument.
_PURE: Mapping[str, Callable[[Any], Any]] = {
    "Fn::Base64": lambda text: b64encode(text.encode()).decode(),
    "Fn::GetAZs": lambda _: [f"{REGION}{letter}" for letter in "abc"],
    "Fn::Select": lambda given: given[1][int(given[0])],
    "Fn::Split": lambda given: given[1].split(given[0]),
}
# The only keys of a resource that are accepted: any other would change how it is created.
_PLAIN_KEYS = {
    *("Type", "Properties", "DependsOn", "Metadata", "DeletionPolicy", "UpdateReplacePolicy"),
    *("CreationPolicy", "UpdatePolicy"),  # how CloudFormation waits for hosts, which a test launches
}


class UnsupportedTemplateError(VaultwatchError):
    """A template contains something that the local AWS does not support."""


def arn_of(service: str, name: str) -> str:
    """Return the ARN of a resource in the account."""
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{name}"


def role_arn(name: str) -> str:
    """Return the ARN of a role of the account."""
    return f"arn:aws:iam::{ACCOUNT}:role/{name}"


@dataclass(frozen=True)
class Made:
    """A resource that was created: the value of `Ref`, and those of `Fn::GetAtt` by attribute."""

    ref: str
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Resource:
    """One resource of a stack, with its properties resolved. `asked` collects the properties that were read."""

    stack: str
    logical_id: str
    type: str
    properties: dict[str, Any]
    asked: set[str] = field(default_factory=set)

    @property
    def name(self) -> str:
        """The physical name: CloudFormation's, without the random suffix, or a role's own."""
        if self.type == "AWS::IAM::Role" and "RoleName" in self.properties:
            return str(self["RoleName"])
        name = f"{self.stack}-{self.logical_id}"
        return name.lower() if self.type == "AWS::S3::Bucket" else name

    def __getitem__(self, name: str) -> Any:
        self.asked.add(name)
        return self.properties[name]

    def get(self, name: str, default: Any = None) -> Any:
        """Return a property that may be missing."""
        return self[name] if name in self.properties else default

    def some(self, *names: str) -> dict[str, Any]:
        """Return the properties with these names, except for missing ones."""
        return {name: self[name] for name in names if name in self.properties}

    def __str__(self) -> str:
        return f"{self.type} {self.stack}/{self.logical_id}"


class Templates:
    """The templates of a deployment, by stack.

    Args:
        templates: The templates by the name of their stack.
        make: Creates a resource; called once for each, after the resources that it refers to.
    """

    def __init__(self, templates: Mapping[str, Template], make: Callable[[Resource], Made]) -> None:
        self._templates = templates
        self._make = make
        self._made: dict[tuple[str, str], Made] = {}
        self._exports = {
            output["Export"]["Name"]: (stack, output["Value"])
            for stack, template in templates.items()
            for output in template.get("Outputs", {}).values()
            if "Export" in output
        }

    def make_all(self) -> None:
        """Make every resource; raises `UnsupportedTemplateError`."""
        for stack, template in self._templates.items():
            for logical_id in template["Resources"]:
                self.made(stack, logical_id)

    def made(self, stack: str, logical_id: str) -> Made:
        """Return a resource, and create it if that has not happened yet."""
        key = stack, logical_id
        if key not in self._made:
            found = self._templates[stack]["Resources"][logical_id]
            if unknown := set(found) - _PLAIN_KEYS:
                raise UnsupportedTemplateError(f"{found['Type']} {stack}/{logical_id}: {min(unknown)} is not supported")
            properties = self.resolve(stack, found.get("Properties", {}))
            self._made[key] = self._make(Resource(stack, logical_id, found["Type"], properties))
        return self._made[key]

    def find(self, stack: str, path: str) -> Made:
        """Return a resource by its logical id, or by its construct path ("SweepQueue/Waiting") within the stack."""
        pattern = re.compile(re.escape(path.replace("/", "")) + r"((Resource)?[0-9A-F]{8})?")
        found = [name for name in self._templates[stack]["Resources"] if pattern.fullmatch(name)]
        if len(found) != 1:
            raise KeyError(f"{stack}: {path} names {len(found)} resources")
        return self.made(stack, found[0])

    def output(self, stack: str, name: str) -> str:
        """Return the value of an output of a stack."""
        return str(self.resolve(stack, self._templates[stack]["Outputs"][name]["Value"]))

    def resolve(self, stack: str, value: Any) -> Any:
        """Return `value` with every reference and function resolved."""
        if isinstance(value, list):
            return [item for item in (self.resolve(stack, item) for item in value) if item is not _NO_VALUE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1 and ((name := next(iter(value))) == "Ref" or name.startswith("Fn::")):
            return self._evaluated(stack, name, value[name])
        items = ((key, self.resolve(stack, item)) for key, item in value.items())
        return {key: item for key, item in items if item is not _NO_VALUE}

    def _evaluated(self, stack: str, function: str, argument: Any) -> Any:
        match function, argument:
            case "Ref", str() if argument in _PSEUDO:
                return _PSEUDO[argument]
            case "Ref", str() if argument in self._templates[stack]["Resources"]:
                return self.made(stack, argument).ref
            case "Fn::GetAtt", [str(logical_id), str(attribute)]:
                made = self.made(stack, logical_id)
                if attribute in made.attributes:
                    return made.attributes[attribute]
            case "Fn::Join", [str(separator), parts]:
                return separator.join(self.resolve(stack, parts))
            case "Fn::Sub", str():
                return re.sub(r"\$\{([^.}]+)\}", lambda found: self._evaluated(stack, "Ref", found[1]), argument)
            case "Fn::ImportValue", str() if argument in self._exports:
                return self.resolve(*self._exports[argument])
            case _ if function in _PURE:
                return _PURE[function](self.resolve(stack, argument))
        raise UnsupportedTemplateError(f"{stack}: {function} of {argument} is not supported")
