"""Synthesized templates read: references followed, functions of CloudFormation worked out, names found again."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from vaultwatch.errors import VaultwatchError

ACCOUNT, REGION = "123456789012", "eu-central-1"
Template = Mapping[str, Any]
_NO_VALUE = object()
# Neither changes what a resource is; all other keys of a resource would.
_PLAIN_KEYS = {"Type", "Properties", "DependsOn", "Metadata", "DeletionPolicy", "UpdateReplacePolicy"}


class NotDoneHereError(VaultwatchError):
    """The template says something that the local AWS does not know how to do."""


@dataclass(frozen=True)
class Made:
    """What stands for a resource: what `Ref` gives, and what `Fn::GetAtt` gives by attribute."""

    ref: str
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Resource:
    """One resource of a stack, its properties resolved."""

    stack: str
    logical_id: str
    type: str
    properties: dict[str, Any]

    @property
    def name(self) -> str:
        """A physical name, as CloudFormation's without its random end."""
        return f"{self.stack}-{self.logical_id}"

    def __str__(self) -> str:
        return f"{self.type} {self.stack}/{self.logical_id}"


class Templates:
    """The templates of a deployment, by stack; `make` is asked once for each resource, what it refers to first."""

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
        """Make every resource; raises `NotDoneHereError`."""
        for stack, template in self._templates.items():
            for logical_id in template["Resources"]:
                self.made(stack, logical_id)

    def made(self, stack: str, logical_id: str) -> Made:
        """A resource, made now if it is not yet."""
        key = stack, logical_id
        if key not in self._made:
            found = self._templates[stack]["Resources"][logical_id]
            if unknown := set(found) - _PLAIN_KEYS:
                raise NotDoneHereError(f"{found['Type']} {stack}/{logical_id}: {min(unknown)} is not understood")
            properties = self.resolve(stack, found.get("Properties", {}))
            self._made[key] = self._make(Resource(stack, logical_id, found["Type"], properties))
        return self._made[key]

    def find(self, stack: str, path: str) -> Made:
        """A resource by logical id, or by construct path ("SweepQueue/Waiting") within its stack."""
        if path in self._templates[stack]["Resources"]:
            return self.made(stack, path)
        pattern = re.compile(re.escape(path.replace("/", "")) + r"(Resource)?[0-9A-F]{8}")
        found = [name for name in self._templates[stack]["Resources"] if pattern.fullmatch(name)]
        if len(found) != 1:
            raise KeyError(f"{stack}: {path} names {len(found)} resources")
        return self.made(stack, found[0])

    def output(self, stack: str, name: str) -> str:
        """The value of an output of a stack."""
        return str(self.resolve(stack, self._templates[stack]["Outputs"][name]["Value"]))

    def resolve(self, stack: str, value: Any) -> Any:
        """`value` with every reference and function worked out."""
        if isinstance(value, list):
            return [item for item in (self.resolve(stack, item) for item in value) if item is not _NO_VALUE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1 and ((name := next(iter(value))) == "Ref" or name.startswith("Fn::")):
            return self._work_out(stack, name, value[name])
        items = ((key, self.resolve(stack, item)) for key, item in value.items())
        return {key: item for key, item in items if item is not _NO_VALUE}

    def _work_out(self, stack: str, function: str, argument: Any) -> Any:
        match function, argument:
            case "Ref", str():
                return self._ref(stack, argument)
            case "Fn::GetAtt", [str(logical_id), str(attribute)]:
                return self._attribute(stack, logical_id, attribute)
            case "Fn::Join", [str(separator), parts]:
                return separator.join(self.resolve(stack, parts))
            case "Fn::Sub", str():
                return re.sub(r"\$\{([^.}]+)\}", lambda found: self._ref(stack, found[1]), argument)
            case "Fn::ImportValue", str() if argument in self._exports:
                return self.resolve(*self._exports[argument])
        raise NotDoneHereError(f"{stack}: {function} of {argument} is not understood")

    def _attribute(self, stack: str, logical_id: str, attribute: str) -> str:
        made = self.made(stack, logical_id)
        if attribute not in made.attributes:
            raise NotDoneHereError(f"{stack}/{logical_id}: its attribute {attribute} is not known here")
        return made.attributes[attribute]

    def _ref(self, stack: str, name: str) -> Any:
        pseudo = {
            "AWS::AccountId": ACCOUNT,
            "AWS::Region": REGION,
            "AWS::Partition": "aws",
            "AWS::StackName": stack,
            "AWS::URLSuffix": "amazonaws.com",
            "AWS::NoValue": _NO_VALUE,
        }
        if name in pseudo:
            return pseudo[name]
        if name not in self._templates[stack]["Resources"]:
            raise NotDoneHereError(f"{stack}: Ref of {name} is not understood")
        return self.made(stack, name).ref
