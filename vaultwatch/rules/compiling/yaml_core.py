"""Read YAML with the plain values of its version 1.2, so that a rule means what it seems to say.

YAML 1.1, which PyYAML reads, turns `no` into false, `0777` into 511, `12:30:45` into 45045 and `2026-11-21` into a
date. Here a plain value is null (`null`, `~`, or nothing), a boolean (`true`, `false`), a decimal number (without
leading zeros), or text.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from sigma.rule.base import SigmaYAMLLoader

from vaultwatch.errors import RuleError
from vaultwatch.rules.compiling.faults import not_yaml

_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_TAG = "tag:yaml.org,2002:"
_LONGEST_INTEGER = 640  # digits; Python refuses to convert integers of thousands


class CoreLoader(SigmaYAMLLoader):
    """pySigma's loader, which refuses duplicate keys, with the plain values of YAML 1.2."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Read a mapping whose keys are single values.

        Raises:
            YAMLError: There is a merge key, a key that is a list or a mapping, or a key that occurs twice.
        """
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.YAMLError(f"line {key.start_mark.line + 1}: a key is a list or a mapping")
            if key.value == "<<":
                raise yaml.YAMLError(f"line {key.start_mark.line + 1}: unsupported merge key <<: write its keys out")
            if key.value in seen:
                raise yaml.YAMLError(f"line {key.start_mark.line + 1}: the key {key.value[:80]} is there twice")
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_integer(self, node: yaml.ScalarNode) -> int:
        """Read a decimal integer of at most 640 digits.

        Raises:
            YAMLError: It is something else.
        """
        text = str(node.value)
        if not _INTEGER.fullmatch(text) or len(text) > _LONGEST_INTEGER:
            raise yaml.YAMLError(f"line {node.start_mark.line + 1}: not a decimal integer: {text[:40]}")
        return int(text)

    def construct_float(self, node: yaml.ScalarNode) -> float:
        """Read a decimal number.

        Raises:
            YAMLError: It is something else, or too large.
        """
        text = str(node.value)
        number = float(text) if _FLOAT.fullmatch(text) else float("inf")
        if number in (float("inf"), float("-inf")):
            raise yaml.YAMLError(f"line {node.start_mark.line + 1}: not a decimal number in range: {text[:40]}")
        return number


CoreLoader.yaml_implicit_resolvers = {}
for kind, plain, first_characters in (
    ("null", "null|Null|NULL|~|", ["n", "N", "~", ""]),
    ("bool", "true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", _INTEGER.pattern, list("-+0123456789")),
    ("float", _FLOAT.pattern, list("-+.0123456789")),
):
    CoreLoader.add_implicit_resolver(_TAG + kind, re.compile(rf"(?:{plain})\Z"), first_characters)
CoreLoader.add_constructor(f"{_TAG}int", CoreLoader.construct_integer)
CoreLoader.add_constructor(f"{_TAG}float", CoreLoader.construct_float)


def load_documents(path: Path, where: str) -> list[Any]:
    """Read all documents of a file.

    Args:
        path: The file.
        where: Its name in an error.

    Raises:
        RuleError: The file cannot be read, or is not YAML.
    """
    text = ""
    try:
        text = path.read_text("utf-8")
        return list(yaml.load_all(text, CoreLoader))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise not_yaml(error, text, where) from error
    except OSError as error:
        raise RuleError(f"{path}: {error.strerror}") from error
