"""`vaultwatch rules coverage`: which public rules and paths the rules cover, and what is left."""

from __future__ import annotations

import re
from pathlib import Path

import click

from vaultwatch.cli.common import default_rules, load_rules
from vaultwatch.cli.examples import examples
from vaultwatch.cli.outputs import write_output
from vaultwatch.cli.rule_coverage_file import read_coverage
from vaultwatch.cli.rule_coverage_page import page
from vaultwatch.outputs import Output

COVERAGE = "coverage.toml"
_PAGE = Output("a page of this command", re.compile(rb"# Coverage\n\nWhich public detection rules"))


@click.command(
    "coverage",
    short_help="Show which public rules and paths are covered.",
    epilog=examples("vaultwatch rules coverage", "vaultwatch rules coverage -o docs/coverage.md"),
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="FILE",
    help="The file to write; without it, the page goes to stdout. A page that is there is replaced, "
    "any other file is not.",
)  # fmt: skip
def command(output: Path | None) -> None:
    """Show which public rules, alerts and paths of Vault and OpenBao the shipped rules cover, and what is left.

    They are listed in rules/coverage.toml, with the rules that cover them. The result is a page of Markdown.
    """
    folder = default_rules()
    names = [rule.name for rule in load_rules([folder])]
    text = page(read_coverage(folder / COVERAGE, names), names)
    if output is None:
        click.echo(text, nl=False)
        return
    write_output("--output", output, _PAGE, [text.encode()])
