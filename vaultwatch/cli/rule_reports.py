"""Report why a fixture failed, and which conditions of a rule hold for the records of a log."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC
from pathlib import Path

from vaultwatch.alerts import alert_of
from vaultwatch.cli.rule_explained import Names, alert_lines, explained_lines
from vaultwatch.cli.rule_fixtures import Fault, fixtures_of
from vaultwatch.detection.detector import Detector
from vaultwatch.detection.views import observing
from vaultwatch.reading.view import View
from vaultwatch.rules.compiling import selections_of
from vaultwatch.rules.explained import explained
from vaultwatch.rules.pack import Rule


def fault_report(fault: Fault, directories: Sequence[Path]) -> Iterator[str]:
    """Yield why a rule was wrong about a fixture: the alert of the record, and the result of each condition.

    Args:
        fault: What the test found.
        directories: The folders of rules.

    Raises:
        RuleError: The rules do not compile.
    """
    if fault.rule is None or fault.rule.compiled.correlation:  # a correlation has no conditions of its own
        return
    folder = fixtures_of(fault.rule.name, directories)
    names = selections_of(fault.rule.name, [*directories, *([folder] if folder else [])])
    views: list[View] = []
    observer = observing(fault.rule.compiled, _keeping(views))
    detector = Detector([observer], source=fault.rule.service, zone=UTC)
    for verdict in [*detector.feed(fault.lines), *detector.flush()]:
        yield from alert_lines(alert_of(verdict))
    for view in views:
        yield from result_lines(fault.rule, view, names)


def result_lines(rule: Rule, view: View, names: Names) -> list[str]:
    """Return a line for each part of a rule's condition, with its result for a record.

    Args:
        rule: The rule.
        view: The record's view.
        names: The names of selections by their conditions.
    """
    if not rule.source:
        return list(explained_lines(explained(rule.compiled.condition, view), names))
    try:
        return [f"the function in Python returned {rule.matches(view)}"]
    except Exception as error:  # noqa: BLE001  a rule may be anybody's code
        return [f"the function in Python raised {type(error).__name__}: {error}"]


def _keeping(views: list[View]) -> Callable[[View], bool]:
    def keep(view: View) -> bool:
        views.append(view)
        return True

    return keep
