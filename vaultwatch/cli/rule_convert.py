"""`vaultwatch rules convert`: the rules as queries for other systems."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec
import yaml

from vaultwatch.cli.common import RulesFolder, check_rule_names, complete_rule, default_rules
from vaultwatch.cli.examples import examples
from vaultwatch.printable import one_line

if TYPE_CHECKING:
    from vaultwatch.rules.compiling.converting import Query

TARGETS = ("splunk", "elastic", "loki", "opensearch")
_LONGEST_LINE = 500


@click.command(
    "convert",
    short_help="Convert rules to queries for other systems.",
    epilog=examples(
        "vaultwatch rules convert --to splunk",
        "vaultwatch rules convert --to loki --rule audit_device_disabled shipped mine",
        "vaultwatch rules convert --to elastic --format json > queries.jsonl",
        "vaultwatch rules convert --to loki --pipeline shipped mine > loki.yml",
    ),
)
@click.argument("directories", nargs=-1, type=RulesFolder(), metavar="[DIR]...")
@click.option("--to", "target", type=click.Choice(TARGETS), required=True, help="What to convert the rules for.")
@click.option(
    "--rule", "patterns", multiple=True, metavar="NAME", shell_complete=complete_rule,
    help="Only this rule; * and ? are wildcards.",
)  # fmt: skip
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--pipeline", is_flag=True, help="Write the processing pipeline for `sigma convert` instead of queries.")
def command(directories: tuple[Path, ...], target: str, patterns: tuple[str, ...], form: str, pipeline: bool) -> int:
    """Convert the rules to queries, with placeholders filled in and filters applied.

    Rules that a target cannot express are named on stderr. Rules in Python are left out, and so are rules that are only
    counted by others. Queries need the extra `convert`; the pipeline does not. docs/rule-tools.md says which fields a
    system has to add to the log. Without DIR: the folder `rules` here, or the shipped rules.

    Exit status: 0 if all rules are converted, 1 if some are not, 2 if the backend or the rules cannot be read.
    """
    from vaultwatch.rules.compiling import converting

    folders = list(directories) or [default_rules()]
    if pipeline:
        click.echo(yaml.safe_dump(converting.pipeline(target, folders), sort_keys=False), nl=False)
        return 0
    queries = list(converting.convert(target, folders))
    check_rule_names([query.rule for query in queries], patterns)
    refused = 0
    for query in _selected(queries, patterns):
        if not query.text:
            refused += 1
            click.echo(one_line(f"{query.rule}: not converted: {query.refused}", _LONGEST_LINE), err=True)
        elif form == "json":
            found = {"rule": query.rule, "level": query.level, "title": query.title, "query": query.text}
            click.echo(msgspec.json.encode(found).decode())
        else:
            click.echo(f"# {query.rule} ({query.level}): {one_line(query.title)}\n{query.text}\n")
    return 1 if refused else 0


def _selected(queries: list[Query], patterns: tuple[str, ...]) -> Iterator[Query]:
    return (query for query in queries if not patterns or any(fnmatchcase(query.rule, one) for one in patterns))
