"""`vaultwatch rules catalogue`: a page of Markdown for each rule, and an index by level."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import msgspec

from vaultwatch.cli.common import RulesFolder, default_rules, load_rules
from vaultwatch.cli.examples import examples
from vaultwatch.cli.outputs import check_folder, check_output, write_output
from vaultwatch.cli.rule_pages import index_page, rule_page
from vaultwatch.cli.rule_provenance import origins, recorded_lines
from vaultwatch.errors import RuleError, SettingError
from vaultwatch.outputs import Output
from vaultwatch.printable import counted

INDEX = "README.md"
WEEK = "week.json"
_PAGE = Output("a page of this command", re.compile(rb"# Rules by level\n|# [^\n]+\n\n`[a-z0-9_]+`: \*\*"))


@click.command(
    "catalogue",
    short_help="Write a page for each rule.",
    epilog=examples(
        "vaultwatch rules catalogue -o docs/rules",
        "vaultwatch rules catalogue shipped mine -o pages",
    ),
)
@click.argument("directories", nargs=-1, type=RulesFolder(), metavar="[DIR]...")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, metavar="FOLDER", help="The folder to write to."
)
def command(directories: tuple[Path, ...], output: Path) -> None:
    """Write a page of Markdown for each rule, and an index by level, README.md.

    A page has the rule's texts, its condition with the placeholders in force, and how many records it is tested on.
    Pages of rules that no longer exist are left. If another file has the name of a page, nothing is written. Without
    DIR: the folder `rules` here, or the shipped rules.
    """
    check_folder("--output", output)
    made = list(pages(directories or [default_rules()]))
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingError(f"--output: {error.filename or output}: {error.strerror}") from error
    for name, _ in made:
        check_output("--output", output / name, _PAGE)
    for name, text in made:
        write_output("--output", output / name, _PAGE, [text.encode()])
    click.echo(f"{output}: {len(made)} pages")


def pages(directories: Sequence[Path]) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each page.

    Args:
        directories: The folders of the rules and their fixtures.

    Raises:
        RuleError: A rule does not compile or there is none, or a fixture cannot be read.
    """
    rules = load_rules(directories)
    recorded = recorded_lines(directories)
    week = _week(directories)
    yield INDEX, index_page([rule.compiled for rule in rules])
    for rule in rules:
        matching, ignored = (origins(rule.name, kind, directories, recorded) for kind in ("match", "ignore"))
        yield f"{rule.name}.md", rule_page(rule, matching, ignored, _noise(rule.name, week))


class _Week(msgspec.Struct, frozen=True):
    """What a generated week of ordinary work raised: alerts and notifications by rule."""

    clients: int
    entries: int
    raised: dict[str, tuple[int, int]]


def _week(directories: Sequence[Path]) -> _Week | None:
    """Return the week that a folder of rules has.

    Raises:
        RuleError: It cannot be read.
    """
    for path in (folder / WEEK for folder in directories):
        if path.exists():
            try:
                return msgspec.json.decode(path.read_bytes(), type=_Week)
            except (OSError, msgspec.DecodeError) as error:
                raise RuleError(f"{path}: {error}") from error
    return None


def _noise(rule: str, week: _Week | None) -> str:
    """Return what a rule raised in the week; "" if it was not there."""
    if week is None or rule not in week.raised:
        return ""
    alerts, notifications = week.raised[rule]
    return (
        f"A generated week of ordinary work by {week.clients:,} clients, {week.entries:,} lines, raised "
        f"{counted(alerts, 'alert')} and {counted(notifications, 'notification')} with the default placeholders."
    )
