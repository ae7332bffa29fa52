"""The options of `check` and `report` that say which logs are read by which rules, and which alerts are shown."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple, cast

import click

from vaultwatch.cli.common import check_rule_names, complete_rule, load_rules, load_silenced, period, rules_option
from vaultwatch.detection.evaluator import Ruleset
from vaultwatch.detection.line_reader import Source
from vaultwatch.findings.reader import Settings
from vaultwatch.findings.selection import Selection
from vaultwatch.rules.facts import Level
from vaultwatch.rules.pack import Rule
from vaultwatch.zones import find_zone


class Asked(NamedTuple):
    """What the options say; each attribute is the value of one, as click gives it."""

    source: Source
    rule_dirs: tuple[Path, ...]
    level: str
    timezone: str
    only: tuple[str, ...]
    exclude: tuple[str, ...]
    principal: str
    since: str | None
    until: str | None
    allow_empty: bool
    progress: bool | None

    @property
    def watched(self) -> bool | None:
        """Whether progress is shown; None if a line now and then says how much has been read."""
        return (sys.stderr.isatty() or None) if self.progress is None else self.progress

    @property
    def selects(self) -> bool:
        """Whether some alerts may not be shown."""
        return bool(self.only or self.exclude or self.principal or self.since or self.until or self.level != Level.LOW)

    def rules(self) -> list[Rule]:
        """Return the rules.

        Raises:
            RuleError: A rule does not compile.
            SettingError: There is no rule with a name that an option names.
            UsageError: No alert of a rule that is asked for has the level that is asked for.
        """
        rules = load_rules(self.rule_dirs)
        check_rule_names([rule.name for rule in rules], (*self.only, *self.exclude))
        self._check_levels(rules)
        return rules

    def _check_levels(self, rules: Sequence[Rule]) -> None:
        for pattern in self.only:
            highest = max((highest_level(rule) for rule in rules if fnmatchcase(rule.name, pattern)), key=_rank)
            if highest.rank < Level(self.level).rank:
                raise click.UsageError(f"--rule: alerts of `{pattern}` are of level {highest}: add --level {highest}")

    def selection(self) -> Selection:
        """Return which alerts are shown.

        Raises:
            SettingError: A time is wrong.
            UsageError: The times are reversed.
        """
        since, until = period(("--since", self.since), ("--until", self.until))
        return Selection(Level(self.level), self.only, self.exclude, since, until, self.principal)

    def settings(self, rules: Sequence[Rule]) -> Settings:
        """Return how logs are read by these rules, and by those that count what is silenced.

        Raises:
            RuleError: A filter does not compile.
            SettingError: A time or the time zone is wrong.
            UsageError: The times are reversed.
        """
        ruleset = Ruleset([*rules, *load_silenced(self.rule_dirs, rules)])
        return Settings(ruleset, self.source, find_zone(self.timezone, "--timezone"), self.selection())


def _rank(level: Level) -> int:
    return level.rank


def highest_level(rule: Rule) -> Level:
    """Return the highest level that an alert of a rule can have."""
    return max(rule.compiled.level, rule.compiled.denied_level or rule.compiled.level, key=_rank)


_OPTIONS = (
    click.option(
        "--source", type=click.Choice(["auto", "audit", "server"]), default="auto", show_default=True,
        help="The log that the lines come from; auto decides line by line.",
    ),
    rules_option,
    click.option(
        "--level", type=click.Choice([str(level) for level in Level], case_sensitive=False), default="low",
        show_default=True, help="Lowest level of the alerts to show.",
    ),
    click.option(
        "--rule", "only", multiple=True, metavar="NAME", shell_complete=complete_rule,
        help="Only alerts of this rule; `*` is a wildcard.",
    ),
    click.option(
        "--exclude", multiple=True, metavar="NAME", shell_complete=complete_rule,
        help="No alerts of this rule; `*` is a wildcard.",
    ),
    click.option("--principal", default="", metavar="TEXT", help="Only of callers with this in name, id or address."),
    click.option(
        "--since", metavar="TIME",
        help="Only alerts from this time on (RFC 3339 or a date, UTC without a zone; `2h` is two hours ago, `7d` seven "
        "days), and those without a time.",
    ),
    click.option("--until", metavar="TIME", help="Only alerts before this time, and those without a time."),
    click.option(
        "--timezone", default="UTC", show_default=True, metavar="ZONE",
        help="Time zone of local.hour and local.weekday.",
    ),
    click.option("--allow-empty", is_flag=True, help="An empty log is no error."),
    click.option(
        "--progress/--no-progress", default=None,
        help="Show progress on stderr. Default: a bar if it is a terminal, else a line every 20 seconds.",
    ),
)  # fmt: skip


def selecting(command: Callable[..., int]) -> Callable[..., int]:
    """Give a command these options; it gets their values as its argument `asked`."""

    @functools.wraps(command)
    def run(*arguments: Any, **given: Any) -> int:
        asked = Asked(**{name: given.pop(name) for name in Asked._fields})
        return command(*arguments, asked=asked, **given)

    for option in reversed(_OPTIONS):
        run = option(run)
    return cast("Callable[..., int]", run)
