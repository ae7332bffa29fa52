"""`vaultwatch rules explain`: which conditions of a rule hold for the records of a log."""

from __future__ import annotations

import heapq
import shlex
from pathlib import Path

import click

from vaultwatch.cli.common import SHIPPED, SHIPPED_FILES, complete_place, complete_rule, find_rule, rules_option
from vaultwatch.cli.examples import examples
from vaultwatch.errors import RuleError, SettingError
from vaultwatch.printable import counted, one_line
from vaultwatch.reading.view import View
from vaultwatch.rules.conditions import And, Never, Not
from vaultwatch.rules.explained import Explained, explained
from vaultwatch.rules.pack import Rule

_LONGEST_LINE = 500


@click.command(
    "explain",
    short_help="Show which conditions of a rule hold for a log.",
    epilog=examples(
        "vaultwatch rules explain audit_policy_written audit.log",
        "grep 5b0a audit.log | vaultwatch rules explain audit_policy_written -",
        "vaultwatch rules explain --rules shipped --rules mine my_rule audit.log",
    ),
)
@click.argument("rule", shell_complete=complete_rule)
@click.argument("place", default="-", metavar="[RECORD-FILE|-]", shell_complete=complete_place)
@rules_option
@click.option(
    "--show", "most", type=click.IntRange(1, 1000), default=3, show_default=True, metavar="N",
    help="Show the N records that match, or come nearest to it.",
)  # fmt: skip
def command(rule: str, place: str, rule_dirs: tuple[Path, ...], most: int) -> int:
    """Show which conditions of RULE hold for records, and which do not.

    Each condition is shown with its result and with the value that the record has. Of a log with many records, those
    that match are shown first, then those for which most conditions hold. RECORD-FILE may have any form that check
    reads; without it, or with "-", records are read from stdin.

    Exit status: 0 if the rule matches a record, 1 if it matches none, 2 if something cannot be read or there is no such
    rule.
    """
    from vaultwatch.cli.records import read_records
    from vaultwatch.cli.rule_reports import result_lines
    from vaultwatch.detection.views import observing
    from vaultwatch.rules.compiling import selections_of

    found = find_rule(rule, rule_dirs)
    if found.compiled.correlation:
        bases = ", ".join(found.compiled.correlation.rules)
        raise SettingError(f"{rule} counts the matches of other rules: explain those, which are {bases}")
    nearest = _Nearest(found, most)
    options = (word for one in rule_dirs for word in ("--rules", SHIPPED if one == SHIPPED_FILES else str(one)))
    reader = shlex.join(["vaultwatch", "rules", "explain", *options, rule])
    read_records([place], [observing(found.compiled, nearest.add)], reader)
    if not nearest.records:
        raise SettingError(f"{place}: no record of the {found.service} log, which {rule} is for")
    names = selections_of(rule, rule_dirs or [path for path in [SHIPPED_FILES] if path.is_dir()])
    click.echo(
        f"{rule}: matches {nearest.matches:,} of {counted(nearest.records, 'record')} of the {found.service} log"
    )
    for view in nearest.best():
        click.echo(f"\n{one_line(_title(view), _LONGEST_LINE)}")
        for line in result_lines(found, view, names):
            click.echo(f"    {one_line(line, _LONGEST_LINE)}")
    if nearest.errors:
        raise RuleError(f"{rule} raised an error on {counted(nearest.errors, 'record')}")
    return 0 if nearest.matches else 1


class _Nearest:
    """Keeps the records that match a rule, or come nearest to it.

    Attributes:
        records: How many there were.
        matches: How many of them match.
        errors: On how many of them the rule raised an error.
    """

    def __init__(self, rule: Rule, most: int) -> None:
        self.records = self.matches = self.errors = 0
        self._rule, self._most = rule, most
        self._heap: list[tuple[float, int, View]] = []

    def add(self, view: View) -> bool:
        """Look at one record; a rule that observes never matches."""
        self.records += 1
        near = self._nearness(view)
        self.matches += near == 1
        keep = heapq.heappush if len(self._heap) < self._most else heapq.heappushpop
        keep(self._heap, (near, -self.records, view))
        return False

    def _nearness(self, view: View) -> float:
        if not self._rule.source:
            return nearness(explained(self._rule.compiled.condition, view))
        try:
            return float(self._rule.matches(view))
        except Exception:  # noqa: BLE001  a rule may be anybody's code: it is counted, and shown with the record
            self.errors += 1
            return 0.5

    def best(self) -> list[View]:
        """Return the kept records, the nearest first; of equals, the earliest."""
        return [view for _, _, view in sorted(self._heap, key=lambda one: one[:2], reverse=True)]


def nearness(result: Explained) -> float:
    """Return how much of a condition holds: 1 if all of it does, 0 if nothing does."""
    if result.holds or not result.parts or isinstance(result.condition, Not | Never):
        return float(result.holds)
    weighted = [(_weight(part), nearness(part)) for part in result.parts]
    if not isinstance(result.condition, And):
        return max(near for _, near in weighted)
    return sum(weight * near for weight, near in weighted) / sum(weight for weight, _ in weighted)


def _weight(result: Explained) -> float:
    """Return how much a part of a condition says: most exclusions hold for most records."""
    return 0.1 if isinstance(result.condition, Not) else 1.0


def _title(view: View) -> str:
    """Return the heading of a record: its time and what it is about."""
    request = view.get("request")
    if not isinstance(request, dict):
        return f"{view.get('time')}  {view.get('level')}  {view.get('message')}"
    facts = (view.get("time"), view.get("type"), request.get("operation"), request.get("path"))
    return "  ".join(str(fact) for fact in facts if fact)
