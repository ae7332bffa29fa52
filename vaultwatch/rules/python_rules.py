"""Rules whose condition is a Python function, for what Sigma cannot say.

    from vaultwatch.rules.python_rules import rule

    @rule(title="Path and address disagree", level="medium", service="audit")
    def audit_odd_pair(entry):
        return ...

The function's name is the rule's; `entry` is what Sigma rules see (`vaultwatch.reading.view`). One that raises is
counted by its name and disables nothing else.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from vaultwatch.errors import RuleError
from vaultwatch.reading.view import View
from vaultwatch.rules.conditions import Exists
from vaultwatch.rules.facts import Level, Service
from vaultwatch.rules.pack import CompiledRule, Rule

Condition = Callable[[View], bool]
_collecting: list[Rule] = []


def rule(
    *, title: str, level: str, service: Service, status: str = "test", **facts: Any
) -> Callable[[Condition], Condition]:
    """Make a function a rule. `facts`: description, runbook, tags, falsepositives, references.

    Raises:
        RuleError: an unknown level, service or fact.
    """

    def register(function: Condition) -> Condition:
        name = function.__name__
        if (
            level not in list(Level)
            or service not in ("audit", "server")
            or status not in ("stable", "test", "experimental")
        ):
            raise RuleError(f"{name}: unknown level, service or status")
        try:
            compiled = CompiledRule(
                name=name,
                title=title,
                level=Level(level),
                service=service,
                staged=status == "experimental",
                condition=Exists("local", True),  # may look at anything: the index leaves it, `local` is computed
                **facts,
            )
        except TypeError as error:
            raise RuleError(f"{name}: {error}") from error
        _collecting.append(Rule(compiled, matches=lambda view: bool(function(view))))
        return function

    return register


def load_python_rules(directories: Sequence[Path], taken: Collection[str] = ()) -> list[Rule]:
    """Import every *.py of these directories and give the rules that it made.

    Raises:
        RuleError: a file cannot be imported, or a name is taken.
    """
    found: list[Rule] = []
    names = set(taken)
    for path in [path for directory in directories for path in sorted(directory.glob("*.py"))]:
        for made in _import_rules(path):
            if made.name in names:
                raise RuleError(f"{path.name}: a second rule named {made.name}")
            names.add(made.name)
            found.append(made)
    return found


def _import_rules(path: Path) -> list[Rule]:
    _collecting.clear()
    spec = importlib.util.spec_from_file_location(f"vaultwatch_rules_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise RuleError(f"{path.name}: cannot be imported")
    try:
        source = path.read_bytes()
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    except RuleError as error:
        raise RuleError(f"{path.name}: {error}") from error
    except (Exception, SystemExit) as error:  # whatever somebody's module raises is told in one line
        raise RuleError(f"{path.name}: {type(error).__name__}: {error}") from error
    return [Rule(made.compiled, made.matches, source) for made in _collecting]
