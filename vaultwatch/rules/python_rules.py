"""Rules whose condition is a Python function, for what Sigma cannot express.

    from vaultwatch.rules.python_rules import rule

    @rule(title="Path and address disagree", level="medium", service="audit")
    def audit_odd_pair(entry):
        return ...

The function's name is the rule's name; `entry` is the view that Sigma rules get (`vaultwatch.reading.view`). An
exception in a rule is counted under the rule's name and affects no other rule.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

from vaultwatch.errors import RuleError
from vaultwatch.printable import spelled_out
from vaultwatch.reading.view import View
from vaultwatch.rules.conditions import Exists
from vaultwatch.rules.facts import Level, Service
from vaultwatch.rules.files import name_of, rule_files
from vaultwatch.rules.pack import CompiledRule, Rule
from vaultwatch.rules.titles import fault_of_name, fault_of_title

Function: TypeAlias = Callable[[View], bool]

# A function may read any field: it has no anchors, and naming `local` makes the detector compute the local time.
_ANYTHING = Exists("local", True)
_STATUSES = ("stable", "test", "experimental")
_collecting: list[Rule] = []


def rule(
    *, title: str, level: str, service: Service, status: str = "test", **facts: Any
) -> Callable[[Function], Function]:
    """Make a function a rule.

    Args:
        title: The title of the rule's alerts.
        level: One of Sigma's five levels.
        service: The log that the rule is for.
        status: "experimental" makes it a staged rule.
        facts: Any of description, runbook, tags, falsepositives, references.

    Raises:
        RuleError: A level, service, status or fact is unknown, or a title or the name could pass for another one.
    """

    def register(function: Function) -> Function:
        name = function.__name__
        denied = facts.get("denied_level")
        if (
            level not in list(Level)
            or denied not in (None, *Level)
            or service not in ("audit", "server")
            or status not in _STATUSES
        ):
            raise RuleError(f"{name}: unknown level, service or status")
        if fault := fault_of_name(name) or _fault_of_titles(title, facts):
            raise RuleError(f"{spelled_out(name)}: {fault}")
        try:
            compiled = CompiledRule(
                name=name,
                title=title,
                level=Level(level),
                service=service,
                staged=status == "experimental",
                condition=_ANYTHING,
                **facts,
            )
        except TypeError as error:
            raise RuleError(f"{name}: {error}") from error
        _collecting.append(Rule(compiled, matches=lambda view: bool(function(view))))
        return function

    return register


def _fault_of_titles(title: object, facts: Mapping[str, object]) -> str:
    """Return what is wrong with the titles of a rule, as those of Sigma rules are checked."""
    if not isinstance(title, str):
        return "the title is no text"
    others = [(name, facts.get(name, "")) for name in ("denied_title", "unanswered_title")]
    faults = [(name, fault_of_title(one) if isinstance(one, str) else "it is no text") for name, one in others]
    return fault_of_title(title) or next((f"{name}: {fault}" for name, fault in faults if fault), "")


def load_python_rules(directories: Sequence[Path], taken: Collection[str] = ()) -> list[Rule]:
    """Import every *.py below these directories and return the rules that they define.

    Args:
        directories: Folders; their subfolders are read too.
        taken: Names that other rules have.

    Raises:
        RuleError: A file cannot be imported, or a name is taken.
    """
    found: list[Rule] = []
    names = set(taken)
    for path, where in _files(directories):
        for made in _import_rules(path, where):
            if made.name in names:
                raise RuleError(f"{where}: a second rule named {made.name}")
            names.add(made.name)
            found.append(made)
    return found


def _files(directories: Sequence[Path]) -> list[tuple[Path, str]]:
    """Return the files of rules, with the names by which errors call them."""
    return [(path, name_of(path, folder)) for folder in directories for path in rule_files(folder, {".py"})]


def _import_rules(path: Path, where: str) -> list[Rule]:
    _collecting.clear()
    name = f"vaultwatch_rules_{path.stem}"
    module = ModuleType(name)
    module.__file__ = str(path)
    try:
        source = path.read_bytes()
        SourceFileLoader(name, str(path)).exec_module(module)
    except RuleError as error:
        raise RuleError(f"{where}: {error}") from error
    except SyntaxError as error:  # its text would name the file again
        line = f" (line {error.lineno})" if error.lineno else ""
        raise RuleError(f"{where}: {type(error).__name__}: {error.msg}{line}") from error
    except (Exception, SystemExit) as error:  # a module may raise anything: reported in one line
        raise RuleError(f"{where}: {type(error).__name__}: {error}") from error
    return [Rule(made.compiled, made.matches, source) for made in _collecting]
