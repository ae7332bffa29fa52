"""`vaultwatch rules replay`: what other rules would have changed about the alerts of existing logs."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

import click
import msgspec

from vaultwatch.cli.check_jobs import cores
from vaultwatch.cli.check_run import Manner, Run
from vaultwatch.cli.common import RulesFolder, complete_place, load_rules, rules_option
from vaultwatch.cli.examples import examples
from vaultwatch.detection.evaluator import Ruleset
from vaultwatch.errors import SettingError
from vaultwatch.findings.difference import Difference, differences
from vaultwatch.findings.found import Findings
from vaultwatch.findings.reader import Settings
from vaultwatch.findings.selection import Selection
from vaultwatch.findings.table import short_names
from vaultwatch.inputs import STDIN
from vaultwatch.inputs.rejects import Rejects
from vaultwatch.printable import counted, one_line, printable_json, quoted_time
from vaultwatch.rules.facts import Level
from vaultwatch.zones import find_zone


@click.command(
    "replay",
    short_help="Compare the alerts of two sets of rules on logs.",
    epilog=examples(
        "vaultwatch rules replay --rules shipped --rules mine /var/log/vault",
        "vaultwatch rules replay --against rules.before --rules rules --format json audit.log",
    ),
)
@click.argument("places", nargs=-1, required=True, metavar="LOG...", shell_complete=complete_place)
@rules_option
@click.option(
    "--against", type=RulesFolder(), multiple=True, metavar="DIR",
    help="Folder of the rules to compare with, instead of the shipped ones; may be given several times.",
)  # fmt: skip
@click.option(
    "--timezone", default="UTC", show_default=True, metavar="ZONE", help="Time zone of local.hour and local.weekday."
)
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def command(
    places: tuple[str, ...], rule_dirs: tuple[Path, ...], against: tuple[Path, ...], timezone: str, form: str
) -> int:
    """Show which alerts other rules would have raised on existing logs: new, changed, or gone.

    Each LOG is read twice, in any form that check reads: with the rules of --against (the shipped ones by default),
    and with those of --rules. An alert has changed if it has another level or title. Alerts of staged rules, which
    nobody is notified of, are no alerts here.

    Exit status: 0 if nothing differs, 1 if something does, 2 if a log or a rule cannot be read.
    """
    if STDIN in places:
        raise SettingError("rules replay reads each log twice, and stdin only once: give a file")
    zone = find_zone(timezone, "--timezone")
    with ExitStack() as stack:
        runs = list[tuple[Run, Findings]]()
        for folders in (against, rule_dirs):
            rules = load_rules(folders)
            settings = Settings(Ruleset(rules), "auto", zone, Selection(Level.INFORMATIONAL))
            manner = Manner(cores(), watched=sys.stderr.isatty() or None, allow_empty=False)
            run = Run(settings, manner, Rejects(None), former=runs[0][0] if runs else None)
            found = stack.enter_context(Findings(settings.selection, run.detector.count_rule_error))
            run.read(places, found)
            for name, error in run.reader.errors.items():
                click.echo(one_line(f"rule {name} raised: {error}"), err=True)
            if run.failed:
                return 2
            runs.append((run, found))
        (former, before), (_, after) = runs
        counts = _show(differences(before, after), form, former.reader.names)
        click.echo(_closing(before.count, after.count, counts), err=True)
    return int(counts.total() > 0)


def _show(found: Iterable[Difference], form: str, names: Sequence[str]) -> Counter[str]:
    counts, sources = Counter[str](), short_names(names)
    for one in found:
        counts[one.kind] += 1
        if form == "json":
            alert = msgspec.to_builtins(one.alert)
            was = {"level": one.before[0], "title": one.before[1]} if one.before else None
            sys.stdout.buffer.write(
                printable_json(msgspec.json.encode({"change": one.kind, "was": was, **alert})) + b"\n"
            )
        else:
            click.echo(_row(one, f"{sources(one.alert.source.file)}:{one.alert.source.line}"))
    sys.stdout.flush()
    return counts


def _row(found: Difference, place: str) -> str:
    alert = found.alert
    was = f"; it was {found.before[0]}: {one_line(found.before[1])}" if found.before else ""
    time = quoted_time(one_line(alert.time, 27))
    return f"{found.kind:8} {time:27} {alert.level:13} {alert.rule:34} {one_line(alert.summary)} ({place}){was}"


def _closing(before: int, after: int, counts: Counter[str]) -> str:
    parts = ", ".join(f"{counts[kind]:,} {kind}" for kind in ("new", "changed", "gone"))
    return f"{counted(before, 'alert')} before, {after:,} with these rules: {parts}"
