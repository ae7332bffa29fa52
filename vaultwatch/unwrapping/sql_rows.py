"""The lines of a log in a dump of SQL: in the columns in which records were found.

INSERT INTO logs (ts, msg) VALUES ('2026-11-21','2026-11-21T07:29:41Z [INFO]  core: vault is sealed'),('2026-11-21',...
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from vaultwatch.reading.unclear import is_banner
from vaultwatch.unwrapping.documents import OF_SQL
from vaultwatch.unwrapping.envelopes import Envelopes, is_word
from vaultwatch.unwrapping.repeats import shows_record

_MARK = re.compile(rb"\\.|''|['(),]", re.DOTALL)
_HAS_ROWS = re.compile(rb"\(|(?i:INSERT|REPLACE|VALUES)\b")
_ENDS_CELL = {(1, b","), (0, b")")}
_Row = list[str | None]


def lines_of(statement: bytes, envelopes: Envelopes) -> list[bytes] | None:
    """Return the lines of the log in a line of SQL; none if it only surrounds some; None if it may be one.

    What MySQL escapes with a backslash stays escaped. As long as no column is known, a row with a text of several words
    may be a line.

    Args:
        statement: The line.
        envelopes: Remembers the columns of this log.
    """
    rows = [row for row in _rows(statement) if any(row)] if _HAS_ROWS.match(statement) else []
    if not rows:
        is_line = shows_record(statement) or is_banner(statement.lstrip(b"- "))  # a log may have dashes before each
        return [] if OF_SQL.fullmatch(statement) and not is_line else None
    texts = envelopes.texts_in_rows(rows)
    cells = [cell.encode("utf-8", "replace") for row in rows for cell in row if cell]
    return texts if texts or envelopes.has_names or all(map(is_word, cells)) else None


def ends_in_text(line: bytes, *, is_in_text: bool) -> bool:
    """Return whether a text in values is open at the end of a line.

    Args:
        line: The line.
        is_in_text: Whether one is at its beginning.
    """
    if not (is_in_text or _HAS_ROWS.match(line)):
        return False
    for mark in _MARK.finditer(line):
        is_in_text ^= mark[0] == b"'"
    return is_in_text


def _rows(statement: bytes) -> Iterator[_Row]:
    """Yield the rows of values; of what is no text, None."""
    row: _Row = []
    cell: str | None = None
    depth, start = 0, -1
    for mark in _MARK.finditer(statement):
        sign = mark[0]
        if start >= 0:
            if sign == b"'":
                cell, start = _text(statement[start : mark.start()]), -1
            continue
        if sign == b"'":
            start = mark.end()
        depth += (sign == b"(") - (sign == b")")
        if depth == 1 and sign == b"(":
            row, cell = [], None
        elif (depth, sign) in _ENDS_CELL:
            row.append(cell)
            cell = None
        if depth == 0 and sign == b")":
            yield row


def _text(literal: bytes) -> str:
    return literal.replace(b"''", b"'").decode("utf-8", "replace")
