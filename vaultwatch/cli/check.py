"""`vaultwatch check`: evaluate existing logs against the rules."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import click

from vaultwatch.cli.check_jobs import cores
from vaultwatch.cli.check_output import FORMATS, Closing, Form, show
from vaultwatch.cli.check_run import Manner, Run
from vaultwatch.cli.common import check_rule_names, load_rules, moment
from vaultwatch.detection.detector import Source
from vaultwatch.detection.evaluator import Ruleset
from vaultwatch.findings.found import Findings
from vaultwatch.findings.reader import Settings
from vaultwatch.findings.selection import Selection
from vaultwatch.inputs.rejects import Rejects
from vaultwatch.rules.facts import Level
from vaultwatch.zones import find_zone


@click.command("check")
@click.argument("places", nargs=-1, metavar="[FILE]...")
@click.option(
    "--source", type=click.Choice(["auto", "audit", "server"]), default="auto", show_default=True,
    help="The log that the lines come from; auto decides line by line.",
)  # fmt: skip
@click.option(
    "--rules", "rule_dirs", type=click.Path(path_type=Path), multiple=True, metavar="DIR",
    help="Folder of rules to use instead of the shipped ones; may be given several times.",
)  # fmt: skip
@click.option(
    "--level",
    type=click.Choice([str(level) for level in Level], case_sensitive=False),
    default="low",
    show_default=True,
    help="Lowest level of the alerts to show.",
)
@click.option(
    "--format", "form", type=click.Choice(FORMATS), default="table", show_default=True,
    help="A table for people; one alert per line as JSON or CSV; SARIF for code scanning; JUnit for CI.",
)  # fmt: skip
@click.option(
    "--timezone", default="UTC", show_default=True, metavar="ZONE", help="Time zone of local.hour and local.weekday."
)
@click.option(
    "--alerts/--groups", "each", default=None,
    help="List each alert, or groups by rule, principal and namespace. Default: groups on a terminal.",
)  # fmt: skip
@click.option("--rule", "only", multiple=True, metavar="NAME", help="Only alerts of this rule; `*` is a wildcard.")
@click.option("--exclude", multiple=True, metavar="NAME", help="No alerts of this rule; `*` is a wildcard.")
@click.option("--principal", default="", metavar="TEXT", help="Only of callers with this in name, id or address.")
@click.option("--since", metavar="TIME", help="Only alerts from this time on (RFC 3339).")
@click.option("--until", metavar="TIME", help="Only alerts before this time (RFC 3339).")
@click.option("--allow-empty", is_flag=True, help="An empty log is no error.")
@click.option("--rejected", type=click.Path(path_type=Path, dir_okay=False), help="Write rejected lines here (JSON).")
@click.option("--stats", type=click.Path(path_type=Path, dir_okay=False), help="Write the closing counts here (JSON).")
@click.option(
    "--jobs", type=click.IntRange(1, 256), metavar="N",
    help="Processes that read at the same time: files, and parts of large plain audit logs. Default: one per core.",
)  # fmt: skip
@click.option("--progress/--no-progress", default=None, help="Show progress on stderr. Default: if it is a terminal.")
def command(
    places: tuple[str, ...],
    source: Source,
    rule_dirs: tuple[Path, ...],
    level: str,
    form: Form,
    timezone: str,
    each: bool | None,
    only: tuple[str, ...],
    exclude: tuple[str, ...],
    principal: str,
    since: str | None,
    until: str | None,
    allow_empty: bool,
    rejected: Path | None,
    stats: Path | None,
    jobs: int | None,
    progress: bool | None,
) -> int:
    r"""Check existing logs against the rules.

    A FILE may be plain, gzip, zstd, bzip2, xz, zip or tar, a folder with all files below it, a pattern, or "-" (or
    nothing) for stdin. A rule raises one alert per event, however many entries or files contain the event. Alerts are
    shown in the order of their time, each with the file and the line of its record; on a terminal in groups, the most
    important first.

    \b
    vaultwatch check /var/log/vault
    docker logs vault 2>&1 | vaultwatch check
    vaultwatch check --level high --since 2026-11-21T00:00:00Z --format json audit.log*

    Exit status: 0 if no alert is shown, 1 if alerts are shown, 2 if a log cannot be read, is empty, or holds nothing
    that is a log of Vault, if a rule raised an error, or if an option is wrong.
    """
    started = time.monotonic()
    rules = load_rules(rule_dirs)
    selection = Selection(Level(level), only, exclude, moment("--since", since), moment("--until", until), principal)
    check_rule_names([rule.name for rule in rules], (*only, *exclude))
    listed = not sys.stdout.isatty() if each is None else each
    gc.freeze()  # rules are never garbage, and records make no cycles: rarer collections save 5 % of the CPU
    gc.set_threshold(100_000)
    with ExitStack() as stack:
        keep = _open_for_writing(stack, "--rejected", rejected, places) if rejected else None
        figures = _open_for_writing(stack, "--stats", stats, places) if stats else None
        watched = sys.stderr.isatty() if progress is None else progress
        settings = Settings(Ruleset(rules), source, find_zone(timezone, "--timezone"), selection)
        run = Run(settings, Manner(jobs or cores(), watched, allow_empty), Rejects(keep))
        findings = stack.enter_context(Findings(selection, run.detector.count_rule_error))
        if not places and sys.stdin.isatty():
            click.echo("reading from the terminal; press Ctrl-D to end", err=True)
        try:
            run.read(places or ("-",), findings)
        except KeyboardInterrupt:
            click.echo("interrupted: these are the alerts up to here", err=True)
            show(findings, form, run, rules, each=listed)
            raise
        show(findings, form, run, rules, each=listed)
        closing = Closing(run, findings, time.monotonic() - started)
        closing.say()
        if figures:
            figures.write(closing.figures())
    return 2 if run.failed else 1 if findings.count else 0


def _open_for_writing(stack: ExitStack, option: str, path: Path, inputs: Sequence[str]) -> IO[bytes]:
    try:
        if path.is_file() and any(_is_same(path, name) for name in inputs):
            raise click.UsageError(f"{option}: {path}: is one of the files to read")
        return stack.enter_context(path.open("wb"))
    except OSError as error:
        raise click.UsageError(f"{option}: {path}: {error.strerror}") from error


def _is_same(path: Path, name: str) -> bool:
    try:
        return path.samefile(name)
    except (OSError, ValueError):  # reported when this file is read
        return False
