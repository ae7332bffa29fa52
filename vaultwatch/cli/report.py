"""`vaultwatch report`: what existing logs show, as one page of HTML."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

import click
from click.core import ParameterSource

from vaultwatch.cli.check_output import hidden_line, lacking_line
from vaultwatch.cli.check_run import Manner, Run
from vaultwatch.cli.common import SHIPPED, SHIPPED_FILES, complete_place, note_terminal
from vaultwatch.cli.examples import examples
from vaultwatch.cli.outputs import check_output, write_output
from vaultwatch.cli.selecting import Asked, highest_level, selecting
from vaultwatch.findings.found import Findings
from vaultwatch.findings.selection import Selection
from vaultwatch.inputs import STDIN
from vaultwatch.inputs.rejects import Rejects
from vaultwatch.outputs import Output
from vaultwatch.printable import counted
from vaultwatch.report.cases import cases
from vaultwatch.report.contents import Contents, Origin
from vaultwatch.report.coverage import Coverage
from vaultwatch.report.names import common_folder
from vaultwatch.report.page import MARK, page
from vaultwatch.rules.pack import Rule

_REPORT = Output("a report of vaultwatch", re.compile(re.escape(MARK.encode())))
_MODE = 0o600
"""A page shows who did what: its owner decides who else may read it."""


@click.command(
    "report",
    epilog=examples(
        "vaultwatch report /var/log/vault",
        "vaultwatch report --level high --since 2026-11-21T00:00:00Z -o incident.html audit.log*",
    ),
)
@click.argument("places", nargs=-1, metavar="[FILE]...", shell_complete=complete_place)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), default="report.html", show_default=True, metavar="PAGE",
    help="The page to write; `-` is stdout. A report that is there is replaced, any other file is not.",
)  # fmt: skip
@selecting
@click.pass_context
def command(
    ctx: click.Context,
    places: tuple[str, ...],
    output: Path,
    asked: Asked,
) -> int:
    """Write what existing logs show as one page of HTML.

    The page says what happened, who called what from where, and what is missing from the logs. It needs no other file,
    no network and no script, and can be mailed, archived and printed. FILE is that of `check`, and every option but
    --output means what it means there. They select alerts, while calls and completeness are of all that was read.

    Exit status: that of `check`: 0 if there is no alert, 1 if there are alerts, 2 if a file cannot be read to its end,
    if a FILE, or all of a folder, is empty or no log of Vault, or has more rejected lines than records and no alert, if
    a rule raised an error, or if an option is wrong. No page is written if no line could be read, unless --allow-empty
    accepts an empty log.
    """
    rules = asked.rules()
    settings = asked.settings(rules)
    check_output("--output", output, _REPORT, places)
    rejects, coverage = Rejects(None), Coverage()
    run = Run(settings, Manner(1, asked.watched, asked.allow_empty), rejects, coverage)
    with Findings(settings.selection, run.detector.count_rule_error) as findings:
        note_terminal(places)
        run.read(places or (STDIN,), findings)
        if run.failed and run.read_nothing:
            return 2
        parts = (part.encode() for part in page_of(ctx, run, findings, coverage, rules, asked))
        write_output("--output", output, _REPORT, parts, _MODE)
        if str(output) != STDIN:
            click.echo(f"{output}: {counted(findings.count, 'alert')}", err=True)
        if missing := lacking_line(run, rules, settings.selection):
            click.echo(missing, err=True)
        if findings.hidden:
            click.echo(hidden_line(findings), err=True)
        return run.status(findings.count)


def page_of(
    ctx: click.Context, run: Run, findings: Findings, coverage: Coverage, rules: Sequence[Rule], asked: Asked
) -> Iterator[str]:
    """Yield the parts of the page.

    Args:
        ctx: The command that makes it.
        run: What was read.
        findings: The alerts.
        coverage: What watched the run.
        rules: The rules that the logs were checked against.
        asked: The options that select alerts.
    """
    coverage.tally.count_alerts(findings)
    selection = asked.selection()
    contents = Contents(
        cases=cases(findings, {rule.name: rule.compiled.runbook for rule in rules}, _place),
        coverage=coverage,
        problems=run.problems,
        notes=run.notes,
        own=run.own,
        own_names=run.own_names,
        counts=run.detector.counts,
        reasons=run.reader.rejects.reasons.most_common(),
        rules=[rule.compiled for rule in rules],
        left_out={rule.name: why for rule in rules if (why := _why_left_out(rule, selection))},
        staged=findings.staged,
        silenced=findings.silenced,
        selected=asked.selects,
        folder=common_folder(coverage.logs),
        origin=Origin(version("vaultwatch"), _digest(rules), _command_line(ctx)),
    )
    yield from page(contents)


def _why_left_out(rule: Rule, selection: Selection) -> str:
    """Return why no alert of a rule can be shown; "" if one can."""
    if not selection.takes_rule(rule.name):
        return "left out by an option"
    return (
        ""
        if highest_level(rule).rank >= selection.level.rank
        else f"not shown: alerts are shown from level {selection.level} on"
    )


def _place(log: str) -> str:
    """Return the file of a log for a shell: a log in an archive is named by the archive and by what is in it."""
    path = Path(log)
    while log != "stdin" and path.name:
        try:
            if path.is_file():
                return shlex.quote(str(path))
        except (OSError, ValueError):
            return ""
        path = path.parent
    return ""


def _digest(rules: Sequence[Rule]) -> str:
    """Return 16 hex digits over what the rules detect."""
    found = "\n".join(sorted(f"{rule.name} {rule.digest}" for rule in rules))
    return hashlib.sha256(found.encode()).hexdigest()[:16]


def _command_line(ctx: click.Context) -> str:
    """Return the command that makes the same report."""
    words = ["vaultwatch", str(ctx.info_name)]
    for param in ctx.command.params:
        given = ctx.get_parameter_source(param.name or "") is ParameterSource.COMMANDLINE
        if given and isinstance(param, click.Option):
            words += _option(param, ctx.params[param.name or ""])
    return shlex.join(
        [
            *words,
            *(f"./{place}" if place.startswith("-") and place != STDIN else place for place in ctx.params["places"]),
        ]
    )


def _option(option: click.Option, value: object) -> list[str]:
    if option.is_flag:
        return [(option.opts if value else option.secondary_opts)[0]]
    values = value if isinstance(value, tuple) else (value,)
    return [word for one in values for word in (option.opts[0], SHIPPED if one == SHIPPED_FILES else str(one))]
