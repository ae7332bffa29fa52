"""What `vaultwatch check` prints: the alerts on stdout, the counts on stderr."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from typing import Literal

import click
import msgspec

from vaultwatch.cli.check_run import Run
from vaultwatch.detection.evaluator import Counts
from vaultwatch.findings.found import Finding, Findings
from vaultwatch.findings.selection import Selection
from vaultwatch.findings.table import rows, short_names
from vaultwatch.findings.uncounted import uncounted
from vaultwatch.findings.unseen import without_log
from vaultwatch.printable import counted, one_line, printable_json
from vaultwatch.rules.facts import Level
from vaultwatch.rules.pack import Rule

FORMATS = ("table", "json", "csv", "sarif", "junit", "html")
Form = Literal["table", "json", "csv", "sarif", "junit", "html"]
_CRASHES = ("panic: ", "fatal error: ")
_MOST_NAMED = 5  # names of rules in one line
_COLORS = {Level.CRITICAL: "red", Level.HIGH: "red", Level.MEDIUM: "yellow", Level.LOW: "cyan"}


def show(findings: Findings, form: Form, run: Run, rules: Sequence[Rule], *, each: bool) -> None:
    """Print all alerts.

    Args:
        findings: The alerts.
        form: How.
        run: What was read.
        rules: The rules that it was checked against.
        each: Whether a table lists each alert, and not groups of them.
    """
    if form == "json":
        for line in findings.lines():
            sys.stdout.buffer.write(printable_json(line) + b"\n")
    else:
        is_grouped = form == "table" and not each
        for row in _answers(findings, run) if is_grouped else _rows(form, findings, run, rules):
            click.echo(row)
    sys.stdout.flush()


def _rows(form: Form, findings: Findings, run: Run, rules: Sequence[Rule]) -> Iterator[str]:
    if form == "table":
        return rows(findings, short_names(run.reader.names), _colored)
    from importlib.metadata import version

    from vaultwatch.findings.formats import as_csv, as_junit, as_sarif

    facts = [rule.compiled for rule in rules]
    failures = [*run.problems, *_rule_problems(run)] if run.status(findings.count) == 2 else []
    if form == "sarif":
        return as_sarif(findings, facts, version("vaultwatch"), failures)
    return as_junit(findings, facts, failures) if form == "junit" else as_csv(findings)


def _rule_problems(run: Run) -> list[str]:
    """Return which rules raised errors, in sentences."""
    counts = run.detector.counts.rule_errors
    errors = run.reader.errors.items()
    return [one_line(f"rule {name} raised on {counted(counts[name], 'record')}: {error}") for name, error in errors]


def _answers(findings: Findings, run: Run) -> Iterator[str]:
    from vaultwatch.findings.answers import answers
    from vaultwatch.findings.groups import grouped
    from vaultwatch.findings.tally import Tally, who_and_where

    yield from answers(grouped(findings), short_names(run.reader.names), _colored)
    tally = Tally()
    tally.count_alerts(findings)
    if tally.total.alerts:
        yield from ("", *who_and_where(tally))


def _colored(text: str, level: Level) -> str:
    """Return a text in the colour of a level; click removes it unless stdout is a terminal."""
    return text if os.environ.get("NO_COLOR") else click.style(text, fg=_COLORS.get(level))


class Closing:
    """The counts at the end."""

    def __init__(self, run: Run, findings: Findings, seconds: float, lacking: str = "") -> None:
        """Count what a run has read and found in these seconds, and say what was not looked for."""
        self._run, self._findings, self._seconds, self._lacking = run, findings, seconds, lacking

    def say(self, *, counts: bool = True) -> None:
        """Print the errors of rules.

        Args:
            counts: Whether the staged rules that matched follow, and the counts unless nothing was read.
        """
        for problem in _rule_problems(self._run):
            click.echo(problem, err=True)
        if counts:
            self._say_counts(self._run.detector.counts)

    def _say_counts(self, counts: Counts) -> None:
        if self._lacking:
            click.echo(self._lacking, err=True)
        if self._findings.hidden:
            click.echo(hidden_line(self._findings), err=True)
        _report_staged(self._findings.staged)
        _report_silenced(self._findings.silenced)
        for doubt in (_doubtful(self._run.torn, self._findings), _crashes(self._run.undated, self._findings)):
            if doubt:
                click.echo(doubt, err=True)
        for sentence in uncounted(counts):
            click.echo(sentence, err=True)
        if self._run.reader.names or not self._run.failed:
            click.echo(self._line(), err=True)

    def figures(self) -> bytes:
        """Return the counts as one line of JSON."""
        counts = self._run.detector.counts
        found = {"audit": counts.audit, "server": counts.server, "rejected": counts.rejected}
        over = {"partial": counts.partial, "undecided": dict(counts.undecided)}
        over |= {
            "unclear": counts.unclear,
            "undated": counts.undated,
            "future": counts.future,
            "groups_dropped": counts.groups_dropped,
        }
        silenced = [
            {"rule": rule, "by": file, "matches": count} for (rule, file), count in _ordered(self._findings.silenced)
        ]
        ended = {"silenced": silenced, "left_out": self._run.own}
        ended |= {"alerts": self._findings.count, "seconds": round(self._seconds, 3)}
        return msgspec.json.encode({**found, **over, **ended}) + b"\n"

    def _line(self) -> str:
        counts = self._run.detector.counts
        reason, undecided = self._run.reader.rejects.commonest(), counts.undecided.total()
        over = f"{counted(counts.partial, 'record')} over budget ({counted(undecided, 'rule')} undecided), "
        return one_line(
            f"{counted(counts.audit, 'audit entry')}, {counted(counts.server, 'server message')}"
            f"{f' ({counts.unclear:,} unclear)' if counts.unclear else ''}, "
            f"{counted(counts.rejected, 'rejected line')}"
            f"{f' ({reason})' if reason else ''}, {over if counts.partial else ''}"
            f"{counted(self._findings.count, 'alert')}, {self._seconds:.1f} s"
        )


def _doubtful(torn: Set[str], findings: Findings) -> str:
    """Return how many alerts are of files that may be no logs, because most of their lines were rejected."""
    count = sum(alert.source.file in torn for alert in findings) if torn else 0
    if not count:
        return ""
    which = f"{count:,} of {counted(findings.count, 'alert')}" if count < findings.count else counted(count, "alert")
    return f"{which} in files of which more lines are rejected than read: they may be no logs of Vault"


def _crashes(undated: Set[str], findings: Findings) -> str:
    """Return how many alerts are of crashes in files that have nothing else of Vault.

    No text in them says whose crash it is for certain: the stack of one in a library names no package of Vault, and a
    text of a client may be in it.
    """
    count = sum(_is_lonely_crash(alert, undated) for alert in findings) if undated else 0
    if not count:
        return ""
    return (
        f"{counted(count, 'alert')} of a crash in a file with nothing else of Vault: "
        "if its stack names no package of Vault or OpenBao, another program may have crashed"
    )


def _is_lonely_crash(alert: Finding, undated: Set[str]) -> bool:
    return alert.source.file in undated and str(alert.record.get("message", "")).startswith(_CRASHES)


def lacking_line(run: Run, rules: Iterable[Rule], selection: Selection) -> str:
    """Return how many rules that are selected had no log to look at; "" if none, or if nothing could be read at all."""
    counts, selected = run.detector.counts, [rule.compiled for rule in rules if selection.takes_rule(rule.name)]
    return "" if run.read_nothing else without_log(selected, counts.audit, counts.server)


def hidden_line(findings: Findings) -> str:
    """Return how many alerts options hide, so that a selection that selects nothing is noticed."""
    counts = sorted(findings.hidden.items())
    which = ", ".join(option if len(counts) == 1 else f"{option}: {count:,}" for option, count in counts)
    unit = "more alert" if findings.count else "alert"
    return f"{counted(findings.hidden.total(), unit)} not shown ({which})"


def _report_staged(counts: Counter[str]) -> None:
    """Print which staged rules matched, so that people who try a rule out see why it shows no alerts."""
    if not counts:
        return
    click.echo(f"alerts not shown, because their rules are experimental: {_most(counts.most_common())}", err=True)


def _report_silenced(counts: Counter[tuple[str, str]]) -> None:
    """Print what filters have silenced, so that a filter that excepts too much is noticed."""
    if counts:
        named = [(f"{rule} by {file}", count) for (rule, file), count in _ordered(counts)]
        click.echo(f"alerts silenced: {_most(named)}", err=True)


def _ordered(counts: Counter[tuple[str, str]]) -> list[tuple[tuple[str, str], int]]:
    """Return counts, the highest first, in an order that does not depend on the processes that read."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _most(counts: Sequence[tuple[str, int]]) -> str:
    parts = [f"{one_line(name, 200)} ({count:,})" for name, count in counts[:_MOST_NAMED]]
    if others := counts[_MOST_NAMED:]:
        parts.append(f"{len(others)} more ({sum(count for _, count in others):,})")
    return ", ".join(parts)
