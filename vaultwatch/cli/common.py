"""The base class of handlers' commands, the loading of rules, and options that name a time."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vaultwatch.cli.groups import text_of
from vaultwatch.errors import RuleError, SettingError, did_you_mean
from vaultwatch.inputs import STDIN
from vaultwatch.printable import one_line
from vaultwatch.reading.identity import parse_time
from vaultwatch.rules.correlations import Correlations
from vaultwatch.rules.pack import Rule, shipped_rules

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_INSTALLED_RULES = Path(__file__).parents[1] / "rules" / "sigma"
SHIPPED_FILES = _INSTALLED_RULES if _INSTALLED_RULES.is_dir() else Path(__file__).parents[2] / "rules"
"""The files of the shipped rules: the wheel has them inside, a checkout beside the package."""
SHIPPED = "shipped"
"""What the options and arguments that take folders of rules call the folder of the shipped ones."""


_AGO = re.compile(r"(\d{1,5})([smhdw])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_WITHOUT_ZONE = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)?", re.ASCII)


class RulesFolder(click.Path):
    """A folder of rules, or `shipped`. A folder of this name is `./shipped`."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """See `click.Path`."""
        return SHIPPED_FILES if value == SHIPPED else super().convert(value, param, ctx)


class HandlerPath(click.Path):
    """A file or folder of a handler, whose stdin has the lines and whose stdout nobody reads: `-` is neither."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """See `click.Path`."""
        if value == "-":
            raise click.UsageError(f"{param.opts[0] if param else 'a file'}: `-` is no name of a file here")
        return super().convert(value, param, ctx)


rules_option = click.option(
    "--rules",
    "rule_dirs",
    type=RulesFolder(),
    multiple=True,
    metavar="DIR",
    help="Use the rules in DIR and its subfolders instead of the shipped ones; may be given again. `shipped` is the "
    "folder of the shipped ones.",
)


class HandlerCommand(click.Command):
    """The command of a program() handler: a usage error must not end it at once when syslog-ng has started it."""

    def make_context(self, info_name: str | None, args: list[str], *rest: Any, **extra: Any) -> click.Context:
        """See `click.Command`."""
        from vaultwatch.handler.parent import may_be_restarted
        from vaultwatch.handler.run import refuse

        given = tuple(args)
        try:
            return super().make_context(info_name, args, *rest, **extra)
        except click.UsageError as error:
            if "--check-config" in given or not may_be_restarted(0):
                raise
            refuse(str(info_name), one_line(text_of(error)))
            raise click.exceptions.Exit(2) from error


def note_terminal(places: Sequence[str]) -> None:
    """Say that lines are read from the terminal, if they are: nothing else shows what a command waits for."""
    if STDIN in (places or (STDIN,)) and sys.stdin and sys.stdin.isatty():  # without one if it is closed
        click.echo("reading from the terminal; press Ctrl-D to end", err=True)


def complete_place(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Let the shell complete the name of a file or folder; a place may also be no file."""
    from click.shell_completion import CompletionItem  # only shells need it

    return [CompletionItem(incomplete, type="file")]


def completing(*words: str) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """Return what completes one of some words; which of them are allowed is for the command to say."""
    return lambda _ctx, _param, incomplete: [word for word in words if word.startswith(incomplete.lower())]


def complete_rule(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the name of a shipped rule."""
    from click.shell_completion import CompletionItem

    return [
        CompletionItem(rule.name, help=rule.compiled.title)
        for rule in shipped_rules()
        if rule.name.startswith(incomplete)
    ]


def moment(option: str, text: str | None) -> datetime | None:
    """Return the moment that an option names, in UTC if it names no zone; None if it is not given.

    A duration, such as `2h`, is that long ago.

    Raises:
        SettingError: It is not a time.
    """
    if text is None:
        return None
    if ago := _AGO.fullmatch(text):
        return datetime.now(UTC) - timedelta(seconds=int(ago[1]) * _SECONDS[ago[2]])
    has_no_zone = _WITHOUT_ZONE.fullmatch(text)
    found = parse_time(f"{text}{'Z' if has_no_zone[1] else 'T00:00Z'}" if has_no_zone else text)
    if found is None:
        raise SettingError(f"{option}: `{text}` is not a time such as 2026-11-21T07:29:43Z, 2026-11-21 or 2h (ago)")
    return found


def period(since: tuple[str, str | None], until: tuple[str, str | None]) -> tuple[datetime | None, datetime | None]:
    """Return both ends of a time; None for one that is not given.

    Args:
        since: The option that names the earliest moment, and its value.
        until: The option that names the moment before which it ends, and its value.

    Raises:
        SettingError: One is not a time.
        UsageError: It ends before it begins: nothing is in it.
    """
    begin, end = moment(*since), moment(*until)
    if begin and end and end <= begin:
        raise click.UsageError(f"{until[0]}: {until[1]} is not after {since[0]} {since[1]}")
    return begin, end


def check_rule_names(names: Sequence[str], patterns: Sequence[str]) -> None:
    """Refuse a pattern that no rule has.

    Args:
        names: The names of the rules.
        patterns: What `--rule` and `--exclude` name.

    Raises:
        SettingError: There is one.
    """
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise SettingError(f"there is no rule `{pattern}`{did_you_mean(pattern, names)}")


def load_rules(directories: Sequence[Path]) -> list[Rule]:
    """Return the shipped rules, or those in `directories` instead.

    Raises:
        RuleError: A rule does not compile, or there is none.
    """
    if not directories:
        return shipped_rules()
    from vaultwatch.rules.compiling import compile_directories
    from vaultwatch.rules.python_rules import load_python_rules

    rules = [Rule(compiled) for compiled in compile_directories(directories)]
    rules += load_python_rules(directories, taken={rule.name for rule in rules})
    if not rules:
        raise RuleError(f"no rule in {', '.join(map(str, directories))}")
    return rules


def load_silenced(directories: Sequence[Path], rules: Iterable[Rule]) -> list[Rule]:
    """Return rules that match what filters and overrides in these directories silence of rules that raise alerts.

    Args:
        directories: The directories.
        rules: The rules in them.

    Raises:
        RuleError: A rule does not compile.
    """
    if not directories:
        return []
    from vaultwatch.rules.compiling import compile_silenced

    found = (rule.compiled for rule in rules)
    silent = Correlations((one, one.correlation) for one in found if one.correlation).silent
    return [Rule(one) for one in compile_silenced(directories) if not one.staged and one.silenced_rule not in silent]


def default_rules() -> Path:
    """Return the folder `rules` here, otherwise that of the shipped rules.

    Raises:
        SettingError: There is neither.
    """
    for directory in (Path("rules"), SHIPPED_FILES):
        if directory.is_dir():
            return directory
    raise SettingError("no folder named rules here: give the folder of your rules")


def find_rule(name: str, directories: Sequence[Path]) -> Rule:
    """Return the rule with this name, of the shipped ones or of those in `directories`.

    Raises:
        RuleError: A rule does not compile.
        SettingError: There is no such rule.
    """
    rules = {rule.name: rule for rule in load_rules(directories)}
    if name not in rules:
        hint = did_you_mean(name, rules) or "; `vaultwatch rules list` lists all of them"
        where = "" if directories else " among the shipped ones (--rules DIR reads yours)"
        raise SettingError(f"no rule named {name}{where}{hint}")
    return rules[name]
