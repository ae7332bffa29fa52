r"""Find the records in lines that hold them in another form, one line after the other.

    {"log":"{\"time\":...}\n","stream":"stdout"}     an envelope (`vaultwatch.reading.envelopes`)
    2026-11-21T07:29:41Z stdout P {"time":            a line that a container runtime or journald has split
    {"time":...}{"time":...},                         several objects, with what separates them
    {                                                 one object over many lines
      "time": ...
    2026-11-21 07:29:41.1,"{""time"":...}"            CSV; {\"time\":...} escaped as text
    ts=2026-11-21T07:29:41Z level=info msg="..."      logfmt (`vaultwatch.reading.logfmt`)
    ["2026-11-21T07:29:41Z [INFO]  core: ...", ...]   an array of lines
    | vault-1 | {"time":...} |                        a row of Markdown, below |---|---|
    ...finished2026-11-21T07:29:41Z [INFO]  core:     several messages (`vaultwatch.reading.joined_messages`)

Only lines that are neither an entry nor a message as they are come here: no plain line becomes slower.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from vaultwatch.reading.affixes import Affixes
from vaultwatch.reading.assembly import MAX_BYTES, Assembly
from vaultwatch.reading.budget import BYTES_PER_VALUE, MAX_VALUES, exceeded
from vaultwatch.reading.columns import (
    CAN_HOLD_RECORD,
    IN_LABELS,
    RULE_OF_MARKDOWN,
    Heading,
    cells,
    cells_of_markdown,
    heading_of,
    without_columns,
)
from vaultwatch.reading.documents import (
    OF_ARRAY,
    OF_OTEL,
    OF_SQL,
    OF_YAML,
    body_of_otel,
    document_of,
    sections_of,
)
from vaultwatch.reading.elements import elements_of, end_behind
from vaultwatch.reading.encoded import text_in
from vaultwatch.reading.envelopes import Envelopes, Frame
from vaultwatch.reading.joined_messages import HEAD, messages_in
from vaultwatch.reading.logfmt import message_of, texts_of
from vaultwatch.reading.records import Rejected
from vaultwatch.reading.syslog_header import NO_HEADER, Header, strip_syslog_header
from vaultwatch.reading.unclear import BANNERS

if TYPE_CHECKING:
    from vaultwatch.reading.yaml_lines import YamlLines

_MAX_HELD = 16
_MAX_LEVELS = 4
_SHORTEST_PART = 400
"""Bytes: syslog over UDP may cut at 480 with the header (RFC 5424), most programs at 1,024 or more."""
_AROUND = b' \t\r\n\f\v\0,;[]\x1e\x1f"'
_LONGEST_SEPARATOR = 64
_LONGEST_HEADER = 300
_COLOUR = re.compile(rb"\x1b\[[0-9;]{0,32}[mK]")
_CRI = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\S{0,20} (?:stdout|stderr)) ([PF]) ?")
_ANY_HEAD = re.compile(HEAD)
_OPENS_WITH_HEAD = re.compile(rb"[^{\"]{0,256}?" + HEAD)
_BEHIND_MARK = re.compile(rb"(?<=[m1])" + HEAD)
_GLUED_OBJECT = re.compile(rb"(?<=[\w.)\]}])\{\"(?:time|type|@level)\": ?\"")
_MOST_OTHER_OBJECTS = 16
_OPENS_ARRAY = re.compile(rb'[\[\s]{1,64}(?:["\d]|\{\s{0,64}"(?i:field|key|name)")')
_RECORD_AFTER_CR = re.compile(rb"\r(?:[^\r{]{0,120} )?(?:\{\"|" + HEAD + rb")")  # others are of progress bars
_SEPARATORS = (b"\0", b"\f", b"\v", b"\x1e", b"\x1f", b"\xe2\x80\xa8", b"\xe2\x80\xa9", b"\xc2\x85")
_SEPARATED = re.compile(rb"(" + b"|".join(_SEPARATORS) + rb")[ \t]{0,8}(?:\{\"|" + HEAD + rb")")
"""What separates records in the place of a line end: hclog and JSON of Go escape it in texts."""
_NEW_RECORD = re.compile(rb'\{"(?:time|type|auth|request|@level|@message|@module|@timestamp)":|' + HEAD)
_CSV_MESSAGE = re.compile(rb'[^{]{0,512}?"(?=' + HEAD + rb")")
_CSV_PLAIN_MESSAGE = re.compile(rb'"[^"{]{0,512}",(?:"[^"{]{0,512}",|[^",{]{0,256},){0,8}(?=' + HEAD + rb")")
_CSV_HEADER = re.compile(
    rb'(?i)[\w@", ]{0,256}@message[\w@", ]{0,256}'
    rb'|(?:"?[\w @.\[\]]{1,64}"?[,;\t|]){0,16}'
    rb'"?(?:\w{1,32}\.)?(?:log_?message|message|msg|_raw|line|logentry|log|body|content|text|text_?payload|entry|original)"?'
    rb'(?:[,;\t|]"?[\w @.\[\]]{1,64}"?){0,16}'
)
_DELIMITERS = ",;\t|"
_DELIMITER = re.compile(rb"[,;\t|]")
_NAMES_DELIMITER = re.compile(rb"(?i)\"?sep=[,;\t|]\"?")  # for Excel, in the first line
_CSV_REST = re.compile(rb'"(?:[,;\t|][^{}]{0,4096})?')
_SHELL_NOISE = re.compile(
    rb"--(?: (?:Logs begin|Journal begins|Boot|Reboot|No entries)\b[^{]{0,256})?"
    rb"|[\w.-]{1,255} \| (?:CHANGED|SUCCESS|FAILED)(?: \| rc=\d{1,3})? >>"
    rb"|-{1,512}(?:\+-{1,512}){1,64}|\(\d{1,12} rows?\)"
)  # journalctl, grep, Ansible, psql
_OF_FLAT_ENTRY = re.compile(rb'"(?:[\w@-]{1,32}[._])?request[._](?:path|operation|id)"\s{0,8}:')
"""Beside a blank line: an entry whose members stand alone, as Datadog and VictoriaLogs parse it."""
_FIRST_PAIR = re.compile(rb"[A-Za-z_@][\w.@/-]{0,127}=")
_FRAME = re.compile(rb"(\d{1,7}) (?=<\d{1,3}>)")
_MARKS = re.compile(rb"(?:\x1b|#033)\[[0-9;]{0,32}m|#011|#012\Z")  # terminal colours, and what rsyslog escapes
_REST_OF_PREFIX = re.compile(rb"(?:#0[0-3][0-7])+|\d{13}|['\"`]{0,3}\)?[,;]?|>?(?:</[\w:.-]{1,64}>){0,8}")
"""What rsyslog escapes, the last column of `aws logs --output text`, the end in YAML, SQL, Markdown and XML."""
_APPENDED = re.compile(rb'[^"{}\\]{1,256}')
_LEFT_OUT = re.compile(rb'"MESSAGE"\s?:\s?null\b')
_BULK = re.compile(
    rb'\{\s?"(?:index|create)"\s?:\s?\{(?:\s?"_\w{1,32}"\s?:\s?(?:"[^"\\]{0,256}"|[\w.-]{1,32})\s?,?){0,8}\s?\}\s?\}'
)
"""The line in front of each document that Elasticsearch loads."""
_EXPORT_FIELD = re.compile(rb"_?_?[A-Z][A-Z0-9_]{0,64}=")
_EXPORT_NAME = re.compile(rb"_?_?[A-Z][A-Z0-9_]{1,64}")  # the value, which has other bytes than text, follows
_VERBOSE = re.compile(rb"[A-Z][a-z]{2} \d{4}-[^\[{]{1,64} \[s=[0-9a-f]{1,64};i=")  # journalctl -o verbose
_ARROW = b"=> {"  # how Ansible begins what a host has returned
_EXPORT, _MESSAGE = b"__CURSOR=", b"MESSAGE="
_PRETTY = b""
"""The key of an object over many lines; parts of split lines have the name of the stream that they are in."""


class Piece(NamedTuple):
    """A line to read, or one to reject, and the number of the line in which it begins."""

    line: bytes | Rejected
    number: int


class _Shape(msgspec.Struct):
    """What shows that an object is a record."""

    request: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    level: msgspec.Raw | msgspec.UnsetType = msgspec.field(default=msgspec.UNSET, name="@level")


_shape_of = msgspec.json.Decoder(_Shape).decode


class Unwrapper:
    """Finds the records in the lines of one log. What it holds is bounded in bytes, lines and streams.

    Attributes:
        joined: The lines of which `read` has put something together that ended with the last one.
        affixes: Learns what is around the lines of the log.
    """

    def __init__(
        self, envelopes: Envelopes | None = None, affixes: Affixes | None = None, *, is_stream: bool = False
    ) -> None:
        """Begin with nothing held.

        Args:
            envelopes: Searches the envelopes of the log, if it has searched others before.
            affixes: Learns what is around the lines of the log.
            is_stream: Whether only Vault and syslog-ng write the lines: what is behind an entry is then rejected.
        """
        self._is_stream = is_stream
        self.affixes = affixes or Affixes()
        self.joined: list[bytes] = []
        self._number = 0
        self._held: dict[bytes, Assembly] = {}
        self._is_export = False  # of journald: a field a line
        self._frames: dict[bytes, bytes] = {}
        self._envelopes = envelopes or Envelopes()
        self._heading: Heading | None = None  # of a table
        self._heading_at = 1
        self._ending = b""  # what is behind each line
        self._behind = b""  # between the messages of a table without a heading and their columns
        self._markdown_columns = 0  # of the table that is open
        self._around: re.Pattern[bytes] | None = None  # what a document has around records

    def begin_table(self, delimiter: bytes) -> None:
        """Begin a log in which this is between messages and columns behind them."""
        self._behind = delimiter

    def begin_endings(self, ending: bytes) -> None:
        """Begin a log in which this is behind each line."""
        self._ending = ending

    @property
    def is_table(self) -> bool:
        """Whether the next line may be a row of a table, or one of a document."""
        is_row = self._heading or self._behind or self._markdown_columns or self._around or self._heading_at > 1
        return bool(is_row or self._ending)

    @property
    def holds_object(self) -> bool:
        """Whether an object over many lines has begun."""
        return _PRETTY in self._held

    @property
    def holds_anything(self) -> bool:
        """Whether the next line could depend on those before it."""
        is_any = bool(self._held or self._frames) or self._envelopes.has_names or self._is_export or self.is_table
        return is_any or self._envelopes.quoted.is_known

    def comes_first(self, line: bytes) -> bool:
        """Return whether a line is for this, even if it may continue a message of the server log."""
        return self.holds_object or bool(self._ending) or self._envelopes.quoted.is_line(line)

    def read(self, line: bytes, number: int) -> list[Piece]:
        """Return what is in a line; the line itself if it holds nothing in another form.

        Args:
            line: A line, with or without its line end.
            number: Its number.
        """
        self.joined, self._number = [], number
        if self._ending and line.rstrip().endswith(self._ending):
            line = line.rstrip().removesuffix(self._ending)
        text = line.strip(b" \t\r\n\0")
        if not text or len(text) > MAX_BYTES:
            return [Piece(line, number)]
        if plain := self._plain(text):
            return self._without_colours(line, plain, number)
        if parts := _divided(text):
            return [piece for part in parts if part.strip() for piece in self.read(part, number)]
        if cri := _CRI.match(text):
            return self._cri(cri, line, text[cri.end() :], number)
        if self.holds_object:
            if not _NEW_RECORD.match(text):
                return self._continue(_PRETTY, text, line, number)
            return [*self.interrupt(), *self.read(line, number)]
        if (found := self._in_document(line.rstrip(b"\r\n\0"), text, number)) is not None:
            return [Piece(piece, number) for one in found for piece in self._pieces(b"", one, number, 1)]
        return self._read_row(line, text, number)

    def _read_row(self, line: bytes, text: bytes, number: int) -> list[Piece]:
        """Return what is in a line that is no part of a document, and learn what is around it."""
        if self._heading and (message := self._heading.message_in(line.strip(b"\r\n\0"))) is not None:
            self.affixes.learn_of_row(text, message)
            line = text = message
        pieces = list(self._pieces(line, text, number, 0)) if text else []
        if len(pieces) == 1 and pieces[0] is not line and not isinstance(pieces[0], Rejected):
            self.affixes.learn_of_row(text, pieces[0])
        return [Piece(piece, number) for piece in pieces]

    def _plain(self, text: bytes) -> bytes:
        """Return what may be JSON without its colours; b"" if it has none, or other sequences that terminals obey."""
        if b"\x1b[" not in text or not (b"{" in text or self.holds_object):
            return b""
        plain = _COLOUR.sub(b"", text)
        return b"" if b"\x1b[" in plain else plain

    def _without_colours(self, line: bytes, plain: bytes, number: int) -> list[Piece]:
        """Return what is in a line without its colours; the line as it is if that is no JSON."""
        pieces = self.read(plain, number)
        is_message = pieces == [Piece(plain, number)] and not plain.startswith(b"{")
        return [Piece(line, number)] if is_message else pieces

    def _in_document(self, line: bytes, text: bytes, number: int) -> list[bytes] | None:
        """Return what is in a line of a document; None if it is none."""
        if number <= 1:
            self._around = document_of(text)
        if self._around is OF_YAML:
            return self._yaml.lines_in(line)
        if self._around is OF_SQL:
            from vaultwatch.reading.sql_rows import lines_of  # few logs are such

            return lines_of(text, self._envelopes)
        if self._around is OF_OTEL and (body := body_of_otel(text)) is not None:
            return [body] if body.strip() else []
        return self._records_in_document(text) or None

    @cached_property
    def _yaml(self) -> YamlLines:
        """Finds the lines in a document of YAML."""
        from vaultwatch.reading.yaml_lines import YamlLines  # few logs are such

        return YamlLines(self._envelopes)

    def _records_in_document(self, text: bytes) -> list[bytes]:
        """Return the objects and messages in a row of a table, or a text in an array."""
        if RULE_OF_MARKDOWN.fullmatch(text):
            self._markdown_columns = len(text.translate(None, b" \t:-")) - 1
        elif not text.startswith(b"|"):
            self._markdown_columns = 0
        if self._markdown_columns:
            row = cells_of_markdown(text, self._markdown_columns)
            texts = self._envelopes.texts_in_rows([row]) if row else []
            return _records_in_markdown(text) or texts
        is_text = text.startswith(b'"') and (self._around is OF_ARRAY or (text.endswith(b'",') and not self._heading))
        if is_text and not (self._around is OF_ARRAY and OF_ARRAY.fullmatch(text)):
            return _lines_in_text(text)
        return []

    def interrupt(self) -> list[Piece]:
        """Give up an object over many lines, because a line of another kind follows; return its lines."""
        held = self._held.pop(_PRETTY, None)
        return [Piece(line, held.number + place) for place, line in enumerate(held.lines)] if held else []

    def flush(self) -> list[Piece]:
        """Give up everything that is held, at the end of the log."""
        found = self.interrupt()
        found += [piece for key in list(self._held) for piece in self._give_up(key)]
        rests = [rest for rest in self._frames.values() if rest.strip()]
        self._frames.clear()
        found += [Piece(piece, self._number) for rest in rests for piece in self._pieces(b"", rest, self._number, 1)]
        self._is_export, self._heading, self._markdown_columns, self._around, self._behind = False, None, 0, None, b""
        self._heading_at, self._ending, self._envelopes = 1, b"", Envelopes()
        self.__dict__.pop("_yaml", None)
        return found

    def _cri(self, cri: re.Match[bytes], line: bytes, rest: bytes, number: int) -> list[Piece]:
        key = cri[1][-len(b"stdout") :]
        if cri[2] == b"P" or key in self._held:
            held = self._hold(key, rest, line, number)
            if cri[2] == b"P":
                return self._give_up(key) if held.too_large else self._give_up_oldest()
            self._end(key, held)
            return [Piece(piece, held.number) for piece in self._pieces(b"", held.text(), number, 0)]
        found = list(self._pieces(rest, rest, number, 0))
        return [Piece(line if piece is rest else piece, number) for piece in found]

    def _hold(self, key: bytes, part: bytes, line: bytes, number: int) -> Assembly:
        held = self._held.setdefault(key, Assembly(number))
        held.add(part, line)
        return held

    def _continue(self, key: bytes, part: bytes, line: bytes, number: int) -> list[Piece]:
        held = self._hold(key, part, line, number)
        if held.too_large:
            return self._give_up(key)
        if not held.whole:
            return []
        self._end(key, held)
        found = list(self._pieces(b"", held.text(), held.number, 1))
        return [Piece(piece, held.number) for piece in found]

    def _end(self, key: bytes, held: Assembly) -> None:
        del self._held[key]
        self.joined = held.lines

    def _give_up(self, key: bytes) -> list[Piece]:
        if key == _PRETTY:
            return self.interrupt()
        held = self._held.pop(key)
        reason = "a part of a split line: its other parts are missing"
        return [Piece(Rejected(b"\n".join(line.rstrip(b"\r\n") for line in held.lines), reason), held.number)]

    def _give_up_oldest(self) -> list[Piece]:
        return self._give_up(next(iter(self._held))) if len(self._held) > _MAX_HELD else []

    def _pieces(self, line: bytes, text: bytes, number: int, level: int) -> Iterator[bytes | Rejected]:
        """Yield what is in a text; `line`, or the text if there is none, if that is the text itself."""
        whole = line or text
        start = text.find(b"{")
        if self._is_export and text.startswith(_MESSAGE):
            yield from self._pieces(b"", text[len(_MESSAGE) :], number, level + 1)
        elif level <= _MAX_LEVELS and (found := self._lines_in(text)) is not None:
            for one in found:
                yield from self._pieces(b"", one, number, level + 1)
        elif start < 0 or _OPENS_WITH_HEAD.match(text) or _is_row_of_messages(text, start):
            yield from self._without_object(whole, text, number, level)
        elif level > _MAX_LEVELS:
            yield whole
        elif text[start : start + 3] == b'{""':
            for cell in _records_in_row(text) or [_without_columns(text[start:].replace(b'""', b'"'))]:
                yield from self._pieces(b"", cell, number, level + 1)
        elif text[start : start + 3] == b'{\\"':
            yield from self._escaped(whole, text[start:], number, level)
        elif start == 0 or not text[:start].strip(_AROUND):
            yield from self._objects(whole, text[start:], number, level)
        else:
            yield from self._behind_prefix(whole, text, number, level)

    def _lines_in(self, text: bytes) -> list[bytes] | None:
        """Return the lines in an array, or in the values of pairs; None if none is known to be one."""
        if _OPENS_ARRAY.match(text) and (found := self._lines_in_array(text)) is not None:
            return found
        if (found := self._envelopes.quoted.lines_in(text)) is not None:
            return found
        has_pairs = _FIRST_PAIR.match(text) is not None
        pairs = texts_of(text) if has_pairs else _texts_of_event(text)
        texts = self._envelopes.texts_in_pairs(pairs) if pairs else []
        if not texts and has_pairs and (message := message_of(text)):
            return [message]
        return [line for one in texts for line in one.split(b"\n") if line.strip()] if texts else None

    def _lines_in_array(self, text: bytes) -> list[bytes] | None:
        """Return the texts and objects in an array of lines; None if it is another array, or cut off."""
        array = text.rstrip(b", \t")
        try:
            if texts := self._envelopes.texts_in_array(array):
                return [line for one in texts for line in one.split(b"\n") if line.strip()]
            found = [line for line in _lines_of(array, 0) if line.strip()]
        except (ValueError, RecursionError):
            return None
        return found if any(_OPENS_WITH_HEAD.match(line) or _NEW_RECORD.match(line) for line in found) else None

    def _without_object(self, whole: bytes, text: bytes, number: int, level: int) -> Iterator[bytes | Rejected]:
        """Yield what is in a line of plain text or of the server log."""
        header, rest = strip_syslog_header(text) if self._held else (NO_HEADER, text)
        key = _stream(header)
        if header is not NO_HEADER and key in self._held:
            yield from (piece.line for piece in self._continue(key, rest, text, number))
        elif (parts := _messages_in(text)) != [text]:
            yield from parts
        elif messages := _messages_in_row(text):
            yield from messages
        elif _is_separator(text) or (level == 0 and self._is_noise(text, number)):
            return
        elif message := without_columns(text, self._behind):
            yield message
        elif b" [" in text[40:] and _BEHIND_MARK.search(text):
            yield _MARKS.sub(b"", text)
        else:
            yield whole

    def _is_noise(self, text: bytes, number: int) -> bool:
        """Return whether a line only separates or names what other lines hold."""
        begins = text.startswith(_EXPORT) or _VERBOSE.match(text) is not None
        self._is_export = self._is_export or begins
        if self._is_export and (begins or _EXPORT_FIELD.match(text) or _EXPORT_NAME.fullmatch(text)):
            return True
        if RULE_OF_MARKDOWN.fullmatch(text):
            return True
        is_done = self._around in (OF_YAML, OF_SQL)
        if (
            self._around
            and not is_done
            and self._around.fullmatch(text)
            and not _ANY_HEAD.search(text)
            and not _is_encoded(text)
        ):
            return True
        if _SHELL_NOISE.fullmatch(text):
            return True
        if number <= 1 and _NAMES_DELIMITER.fullmatch(text):
            self._heading_at = number + 1
            return True
        is_row = (number <= self._heading_at or b"@message" in text) and _DELIMITER.search(text)
        if not is_row or not _CSV_HEADER.fullmatch(text):
            return False
        self._heading = heading_of(text)
        return True

    def _escaped(self, whole: bytes, text: bytes, number: int, level: int) -> Iterator[bytes | Rejected]:
        end = text.rfind(b"}") + 1 or len(text.rstrip(b'"\\'))  # the whole text, if its end is missing
        try:
            found = msgspec.json.decode(b'"' + text[:end] + b'"', type=str).encode()
        except (msgspec.DecodeError, UnicodeError):
            yield whole
        else:
            yield from self._pieces(b"", found, number, level + 1)
            if _ANY_HEAD.search(text, end):
                yield from _messages_in(text[end:])

    def _behind_prefix(self, whole: bytes, text: bytes, number: int, level: int) -> Iterator[bytes | Rejected]:
        """Yield what is in an object behind a text; if the text is a header, a long object may continue later."""
        if level == 0 and text.endswith(_ARROW):
            self._hold(_PRETTY, b"{", whole, number)
            return
        start = max(text.find(b'{"'), 0)
        header, rest = strip_syslog_header(text)
        ended = _end_of_object(text[start:])
        key = _stream(header)
        if header is not NO_HEADER and key in self._held and not _NEW_RECORD.match(rest):
            yield from self._without_object(whole, text, number, level)
        elif ended == 0 and header is not NO_HEADER and len(rest) >= _SHORTEST_PART:
            if key in self._held:
                yield from (piece.line for piece in self._give_up(key))
            self._hold(key, rest, text, number)
            yield from (piece.line for piece in self._give_up_oldest())
        elif ended is None or ended == 0 or (ended == len(text) - start and _is_record(text[start:])):
            self.affixes.learn_of_entry(text)
            yield whole
        else:
            found = list(self._objects(whole, text[start:], number, level))
            yield from [whole] if found == [text[start:]] else found

    def _objects(self, whole: bytes, text: bytes, number: int, level: int) -> Iterator[bytes | Rejected]:
        """Yield what is in one object or several."""
        view = memoryview(text)
        if exceeded(text, MAX_BYTES) == "values" and _are_short(view):
            yield whole
            return
        start = 0
        while start < len(text):
            ended = _end_of_object(view[start:])
            if ended is None and start and _ends_cell(text, start) and not CAN_HOLD_RECORD.search(text, start):
                return  # columns
            if ended is None or ended == 0:
                yield from self._unfinished(whole, bytes(view[start:]), start, number, level, ended)
                return
            found = bytes(view[start : start + ended])
            alone = not start and not text[ended:].strip(_AROUND)
            yield from self._object(whole if alone and found == whole.strip() else found, found, number, level)
            start += ended
            start += _separators(text, start)

    def _unfinished(
        self, whole: bytes, rest: bytes, start: int, number: int, level: int, ended: int | None
    ) -> Iterator[bytes | Rejected]:
        """Hold an object that is not complete, unless it is a cut entry, which is read as far as it goes."""
        if level == 0 and ended == 0 and not _NEW_RECORD.match(rest):
            self._hold(_PRETTY, rest, whole if not start else rest, number)
        elif rest.strip(_AROUND) and not (start and self._is_left_out(rest)):
            yield from _messages_in(rest) if start else [whole]

    def _is_left_out(self, rest: bytes) -> bool:
        """Return whether what is behind an object is no record and no part of one."""
        return _REST_OF_PREFIX.fullmatch(rest) is not None or (not self._is_stream and _is_appended(rest))

    def _object(self, whole: bytes, text: bytes, number: int, level: int) -> Iterator[bytes | Rejected]:
        if _is_record(text) and (b'"@message"' not in text or _is_message(text)):
            yield whole
            return
        texts = self._envelopes.texts_in(text)
        if not texts and _BULK.fullmatch(text):
            return
        if not texts and _LEFT_OUT.search(text):
            yield Rejected(text, "journalctl has left a long message out: only with --all it prints those of 4 KiB")
            return
        if isinstance(texts, Frame):
            yield from self._framed(texts, number, level)
            return
        is_flat = _OF_FLAT_ENTRY.search(text) is not None and not any(map(bytes.strip, texts))
        if is_flat or (
            not texts and not (self._frames and text == b"{}")
        ):  # Nomad sends one when there is nothing to send
            yield whole
            return
        for found in texts:
            for line in found.split(b"\n"):
                if line.strip():
                    yield from self._joined(text, line, number, level)

    def _framed(self, frame: Frame, number: int, level: int) -> Iterator[bytes | Rejected]:
        """Yield the lines that end in a part of a file; the rest of it continues in the next part."""
        content = self._frames.pop(frame.file, b"") + frame.content
        lines = content.split(b"\n")
        if len(lines[-1]) <= MAX_BYTES and len(self._frames) < _MAX_HELD:
            self._frames[frame.file] = lines.pop()
        for line in lines:
            if line.strip():
                yield from self._pieces(b"", line, number, level + 1)

    def _joined(self, envelope: bytes, line: bytes, number: int, level: int) -> Iterator[bytes | Rejected]:
        """Yield what is in a text of an envelope; docker and journald divide long lines between several envelopes."""
        key = b"envelope " + (b"stderr" if b'"stderr"' in envelope[-200:] else b"")
        is_cut = line.startswith(b"{") and len(line) >= _SHORTEST_PART and _end_of_object(line) == 0
        if key in self._held and not is_cut and not _NEW_RECORD.match(line):
            yield from (piece.line for piece in self._continue(key, line, envelope, number))
            return
        if is_cut:
            if key in self._held:
                yield from (piece.line for piece in self._give_up(key))
            self._hold(key, line, envelope, number)
            yield from (piece.line for piece in self._give_up_oldest())
            return
        yield from self._pieces(b"", line, number, level + 1)


def _is_appended(text: bytes) -> bool:
    """Return whether a text behind an object is what some program has appended: no part of JSON, and no message."""
    return _APPENDED.fullmatch(text) is not None and not (
        _ANY_HEAD.search(text) or any(map(text.__contains__, BANNERS))
    )


def _texts_of_event(text: bytes) -> dict[str, str]:
    if b"CEF:" not in text[:_LONGEST_HEADER] and b"LEEF:" not in text[:_LONGEST_HEADER]:
        return {}
    from vaultwatch.reading.events import messages_of  # few logs need its patterns

    return messages_of(text)


def _divided(text: bytes) -> list[bytes]:
    """Return the lines in a line that something else than line ends separates; none if it is one."""
    if sections := sections_of(text):
        return sections
    if _RECORD_AFTER_CR.search(text):
        return text.split(b"\r")
    has_other = any(separator in text for separator in _SEPARATORS)  # far faster than the pattern
    if has_other and (found := _SEPARATED.search(text)) and not _is_object(text):
        return text.split(found[1])
    frames = _frames(text) if _FRAME.match(text) else []
    return frames if len(frames) > 1 else []


def _frames(text: bytes) -> list[bytes]:
    """Return the messages that syslog over TCP has divided by their lengths (RFC 6587); none if it has not."""
    found, position = list[bytes](), 0
    while frame := _FRAME.match(text, position):
        position = frame.end() + int(frame[1])
        found.append(text[frame.end() : position])
    return found if position >= len(text) else []


def _lines_in_text(text: bytes) -> list[bytes]:
    """Return the lines in a text of an array; none if it is something else."""
    try:
        return [line for line in _lines_of(text.rstrip(b", \t"), 0) if line.strip()]
    except (ValueError, RecursionError):
        return []


def _lines_of(item: bytes, level: int) -> Iterator[bytes]:
    """Yield the lines and the objects in an element of an array."""
    if item.startswith(b"[") and level <= _MAX_LEVELS:
        for _, inner in elements_of(memoryview(item)):
            yield from _lines_of(bytes(inner), level + 1)
    elif item.startswith(b'"'):
        yield from msgspec.json.decode(item, type=str).encode("utf-8", "replace").split(b"\n")
    elif item.startswith(b"{"):
        yield item


def _messages_in(text: bytes) -> list[bytes]:
    """Return the messages and records in a line that begins with a message; the text alone if it holds no other."""
    if b" [" not in text:
        return [text]
    is_row = _CSV_MESSAGE.match(text) and not _OPENS_WITH_HEAD.match(text)
    clean = _MARKS.sub(b"", text)
    lines = (_records_in_row(clean) if is_row else []) or [clean]
    parts = [part for line in lines for part in messages_in(line, _Objects().end)]
    return [text] if parts == [clean] else parts


def _is_row_of_messages(text: bytes, start: int) -> bool:
    """Return whether a message in quotes is before the object that begins here, which is no cell."""
    return text[start : start + 3] != b'{""' and _CSV_MESSAGE.match(text) is not None


class _Objects:
    """Finds the records behind a message. After many objects that are none, every one that begins like one counts."""

    def __init__(self) -> None:
        self._others = 0

    def end(self, text: bytes, at: int, /, *, is_value: bool) -> int:
        """Return where a record that begins here ends, or any object if it is a value; 0 if none does."""
        if not is_value and not _NEW_RECORD.match(text, at):
            return 0
        if self._others >= _MOST_OTHER_OBJECTS:
            return 0 if is_value else at + 1
        ended = _end_of_object(memoryview(text)[at:])
        if is_value:
            self._others += not ended
            return at + ended if ended else 0
        if ended and _is_record(text[at : at + ended]):
            return at + ended
        if ended == 0:
            return len(text)
        self._others += 1
        return at + 1 if _GLUED_OBJECT.match(text, at) else 0


def _without_columns(text: bytes) -> bytes:
    """Return an object in a row of CSV without the columns behind it, if none of them has a message."""
    end = _end_of_object(text)
    return text[:end] if end and _CSV_REST.fullmatch(text, end) and not _ANY_HEAD.search(text, end) else text


def _records_in_row(text: bytes) -> list[bytes]:
    """Return the cells of a row of CSV that can hold a record, whole or not; none if no cell is a whole one."""
    for delimiter in _DELIMITERS:
        found = [cell.strip() for cell in cells(text, delimiter)] if delimiter.encode() in text else []
        if any(_OPENS_WITH_HEAD.match(cell) or _is_whole_record(cell) for cell in found):
            return [cell for cell in found if CAN_HOLD_RECORD.search(cell) and not _is_labels(cell)]
    return []


def _records_in_markdown(row: bytes) -> list[bytes]:
    """Return the objects and messages in a row of a table of Markdown; none if an object in it is not whole."""
    text, found, at = row.replace(b"\\|", b"|"), list[bytes](), 0
    view = memoryview(text)  # a slice of the text itself would copy it for each object
    while mark := CAN_HOLD_RECORD.search(text, at):
        start = mark.start()
        end = text.find(b" |", start) if mark[0][:1] != b"{" else start + (_end_of_object(view[start:]) or 0)
        if end == start:
            return []
        at = len(text) if end < 0 else end
        found.append(text[start:at].strip(b" \t`|"))
    return [one for one in found if not _is_labels(one)]


def _is_whole_record(text: bytes) -> bool:
    return text.startswith(b"{") and _end_of_object(text) == len(text) and _is_record(text)


def _is_labels(text: bytes) -> bool:
    """Return whether a cell is an object that neither is nor holds a record."""
    return text.startswith(b"{") and not IN_LABELS.search(text) and _end_of_object(text) == len(text)


def _messages_in_row(text: bytes) -> list[bytes]:
    """Return the messages in a row of CSV without objects; none if the line is no such row."""
    if _OPENS_WITH_HEAD.match(text):
        return []
    if row := _CSV_MESSAGE.match(text):
        message = text[row.end() :].replace(b'""', b"\0").partition(b'"')[0].replace(b"\0", b'"')
    elif row := _CSV_PLAIN_MESSAGE.match(text):
        message = text[row.end() :].partition(b",")[0]
    else:
        return []
    is_alone = len(_ANY_HEAD.findall(message)) == len(_ANY_HEAD.findall(text))
    return [message] if is_alone else _records_in_row(text)


def _is_separator(text: bytes) -> bool:
    return len(text) <= _LONGEST_SEPARATOR and not text.strip(_AROUND)


def _is_encoded(text: bytes) -> bool:
    """Return whether a text in quotes may be a line in base64."""
    return text_in(text.strip(b'", ').decode("utf-8", "replace")) is not None


def _stream(header: Header) -> bytes:
    """Return the key of the lines of one process."""
    return f"{header.host} {header.program} {header.pid}".encode()


def _end_of_object(text: Any) -> int | None:
    """Return where an object at the beginning of a text ends; 0 if the text ends before, None if it is no JSON."""
    try:
        _shape_of(text)
    except RecursionError:
        return len(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        if (end := end_behind(error)) is not None:
            return end
        return 0 if "truncated" in str(error) else None
    return len(text)


def _is_object(text: bytes) -> bool:
    return text.startswith(b"{") and _end_of_object(text) == len(text)


def _is_record(text: bytes) -> bool:
    try:
        shape = _shape_of(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return True  # for the reader to judge
    return shape.request is not msgspec.UNSET or shape.level is not msgspec.UNSET


def _are_short(text: memoryview) -> bool:
    """Return whether a text begins with more and shorter objects than records are."""
    at = count = 0
    while at < len(text) and (ended := _end_of_object(text[at:])):
        at, count = at + ended, count + 1
        if count > MAX_VALUES:
            return at < count * BYTES_PER_VALUE
        at += _separators(text, at)
    return False


def _ends_cell(text: bytes, end: int) -> bool:
    """Return whether what separates an object from the text behind it is a delimiter of columns."""
    return _DELIMITER.search(text, text.rfind(b"}", 0, end), end) is not None


def _is_message(text: bytes) -> bool:
    """Return whether a record is a message of hclog: in it, `@message` may be a text of a client, not a record."""
    try:
        shape = _shape_of(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return shape.level is not msgspec.UNSET


def _separators(text: bytes | memoryview, start: int) -> int:
    """Return how many bytes after an object only separate it from the next: commas, quotes, terminal colours."""
    rest = bytes(text[start : start + 4096])
    bare = _COLOUR.sub(lambda found: b" " * len(found[0]), rest)
    return len(bare) - len(bare.lstrip(_AROUND + b"|'`()"))
