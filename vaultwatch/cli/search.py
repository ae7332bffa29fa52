"""`vaultwatch search`: find a record again, in files or in the archive on S3."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import chain

import click

from vaultwatch.audience import S3
from vaultwatch.cli.common import complete_place, note_terminal
from vaultwatch.cli.examples import examples
from vaultwatch.cli.places import archived_logs, local_logs
from vaultwatch.cli.search_records import Beginning, may_contain, records_with
from vaultwatch.errors import ArchiveError, SettingError
from vaultwatch.findings.trials import best_of
from vaultwatch.inputs import STDIN
from vaultwatch.inputs.errors import Unreadable
from vaultwatch.inputs.hints import hint_for
from vaultwatch.inputs.logs import HEAD_BYTES
from vaultwatch.printable import counted, one_line
from vaultwatch.reading.identity import parse_time
from vaultwatch.reading.lines import LineSplitter
from vaultwatch.reconcile import Log

_CONTINUES = (b"  ", b"\t")
_HEX = re.compile("[0-9a-f]+")
_OF_ALERTS = {
    32: "the id of an alert, no log has it: search for the alert's event_key; if the event_key is 64 hexadecimal "
    "digits, no log has that either: search for the alert's time",
    64: "the event_key of an alert, no log has one of 64 digits: search for the alert's time",
}
"""What a text of so many hexadecimal digits may be that was found nowhere."""


@click.command(
    "search",
    epilog=examples(
        "vaultwatch search 5ef8e447-9938-afcc-3b1a-dbccc6979745 /var/log/vault",
        "vaultwatch search 5ef8e447-9938-afcc-3b1a-dbccc6979745 --time 2026-11-21T07:29:43Z s3://ARCHIVE",
    ),
)
@click.argument("text")
@click.argument("places", nargs=-1, metavar="[PLACE]...", shell_complete=complete_place)
@click.option(
    "--time", "when", metavar="TIME",
    help="The record's time (RFC 3339). Required for s3://, where only the segments around it are read.",
)  # fmt: skip
def command(text: str, places: tuple[str, ...], when: str | None) -> int:
    """Print the lines that contain TEXT, such as the request id in a notification.

    A PLACE is a file (plain, gzip, zstd, bzip2, xz, zip or tar), a folder with all files below it, a pattern,
    s3://BUCKET for the archive of a deployment, or "-" (or nothing) for stdin. Lines are printed as they were logged,
    each with the lines that continue it; of envelopes, tables and base64, the records that contain TEXT are printed,
    as check reads them, or else the lines. On a terminal, control characters are shown as codes.

    Exit status: 0 if a line was found, 1 if none was, 2 if something cannot be read, if a file that is named is empty,
    if a folder has no file, or if an option is wrong.
    """
    if not text:
        raise click.UsageError("TEXT: must not be empty")
    if when and not any(place.startswith(S3) for place in places):
        raise click.UsageError("--time: is for an archive on S3: no PLACE is one")
    note_terminal(places)
    wanted, show = text.encode("utf-8", "surrogateescape"), _show_on_terminal if sys.stdout.isatty() else _show
    reader = f"vaultwatch search {shlex.quote(text)}"
    at = {place: _logs_at(place, when, reader) for place in places or ("-",)}
    logs = [log for found in at.values() for log in found]
    empty = [place for place, found in at.items() if not (found or place.startswith(S3))]
    for place in empty:
        click.echo(one_line(f"vaultwatch: {place}: there is no log to search: it has no file"), err=True)
    found = [_search(log, wanted, show, reader, named=log.name in at) for log in logs]
    lines, read = sum(count for count, _ in found), sum(whole for _, whole in found)
    sys.stdout.flush()
    if lines or read or not (logs or empty):
        click.echo(f"{counted(lines, 'line')} found, {counted(len(logs), 'log')} searched", err=True)
    if not lines and (other := _OF_ALERTS.get(len(text)) if _HEX.fullmatch(text) else None):
        click.echo(f"if TEXT is {other}", err=True)
    return 2 if empty or read < len(logs) else 0 if lines else 1


def _search(log: Log, wanted: bytes, show: Callable[[bytes], None], reader: str, *, named: bool) -> tuple[int, bool]:
    """Show what a log contains; return the number of matching lines, and whether all of the log could be read.

    One that the user named must not be empty.
    """
    found = 0
    try:
        head, pieces = _begun(_not_empty(log) if named else log.read())
        begins = Beginning(head)
        if begins.is_wrapped and not begins.is_encoded and log.name != STDIN:
            if not may_contain(wanted, pieces):
                return 0, True
            pieces = log.read()
        for line, matches in _wrapped(pieces, wanted, head) if begins.is_wrapped else _matching(pieces, wanted):
            show(line)
            found += matches
    except (Unreadable, ArchiveError) as error:
        click.echo(one_line(f"vaultwatch: {log.name}: {error}"), err=True)
        return found, False
    first = begins.first if named and not found else None
    if first and reader in (hint := hint_for(log.name, first, reader=reader, sample=head, choose=best_of)):
        message = f"vaultwatch: {log.name}: its lines are no records: {first.reason}{hint}"
        click.echo(one_line(message), err=True)
    return found, True


def _begun(pieces: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """Return the first bytes of a log, and all of them, which raise what the first did not come to."""
    head, failed = b"", list[Exception]()
    try:
        while len(head) < HEAD_BYTES and (piece := next(pieces, b"")):
            head += piece
    except (Unreadable, ArchiveError) as error:
        failed.append(error)

    def all_of_it() -> Iterator[bytes]:
        yield head
        for error in failed:
            raise error
        yield from pieces

    return head[:HEAD_BYTES], all_of_it()


def _wrapped(pieces: Iterable[bytes], wanted: bytes, head: bytes) -> Iterator[tuple[bytes, bool]]:
    """Yield the records that contain the text, each as one matching line."""
    splitter = LineSplitter()
    batches = chain((splitter.push(piece) for piece in pieces), iter(splitter.flush, []))
    return ((line, True) for line in records_with(wanted, batches, head))


def _not_empty(log: Log) -> Iterator[bytes]:
    """Yield the bytes of a log.

    Raises:
        Unreadable: There are none.
    """
    size = 0
    for piece in log.read():
        size += len(piece)
        yield piece
    if not size:
        raise Unreadable("there is no log to search: it is empty")


def _matching(pieces: Iterable[bytes], wanted: bytes) -> Iterator[tuple[bytes, bool]]:
    """Yield the lines that contain the text, and those that continue them; and whether it is one of the first kind."""
    within = False
    for line in _lines(pieces):
        matches = wanted in line
        within = matches or (within and line.startswith(_CONTINUES) and not line.lstrip().startswith(b"{"))
        if within:
            yield line, matches


def _lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    splitter = LineSplitter()
    for piece in pieces:
        yield from splitter.push(piece)
    yield from splitter.flush()


def _show(line: bytes) -> None:
    sys.stdout.buffer.write(line if line.endswith(b"\n") else line + b"\n")


def _show_on_terminal(line: bytes) -> None:
    click.echo(one_line(line.decode("utf-8", "backslashreplace").rstrip("\r\n")))


def _logs_at(place: str, when: str | None, reader: str) -> list[Log]:
    return _segments(place, when) if place.startswith(S3) else local_logs(place, reader)


def _segments(place: str, when: str | None) -> list[Log]:
    """Return the segments of an archive bucket that can contain the time.

    Raises:
        SettingError: There is no time, or the bucket cannot be listed.
    """
    moment = parse_time(when)
    if moment is None:
        given = f"`{when}` is not an RFC 3339 time" if when else "is required to search an archive on S3"
        raise SettingError(f"--time: {given}")
    from vaultwatch.archive.listing import segments_near

    return archived_logs(place, lambda s3, bucket, _: segments_near(s3, bucket, moment))
