"""Read the lines of a log that is a document: what they hold of a record, and which are only between records."""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

from vaultwatch.reading.lines import LineSplitter
from vaultwatch.unwrapping.arrays import lines_in_text
from vaultwatch.unwrapping.bar_tables import BarTable
from vaultwatch.unwrapping.columns import OF_ENTRIES, Heading, heading_of, without_columns
from vaultwatch.unwrapping.documents import OF_ARRAY, OF_OTEL, OF_SQL, OF_YAML, body_of_otel, document_of
from vaultwatch.unwrapping.encoded import text_in
from vaultwatch.unwrapping.envelopes import Envelopes
from vaultwatch.unwrapping.journal_export import JournalExport
from vaultwatch.unwrapping.markup import Markup, is_markup
from vaultwatch.unwrapping.rows import ANY_HEAD, DELIMITER

if TYPE_CHECKING:
    from vaultwatch.unwrapping.yaml_lines import YamlLines

_CSV_HEADER = re.compile(
    rb'(?i)[\w@", ]{0,256}@message[\w@", ]{0,256}'
    rb'|(?:"?[\w @#.\[\]]{0,512}"?[,;\t|]){0,16}'
    rb' {0,4096}"?(?:\w{1,32}\.)?'
    rb"(?:log_?message|message|msg|_raw|@?raw_?(?:data|string)|line|logentry|log|body|content|text|text_?payload|entry"
    rb'|original)"?'
    rb'(?: {0,4096}[,;\t|]"?[\w @#.\[\]]{0,512}"?){0,16}'
)
_NAMES_DELIMITER = re.compile(rb"(?i)\"?sep=[,;\t|]\"?")  # for Excel, in the first line
_SHELL_NOISE = re.compile(
    rb"--(?: (?:Logs begin|Journal begins|Boot|Reboot|No entries)\b[^{]{0,256})?"
    rb"|[\w.-]{1,255} \| (?:CHANGED|SUCCESS|FAILED)(?: \| rc=\d{1,3})? >>"
    rb"|\(\d{1,12} rows?\)|\d{1,12} rows? in set(?: \([\d. minsec]{1,32}\))?"
)  # journalctl, grep, Ansible, psql, mysql
_ENDS_CELL = re.compile(rb'"(?:[,;\t|](?:"[^"{]{0,512}"|[^",;\t|{]{0,512})){1,64}')
"""The last line of a cell of several, which is blank, and the columns behind it."""
_CAST = re.compile(rb'\{"version": ?[23], ?"(?:width|term)"')
_MAX_STATEMENT_BYTES = 1024 * 1024
"""Of SQL, over several lines."""


class Document:
    """Reads the lines of one log as those of a document, once its first lines have shown that it is one.

    Attributes:
        joined: The lines of the statement of SQL that ended in the last one.
    """

    def __init__(self, envelopes: Envelopes, behind: bytes = b"") -> None:
        """Begin a log.

        Args:
            envelopes: Remembers the names of the log.
            behind: What is between the messages of a table without a heading and the columns behind them.
        """
        self._envelopes = envelopes
        self._behind = behind
        self.export = JournalExport()
        self._is_cast = False  # of asciinema: a piece of the output a line
        self._markup: Markup | None = None
        self._output = LineSplitter()
        self.joined: list[bytes] = []
        self._statement: list[bytes] = []  # of SQL, in lines so far
        self._statement_bytes = 0
        self.heading: Heading | None = None  # of a table
        self._heading_at = 1
        self._bars = BarTable(envelopes)
        self._around: re.Pattern[bytes] | None = None  # what it has around records

    @property
    def has_rows(self) -> bool:
        """Whether the next line may be a row between bars, even if it may continue a message of the server log."""
        return (
            bool(self._bars.bars) or self.export.is_in_value or self._is_cast or bool(self._markup or self._statement)
        )

    @property
    def is_open(self) -> bool:
        """Whether the next line may be a row of a table, or another line of a document."""
        is_row = self.heading or self._behind or self._bars.bars or self._around or self._heading_at > 1
        return bool(is_row or self.export.is_in_value or self._is_cast or self._markup or self._statement)

    def record_in_row(self, line: bytes) -> bytes | None:
        """Return the record in a row of a table with a heading; None if it is no such row."""
        return self.heading.record_in(line.strip(b"\r\n\0")) if self.heading else None

    def without_columns(self, text: bytes) -> bytes | None:
        """Return the message in a row without the columns around it; None if it is none."""
        return without_columns(text, self._behind)

    def lines_in(self, line: bytes, text: bytes, number: int) -> list[bytes] | None:
        """Return what is in a line of a document; None if it is none.

        Args:
            line: The line without its end.
            text: The same, stripped.
            number: Its number.
        """
        if number <= 1:
            self._around = document_of(text)
            self._is_cast = _CAST.match(text) is not None
            self._markup = Markup(self._envelopes) if is_markup(text) else None
        if self._markup:
            return self._markup.lines_in(line)
        if self._is_cast:
            return self._lines_of_cast(text) if number > 1 else []
        if self._around is OF_YAML:
            return self._yaml.lines_in(line)
        if self._around is OF_SQL:
            return self._lines_of_sql(line)
        if self._around is OF_OTEL and (body := body_of_otel(text)) is not None:
            return [body] if body.strip() else []
        if text.startswith(b"{") and not self._bars.bars:
            return None
        found = self._bars.lines_in(line)
        return self._lines_in_array(text) or None if found is None else found

    def _lines_of_cast(self, text: bytes) -> list[bytes] | None:
        """Return the lines that end in a piece of the output of a terminal."""
        try:
            _, kind, output = msgspec.json.decode(text, type=tuple[float, str, str])
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        return self._output.push(output.encode("utf-8", "replace")) if kind == "o" else []

    def _lines_of_sql(self, line: bytes) -> list[bytes] | None:
        """Return the lines in statements of SQL that end in a line; a text in them can go on in the next one."""
        from vaultwatch.unwrapping.sql_rows import ends_in_text, lines_of  # few logs are such

        self.joined = []
        goes_on = ends_in_text(line, is_in_text=bool(self._statement))
        self._statement.append(line)
        self._statement_bytes += len(line) + 1
        if goes_on and self._statement_bytes <= _MAX_STATEMENT_BYTES:
            return []
        self.joined = self.flush()
        if goes_on:
            return self.joined
        found = lines_of(b"\n".join(self.joined).strip(), self._envelopes)
        return self.joined if found is None and len(self.joined) > 1 else found

    def flush(self) -> list[bytes]:
        """Return the lines that are held, at the end of the log."""
        held, self._statement, self._statement_bytes = self._statement, [], 0
        return held + self._output.flush()

    @cached_property
    def _yaml(self) -> YamlLines:
        """Finds the lines in a document of YAML."""
        from vaultwatch.unwrapping.yaml_lines import YamlLines  # few logs are such

        return YamlLines(self._envelopes)

    def _lines_in_array(self, text: bytes) -> list[bytes]:
        """Return the lines in a text of an array; none if it is something else."""
        is_text = text.startswith(b'"') and (self._around is OF_ARRAY or (text.endswith(b'",') and not self.heading))
        if is_text and not (self._around is OF_ARRAY and OF_ARRAY.fullmatch(text)):
            return lines_in_text(text)
        return []

    def is_noise(self, text: bytes, number: int) -> bool:
        """Return whether a line only separates or names what other lines hold."""
        if self.export.is_field(text) or self._is_around(text) or _SHELL_NOISE.fullmatch(text):
            return True
        if self.heading and _ENDS_CELL.fullmatch(text) and not ANY_HEAD.search(text):
            return True
        if number <= 1 and _NAMES_DELIMITER.fullmatch(text):
            self._heading_at = number + 1
            return True
        is_row = (number <= self._heading_at or b"@message" in text) and DELIMITER.search(text)
        is_of_entries = number <= self._heading_at and b"{" not in text and OF_ENTRIES.search(text) is not None
        if not is_row or not (is_of_entries or _CSV_HEADER.fullmatch(text)):
            return False
        self.heading = heading_of(text)
        return True

    def _is_around(self, text: bytes) -> bool:
        """Return whether the document has such lines around records; those of YAML and SQL were asked before."""
        if not self._around or self._around in (OF_YAML, OF_SQL) or not self._around.fullmatch(text):
            return False
        return not ANY_HEAD.search(text) and not _is_encoded(text)


def _is_encoded(text: bytes) -> bool:
    """Return whether a text in quotes may be a line in base64."""
    return text_in(text.strip(b'", ').decode("utf-8", "replace")) is not None
