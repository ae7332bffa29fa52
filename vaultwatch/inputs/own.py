"""Logs that Vaultwatch itself has written: alerts and rejected lines, which often lie beside the logs themselves.

Leaving a log out loses what is in it, and clients of Vault can write texts into logs, so the whole log must be our
output: each line, from the first to the last, decodes as exactly what we write. An entry behind such a text, as the
`prefix` of an audit device can be, never decodes: nothing closes what the text opened.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import IO, Annotated, Any

import msgspec

from vaultwatch.inputs.decompression import CHUNK_BYTES
from vaultwatch.inputs.errors import Unreadable, reading
from vaultwatch.inputs.logs import Log
from vaultwatch.outputs import ALERTS, REJECTED, Output
from vaultwatch.reading.identity import Outcome
from vaultwatch.reading.lines import LineSplitter
from vaultwatch.rules.facts import Level

_IN_MEMORY_BYTES = 4 * 1024 * 1024


class AlertLine(msgspec.Struct, forbid_unknown_fields=True):
    """An alert as it is written; the attributes are those of `Alert` and `Finding`, and all but `source` are there."""

    id: str
    rule: str
    title: str
    level: str
    service: str
    time: str
    event_key: str
    outcome: str
    summary: str
    principal: str
    who: str
    path: str
    namespace: str
    remote_address: str
    error: str
    cluster: str
    node: str
    lane: str
    staged: bool
    late: bool
    actions: list[str]
    group_values: list[str]
    window_seconds: int | None
    same_as: list[str]
    record: dict[str, Any]
    source: dict[str, Any] = {}


class RejectedLine(msgspec.Struct, forbid_unknown_fields=True):
    """A rejected line as `encode_rejected` writes it."""

    reason: str
    cluster: str
    node: str
    lane: str
    bytes: int
    sha256: str = ""
    line: str | msgspec.UnsetType = msgspec.UNSET
    line_base64: str | msgspec.UnsetType = msgspec.UNSET


class AlertRow(msgspec.Struct):
    """An alert as a row of CSV: the attributes are the columns."""

    time: str
    level: Level
    rule: str
    title: str
    summary: str
    outcome: Outcome
    who: str
    principal: str
    path: str
    namespace: str
    remote_address: str
    cluster: str
    node: str
    event_key: str
    id: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]
    file: str
    line: Annotated[str, msgspec.Meta(pattern="^[0-9]+$")]


_COLUMNS = AlertRow.__struct_fields__
_HEADING = ",".join(_COLUMNS).encode()
_ROWS = Output(ALERTS.name, re.compile(_HEADING[:40]))
_KINDS = (ALERTS, REJECTED, _ROWS)
_DECODERS: dict[Output, msgspec.json.Decoder[Any]] = {
    ALERTS: msgspec.json.Decoder(AlertLine),
    REJECTED: msgspec.json.Decoder(RejectedLine),
}


def begins_as_own(head: bytes) -> bool:
    """Return whether a log could be our own output, by its first bytes."""
    return _kind(head) is not None


def own_output(chunks: Iterable[bytes]) -> str:
    """Return what of its own output a log is; "" if it is no such log. Reads no further than that is known.

    Args:
        chunks: Its bytes.
    """
    kind, splitter, lines = None, LineSplitter(), 0
    for chunk in chunks:
        if not lines and kind is None and (kind := _kind(chunk)) is None:
            return ""
        found = splitter.push(chunk)
        if kind is None or not all(_is_of(kind, line) for line in found):
            return ""
        lines += len(found)
    return kind.name if kind and all(_is_of(kind, line) for line in splitter.flush()) else ""


def set_apart(log: Log) -> tuple[str, Log]:
    """Return what of its own output a log is, "" if it is no such log, and the log to read from its beginning.

    Only a log whose first line has the form is read for that. What was read is kept meanwhile, on the disk if it is
    much: a stream has no second beginning.

    Args:
        log: The log, of which nothing was read.
    """
    if not begins_as_own(log.head):
        return "", log
    from tempfile import SpooledTemporaryFile  # with all that it imports, a tenth of the start of `check`

    chunks, kept = log.chunks(), SpooledTemporaryFile[bytes](_IN_MEMORY_BYTES)
    failures = list[Unreadable]()
    own = own_output(_keeping(chunks, kept, failures))
    if own and not failures:
        kept.close()
        return own, log
    return "", log._replace(chunks=lambda: _again(kept, chunks, failures))


def _kind(head: bytes) -> Output | None:
    return next((kind for kind in _KINDS if kind.begins.match(head.lstrip())), None)


def _is_of(kind: Output, line: bytes) -> bool:
    if not line.strip():
        return True
    if kind is _ROWS:
        return _is_row(line.removesuffix(b"\n"))
    try:
        found = _DECODERS[kind].decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return kind is ALERTS or (found.line is msgspec.UNSET) != (found.line_base64 is msgspec.UNSET)


def _is_row(line: bytes) -> bool:
    """Return whether a line is the heading, or an alert as `check --format csv` writes it, byte for byte."""
    import csv

    if line == _HEADING:
        return True
    again = io.StringIO()
    try:
        [cells] = csv.reader([line.decode()], strict=True)
        msgspec.convert(dict(zip(_COLUMNS, cells, strict=True)), AlertRow)
        csv.writer(again, lineterminator="").writerow(cells)
    except (csv.Error, ValueError):  # also of UTF-8, of another number of cells, and of what a cell may not be
        return False
    return again.getvalue().encode() == line


def _keeping(chunks: Iterator[tuple[bytes, int]], kept: IO[bytes], failures: list[Unreadable]) -> Iterator[bytes]:
    try:
        for chunk, _ in chunks:
            with reading():
                kept.write(chunk)
            yield chunk
    except Unreadable as error:  # raised where the log is read
        failures.append(error)


def _again(
    kept: IO[bytes], chunks: Iterator[tuple[bytes, int]], failures: list[Unreadable]
) -> Iterator[tuple[bytes, int]]:
    position = 0
    kept.seek(0)
    with closing(kept):
        while chunk := kept.read(CHUNK_BYTES):
            position += len(chunk)
            yield chunk, position
    yield from chunks
    if failures:
        raise failures[0]
