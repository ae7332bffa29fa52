"""`vaultwatch check`: evaluate existing logs against the rules."""

from __future__ import annotations

import gc
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import click
import msgspec

from vaultwatch.alerts import Alert, alert_id, alert_of
from vaultwatch.cli.common import load_rules
from vaultwatch.cli.inputs import Unreadable, chunks, open_log, reading
from vaultwatch.detection.detector import Detector, Source
from vaultwatch.detection.verdict import Verdict
from vaultwatch.printable import one_line, printable_json, quoted_time
from vaultwatch.reading.lines import LineSplitter
from vaultwatch.reading.records import Rejected
from vaultwatch.reading.rejected import encode_rejected
from vaultwatch.rules.facts import Level
from vaultwatch.zones import find_zone

_MOST_STAGED = 5  # names of rules in one line
_COLORS = {Level.CRITICAL: "red", Level.HIGH: "red", Level.MEDIUM: "yellow", Level.LOW: "cyan"}


@click.command("check")
@click.argument("files", nargs=-1, metavar="[FILE]...")
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
    "--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True,
    help="A table for people, or one alert per line as JSON.",
)  # fmt: skip
@click.option(
    "--timezone", default="UTC", show_default=True, metavar="ZONE", help="Time zone of local.hour and local.weekday."
)
@click.option("--rejected", type=click.Path(path_type=Path, dir_okay=False), help="Write rejected lines here (JSON).")
@click.option("--stats", type=click.Path(path_type=Path, dir_okay=False), help="Write the closing counts here (JSON).")
@click.option("--progress/--no-progress", default=None, help="Show progress on stderr. Default: if it is a terminal.")
def command(
    files: tuple[str, ...],
    source: Source,
    rule_dirs: tuple[Path, ...],
    level: str,
    form: str,
    timezone: str,
    rejected: Path | None,
    stats: Path | None,
    progress: bool | None,
) -> int:
    """Check existing logs against the rules: plain, gzip or zstd files, "-" (or nothing) for stdin.

    A rule raises one alert per event, however many entries or files contain the event.

    Exit status: 0 if no alert is shown, 1 if alerts are shown, 2 if a file cannot be read or an option is wrong.
    """
    started = time.monotonic()
    rules = load_rules(rule_dirs)
    gc.freeze()  # rules are never garbage, and records make no cycles: rarer collections save 5 % of the CPU
    gc.set_threshold(100_000)
    with ExitStack() as stack:
        keep = _open_for_writing(stack, "--rejected", rejected, files) if rejected else None
        figures = _open_for_writing(stack, "--stats", stats, files) if stats else None
        errors: dict[str, str] = {}
        rejects = _Rejects(keep)
        detector = Detector(
            rules,
            source=source,
            zone=find_zone(timezone, "--timezone"),
            on_rejected=rejects.add,
            on_rule_error=lambda name, error: errors.update({name: f"{type(error).__name__}: {error}"}),
        )
        shown = _Shown(Level(level), form, detector.count_rule_error)
        watched = sys.stderr.isatty() if progress is None else progress
        if not files and sys.stdin.isatty():
            click.echo("reading from the terminal; press Ctrl-D to end", err=True)
        broken = [_check_file(name, detector, shown, watched, rejects) for name in files or ("-",)]
        shown.add(detector.flush())
        seconds = time.monotonic() - started
        for name, error in errors.items():
            click.echo(
                one_line(f"rule {name} raised on {detector.counts.rule_errors[name]} records: {error}"), err=True
            )
        _report_staged(shown.staged)
        _close(detector, shown.count, seconds, figures)
    return 2 if any(broken) else 1 if shown.count else 0


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


class _Rejects:
    """Writes rejected lines to a file, and remembers the reason of the first one."""

    def __init__(self, keep: IO[bytes] | None) -> None:
        self.first_reason = ""
        self._keep = keep

    def add(self, line: Rejected) -> None:
        self.first_reason = self.first_reason or line.reason
        if self._keep:
            self._keep.writelines(encode_rejected(line))


def _check_file(name: str, detector: Detector, shown: _Shown, watched: bool, rejects: _Rejects) -> str:
    """Evaluate one file as far as it can be read; print what went wrong and return it, "" if nothing did."""
    splitter = LineSplitter()
    counts, before = detector.counts, msgspec.structs.astuple(detector.counts)
    rejects.first_reason = ""
    message = ""
    try:
        with ExitStack() as stack:
            with reading():
                stream, size = open_log(stack, name)
                head = stream.peek(65536)[:65536]
            progress = _Progress(name, size) if watched else None
            detector.begin_log(head)
            for chunk, position in chunks(stream):
                shown.add(detector.feed(splitter.push(chunk)))
                if progress:
                    progress.show(position)
            if progress:
                progress.clear()
    except Unreadable as error:
        message = one_line(f"vaultwatch: {name}: {error}")
        click.echo(message, err=True)
    shown.add(detector.feed(splitter.flush()))
    shown.add(detector.end_log())
    if rejects.first_reason and (counts.audit, counts.server) == before[:2]:
        problem = f"vaultwatch: {name}: none of its {counts.rejected - before[2]:,} lines can be read; the first: "
        click.echo(one_line(problem + rejects.first_reason), err=True)
    return message


class _Shown:
    """Prints each alert once, as soon as it is raised; alerts of staged rules are only counted, by rule."""

    def __init__(self, level: Level, form: str, on_error: Callable[[str, Exception], None]) -> None:
        self.count = 0
        self.staged: Counter[str] = Counter()
        self._rank = level.rank
        self._form = form
        self._on_error = on_error
        self._seen: set[bytes] = set()

    def add(self, verdicts: list[Verdict]) -> None:
        for verdict in verdicts:
            key = bytes.fromhex(alert_id(verdict.rule.name, verdict.event_key))
            if key in self._seen:  # logged by another audit device too: making the alert again would be wasted
                continue
            alert = alert_of(verdict, self._on_error)
            if alert.level.rank < self._rank:
                continue
            self._seen.add(key)
            if alert.staged:
                self.staged[alert.rule] += 1
            else:
                self._show(alert)
                self.count += 1

    def _show(self, alert: Alert) -> None:
        if self._form == "json":
            sys.stdout.buffer.write(printable_json(msgspec.json.encode(alert)) + b"\n")
            return
        if not self.count:
            click.echo(f"{'TIME':27} {'LEVEL':13} {'RULE':34} WHAT HAPPENED")
        level = click.style(f"{alert.level:13}", fg=_COLORS.get(alert.level))
        click.echo(f"{quoted_time(one_line(alert.time, 27)):27} {level} {alert.rule:34} {one_line(alert.summary)}")


class _Progress:
    """Shows how much of a file has been read, on one line of stderr."""

    def __init__(self, name: str, size: int) -> None:
        self._name, self._size, self._next = one_line(name, 60), size, 0.0

    def show(self, position: int) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + 0.2
        done = f"{position * 100 // self._size:3} %" if self._size else f"{position / 1e6:,.0f} MB"
        bar = "#" * (position * 30 // self._size) if self._size else ""
        sys.stderr.write(f"\r\x1b[K{self._name}  {bar:30.30}  {done}")
        sys.stderr.flush()

    def clear(self) -> None:
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()


def _report_staged(counts: Counter[str]) -> None:
    """Print which staged rules matched, so that people who try a rule out see why it shows no alerts."""
    if not counts:
        return
    named = counts.most_common(_MOST_STAGED)
    parts = [f"{one_line(name, 100)} ({count:,})" for name, count in named]
    if others := len(counts) - len(named):
        parts.append(f"{others} more ({counts.total() - sum(count for _, count in named):,})")
    click.echo(f"alerts not shown, because their rules are experimental: {', '.join(parts)}", err=True)


def _close(detector: Detector, alerts: int, seconds: float, figures: IO[bytes] | None) -> None:
    counts = detector.counts
    sys.stdout.flush()
    over_budget = f"{counts.partial:,} records over budget ({counts.undecided.total():,} rules undecided), "
    click.echo(
        f"{counts.audit:,} audit entries, {counts.server:,} server messages, {counts.rejected:,} rejected lines, "
        f"{over_budget if counts.partial else ''}{alerts:,} alerts, {seconds:.1f} s",
        err=True,
    )
    if figures:
        found = {"audit": counts.audit, "server": counts.server, "rejected": counts.rejected, "alerts": alerts}
        over = {"partial": counts.partial, "undecided": dict(counts.undecided)}
        figures.write(msgspec.json.encode({**found, **over, "seconds": round(seconds, 3)}) + b"\n")
