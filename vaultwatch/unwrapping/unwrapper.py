r"""Find the records in lines that hold them in another form, one line after the other.

    {"log":"{\"time\":...}\n","stream":"stdout"}     an envelope (`vaultwatch.unwrapping.envelopes`)
    2026-11-21T07:29:41Z stdout P {"time":            a line that a container runtime or journald has split
    {"time":...}{"time":...},                         several objects, with what separates them
    {                                                 one object over many lines
      "time": ...
    2026-11-21 07:29:41.1,"{""time"":...}"            CSV; {\"time\":...} escaped as text
    ts=2026-11-21T07:29:41Z level=info msg="..."      logfmt (`vaultwatch.unwrapping.logfmt`)
    ["2026-11-21T07:29:41Z [INFO]  core: ...", ...]   an array of lines
    | vault-1 | {"time":...} |                        a row of Markdown, below |---|---|
    ...finished2026-11-21T07:29:41Z [INFO]  core:     several messages (`vaultwatch.reading.joined_messages`)

Only lines that are neither an entry nor a message as they are come here: no plain line becomes slower.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from vaultwatch.reading.affixes import Affixes
from vaultwatch.reading.budget import exceeded
from vaultwatch.reading.joined_messages import HEAD
from vaultwatch.reading.records import Rejected
from vaultwatch.reading.syslog_header import NO_HEADER, Header, strip_syslog_header
from vaultwatch.reading.unclear import BANNERS
from vaultwatch.unwrapping.arrays import lines_in_rows, lines_in_text
from vaultwatch.unwrapping.assembly import MAX_BYTES
from vaultwatch.unwrapping.columns import CAN_HOLD_RECORD
from vaultwatch.unwrapping.document_lines import Document
from vaultwatch.unwrapping.envelope_parts import Frame, decoded_json
from vaultwatch.unwrapping.envelopes import Envelopes
from vaultwatch.unwrapping.flattened import entry_of
from vaultwatch.unwrapping.logfmt import message_of, texts_of
from vaultwatch.unwrapping.objects import (
    AROUND,
    COLOUR,
    NEW_RECORD,
    are_short,
    end_of_object,
    is_message,
    is_record,
    separators_behind,
)
from vaultwatch.unwrapping.octet_frames import OctetFrames
from vaultwatch.unwrapping.rows import (
    ANY_HEAD,
    MARKS,
    OPENS_WITH_HEAD,
    ends_cell,
    is_row_of_messages,
    messages_and_records_in,
    messages_in_row,
    records_in_row,
    without_columns_behind,
)
from vaultwatch.unwrapping.separators import divided
from vaultwatch.unwrapping.split_lines import PRETTY, SHORTEST_PART, Piece, SplitLines

_MULTIPLEXED = (b"\1\0\0\0", b"\2\0\0\0")
_LENGTH_OF_FRAME = 8
"""Bytes before a line that the API of docker sends: its stream and its size."""
_MAX_FRAMES = 16
_MAX_LEVELS = 4
_LONGEST_SEPARATOR = 64
_LONGEST_HEADER = 300
_CRI = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\S{0,20} (?:stdout|stderr)) ([PF]) ?")
_BEHIND_MARK = re.compile(rb"(?<=[m1])" + HEAD)
_OPENS_ARRAY = re.compile(rb'[\[\s]{1,64}(?:["\d]|\{\s{0,64}"(?i:field|key|name)")')
_OF_FLAT_ENTRY = re.compile(rb'"(?:[\w@-]{1,32}[._]){0,4}request[._](?:path|operation|id)"\s{0,8}:')
"""Beside a blank line: an entry whose members stand alone, as Datadog and VictoriaLogs parse it."""
_FIRST_PAIR = re.compile(rb"[A-Za-z_@][\w.@/-]{0,127}=")
_REST_OF_PREFIX = re.compile(rb"(?:#0[0-3][0-7])+|\d{13}|['\"`]{0,3}\)?[,;]?|>?(?:</[\w:.-]{1,64}>){0,8}")
"""What rsyslog escapes, the last column of `aws logs --output text`, the end in YAML, SQL, Markdown and XML."""
_APPENDED = re.compile(rb'[^"{}\\]{1,256}')
_LEFT_OUT = re.compile(rb'"MESSAGE"\s?:\s?null\b')
_BULK = re.compile(
    rb'\{\s?"(?:index|create)"\s?:\s?\{(?:\s?"_\w{1,32}"\s?:\s?(?:"[^"\\]{0,256}"|[\w.-]{1,32})\s?,?){0,8}\s?\}\s?\}'
)
"""The line in front of each document that Elasticsearch loads."""
_OPENS_OBJECT = re.compile(rb"(?s).*=> \{\Z|\d{4}-\d\d-\d\dT[\d:.]{8,20}(?:Z|[+-]\d\d:\d\d) (?:[\w./-]{1,512} )?\{\Z")
"""How Ansible begins what a host has returned, and `aws logs tail --format json` an object over many lines."""


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
        self._held = SplitLines()
        self._frames: dict[bytes, bytes] = {}
        self._envelopes = envelopes or Envelopes()
        self._ending = b""  # what is behind each line
        self._octets: OctetFrames | None = None
        self._document = Document(self._envelopes)

    def begin_table(self, delimiter: bytes) -> None:
        """Begin a log in which this is between messages and columns behind them."""
        self._document = Document(self._envelopes, delimiter)

    def begin_endings(self, ending: bytes) -> None:
        """Begin a log in which this is behind each line."""
        self._ending = ending

    def begin_frames(self) -> None:
        """Begin a log that consists of frames with the count of their bytes."""
        self._octets = OctetFrames()

    @property
    def is_table(self) -> bool:
        """Whether the next line may be a row of a table, or one of a document."""
        return self._document.is_open or bool(self._ending or self._octets)

    @property
    def holds_object(self) -> bool:
        """Whether an object over many lines has begun."""
        return PRETTY in self._held

    @property
    def holds_anything(self) -> bool:
        """Whether the next line could depend on those before it."""
        is_any = (
            bool(self._held or self._frames)
            or self._envelopes.has_names
            or self._document.export.is_open
            or self.is_table
        )
        return is_any or self._envelopes.quoted.is_known

    def comes_first(self, line: bytes) -> bool:
        """Return whether a line is for this, even if it may continue a message of the server log."""
        is_framed = bool(self._ending or self._octets) or self._document.has_rows or line.startswith(_MULTIPLEXED)
        return is_framed or self.holds_object or self._envelopes.quoted.is_line(line)

    def read(self, line: bytes, number: int) -> list[Piece]:
        """Return what is in a line; the line itself if it holds nothing in another form.

        Args:
            line: A line, with or without its line end.
            number: Its number.
        """
        self.joined, self._number = [], number
        if self._octets:
            return [piece for part in self._octets.parts_of(line) for piece in self._read_line(part, number)]
        return self._read_line(line, number)

    def _read_line(self, line: bytes, number: int) -> list[Piece]:
        if self._ending or self._document.export.is_in_value or line.startswith(_MULTIPLEXED):
            line = self._without_frame(line)
        text = line.strip(b" \t\r\n\0")
        if not text or len(text) > MAX_BYTES:
            return [Piece(line, number)]
        if plain := self._plain(text):
            return self._without_colours(line, plain, number)
        if parts := divided(text):
            return [piece for part in parts if part.strip() for piece in self._read_line(part, number)]
        if cri := _CRI.match(text):
            return self._cri(cri, line, text[cri.end() :], number)
        if self.holds_object:
            if not NEW_RECORD.match(text):
                return self._continue(PRETTY, text, line, number)
            return [*self.interrupt(), *self._read_line(line, number)]
        if (found := self._document.lines_in(line.rstrip(b"\r\n\0"), text, number)) is not None:
            self.joined = self._document.joined
            return [Piece(piece, number) for one in found for piece in self._pieces(b"", one, number, 1)]
        return self._read_row(line, text, number)

    def _without_frame(self, line: bytes) -> bytes:
        """Return a line without what frames it in this log."""
        if self._document.export.is_in_value:
            return self._document.export.line_of_value(line)
        if line.startswith(_MULTIPLEXED):
            return line[_LENGTH_OF_FRAME:] or b"\n"
        bare = line.rstrip()
        return bare.removesuffix(self._ending) if bare.endswith(self._ending) else line

    def _read_row(self, line: bytes, text: bytes, number: int) -> list[Piece]:
        """Return what is in a line that is no part of a document, and learn what is around it."""
        if self._document.heading and (message := self._document.record_in_row(line)) is not None:
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
        plain = COLOUR.sub(b"", text)
        return b"" if b"\x1b[" in plain else plain

    def _without_colours(self, line: bytes, plain: bytes, number: int) -> list[Piece]:
        """Return what is in a line without its colours; the line as it is if that is no JSON."""
        pieces = self._read_line(plain, number)
        is_message = pieces == [Piece(plain, number)] and not plain.startswith(b"{")
        return [Piece(line, number)] if is_message else pieces

    def interrupt(self) -> list[Piece]:
        """Give up an object over many lines, because a line of another kind follows; return its lines."""
        return self._held.interrupt()

    def flush(self) -> list[Piece]:
        """Give up everything that is held, at the end of the log."""
        found = list(self._held.flush())
        rests = [rest for rest in (*self._frames.values(), *self._document.flush()) if rest.strip()]
        self._frames.clear()
        found += [Piece(piece, self._number) for rest in rests for piece in self._pieces(b"", rest, self._number, 1)]
        self._ending, self._octets, self._envelopes = b"", None, Envelopes()
        self._document = Document(self._envelopes)
        return found

    def _cri(self, cri: re.Match[bytes], line: bytes, rest: bytes, number: int) -> list[Piece]:
        key = cri[1][-len(b"stdout") :]
        if cri[2] == b"P" or key in self._held:
            held = self._held.hold(key, rest, line, number)
            if cri[2] == b"P":
                return self._held.give_up(key) if held.too_large else self._held.give_up_oldest()
            self.joined = self._held.pop(key).lines
            return [Piece(piece, held.number) for piece in self._pieces(b"", held.text(), number, 0)]
        found = list(self._pieces(rest, rest, number, 0))
        return [Piece(line if piece is rest else piece, number) for piece in found]

    def _continue(self, key: bytes, part: bytes, line: bytes, number: int) -> list[Piece]:
        held = self._held.hold(key, part, line, number)
        if held.too_large:
            return self._held.give_up(key)
        if not held.whole:
            return []
        self.joined = self._held.pop(key).lines
        found = list(self._pieces(b"", held.text(), held.number, 1))
        return [Piece(piece, held.number) for piece in found]

    def _pieces(self, line: bytes, text: bytes, number: int, level: int) -> Iterator[bytes | Rejected]:
        """Yield what is in a text; `line`, or the text if there is none, if that is the text itself."""
        whole = line or text
        start = text.find(b"{")
        if b"\n" in text:
            for one in filter(bytes.strip, text.split(b"\n")):
                yield from self._pieces(b"", one, number, level)
        elif level <= _MAX_LEVELS and (found := self._lines_in(text)) is not None:
            for one in found:
                yield from self._pieces(b"", one, number, level + 1)
        elif start < 0 or OPENS_WITH_HEAD.match(text) or is_row_of_messages(text, start):
            yield from self._without_object(whole, text, number, level)
        elif level > _MAX_LEVELS:
            yield whole
        else:
            yield from self._with_object(whole, text, start, number, level)

    def _with_object(
        self, whole: bytes, text: bytes, start: int, number: int, level: int
    ) -> Iterator[bytes | Rejected]:
        """Yield what is in a text in which an object begins here."""
        if text[start : start + 3] == b'{""':
            for cell in records_in_row(text) or [without_columns_behind(text[start:].replace(b'""', b'"'))]:
                yield from self._pieces(b"", cell, number, level + 1)
        elif text[start : start + 3] == b'{\\"':
            yield from self._escaped(whole, text[start:], number, level)
        elif start == 0 or not text[:start].strip(AROUND):
            yield from self._objects(whole, text[start:], number, level)
        else:
            yield from self._behind_prefix(whole, text, number, level)

    def _lines_in(self, text: bytes) -> list[bytes] | None:
        """Return the lines in an array, in the values of pairs, or in a field; None if none is known to be one."""
        if self._document.export.is_open and (message := self._document.export.message_in(text)) is not None:
            return [message]
        if _OPENS_ARRAY.match(text) and (found := self._lines_in_array(text)) is not None:
            return found
        if (found := self._envelopes.quoted.lines_in(text)) is not None:
            return found
        has_pairs = _FIRST_PAIR.match(text) is not None
        pairs = texts_of(text) if has_pairs else _texts_of_event(text)
        texts = self._envelopes.texts_in_pairs(pairs) if pairs else []
        if not texts and has_pairs and (record := entry_of(pairs, are_texts=True) or message_of(text)):
            return [record]
        return texts or None

    def _lines_in_array(self, text: bytes) -> list[bytes] | None:
        """Return the texts and objects in an array of lines; None if it is another array, or cut off."""
        array = text.rstrip(b", \t")
        try:
            if texts := self._envelopes.texts_in_array(array) or lines_in_rows(array):
                return texts
        except (ValueError, RecursionError):
            return None
        found = lines_in_text(array)
        return found if any(OPENS_WITH_HEAD.match(line) or NEW_RECORD.match(line) for line in found) else None

    def _without_object(self, whole: bytes, text: bytes, number: int, level: int) -> Iterator[bytes | Rejected]:
        """Yield what is in a line of plain text or of the server log."""
        header, rest = strip_syslog_header(text) if self._held else (NO_HEADER, text)
        key = _stream(header)
        if header is not NO_HEADER and key in self._held:
            yield from (piece.line for piece in self._continue(key, rest, text, number))
        elif (parts := messages_and_records_in(text)) != [text]:
            yield from parts
        elif messages := messages_in_row(text):
            yield from messages
        elif _is_separator(text) or (level == 0 and self._document.is_noise(text, number)):
            return
        elif message := self._document.without_columns(text):
            yield message
        elif b" [" in text[40:] and _BEHIND_MARK.search(text):
            yield MARKS.sub(b"", text)
        else:
            yield whole

    def _escaped(self, whole: bytes, text: bytes, number: int, level: int) -> Iterator[bytes | Rejected]:
        end = text.rfind(b"}") + 1 or len(text.rstrip(b'"\\'))  # the whole text, if its end is missing
        try:
            found = msgspec.json.decode(b'"' + text[:end] + b'"', type=str).encode()
        except (msgspec.DecodeError, UnicodeError):
            yield whole
        else:
            yield from self._pieces(b"", found, number, level + 1)
            if ANY_HEAD.search(text, end):
                yield from messages_and_records_in(text[end:])

    def _behind_prefix(self, whole: bytes, text: bytes, number: int, level: int) -> Iterator[bytes | Rejected]:
        """Yield what is in an object behind a text; if the text is a header, a long object may continue later."""
        if level == 0 and text.endswith(b" {") and _OPENS_OBJECT.match(text):
            rest = strip_syslog_header(text)[1]
            self.affixes.learn(rest, rest[:-1])
            self._held.hold(PRETTY, b"{", whole, number)
            return
        start = max(text.find(b'{"'), 0)
        header, rest = strip_syslog_header(text)
        ended = end_of_object(text[start:])
        key = _stream(header)
        if header is not NO_HEADER and key in self._held and not NEW_RECORD.match(rest):
            yield from self._without_object(whole, text, number, level)
        elif ended == 0 and header is not NO_HEADER and len(rest) >= SHORTEST_PART:
            yield from (piece.line for piece in self._held.begin(key, rest, text, number))
        elif ended is None or ended == 0 or (ended == len(text) - start and is_record(text[start:])):
            self.affixes.learn_of_entry(text)
            yield whole
        else:
            found = list(self._objects(whole, text[start:], number, level))
            yield from [whole] if found == [text[start:]] else found

    def _objects(self, whole: bytes, text: bytes, number: int, level: int) -> Iterator[bytes | Rejected]:
        """Yield what is in one object or several."""
        view = memoryview(text)
        if exceeded(text, MAX_BYTES) == "values" and are_short(view):
            yield whole
            return
        start = 0
        while start < len(text):
            ended = end_of_object(view[start:])
            if ended is None and start and ends_cell(text, start) and not _may_hold_line(text[start:]):
                return  # columns
            if ended is None or ended == 0:
                yield from self._unfinished(whole, bytes(view[start:]), start, number, level, ended)
                return
            found = bytes(view[start : start + ended])
            alone = not start and not text[ended:].strip(AROUND)
            yield from self._object(whole if alone and found == whole.strip() else found, found, number, level)
            start += ended
            start += separators_behind(text, start)

    def _unfinished(
        self, whole: bytes, rest: bytes, start: int, number: int, level: int, ended: int | None
    ) -> Iterator[bytes | Rejected]:
        """Hold an object that is not complete, unless it is a cut entry, which is read as far as it goes."""
        if level == 0 and ended == 0 and not NEW_RECORD.match(rest):
            self._held.hold(PRETTY, rest, whole if not start else rest, number)
        elif rest.strip(AROUND) and not (start and self._is_left_out(rest)):
            yield from messages_and_records_in(rest) if start else [whole]

    def _is_left_out(self, rest: bytes) -> bool:
        """Return whether what is behind an object is no record and no part of one."""
        return _REST_OF_PREFIX.fullmatch(rest) is not None or (not self._is_stream and _is_appended(rest))

    def _object(self, whole: bytes, text: bytes, number: int, level: int) -> Iterator[bytes | Rejected]:
        if is_record(text) and (b'"@message"' not in text or is_message(text)):
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
        is_of_nomad = self._frames and text == b"{}"  # it sends one when there is nothing to send
        if is_flat or not (texts or is_of_nomad):
            yield (entry_of(decoded_json(text)) if is_flat else None) or whole
            return
        for found in texts:
            for line in found.split(b"\n"):
                if line.strip():
                    yield from self._joined(text, line, number, level)

    def _framed(self, frame: Frame, number: int, level: int) -> Iterator[bytes | Rejected]:
        """Yield the lines that end in a part of a file; the rest of it continues in the next part."""
        content = self._frames.pop(frame.file, b"") + frame.content
        lines = content.split(b"\n")
        if len(lines[-1]) <= MAX_BYTES and len(self._frames) < _MAX_FRAMES:
            self._frames[frame.file] = lines.pop()
        for line in lines:
            if line.strip():
                yield from self._pieces(b"", line, number, level + 1)

    def _joined(self, envelope: bytes, line: bytes, number: int, level: int) -> Iterator[bytes | Rejected]:
        """Yield what is in a text of an envelope; docker and journald divide long lines between several envelopes."""
        key = b"envelope " + (b"stderr" if b'"stderr"' in envelope[-200:] else b"")
        is_cut = line.startswith(b"{") and len(line) >= SHORTEST_PART and end_of_object(line) == 0
        if key in self._held and not is_cut and not NEW_RECORD.match(line):
            yield from (piece.line for piece in self._continue(key, line, envelope, number))
            return
        if is_cut:
            yield from (piece.line for piece in self._held.begin(key, line, envelope, number))
            return
        yield from self._pieces(b"", line, number, level + 1)


def _is_appended(text: bytes) -> bool:
    """Return whether a text behind an object is what some program has appended: no part of JSON, and no message."""
    return _APPENDED.fullmatch(text) is not None and not _may_hold_line(text)


def _may_hold_line(text: bytes) -> bool:
    """Return whether a text behind an object can hold another record, or a banner."""
    return CAN_HOLD_RECORD.search(text) is not None or any(map(text.__contains__, BANNERS))


def _texts_of_event(text: bytes) -> dict[str, str]:
    if b"CEF:" not in text[:_LONGEST_HEADER] and b"LEEF:" not in text[:_LONGEST_HEADER]:
        return {}
    from vaultwatch.unwrapping.events import messages_of  # few logs need its patterns

    return messages_of(text)


def _is_separator(text: bytes) -> bool:
    return len(text) <= _LONGEST_SEPARATOR and not text.strip(AROUND)


def _stream(header: Header) -> bytes:
    """Return the key of the lines of one process."""
    return f"{header.host} {header.program} {header.pid}".encode()
