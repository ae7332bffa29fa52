"""`vaultwatch reconcile`: the logs of two audit devices side by side."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import click
import msgspec

from vaultwatch.audience import S3
from vaultwatch.cli.common import complete_place, period
from vaultwatch.cli.examples import examples
from vaultwatch.cli.outputs import check_output, write_output
from vaultwatch.cli.own_files import say_left_out
from vaultwatch.cli.places import archived_logs, local_logs
from vaultwatch.errors import ArchiveError, RuleError, SettingError
from vaultwatch.inputs.errors import Unreadable
from vaultwatch.inputs.own import own_output
from vaultwatch.outputs import metrics_by
from vaultwatch.printable import counted, one_line
from vaultwatch.reconcile import Comparison, Log, Window, reconcile
from vaultwatch.reconcile.metrics import metrics_of
from vaultwatch.reconcile.report import Report, report
from vaultwatch.reconcile.rows import Reader, microseconds
from vaultwatch.reconcile.table import table
from vaultwatch.rotated_files import MARK

_AGAINST = "--against"
_BETWEEN = "\0"  # no argument of a process can contain it


class _TwoSides(click.Command):
    """A command whose places are divided by `--against`, so that both sides can be patterns of the shell."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """See `click.Command`."""
        return super().parse_args(ctx, [_BETWEEN if word == _AGAINST else word for word in args])


def _known_fields(_ctx: click.Context, _param: click.Parameter, fields: tuple[str, ...]) -> tuple[str, ...]:
    if fields:
        from vaultwatch.rules.compiling.checks import check_logged
    for field in fields:
        try:
            check_logged(field)
        except RuleError as error:
            raise click.UsageError(f"--ignore: {error}") from error
    return fields


@click.command(
    "reconcile",
    cls=_TwoSides,
    options_metavar="[OPTIONS]",
    epilog=examples(
        "vaultwatch reconcile audit-file.log audit-socket.log",
        "vaultwatch reconcile /var/log/vault/audit* --against /mnt/copy/audit.log*",
        "vaultwatch reconcile s3://ARCHIVE/archive/source=audit/ "
        "--against s3://ARCHIVE/archive/source=audit-file/ --from 2026-11-27T00:00:00Z --until 2026-11-28T00:00:00Z",
    ),
)
@click.argument(
    "places", nargs=-1, required=True, metavar="LEFT... [--against] RIGHT...", shell_complete=complete_place
)
@click.option(
    "--against", is_flag=True, expose_value=False,
    help="Divides the left side from the right. Not needed between one LEFT and one RIGHT.",
)  # fmt: skip
@click.option(
    "--from", "begin", metavar="TIME",
    help="Report entries from this time on (RFC 3339 or a date, UTC without a zone; `2h` is two hours ago), "
        "and those without a time.",
)  # fmt: skip
@click.option("--until", "end", metavar="TIME", help="Report entries before this time, and those without a time.")
@click.option(
    "--ignore", "ignored", multiple=True, metavar="FIELD", callback=_known_fields,
    help="Do not compare this field, such as auth.accessor; may be given again.",
)  # fmt: skip
@click.option(
    "--limit", type=click.IntRange(0, 10_000), default=20, show_default=True,
    help="How many differences of each kind to list. All are counted.",
)  # fmt: skip
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option(
    "--metrics", type=click.Path(path_type=Path), metavar="FILE",
    help="Also write the numbers to this file, in Prometheus's text format.",
)  # fmt: skip
def command(
    places: tuple[str, ...],
    begin: str | None,
    end: str | None,
    ignored: tuple[str, ...],
    limit: int,
    form: str,
    metrics: Path | None,
) -> int:
    """Compare the logs of two audit devices: what each lacks, and what differs.

    A place is a file (plain, gzip or zstd), a folder with all files below it, or s3://BUCKET/PREFIX for archived
    segments. A line may hold entries in an envelope, as docker writes it. The entries of one side are put together, in
    any order, and compared by request id and type. Salted hashes and the time of writing differ between devices and
    are not compared, except for times more than a minute apart.

    Reported are: entries that a side lacks; entries that differ (were altered); requests without response and responses
    without request, except for those that Vault never answers; and the spans of time in which a side was silent while
    the other was not.

    Exit status: 0 if both sides have the same, 1 if they differ or a line is no audit entry, 2 if nothing was compared
    or a log could not be read to its end: then the comparison is incomplete, and says so first.
    """
    left, right = _sides(places)
    if metrics:
        check_output("--metrics", metrics, metrics_by("reconcile"), (*left, *right))
    since, until = period(("--from", begin), ("--until", end))
    reading = _Reading()
    left_logs, right_logs = (reading.logs(side, since, until) for side in (left, right))
    reader = Reader(ignored)
    comparison = reconcile(left_logs, right_logs, reader, _window(since, until), limit)
    _check_sides(comparison, [reading.has_failed(logs) for logs in (left_logs, right_logs)])
    found = report(comparison, [*left_logs, *right_logs], reader)
    _write(found, form, len(reading.failed))
    if metrics:
        write_output("--metrics", metrics, metrics_by("reconcile"), [metrics_of(found, complete=not reading.failed)])
    return 2 if reading.failed else 0 if comparison.equal else 1


def _sides(places: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Divide the places into both sides.

    Raises:
        click.UsageError: One side has none, or it is not clear which side a place is on.
    """
    between = places.index(_BETWEEN) if _BETWEEN in places else 1
    left, right = places[:between], places[between:]
    if _BETWEEN in places:
        right = right[1:]
    elif len(places) > 2:
        raise click.UsageError(f"more than two places: put {_AGAINST} between both sides")
    if not left or not right:
        raise click.UsageError("name a LEFT and a RIGHT")
    if _BETWEEN in right:
        raise click.UsageError(f"{_AGAINST} is given twice")
    if "-" in places:
        raise click.UsageError("stdin cannot be read twice: name a file")
    return left, right


def _window(begin: datetime | None, end: datetime | None) -> Window:
    window = Window()
    return Window(
        window.begin if begin is None else microseconds(begin), window.end if end is None else microseconds(end)
    )


class _Reading:
    """Finds the logs of both sides, and says once of each that cannot be read to its end why.

    Attributes:
        failed: The names of those.
    """

    def __init__(self) -> None:
        self.failed = set[str]()

    def logs(self, places: tuple[str, ...], begin: datetime | None, end: datetime | None) -> list[Log]:
        """Return the logs of a side.

        Raises:
            SettingError: There is none.
        """
        found = [log for place in places for log in _logs_at(place, begin, end)]
        if not found:
            raise SettingError(f"{' '.join(places)}: no log is there")
        return [Log(log.name, lambda log=log: self._read(log)) for log in found]  # type: ignore[misc]

    def has_failed(self, logs: Sequence[Log]) -> bool:
        """Return whether one of these logs could not be read to its end."""
        return any(log.name in self.failed for log in logs)

    def _read(self, log: Log) -> Iterator[bytes]:
        try:
            yield from log.read()
        except (Unreadable, ArchiveError) as error:
            if log.name not in self.failed:
                click.echo(one_line(f"vaultwatch: {log.name}: {error}"), err=True)
            self.failed.add(log.name)


def _logs_at(place: str, begin: datetime | None, end: datetime | None) -> list[Log]:
    if place.startswith(S3):
        from vaultwatch.archive.listing import segments_below

        return archived_logs(place, lambda s3, bucket, prefix: segments_below(s3, bucket, prefix, begin, end))
    logs = local_logs(place, reader="")
    return _without_own(place, [log for log in logs if log.name == place or not _is_of_uploads(Path(log.name).name)])


def _without_own(place: str, logs: list[Log]) -> list[Log]:
    """Return the logs without what Vaultwatch itself has written, unless the user named it."""
    own = {log.name: what for log in logs if log.name != place and (what := _own(log))}
    if own:
        say_left_out(place, own)
    return [log for log in logs if log.name not in own]


def _own(log: Log) -> str:
    try:
        return own_output(log.read())
    except Unreadable:  # reported when it is read
        return ""


def _is_of_uploads(name: str) -> bool:
    return name.startswith(".") or name.endswith(MARK)


def _check_sides(comparison: Comparison, failed: Sequence[bool]) -> None:
    """Refuse what is no comparison: a side that could not be read, a side of another log, and no entry to compare.

    Args:
        comparison: The comparison.
        failed: Whether something of the left side, and of the right side, could not be read.

    Raises:
        SettingError: It is none.
    """
    for name, side, has_failed in zip(("left", "right"), comparison.sides, failed, strict=True):
        if has_failed and not side.read:
            raise SettingError(f"nothing was compared: no entry of the {name} side could be read")
        if side.rejected and not side.read:
            raise SettingError(f"the {name} side has no audit entry, but {counted(side.rejected, 'other line')}")
    if not any(side.entries for side in comparison.sides):
        within = " in this time" if any(side.read for side in comparison.sides) else ""
        raise SettingError(f"nothing was compared: neither side has an entry{within}")


def _write(found: Report, form: str, unreadable: int) -> None:
    """Write what was found, and first whether some logs could not be read to their end."""
    if form == "json":
        members = {"complete": not unreadable, **msgspec.to_builtins(found)}
        members["equal"] = found.equal and not unreadable
        sys.stdout.buffer.write(msgspec.json.encode(members) + b"\n")
    else:
        for line in table(found, unreadable):
            click.echo(line)
