"""Evaluate lines and return verdicts: each line goes to the audit detector or to the server detector."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import tzinfo

from vaultwatch.detection.audit import AuditDetector
from vaultwatch.detection.correlation import Correlator
from vaultwatch.detection.evaluator import Counts, Evaluator, Ruleset
from vaultwatch.detection.line_reader import Source
from vaultwatch.detection.searching import SearchingReader
from vaultwatch.detection.verdict import Verdict
from vaultwatch.detection.waiting import Waiting
from vaultwatch.reading.identity import Seen, ServerEventKeys, parse_time
from vaultwatch.reading.records import Origin, Rejected, read_audit_entry, split_tag
from vaultwatch.rules.correlations import Correlations
from vaultwatch.rules.pack import Rule
from vaultwatch.unwrapping.endings import ending_of

WAIT_FOR_RESPONSE_SECONDS = 5.0


class Detector(SearchingReader):
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
            unwrap: Whether records that are in another form (`vaultwatch.unwrapping`) are also put together of several
                lines. In one line they are always searched.
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
        self.source = source
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
        self.is_foreign = None
        self._log, self._line, self._has_tags = "", 0, True
        self._piece, self._lines, self._whole = b"", [], b""

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


def _columns_in(head: bytes) -> bytes:
    from vaultwatch.unwrapping.columns import delimiter_behind_messages  # not needed by audit logs

    return delimiter_behind_messages(head)


def _begins_as_frames(head: bytes) -> bool:
    from vaultwatch.unwrapping.octet_frames import begins_as_frames  # not needed by audit logs

    return begins_as_frames(head)
