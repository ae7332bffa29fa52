"""Search lines for records in other forms, and read those as the lines that Vault has written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

from vaultwatch.detection.sifting import INDEX, SiftingReader
from vaultwatch.detection.verdict import Verdict
from vaultwatch.reading.budget import exceeded
from vaultwatch.reading.plain import holds_nothing, is_json_message, is_plain_message, may_hold_records
from vaultwatch.reading.records import NO_OBJECT, NO_ORIGIN, Origin, Rejected, read_audit_entry, split_tag
from vaultwatch.rules.index import Passed, Sifted, Unreadable

if TYPE_CHECKING:
    from vaultwatch.unwrapping.envelopes import Envelopes
    from vaultwatch.unwrapping.split_lines import Piece
    from vaultwatch.unwrapping.unwrapper import Unwrapper

_SHORTEST_RECORD = 24
"""Bytes: a line that falls into shorter parts, on average, holds no records."""
_LONGEST_PREFIX = 256
_FIRST_MEMBERS = (b'{"time":', b'{"type":', b'{"auth":', b'{"request":')
_OF_MESSAGES = ("", "server")
"""The lanes of lines that can be messages of the server log; "" of one without a tag."""


class SearchingReader(SiftingReader):
    """Reads lines, and the records that are in them in another form."""

    _unwraps: bool
    _on_rejected: Callable[[Rejected], None]
    _max_searched: int
    _searched: int
    _piece: bytes
    _whole: bytes
    _lines: list[bytes]

    def _read_unwrapped(self, sifted: Sifted, now: float, origin: Origin | None) -> list[Verdict]:
        """Read what the index found, after searching a line that it cannot read for other forms."""
        if isinstance(sifted, Unreadable) and self._rejects_at_once(sifted.line, origin):
            return []
        if isinstance(sifted, Unreadable) and self._is_to_search(sifted.line, origin):
            self._line += 1
            pieces = self._unwrapper.read(sifted.line, self._line)
            joined = self._unwrapper.joined
            if foreign := self._foreign(pieces, joined or [sifted.line], origin or NO_ORIGIN):
                pieces = [foreign]
            return self._read_pieces(pieces, sifted.line, now, origin, joined)
        held: list[Verdict] = []
        if self._has_unwrapper and self._unwrapper.holds_object:
            held = self._read_pieces(self._unwrapper.interrupt(), b"", now, origin)
        self._line += sifted.entries if isinstance(sifted, Passed) else 1
        found = self._read_alone(sifted, now, origin)
        return held + found if held else found

    def _rejects_at_once(self, line: bytes, origin: Origin | None) -> bool:
        """Reject a line that is nothing without searching it; most lines of files that are no logs are such.

        The first line of a log says more than it holds: that a table or a document follows.
        """
        if self.source == "server" or origin or not self._line or self._may_continue or not holds_nothing(line):
            return False
        self._line += 1
        if not line.isspace():
            self._lines = []
            self._evaluator.reject(Rejected(line.rstrip(b"\r\n"), NO_OBJECT))
        return True

    @property
    def _may_continue(self) -> bool:
        """Whether a line may belong to what was read before it."""
        has_open = self._has_server and self._server.next_due is not None
        return self._last_was_server or has_open or (self._has_unwrapper and self._unwrapper.holds_anything)

    def _is_to_search(self, line: bytes, origin: Origin | None) -> bool:
        """Return whether a line that the index cannot read may depend on those before it, in another form."""
        is_plain = is_plain_message(line) or is_json_message(line)
        if is_plain and not (self._has_unwrapper and self._unwrapper.is_table):
            return False
        here, text = split_tag(line) if origin is None else (NO_ORIGIN, line)
        if self._has_unwrapper and self._unwrapper.comes_first(text):
            return not here.lane
        return not here.lane and not self._continues(text, origin or NO_ORIGIN)

    def _foreign(self, pieces: Sequence[Piece], lines: Sequence[bytes], origin: Origin) -> Piece | None:
        """Return what was read as one rejected line, if its texts are of no log: an object has texts in any JSON."""
        if not pieces or any(piece.line is lines[0] or self._may_be_of_a_log(piece.line, origin) for piece in pieces):
            return None
        whole = read_audit_entry(b"\n".join(line.rstrip(b"\r\n") for line in lines), origin)
        return pieces[0]._replace(line=whole) if isinstance(whole, Rejected) else None

    def _may_be_of_a_log(self, line: bytes | Rejected, origin: Origin) -> bool:
        return isinstance(line, Rejected) or b"{" in line or self._server_line(line, origin) is not None

    def _read_alone(self, sifted: Sifted, now: float, origin: Origin | None) -> list[Verdict]:
        """Read what the index found; a line that it cannot read is searched for other forms.

        It is never joined with others: lines of several nodes can follow each other. What is tagged as a line of the
        server log is one, whatever text of a client it holds.
        """
        if not isinstance(sifted, Unreadable):
            return self._read_sifted(sifted, now, origin)
        here, line = split_tag(sifted.line) if origin is None else (origin, sifted.line)
        if here.lane in _OF_MESSAGES and self.source != "audit" and (plain := self._plain(line.rstrip(b"\r\n"))):
            here, read = self._position(here), self._line_of
            return self._evaluator.isolate(plain.string, here, lambda: self._read_message(read(plain), here, now))
        is_searched = here.lane != "server" and self._searched < self._max_searched
        may_hold = is_searched and may_hold_records(line) and not self._is_entry_behind_prefix(line)
        if not may_hold or self._continues(line, here) or exceeded(line):
            return self._take(sifted.line, None, now, origin)
        here = self._position(here)
        return self._evaluator.isolate(line.rstrip(b"\r\n"), here, lambda: self._read_forms(line, here, now))

    def _is_entry_behind_prefix(self, line: bytes) -> bool:
        """Return whether a line is an entry with the `prefix` of an audit device, or with a header."""
        start = line.find(b'{"', 0, _LONGEST_PREFIX)
        if (
            start <= 0
            or b" [" in line[:start]
            or not line.startswith(_FIRST_MEMBERS, start)
            or b'"request":' not in line
        ):
            return False
        return self._index.reads(line[start:])

    def _read_forms(self, line: bytes, origin: Origin, now: float) -> list[Verdict]:
        from vaultwatch.unwrapping.unwrapper import Unwrapper

        unwrapper = Unwrapper(self._envelopes, self._affixes, is_stream=not self._unwraps)
        pieces = unwrapper.read(line, self._line) + unwrapper.flush()
        self._searched += max(len(pieces), 1)
        are_short = len(pieces) > len(line) // _SHORTEST_RECORD
        if are_short or not any(piece.line is not line and self._is_of_a_log(piece.line, origin) for piece in pieces):
            return self._route(line.rstrip(b"\r\n"), origin, None, now)
        return self._read_pieces(pieces, line, now, origin if origin.lane else None)

    def _is_of_a_log(self, line: bytes | Rejected, origin: Origin) -> bool:
        """Return whether a part of a line is of a message of the server log, or an audit entry."""
        if isinstance(line, Rejected):
            return False
        return self._server_line(line, origin) is not None or not isinstance(read_audit_entry(line), Rejected)

    def _read_pieces(
        self,
        pieces: Iterable[Piece],
        line: bytes,
        now: float,
        origin: Origin | None,
        joined: list[bytes] | None = None,
    ) -> list[Verdict]:
        """Read what was found in lines; `line`, which the index cannot read, is not looked up again."""
        here, out = self._line, []
        self._lines, self._whole = (joined or [line]) if line else [], b""
        for piece in pieces:
            self._line = piece.number
            self._piece = b"" if isinstance(piece.line, Rejected) else piece.line
            if isinstance(piece.line, Rejected):
                self._evaluator.reject(msgspec.structs.replace(piece.line, origin=self._position(origin or NO_ORIGIN)))
            elif piece.line is line:
                out += self._take(line, None, now, origin)
            else:
                for one in self._sift([piece.line], origin, self._settling(origin, out, 0)):
                    out += self._read_sifted(one, now, origin)
        self._line, self._piece = here, b""
        return out

    def _reject_whole(self, rejected: Rejected) -> None:
        """Pass a rejected line on; if it is a part of what was read, with all lines of that as they stood in the log.

        What is rejected late, when something else is read, is no part of that.
        """
        if self._lines and self._piece and rejected.raw in self._piece:
            if not self._whole:
                self._whole = split_tag(b"\n".join(line.rstrip(b"\r\n") for line in self._lines))[1]
            if self._whole != rejected.raw:
                rejected = Rejected(rejected.raw, rejected.reason, rejected.origin, rejected.partial, self._whole)
        self._on_rejected(rejected)

    def _look_ahead(self, head: bytes) -> None:
        """See whether a log is one of a server, and what is around its lines: a crash can be before all that show it.

        Args:
            head: Its first bytes.
        """
        is_plain = True
        for line in filter(None, head.split(b"\n")):
            if holds_nothing(line):
                continue
            if self._index.reads(line):
                break
            text = split_tag(line)[1]
            is_plain = not self._unwraps or is_plain_message(text)
            if (start := text.find(b'{"', 0, _LONGEST_PREFIX)) > 0 and text.startswith(_FIRST_MEMBERS, start):
                self._affixes.learn_of_entry(text)
            elif self._split_line(text).opens_message:
                self._last_was_server = True
                break
        if not is_plain:
            self._learn_affixes(head)

    def _learn_affixes(self, head: bytes) -> None:
        from vaultwatch.unwrapping.unwrapper import Unwrapper

        unwrapper = Unwrapper(affixes=self._affixes)
        try:
            for number, line in enumerate(head.split(b"\n")[:-1], 1):
                for piece in unwrapper.read(line, number):
                    if not isinstance(piece.line, Rejected):
                        self._split_line(piece.line)
        except self._fatal:
            raise
        except Exception as error:  # noqa: BLE001  if reading the line raises again, only that line is rejected
            self._evaluator.count_rule_error(INDEX, error)

    @cached_property
    def _unwrapper(self) -> Unwrapper:
        """Searches lines for records in other forms; imported on first use, because most logs are plain."""
        from vaultwatch.unwrapping.unwrapper import Unwrapper

        return Unwrapper(affixes=self._affixes)

    @cached_property
    def _envelopes(self) -> Envelopes:
        """Searches the envelopes of a stream."""
        from vaultwatch.unwrapping.envelopes import Envelopes

        return Envelopes()

    @property
    def _has_unwrapper(self) -> bool:
        return "_unwrapper" in self.__dict__
