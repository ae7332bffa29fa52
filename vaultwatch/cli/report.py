"""`vaultwatch report`: what existing logs show, as one page of HTML."""

from __future__ import annotations

import hashlib
import os
import shlex
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from tempfile import NamedTemporaryFile

import click
from click.core import ParameterSource

from vaultwatch.cli.check_run import Manner, Run
from vaultwatch.cli.common import check_rule_names, load_rules, moment, rules_option
from vaultwatch.detection.detector import Source
from vaultwatch.detection.evaluator import Ruleset
from vaultwatch.errors import SettingError
from vaultwatch.findings.found import Findings
from vaultwatch.findings.reader import Settings
from vaultwatch.findings.selection import Selection
from vaultwatch.inputs.logs import STDIN
from vaultwatch.inputs.rejects import Rejects
from vaultwatch.report.cases import cases
from vaultwatch.report.contents import Contents, Origin
from vaultwatch.report.coverage import Coverage
from vaultwatch.report.names import common_folder
from vaultwatch.report.page import MARK, page
from vaultwatch.rules.facts import Level
from vaultwatch.rules.pack import Rule
from vaultwatch.zones import find_zone


@click.command("report")
@click.argument("places", nargs=-1, metavar="[FILE]...")
@click.option(
    "-o", "--output", default="report.html", show_default=True, metavar="PAGE",
    help="The page to write; `-` is stdout. A report that is there is replaced, any other file is not.",
)  # fmt: skip
@click.option(
    "--source", type=click.Choice(["auto", "audit", "server"]), default="auto", show_default=True,
    help="The log that the lines come from; auto decides line by line.",
)  # fmt: skip
@rules_option
@click.option(
    "--level", type=click.Choice([str(level) for level in Level], case_sensitive=False), default="low",
    show_default=True, help="Lowest level of the alerts to show.",
)  # fmt: skip
@click.option(
    "--timezone", default="UTC", show_default=True, metavar="ZONE", help="Time zone of local.hour and local.weekday."
)
@click.option("--rule", "only", multiple=True, metavar="NAME", help="Only alerts of this rule; `*` is a wildcard.")
@click.option("--exclude", multiple=True, metavar="NAME", help="No alerts of this rule; `*` is a wildcard.")
@click.option("--principal", default="", metavar="TEXT", help="Only of callers with this in name, id or address.")
@click.option("--since", metavar="TIME", help="Only alerts from this time on (RFC 3339).")
@click.option("--until", metavar="TIME", help="Only alerts before this time (RFC 3339).")
@click.option("--allow-empty", is_flag=True, help="An empty log is no error.")
@click.option("--progress/--no-progress", default=None, help="Show progress on stderr. Default: if it is a terminal.")
@click.pass_context
def command(
    ctx: click.Context,
    places: tuple[str, ...],
    output: str,
    source: Source,
    rule_dirs: tuple[Path, ...],
    level: str,
    timezone: str,
    only: tuple[str, ...],
    exclude: tuple[str, ...],
    principal: str,
    since: str | None,
    until: str | None,
    allow_empty: bool,
    progress: bool | None,
) -> int:
    r"""Write what existing logs show as one page of HTML.

    The page says what happened, who called what from where, and what is missing from the logs. It needs no other file,
    no network and no script, and can be mailed, archived and printed. FILE and the options are those of `check`; they
    select alerts, while calls and completeness are of all that was read.

    \b
    vaultwatch report /var/log/vault
    vaultwatch report --level high --since 2026-11-21T00:00:00Z -o incident.html audit.log*

    Exit status: that of `check`: 0 if there is no alert, 1 if there are alerts, 2 if a log cannot be read, is empty, or
    holds nothing that is a log of Vault, if a rule raised an error, or if an option is wrong.
    """
    rules = load_rules(rule_dirs)
    selection = Selection(Level(level), only, exclude, moment("--since", since), moment("--until", until), principal)
    check_rule_names([rule.name for rule in rules], (*only, *exclude))
    _check_output(output, places)
    coverage, rejects = Coverage(), Rejects(None)
    watched = sys.stderr.isatty() if progress is None else progress
    settings = Settings(Ruleset(rules), source, find_zone(timezone, "--timezone"), selection)
    run = Run(settings, Manner(1, watched, allow_empty), rejects, coverage)
    with Findings(selection, run.detector.count_rule_error) as findings:
        run.read(places or (STDIN,), findings)
        coverage.tally.count_alerts(findings)
        contents = Contents(
            cases=cases(findings, {rule.name: rule.compiled.runbook for rule in rules}, _place),
            coverage=coverage,
            counts=run.detector.counts,
            reasons=rejects.reasons.most_common(),
            rules=[rule.compiled for rule in rules],
            left_out=frozenset(rule.name for rule in rules if not _is_selected(rule, selection)),
            staged=findings.staged,
            selected=bool(only or exclude or principal or since or until or selection.level is not Level.LOW),
            folder=common_folder(coverage.logs),
            origin=Origin(version("vaultwatch"), _digest(rules), _command_line(ctx)),
        )
    _write(output, page(contents))
    if output != STDIN:
        click.echo(f"{output}: {contents.cases.total:,} alerts", err=True)
    return 2 if run.failed else 1 if contents.cases.total else 0


def _is_selected(rule: Rule, selection: Selection) -> bool:
    highest = max(rule.compiled.level, rule.compiled.denied_level or rule.compiled.level, key=lambda level: level.rank)
    return selection.takes_rule(rule.name) and highest.rank >= selection.level.rank


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
    words = ["vaultwatch", "report"]
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
    return [word for one in values for word in (option.opts[0], str(one))]


def _check_output(output: str, places: Sequence[str]) -> None:
    """Refuse to replace a file that is no report.

    Raises:
        SettingError: There is one.
    """
    path = Path(output)
    try:
        if output == STDIN or not path.is_file() or not path.stat().st_size:
            return
        with path.open("rb") as file:
            if file.read(len(MARK)) == MARK.encode():
                return
    except OSError as error:
        raise SettingError(f"--output: {output}: {error.strerror}") from error
    raise SettingError(f"--output: {output}: is no report of vaultwatch, and is not replaced")


def _write(output: str, parts: Iterable[str]) -> None:
    """Write the page: a file is replaced once all of it is on the disk."""
    if output == STDIN:
        for part in parts:
            sys.stdout.buffer.write(part.encode())
        return
    path = Path(os.path.realpath(output))
    if path.exists() and not path.is_file():  # a device or a pipe
        with path.open("wb") as file:
            file.writelines(part.encode() for part in parts)
        return
    with NamedTemporaryFile("wb", dir=path.parent, prefix=".report-", delete=False) as file:
        try:
            file.writelines(part.encode() for part in parts)
            file.flush()
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink()
            raise
