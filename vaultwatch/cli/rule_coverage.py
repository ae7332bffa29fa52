"""`vaultwatch rules coverage`: which public rules and paths the rules cover, and what is left."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import click
import msgspec

from vaultwatch.cli.common import check_rule_names, default_rules, load_rules
from vaultwatch.cli.examples import examples
from vaultwatch.cli.outputs import write_output
from vaultwatch.errors import RuleError
from vaultwatch.outputs import Output

COVERAGE = "coverage.toml"
_PAGE = Output("a page of this command", re.compile(rb"# Coverage\n\nWhich public detection rules"))


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A public rule, or an operation on a path, and what covers it.

    Attributes:
        name: What the public rule is about, or the operation and the path.
        source: Where the public rule comes from.
        rules: The rules that cover it.
        alarm: The alarm that covers it, if no log can.
        note: What else there is to say; if nothing covers it, why.
        entry: The members that an entry of this path needs to raise alerts of the rules.
    """

    name: str
    source: str = ""
    rules: tuple[str, ...] = ()
    alarm: str = ""
    note: str = ""
    entry: dict[str, Any] = {}


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rows of one kind."""

    title: str
    rows: tuple[Row, ...]


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    parts: tuple[Part, ...]


@click.command(
    "coverage",
    short_help="Show which public rules and paths are covered.",
    epilog=examples("vaultwatch rules coverage", "vaultwatch rules coverage -o docs/coverage.md"),
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="FILE",
    help="The file to write; without it, the page goes to stdout.",
)  # fmt: skip
def command(output: Path | None) -> None:
    """Show which public rules, alerts and paths of Vault and OpenBao the shipped rules cover, and what is left.

    They are listed in rules/coverage.toml, with the rules that cover them. The result is a page of Markdown.
    """
    from vaultwatch.cli.rule_coverage_page import page

    folder = default_rules()
    names = [rule.name for rule in load_rules([folder])]
    text = page(read_coverage(folder / COVERAGE, names), names)
    if output is None:
        click.echo(text, nl=False)
        return
    write_output("--output", output, _PAGE, [text.encode()])


def read_coverage(path: Path, names: Collection[str]) -> tuple[Part, ...]:
    """Read the list of public rules and paths.

    Args:
        path: The file.
        names: The names of the rules.

    Raises:
        RuleError: The file cannot be read or has another form, or a row says nothing.
        SettingError: A row names a rule that does not exist.
    """
    try:
        parts = msgspec.toml.decode(path.read_bytes(), type=_File).parts
    except (OSError, msgspec.DecodeError) as error:
        raise RuleError(f"{path}: {error}") from error
    for row in (row for part in parts for row in part.rows):
        check_rule_names(list(names), row.rules)
        if not (row.rules or row.alarm or row.note):
            raise RuleError(f"{path}: {row.name}: no rule, no alarm, and no note that says why")
    return parts
