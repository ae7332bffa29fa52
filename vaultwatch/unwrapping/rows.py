"""Find the records in a row of a table, and the messages that follow each other on a line."""

from __future__ import annotations

import re

from vaultwatch.reading.joined_messages import HEAD, messages_in
from vaultwatch.unwrapping.columns import CAN_HOLD_RECORD, IN_LABELS, cells
from vaultwatch.unwrapping.objects import RecordEnds, end_of_object, is_record

ANY_HEAD = re.compile(HEAD)
OPENS_WITH_HEAD = re.compile(rb"[^{\"]{0,256}?" + HEAD)
_CSV_MESSAGE = re.compile(rb'[^{]{0,512}?"(?=' + HEAD + rb")")
_CSV_PLAIN_MESSAGE = re.compile(rb'"[^"{]{0,512}",(?:"[^"{]{0,512}",|[^",{]{0,256},){0,8}(?=' + HEAD + rb")")
_CSV_REST = re.compile(rb'"(?:[,;\t|][^{}]{0,4096})?')
_DELIMITERS = ",;\t|"
DELIMITER = re.compile(rb"[,;\t|]")
MARKS = re.compile(rb"(?:\x1b|#033)\[[0-9;]{0,32}m|#011|#012\Z")  # terminal colours, and what rsyslog escapes


def messages_and_records_in(text: bytes) -> list[bytes]:
    """Return the messages and records in a line that begins with a message; the text alone if it holds no other."""
    if b" [" not in text:
        return [text]
    is_row = _CSV_MESSAGE.match(text) and not OPENS_WITH_HEAD.match(text)
    clean = MARKS.sub(b"", text)
    lines = (records_in_row(clean) if is_row else []) or [clean]
    parts = [part for line in lines for part in messages_in(line, RecordEnds().end)]
    return [text] if parts == [clean] else parts


def is_row_of_messages(text: bytes, start: int) -> bool:
    """Return whether a message in quotes is before the object that begins here, which is no cell."""
    return text[start : start + 3] != b'{""' and _CSV_MESSAGE.match(text) is not None


def without_columns_behind(text: bytes) -> bytes:
    """Return an object in a row of CSV without the columns behind it, if none of them has a message."""
    end = end_of_object(text)
    return text[:end] if end and _CSV_REST.fullmatch(text, end) and not ANY_HEAD.search(text, end) else text


def records_in_row(text: bytes) -> list[bytes]:
    """Return the cells of a row of CSV that can hold a record, whole or not; none if no cell is a whole one."""
    for delimiter in _DELIMITERS:
        found = [cell.strip() for cell in cells(text, delimiter)] if delimiter.encode() in text else []
        if any(OPENS_WITH_HEAD.match(cell) or _is_whole_record(cell) for cell in found):
            return [cell for cell in found if CAN_HOLD_RECORD.search(cell) and not _is_labels(cell)]
    return []


def messages_in_row(text: bytes) -> list[bytes]:
    """Return the messages in a row of CSV without objects; none if the line is no such row."""
    if OPENS_WITH_HEAD.match(text):
        return []
    if row := _CSV_MESSAGE.match(text):
        message = text[row.end() :].replace(b'""', b"\0").partition(b'"')[0].replace(b"\0", b'"')
    elif row := _CSV_PLAIN_MESSAGE.match(text):
        message = text[row.end() :].partition(b",")[0]
    else:
        return []
    is_alone = len(ANY_HEAD.findall(message)) == len(ANY_HEAD.findall(text))
    return [message] if is_alone else records_in_row(text)


def _is_whole_record(text: bytes) -> bool:
    return text.startswith(b"{") and end_of_object(text) == len(text) and is_record(text)


def _is_labels(text: bytes) -> bool:
    """Return whether a cell is an object that neither is nor holds a record."""
    return text.startswith(b"{") and not IN_LABELS.search(text) and end_of_object(text) == len(text)


def ends_cell(text: bytes, end: int) -> bool:
    """Return whether what separates an object from the text behind it is a delimiter of columns."""
    return DELIMITER.search(text, text.rfind(b"}", 0, end), end) is not None
