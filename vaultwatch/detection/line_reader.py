"""Read a line: an audit entry, or a line of the server log."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Literal

from vaultwatch.detection.audit import AuditDetector
from vaultwatch.detection.correlation import Correlator
from vaultwatch.detection.evaluator import Evaluator, Ruleset
from vaultwatch.detection.verdict import Verdict
from vaultwatch.reading.identity import ServerEventKeys
from vaultwatch.reading.joined import is_whole, joined_entries, read_part
from vaultwatch.reading.records import (
    AuditEntry,
    Origin,
    Position,
    Rejected,
    read_audit_entry,
    readings,
    split_tag,
    undecoded_entry,
)
from vaultwatch.rules.index import AuditIndex, Rules

if TYPE_CHECKING:
    from vaultwatch.detection.server import ServerDetector
    from vaultwatch.reading.affixes import Affixes
    from vaultwatch.reading.server_line import ServerLine

Source = Literal["auto", "audit", "server"]


class LineReader:
    """Reads one line after the other as an audit entry, or as a line of the server log.

    Attributes:
        source: The log that the lines come from; `auto` decides line by line.
        correlator: What counts for correlations.
        is_foreign: Called with a rejected line over the budget: whether it is of no log of Vault, and raises no alert;
            None if each raises one.
    """

    source: Source
    correlator: Correlator
    is_foreign: Callable[[bytes], bool] | None
    _ruleset: Ruleset
    _index: AuditIndex
    _evaluator: Evaluator
    _audit: AuditDetector
    _keys: ServerEventKeys
    _on_entries: Callable[[Sequence[bytes], Origin | None], None] | None
    _on_message: Callable[[str], None] | None
    _on_unclear: Callable[[bytes], None] | None
    _last_was_server: bool
    _had_messages: bool
    _has_tags: bool
    _log: str
    _line: int

    def _read_message(self, line: ServerLine, origin: Origin, now: float) -> list[Verdict]:
        self._last_was_server = self._had_messages = True
        return self._server.read(line, origin, now)

    @cached_property
    def _plain(self) -> Callable[[bytes], re.Match[bytes] | None]:
        """Returns how a line is a plain message of the server log."""
        from vaultwatch.reading.server_line import plain_message

        return plain_message

    @cached_property
    def _line_of(self) -> Callable[[re.Match[bytes]], ServerLine]:
        """Takes such a line apart."""
        from vaultwatch.reading.server_line import line_of

        return partial(line_of, known=self._affixes)

    def _count_audit(self, entries: int) -> None:
        self._evaluator.counts.audit += entries
        self._last_was_server = False

    def _count_entry(self, text: bytes, origin: Origin) -> None:
        self._count_audit(1)
        if self._on_entries:
            self._on_entries((text,), origin)

    def _take(self, line: bytes, rules: Rules | None, now: float, origin: Origin | None) -> list[Verdict]:
        """Read one line; `rules` are those that could match, None if the index cannot read it as an audit entry."""
        text = line.rstrip(b"\r\n")
        origin, text = split_tag(text) if origin is None else (origin, text)
        origin = self._position(origin)
        return self._evaluator.isolate(text, origin, lambda: self._route(text, origin, rules, now))

    def _position(self, origin: Origin, ahead: int = 0) -> Origin:
        """Return an origin with the line that is read now, or one so many lines ahead."""
        if not self._log:
            return origin
        return Origin(origin.cluster, origin.node, origin.lane, Position(self._log, self._line + ahead))

    def _route(self, text: bytes, origin: Origin, rules: Rules | None, now: float) -> list[Verdict]:
        line = self._server_line(text, origin) if rules is None else None
        if line is not None:
            return self._read_message(line, origin, now)
        return self._read_entry(text, origin, rules, now) if rules is not None or text.strip() else []

    def _read_entry(self, text: bytes, origin: Origin, rules: Rules | None, now: float) -> list[Verdict]:
        entry = read_audit_entry(text, origin)
        if not is_whole(entry) and (parts := joined_entries(text)):
            return self._take_joined(parts, origin, now)
        if isinstance(entry, Rejected):  # the index ignores what it does not decode, such as nesting
            return self._take_rejected(entry, now)
        found = self._evaluate_entry(entry, text, rules, now)
        self._count_entry(text, origin)
        return found

    def _evaluate_entry(self, entry: AuditEntry, text: bytes, rules: Rules | None, now: float) -> list[Verdict]:
        if entry.partial:  # the index would decode texts that are too long
            return self._audit.evaluate(entry, self._index.rules, now)
        first, *others = readings(entry, text)
        if first.repeated:
            rules = self._index.rules
        elif rules is None:
            rules = self._index.candidates(text[max(text.find(b"{"), 0) :])
        found = self._audit.evaluate(first, rules, now)
        for other in others:
            known = {(verdict.rule.name, verdict.event_key) for verdict in found}
            again = self._audit.evaluate(other, rules, now)
            # What a correlator returns in the place of a verdict is a thing to count: of each reading, another one.
            found += [one for one in again if type(one) is not Verdict or (one.rule.name, one.event_key) not in known]
        return found

    def _take_joined(self, parts: Sequence[bytes], origin: Origin, now: float) -> list[Verdict]:
        """Read entries that follow each other on one line; the end of the first one may be missing."""
        out: list[Verdict] = []
        has_tags = self._has_tags and bool(origin.lane)
        for part in parts:
            found = read_part(part, origin, has_tags=has_tags)
            if isinstance(found, Rejected):
                out += self._take_rejected(found, now)
            else:
                out += self._take(split_tag(part)[1], None, now, found.origin)
        return out

    def _take_rejected(self, rejected: Rejected, now: float) -> list[Verdict]:
        self._evaluator.reject(rejected)
        if not rejected.partial or (self.is_foreign and self.is_foreign(rejected.raw)):
            return []
        return self._audit.evaluate(undecoded_entry(rejected), self._index.of_partial, now)

    def _server_line(self, text: bytes, origin: Origin) -> ServerLine | None:
        """Return a line of the server log; None if it belongs to an audit log.

        A line of plain text is from the log of the line before it.
        """
        if self.source == "audit" or (self.source == "auto" and origin.lane and origin.lane != "server"):
            return None
        line = self._split_line(text)
        if self.source == "server" or origin.lane or line.opens_message:
            return line
        if self._has_server and self._server.continues(line, origin):
            return line
        is_plain = b'{"' not in text[:4096] and not text.startswith((b"{", b"<json:"))
        return line if self._last_was_server and is_plain else None

    def _continues(self, line: bytes, origin: Origin) -> bool:
        """Return whether a line belongs to a message of the server log that waits for further lines."""
        if not self._has_server or self._server.next_due is None:
            return False
        return self._server.continues(self._split_line(line.rstrip(b"\r\n")), origin)

    @cached_property
    def _split_line(self) -> Callable[[bytes], ServerLine]:
        """Takes a line of the server log apart; imported on first use, like its detector."""
        from vaultwatch.reading.server_line import split_line

        return partial(split_line, known=self._affixes)

    @cached_property
    def _affixes(self) -> Affixes:
        """What is around the lines of this log."""
        from vaultwatch.reading.affixes import Affixes

        return Affixes()

    @cached_property
    def _server(self) -> ServerDetector:
        """The detector for the server log, made on first use: importing its modules takes 20 ms."""
        from vaultwatch.detection.server import ServerDetector

        index = self._ruleset.server_index
        notes = self._on_message, self._on_unclear
        return ServerDetector(index, self._evaluator, self._keys, self.correlator, *notes)

    @property
    def _has_server(self) -> bool:
        return "_server" in self.__dict__
