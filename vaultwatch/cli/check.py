"""`vaultwatch check`: evaluate existing logs against the rules."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from vaultwatch.cli.check_jobs import cores
from vaultwatch.cli.check_output import FORMATS, Closing, Form, lacking_line, show
from vaultwatch.cli.check_run import Manner, Run
from vaultwatch.cli.common import complete_place, note_terminal
from vaultwatch.cli.examples import examples
from vaultwatch.cli.outputs import Outputs
from vaultwatch.cli.selecting import Asked, selecting
from vaultwatch.detection.evaluator import collect_garbage_rarely
from vaultwatch.findings.found import Findings
from vaultwatch.inputs import STDIN
from vaultwatch.inputs.rejects import Rejects
from vaultwatch.outputs import NEW_REJECTED, STATS
from vaultwatch.printable import counted
from vaultwatch.rules.pack import Rule

if TYPE_CHECKING:
    from vaultwatch.report.coverage import Coverage


@click.command(
    "check",
    epilog=examples(
        "vaultwatch check /var/log/vault",
        "docker logs vault 2>&1 | vaultwatch check",
        "vaultwatch check --level high --since 2026-11-21T00:00:00Z --format json audit.log*",
        "vaultwatch check --quiet --rule audit_device_disabled audit.log; test $? != 1 || echo somebody disabled one",
    ),
)
@click.argument("places", nargs=-1, metavar="[FILE]...", shell_complete=complete_place)
@selecting
@click.option(
    "--format", "form", type=click.Choice(FORMATS), default="table", show_default=True,
    help="A table for people; one alert per line as JSON or CSV; SARIF for code scanning; JUnit for CI; the page of "
    "`vaultwatch report`.",
)  # fmt: skip
@click.option(
    "--alerts/--groups", "each", default=None,
    help="In the table, list each alert, or groups by rule, principal and namespace. Default: groups on a terminal.",
)  # fmt: skip
@click.option(
    "--rejected",
    type=click.Path(path_type=Path),
    help="Write rejected lines to this new or empty file (JSON), as they stood in the log.",
)
@click.option("--stats", type=click.Path(path_type=Path), help="Write the closing counts here (JSON); `-` is stdout.")
@click.option(
    "--jobs", type=click.IntRange(1, 256), metavar="N",
    help="Processes that read at the same time: files, and parts of large plain audit logs. Default: one per core.",
)  # fmt: skip
@click.option("-q", "--quiet", is_flag=True, help="Print only errors: the exit status is the answer.")
@click.pass_context
def command(
    ctx: click.Context,
    places: tuple[str, ...],
    asked: Asked,
    form: Form,
    each: bool | None,
    rejected: Path | None,
    stats: Path | None,
    jobs: int | None,
    quiet: bool,
) -> int:
    """Check existing logs against the rules.

    A FILE may be plain, gzip, zstd, bzip2, xz, zip or tar, a folder with all files below it, a pattern, an address
    s3://BUCKET/PREFIX or a pattern of one (with the extra `aws`), or "-" (or nothing) for stdin. A rule raises one
    alert per event, however many entries or files contain the event. Alerts are shown in the order of their time, each
    with the file and the line of its record; on a terminal in groups, the most important first. --stats replaces
    counts that it wrote before, and no other file; --rejected replaces nothing.

    Of the files in a folder, or those that match a pattern, empty ones are skipped. Those that are no logs are counted
    by kind, with a few names. What Vaultwatch itself wrote is left out and named, up to a hundred, and counted: files
    whose every line is one of its alerts or rejected lines.

    Exit status: 0 if no alert is shown, 1 if alerts are shown, 2 if a file cannot be read to its end, if a FILE, or all
    of a folder, is empty or no log of Vault, or has more rejected lines than records and no alert, if a rule raised an
    error, or if an option is wrong.
    """
    started = time.monotonic()
    _check_together(ctx, form, each)
    rules = asked.rules()
    settings = asked.settings(rules)
    collect_garbage_rarely()
    with Outputs(places or (STDIN,)) as outputs:
        keep, figures = outputs.open(("--rejected", rejected, NEW_REJECTED), ("--stats", stats, STATS))
        coverage = _coverage() if form == "html" else None
        manner = Manner(jobs or cores(), not quiet and asked.watched, asked.allow_empty, quiet=quiet)
        run = Run(settings, manner, Rejects(keep), coverage, outputs.paths)
        findings = outputs.enter_context(Findings(settings.selection, run.detector.count_rule_error))
        note_terminal(places)

        def show_found() -> None:
            if keep:
                keep.flush()  # on stdout, no alert stands within a rejected line
            if coverage and run.failed and run.read_nothing:
                click.echo("no page is written, because no log could be read", err=True)
            elif coverage:
                _show_page(ctx, run, findings, coverage, rules, asked)
            elif not quiet:
                show(findings, form, run, rules, each=not sys.stdout.isatty() if each is None else each)

        try:
            run.read(places or ("-",), findings)
        except KeyboardInterrupt:
            run.fail(f"interrupted: {_up_to_here(run)}")
            show_found()
            raise click.Abort from None  # for a KeyboardInterrupt, click would print an empty line
        show_found()
        lacking = lacking_line(run, rules, settings.selection)
        closing = Closing(run, findings, time.monotonic() - started, lacking)
        closing.say(counts=not quiet)
        if figures:
            figures.write(closing.figures())
    return run.status(findings.count)


def _up_to_here(run: Run) -> str:
    """Return of which records the alerts are that are shown: other processes may have read more, which is lost."""
    read = run.detector.counts.audit + run.detector.counts.server
    return f"these are the alerts of the first {counted(read, 'record')}" if read else "no record was evaluated yet"


def _check_together(ctx: click.Context, form: Form, each: bool | None) -> None:
    """Refuse an option that another one makes useless.

    Raises:
        UsageError: There is one.
    """
    manner = "--alerts" if each else "--groups"
    given = {name for name in ctx.params if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE}
    if (each is not None and form == "html") or (each is False and form != "table"):
        raise click.UsageError(f"{manner}: is for --format table")
    if ctx.params["jobs"] and form == "html":
        raise click.UsageError("--jobs: a page is made by one process")
    if ctx.params["quiet"] and (useless := given & {"form", "each"}):
        raise click.UsageError(f"--quiet: shows no alerts: leave out {'--format' if 'form' in useless else manner}")
    if ctx.params["quiet"] and ctx.params["progress"]:
        raise click.UsageError("--quiet: shows no progress: leave out --progress")


def _coverage() -> Coverage:
    """Return what a report needs beside the alerts; imported here, because no other format needs it."""
    from vaultwatch.report.coverage import Coverage

    return Coverage()


def _show_page(
    ctx: click.Context, run: Run, findings: Findings, coverage: Coverage, rules: Sequence[Rule], asked: Asked
) -> None:
    from vaultwatch.cli.report import page_of

    for part in page_of(ctx, run, findings, coverage, rules, asked):
        sys.stdout.buffer.write(part.encode())
    sys.stdout.flush()
