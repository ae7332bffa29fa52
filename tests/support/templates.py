"""Read CloudFormation templates in tests."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

Template = dict[str, Any]


def of_type(template: Template, type_name: str) -> dict[str, dict[str, Any]]:
    """The resources of a type ("SQS::Queue"), by logical id."""
    return {name: found for name, found in template["Resources"].items() if found["Type"] == f"AWS::{type_name}"}


def properties(template: Template, type_name: str, begins: str = "") -> dict[str, Any]:
    """The properties of the one resource of a type whose logical id begins so."""
    [found] = [found for name, found in of_type(template, type_name).items() if name.startswith(begins)]
    result: dict[str, Any] = found["Properties"]
    return result


def statements(role: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The statements of a role's own policies."""
    for policy in role["Properties"].get("Policies", ()):
        yield from policy["PolicyDocument"]["Statement"]


def as_list(value: Any) -> list[Any]:
    """Return a list, where CloudFormation writes a list of one as its only element."""
    return value if isinstance(value, list) else [value]


def text(value: Any) -> str:
    """Return an intrinsic as one short line: what it refers to, without the hashes of logical ids."""
    match value:
        case str():
            return value
        case {"Ref": name}:
            return f"<{_bare(name)}>"
        case {"Fn::GetAtt": [name, attribute]}:
            return f"<{_bare(name)}.{attribute}>"
        case {"Fn::ImportValue": name}:
            return f"<{_exported(name)}>"
        case {"Fn::Sub": pattern}:
            return re.sub(r"\$\{([\w:]+)\}", r"<\1>", pattern)
        case {"Fn::Join": [separator, parts]}:
            return str(separator).join(text(part) for part in parts)
    raise ValueError(f"unknown intrinsic {value}")


def _bare(name: str) -> str:
    return re.sub(r"[0-9A-F]{8}$", "", name)


def _exported(name: str) -> str:
    """`<deployment>-<stack>:ExportsOutput...`, as the stack and what was exported."""
    found = re.fullmatch(
        r"(?:vaultwatch-)?([\w-]+):ExportsOutput(?:FnGetAtt|Ref)(\w+?)[0-9A-F]{8}(\w*?)[0-9A-F]{8}", name
    )
    if found is None:
        raise ValueError(f"unknown export {name}")
    stack, exported, attribute = found.groups()
    return f"{stack}:{exported}.{attribute}" if attribute else f"{stack}:{exported}"
