"""Columns of CSV around a message of the server log that is not in quotes.

    @timestamp,@message,@logStream                                    the heading says which column is the message
    2026-11-21 07:29:41.1,2026-11-21T07:29:41.1Z [INFO]  core: vault is sealed,vault-1

A program that writes CSV puts a cell that holds a delimiter or a quote in quotes. So a message that is a cell without
quotes ends at the next delimiter. Without a heading, what shows that it is a cell is the delimiter in front of its
time, a tab, which no message has outside of quotes, or that columns are behind every message at the beginning of a log.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from vaultwatch.reading.joined_messages import HEAD
from vaultwatch.unwrapping.flattened import entry_of

_DELIMITERS = ",;\t|"
_MESSAGE_NAME = re.compile(
    rb'(?i)"?@?(?:\w{1,32}\.)?(?:log_?message|message|msg|_raw|@?raw_?(?:data|string)|line|logentry|log|body|content'
    rb'|text|text_?payload|entry|original)"?',
    re.ASCII,
)
OF_ENTRIES = re.compile(rb"\brequest[._](?:path|operation|id)\b")
_OPENS_MESSAGE = re.compile(HEAD)
CAN_HOLD_RECORD = re.compile(rb'\{[ \t\r\n]*\\?"|' + HEAD)
IN_LABELS = re.compile(rb'\\"|"request"|"@level"|' + HEAD)
"""What an object of labels beside a record does not have."""
_CELL = re.compile(rb"(?:[^{\"]{0,512}([,;\t|]))??(?=" + HEAD + rb")")
_FEWEST_ROWS = 2
_COLUMNS = {
    delimiter: re.compile(rb'(?:%s(?:[^\s"=%s][^"=%s]{0,512}|"[^"]{0,512}")?){1,16}' % ((re.escape(delimiter),) * 3))
    for delimiter in (b",", b";", b"\t", b"|")
}
"""Further columns. In a text that goes on behind a delimiter a blank follows, or a pair with its sign of equality."""


class Heading(NamedTuple):
    """What the first row of a table says of the others."""

    delimiter: str
    columns: int
    message: int
    has_entries: bool = False
    """Whether members of audit entries have columns of their own."""

    names: tuple[str, ...] = ()
    """Of the columns, if none is that of a message, but there are those of an audit entry."""

    def record_in(self, row: bytes) -> bytes | None:
        """Return the message or the entry in a row, as `message_in` does."""
        if not self.names:
            return self.message_in(row)
        found = [cell.decode("utf-8", "replace") for cell in cells(row, self.delimiter)]
        is_row = len(found) == self.columns
        return entry_of(dict(zip(self.names, found, strict=True)), are_texts=True) if is_row else None

    def message_in(self, row: bytes) -> bytes | None:
        """Return the line in a row; None if its column may have none, or another column can hold a record too.

        A further line of a message is known by its quotes or its indentation in a row that has none: else the row could
        be a line in a cell of several.

        Args:
            row: The row, without its end.
        """
        found = cells(row, self.delimiter) if self.delimiter.encode() in row else []
        if len(found) != self.columns or (cell := found[self.message].rstrip()).startswith(b"{"):
            return None
        is_whole = b'"%s"' % found[self.message].replace(b'"', b'""') in row
        is_blank = not cell and not self.has_entries
        is_further = self.message > 0 and not row[:1].isspace() and (is_blank or cell.startswith(b"  "))
        if not (is_whole or is_further or cell.startswith(b"==> ") or _OPENS_MESSAGE.match(cell.lstrip())):
            return None
        others = [other.strip() for place, other in enumerate(found) if place != self.message]
        return None if any(map(_can_hold_record, others)) else cell


def heading_of(row: bytes) -> Heading | None:
    """Return what a row says that has the names of the columns; None if none of them is that of a record.

    Args:
        row: The row, which is known to be a heading.
    """
    for delimiter in _DELIMITERS:
        names = row.split(delimiter.encode())
        found = [place for place, name in enumerate(names) if _MESSAGE_NAME.fullmatch(name.strip())]
        if len(names) > 1 and found:
            return Heading(delimiter, len(names), found[0], OF_ENTRIES.search(row) is not None)
        if len(names) > 1 and OF_ENTRIES.search(row):
            texts = tuple(name.strip(b' "').decode("utf-8", "replace") for name in names)
            return Heading(delimiter, len(names), 0, has_entries=True, names=texts)
    return None


def delimiter_behind_messages(head: bytes) -> bytes:
    """Return what is between the messages of a log and columns behind them; b"" if not all have such columns.

    Args:
        head: The first bytes of the log.
    """
    messages = [line.strip() for line in head.split(b"\n")[:-1] if _OPENS_MESSAGE.match(line)]
    if len(messages) < _FEWEST_ROWS:
        return b""
    return next((one for one in (b",", b";", b"|") if all(without_columns(text, one) for text in messages)), b"")


def without_columns(text: bytes, behind: bytes = b"") -> bytes | None:
    """Return the message in a row of which it is a cell without quotes; None if no column is behind it.

    Args:
        text: A line that holds one message.
        behind: What is between the messages of this log and columns behind them; b"" if nothing is known of that.
    """
    if not (cell := _CELL.match(text)):
        return None
    delimiter = cell[1] or behind or b"\t"
    end = text.find(delimiter, cell.end())
    if end < 0 or not _COLUMNS[delimiter].fullmatch(text, end):
        return None
    message = text[cell.end() : end]
    return None if b'"' in message and delimiter != b"\t" else message


def _can_hold_record(cell: bytes) -> bool:
    return bool((IN_LABELS if cell.startswith(b"{") else CAN_HOLD_RECORD).search(cell))


def cells(row: bytes, delimiter: str) -> list[bytes]:
    """Return the cells of a row of CSV; none if it cannot be divided."""
    import csv

    try:
        found = next(csv.reader([row.decode("utf-8", "surrogateescape")], strict=True, delimiter=delimiter), [])
    except csv.Error:  # a cell that is too long, or no CSV
        return []
    return [cell.encode("utf-8", "surrogateescape") for cell in found]
