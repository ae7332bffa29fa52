"""Evaluate lines and return verdicts: each line goes to the audit detector or to the server detector."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import tzinfo
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from vaultwatch.detection.audit import AuditDetector
from vaultwatch.detection.correlation import Correlator
from vaultwatch.detection.evaluator import Counts, Evaluator, Ruleset
from vaultwatch.detection.prefixes import Prefixes
from vaultwatch.detection.verdict import Verdict
from vaultwatch.detection.waiting import Waiting
from vaultwatch.reading.budget import exceeded
from vaultwatch.reading.identity import Seen, ServerEventKeys, parse_time
from vaultwatch.reading.joined import is_whole, joined_entries, read_part
from vaultwatch.reading.plain import holds_nothing, is_json_message, is_plain_message, may_hold_records
from vaultwatch.reading.records import (
    NO_OBJECT,
    NO_ORIGIN,
    AuditEntry,
    Origin,
    Position,
    Rejected,
    read_audit_entry,
    readings,
    split_tag,
    undecoded_entry,
)
from vaultwatch.reading.repeated import repeated_members
from vaultwatch.rules.correlations import Correlations
from vaultwatch.rules.index import Before, Candidate, ForTheReader, Passed, Rules, Settle, Sifted, Unreadable
from vaultwatch.rules.pack import Rule
from vaultwatch.unwrapping.endings import ending_of

if TYPE_CHECKING:
    from vaultwatch.detection.server import ServerDetector
    from vaultwatch.reading.affixes import Affixes
    from vaultwatch.reading.server_line import ServerLine
    from vaultwatch.unwrapping.envelopes import Envelopes
    from vaultwatch.unwrapping.split_lines import Piece
    from vaultwatch.unwrapping.unwrapper import Unwrapper

Source = Literal["auto", "audit", "server"]
WAIT_FOR_RESPONSE_SECONDS = 5.0
_SHORTEST_RECORD = 24
"""Bytes: a line that falls into shorter parts, on average, holds no records."""
_LONGEST_PREFIX = 256
_FIRST_MEMBERS = (b'{"time":', b'{"type":', b'{"auth":', b'{"request":')
_OF_MESSAGES = ("", "server")
"""The lanes of lines that can be messages of the server log; "" of one without a tag."""
INDEX = "index"
"""The name under which an error of the index over the rules is counted; names of rules contain an underscore."""


class Detector:
    """Evaluates every record of a stream against a pack of rules.

    A match on a request waits for its response: `feed` returns the verdicts that are complete, `due` those that have
    waited long enough, `flush` the rest. A rule may match one event several times (another audit device, another lane);
    the event key is the same each time.

    Every line counts once, as part of a record or as rejected, even if reading it raises an unexpected exception.

    Attributes:
        waits: The verdicts on requests that wait for their responses.
        correlator: What counts for correlations.
        is_foreign: Called with a rejected line over the budget: whether it is of no log of Vault, and raises no alert;
            None if each raises one.
    """

    def __init__(
        self,
        rules: Iterable[Rule] | Ruleset,
        *,
        source: Source = "auto",
        zone: tzinfo | None = None,
        on_rejected: Callable[[Rejected], None] = lambda _: None,
        on_rule_error: Callable[[str, Exception], None] = lambda _name, _error: None,
        on_waiting: Callable[[Sequence[Verdict]], None] = lambda _: None,
        wait_seconds: float = WAIT_FOR_RESPONSE_SECONDS,
        fatal: tuple[type[Exception], ...] = (),
        before_record: Callable[[], str] | None = None,
        unwrap: bool = False,
        on_entries: Callable[[Sequence[bytes], Origin | None], None] | None = None,
        on_message: Callable[[str], None] | None = None,
        on_unclear: Callable[[bytes], None] | None = None,
        waiting: Waiting | None = None,
        correlator: Callable[[Correlations, Counts], Correlator] = Correlator,
        max_searched: int = sys.maxsize,
        is_thorough: bool = False,
    ) -> None:
        """Make a detector.

        Args:
            rules: The rules; a `Ruleset` to share the index between detectors.
            source: The log that the lines come from; `auto` decides line by line.
            zone: The time zone of `local.hour` and `local.weekday`.
            on_rejected: Called with every rejected line.
            on_rule_error: Called with the name of a rule and the exception that the rule, or describing its match,
                raised.
            on_waiting: Called with verdicts that begin to wait for a response.
            wait_seconds: How long they wait, on the clock of `feed` and `due`.
            fatal: Exceptions that pass through `feed`; after any other, only the record that raised it is rejected.
            before_record: Called before anything of a record is read; the reason to reject it unread, or "". Lines are
                then read without the index.
            unwrap: Whether records that are in another form (`vaultwatch.unwrapping.unwrapper`) are also put together of
                several lines. In one line they are always searched.
            on_entries: Called with the lines of audit entries that were read, and where they came from if their tags
                are already removed. It must not raise.
            on_message: Called with the time of each message of the server log, as logged; "" if it has none. It must
                not raise.
            on_unclear: Called with each line of which the count `unclear` says how many there are. It must not raise.
            waiting: Keeps the verdicts that wait; by default one for `wait_seconds`.
            correlator: Makes what counts for correlations.
            is_thorough: Whether all entries are searched for members that stand twice (15 us each), and not only for
                objects, and those that are read in full.
            max_searched: How many parts lines in another form may have, in one log, before others are read as they are.
        """
        ruleset = rules if isinstance(rules, Ruleset) else Ruleset(rules)
        self.source: Source = source
        self._index = ruleset.index
        self._ruleset = ruleset
        self._on_rejected = on_rejected
        on_rejected = self._reject_whole if unwrap else on_rejected
        self._evaluator = Evaluator(zone if ruleset.asks_local_time else None, on_rejected, on_rule_error, fatal)
        self._evaluator.before_record = before_record
        self._uses_index, self._is_thorough = before_record is None, is_thorough
        self._fatal = fatal
        self.waits = Waiting(wait_seconds) if waiting is None else waiting
        self.correlator = correlator(ruleset.correlations, self._evaluator.counts)
        self._audit = AuditDetector(self._evaluator, self.waits, on_waiting, ruleset.index.of_secrets, self.correlator)
        self._keys = ServerEventKeys()
        self._last_was_server = source == "server"
        self._had_messages = False
        self._unwraps = unwrap
        self._searched, self._max_searched = 0, max_searched
        self._on_entries, self._on_message, self._on_unclear = on_entries, on_message, on_unclear
        self.is_foreign: Callable[[bytes], bool] | None = None
        self._log, self._line, self._has_tags = "", 0, True
        self._piece, self._lines, self._whole = b"", list[bytes](), b""

    @property
    def counts(self) -> Counts:
        """The numbers of records read since the start."""
        counts = self._evaluator.counts
        counts.groups_dropped = self.correlator.dropped
        return counts

    def count_rule_error(self, name: str, error: Exception) -> None:
        """Count and report that a match of this rule cannot be described: the `on_error` of `alert_of`."""
        self._evaluator.count_rule_error(name, error)

    def feed(self, lines: Iterable[bytes], now: float | None = None, origin: Origin | None = None) -> list[Verdict]:
        """Read lines and return the verdicts that are complete.

        Args:
            lines: Lines, with or without their line ends.
            now: Seconds on the caller's clock; only differences count.
            origin: Where all of these lines came from, if their tags are already removed.
        """
        now = time.monotonic() if now is None else now
        self._has_tags = origin is None
        read = self._read_unwrapped if self._unwraps else self._read_alone
        out: list[Verdict] = []
        settled: list[Verdict] = []
        for sifted in self._sift(list(lines), origin, self._settling(origin, settled, int(self._unwraps))):
            out += settled
            settled.clear()
            out += read(sifted, now, origin)
        return out

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

    def _continues(self, line: bytes, origin: Origin) -> bool:
        """Return whether a line belongs to a message of the server log that waits for further lines."""
        if not self._has_server or self._server.next_due is None:
            return False
        return self._server.continues(self._split_line(line.rstrip(b"\r\n")), origin)

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

    def _read_sifted(self, sifted: Sifted, now: float, origin: Origin | None) -> list[Verdict]:
        if isinstance(sifted, Passed):
            self._count_audit(sifted.entries)
            return []
        rules = sifted.rules if isinstance(sifted, Candidate) else None
        return self._take(sifted.line, rules, now, origin)

    def _settling(self, origin: Origin | None, found: list[Verdict], ahead: int) -> Settle:
        """Return what settles entries that can be evaluated from a few of their fields.

        Those are the ones that no rule matches, or only rules whose matches are just counted.

        Args:
            origin: Where all of them came from, if their tags are already removed.
            found: Gets the verdicts on them.
            ahead: How many lines the first of them is behind the line that was read last.
        """

        def settle(line: bytes, text: bytes, gate: Any, rules: Rules, passed: int) -> bool:
            def here() -> Origin:
                return self._position(split_tag(line)[0] if origin is None else origin, passed + ahead)

            try:
                few = read(text, here, rules, zone, gate)
                if few is None:
                    return False
                if not few[2]:  # no rule matches
                    return True
                verdicts = count(few, here, zone, text)
            except fatal:
                raise
            except Exception:  # noqa: BLE001  reading all of it raises again, where only that record is rejected
                return False
            if verdicts:
                found.extend(verdicts)
            return verdicts is not None

        read, count = self._ruleset.screen.read, self.correlator.count
        zone, fatal = self._evaluator.zone, self._fatal
        return settle

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

    def reject(self, log: Rejected) -> None:
        """Count and report a log that is no text as one rejected line.

        Args:
            log: The beginning of the log that has begun, and what it is.
        """
        self._lines = []
        self._evaluator.reject(log)

    def begin_log(
        self, head: bytes = b"", log_start: str = "", last: Mapping[str, Seen] | None = None, name: str = ""
    ) -> None:
        """Begin another log.

        Args:
            head: Its first bytes, which show whether it is an audit log or a server log.
            log_start: RFC 3339; used as the time of messages without one, until a message with a time has been read.
            last: The last times of nodes whose log continues here; see `ServerEventKeys.last`.
            name: Its name. If it has one, and other forms are searched, the origins of its records say in which line
                they begin.
        """
        self._log, self._line = name, 0
        self._searched = 0
        self._had_messages = False
        for name in ("_split_line", "_line_of", "_affixes", "_envelopes"):
            self.__dict__.pop(name, None)  # of the log before
        if self._has_unwrapper:
            self._unwrapper.affixes = self._affixes
        self._last_was_server = self.source == "server"
        if self.source == "auto":
            self._look_ahead(head)
        if self._unwraps and self._last_was_server and (delimiter := _columns_in(head)):
            self._unwrapper.begin_table(delimiter)
        if self._unwraps and (ending := ending_of(head)):
            self._unwrapper.begin_endings(ending)
        if self._unwraps and self._last_was_server and _begins_as_frames(head):
            self._unwrapper.begin_frames()
        self._keys = ServerEventKeys(log_start=log_start, last=last)
        if self._has_server:
            self._server.keys = self._keys

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

    def end_log(self) -> list[Verdict]:
        """End a log, and with it its last message. Requests continue to wait: the response may be in the next log."""
        held = self._unwrapper.flush() if self._has_unwrapper else []
        out = self._read_pieces(held, b"", time.monotonic(), None)
        return out + (self._server.flush() if self._has_server else [])

    @property
    def lines(self) -> int:
        """The number of the last line that was read of this log, if other forms are searched."""
        return self._line

    @property
    def carries_nothing(self) -> bool:
        """Whether only requests that wait connect what was read of this log with what follows in it."""
        holds = self._has_unwrapper and self._unwrapper.holds_anything
        return not (self._had_messages or self._last_was_server or holds)

    def divides(self, head: bytes) -> bool:
        """Return whether a log can be divided at its lines: if it begins with a line that is an audit entry.

        Args:
            head: Its first bytes.
        """
        line = next((line for line in head.split(b"\n") if line.strip()), b"")
        return self.source != "server" and self._index.reads(line[max(line.find(b'{"'), 0) :])

    def skip_lines(self, lines: int) -> None:
        """Continue this log behind lines that another detector has read."""
        self._line += lines

    def due(self, now: float | None = None) -> list[Verdict]:
        """Return the verdicts on requests and messages that have waited long enough."""
        now = time.monotonic() if now is None else now
        return (self._server.due(now) if self._has_server else []) + self._audit.waiting.due(now)

    @property
    def next_due(self) -> float | None:
        """When `due` next has something to return, on the caller's clock; None if nothing waits."""
        moments = (self._audit.waiting.next_due, self._server.next_due if self._has_server else None)
        return min((moment for moment in moments if moment is not None), default=None)

    @property
    def is_waiting(self) -> bool:
        """Whether a request waits for its response."""
        return bool(self._audit.waiting.events)

    def waiting(self) -> list[Verdict]:
        """Return the verdicts on requests that wait for their responses."""
        return self._audit.waiting.verdicts()

    def flush(self) -> list[Verdict]:
        """Return all verdicts that still wait, at the end of the input."""
        return self.end_log() + self._audit.waiting.flush() + self.correlator.conclude()

    def note_end(self, line: bytes) -> None:
        """Note that a line is the first or the last one of a log, which shows the time that the log covers.

        Args:
            line: The line, with its tag.
        """
        text = split_tag(line.rstrip(b"\r\n"))[1]
        entry = read_audit_entry(text)
        server = self._split_line(text).head if isinstance(entry, Rejected) else None
        time = server.time if server else None if isinstance(entry, Rejected) else entry.fields.get("time")
        if (moment := parse_time(time)) and not self.correlator.is_to_come(moment.timestamp()):
            self.correlator.span.note(moment.timestamp())

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

    def _count_audit(self, entries: int) -> None:
        self._evaluator.counts.audit += entries
        self._last_was_server = False

    def _count_entry(self, text: bytes, origin: Origin) -> None:
        self._count_audit(1)
        if self._on_entries:
            self._on_entries((text,), origin)

    def _sift(self, lines: Sequence[bytes], origin: Origin | None, settle: Settle) -> Iterator[Sifted]:
        """Call `AuditIndex.sift`; if a line makes it raise, read that line and all after it without the index.

        The exception is counted as a rule error: even if no line is rejected, the rest is read slowly.
        """
        if not self._uses_index or self.source == "server":
            yield from map(Unreadable, lines)
            return
        taken = 0
        try:
            before, waiting = self._before(lines[:1], origin), self._audit.waiting
            if self._is_thorough:
                before = partial(_with_members_once, before)
            for sifted in self._index.sift(lines, waiting.events, before, settle, waiting.note):
                if self._on_entries and isinstance(sifted, Passed):
                    self._on_entries(lines[taken : taken + sifted.entries], origin)
                yield sifted
                taken += sifted.entries if isinstance(sifted, Passed) else 1
        except self._fatal:
            raise
        except Exception as error:  # noqa: BLE001  if reading the line raises again, only that line is rejected
            self._evaluator.count_rule_error(INDEX, error)
            yield from (Unreadable(line) for line in lines[taken:])

    def _before(self, first: Sequence[bytes], origin: Origin | None) -> Before | None:
        """Return what removes the tag, or what else is before the entries of a stream, by its first line.

        Either all of its lines have one or none: a single one is read without the index.
        """
        line = first[0] if first else b""
        if line.startswith(b"@") and origin is None:
            return _without_tag
        is_server = origin is not None and origin.lane == "server"
        return None if line.startswith(b"{") or is_server else self._without_prefix

    def _without_prefix(self, line: bytes) -> bytes:
        """Remove what is before an entry, unless the line could continue a message of the server log."""
        if self._last_was_server or (self._has_server and self._server.next_due is not None):
            return line
        return self._prefixes.remove(line)

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

    def _read_message(self, line: ServerLine, origin: Origin, now: float) -> list[Verdict]:
        self._last_was_server = self._had_messages = True
        return self._server.read(line, origin, now)

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

    @cached_property
    def _prefixes(self) -> Prefixes:
        """Removes the prefixes of entries."""
        return Prefixes(lambda line: self._split_line(line).opens_message)

    @cached_property
    def _split_line(self) -> Callable[[bytes], ServerLine]:
        """Takes a line of the server log apart; imported on first use, like its detector."""
        from vaultwatch.reading.server_line import split_line

        return partial(split_line, known=self._affixes)

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

    @cached_property
    def _affixes(self) -> Affixes:
        """What is around the lines of this log."""
        from vaultwatch.reading.affixes import Affixes

        return Affixes()


def _with_members_once(before: Before | None, line: bytes) -> bytes:
    """Return the entry in a line; raise `ForTheReader` if an object in it has a member twice."""
    text = before(line) if before else line
    try:
        repeated = repeated_members(text)
    except (ValueError, RecursionError):  # the gate finds that out, too
        return text
    if repeated:
        raise ForTheReader
    return text


def _columns_in(head: bytes) -> bytes:
    from vaultwatch.unwrapping.columns import delimiter_behind_messages  # not needed by audit logs

    return delimiter_behind_messages(head)


def _begins_as_frames(head: bytes) -> bool:
    from vaultwatch.unwrapping.octet_frames import begins_as_frames  # not needed by audit logs

    return begins_as_frames(head)


def _without_tag(line: bytes) -> bytes:
    return split_tag(line)[1]
