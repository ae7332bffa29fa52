"""Records held against rules: lines in, alerts out. Knows nothing of files, streams or AWS."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import tzinfo
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from vaultwatch.alerts import Alert, complete, from_audit, from_server
from vaultwatch.reading.identity import Seen, ServerEventKeys, audit_event_key, is_response
from vaultwatch.reading.records import (
    AuditEntry,
    Origin,
    Rejected,
    ServerMessage,
    read_audit_entry,
    split_tag,
)
from vaultwatch.reading.view import View, audit_view, server_view
from vaultwatch.rules.index import AuditIndex
from vaultwatch.rules.pack import Rule, uses_field

if TYPE_CHECKING:
    from vaultwatch.reading.server_log import ServerLogReader

Source = Literal["auto", "audit", "server"]
MAX_WAITING = 10_000
WAIT_FOR_RESPONSE_SECONDS = 5.0
MESSAGE_WAIT_SECONDS = 1.0  # a message is written at once; only its last line does not say that it is the last


class Counts(msgspec.Struct):
    """What has been read since the start; `rule_errors` by the name of the rule that raised."""

    audit: int = 0
    server: int = 0
    rejected: int = 0
    rule_errors: Counter[str] = msgspec.field(default_factory=Counter)


class Ruleset:
    """A pack's rules with their index; made once a process, for what it remembers of one batch serves the next."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules = tuple(rules)
        self.index = AuditIndex(self.rules)
        self.server = tuple(rule for rule in self.rules if rule.service == "server")
        self.asks_local_time = any(uses_field(rule.compiled.condition, "local") for rule in self.rules)


class Detector:
    """Holds every record of a stream against a pack of rules.

    A match on a request waits for its response, so that the alert knows the outcome: `feed` gives the alerts that are
    complete, `due` those that waited `wait_seconds`, `flush` all that is left. An alert may come more than once
    (another device, another way) and has the same id then; who stores it knows. `on_rejected` gets every line that is
    not what it should be, `on_waiting` alerts as they begin to wait.
    """

    def __init__(
        self,
        rules: Iterable[Rule] | Ruleset,
        *,
        source: Source = "auto",
        zone: tzinfo | None = None,
        on_rejected: Callable[[Rejected], None] = lambda _: None,
        on_rule_error: Callable[[str, Exception], None] = lambda _name, _error: None,
        on_waiting: Callable[[Sequence[Alert]], None] = lambda _: None,
        wait_seconds: float = WAIT_FOR_RESPONSE_SECONDS,
    ) -> None:
        ruleset = rules if isinstance(rules, Ruleset) else Ruleset(rules)
        self.counts = Counts()
        self.source: Source = source
        self._index = ruleset.index
        self._server_rules = ruleset.server
        self._zone = zone if ruleset.asks_local_time else None
        self._on_rejected = on_rejected
        self._on_rule_error = on_rule_error
        self._on_waiting = on_waiting
        self._wait_seconds = wait_seconds
        self._waiting: OrderedDict[str, tuple[float, list[Alert]]] = OrderedDict()
        self._server_keys = ServerEventKeys()
        self._last_was_server = source == "server"

    def feed(self, lines: Iterable[bytes], now: float | None = None, origin: Origin | None = None) -> list[Alert]:
        """Read lines (with or without their line ends) and give the alerts that are complete.

        Args:
            now: seconds on the caller's clock; only differences count.
            origin: where all of these lines came from; their tags, if they had any, are off already.
        """
        now = time.monotonic() if now is None else now
        out: list[Alert] = []
        split = split_tag if origin is None else partial(_of, origin)
        if self.source == "server":
            for line in lines:
                self._read_server_line(*split(line.rstrip(b"\r\n")), now, out)
            return out
        lines = list(lines)
        # A stream has tags or it has none: a lone line with one is read the slow way.
        tagged = origin is None and bool(lines) and lines[0].startswith(b"@")
        for passed, line, rules in self._index.sift(lines, self._waiting, tagged=tagged):
            if passed:
                self._count_audit(passed)
            if rules is not None:
                self._evaluate(*split(line.rstrip(b"\r\n")), rules, now, out)
            elif line:
                self._read_slowly(*split(line.rstrip(b"\r\n")), now, out)
        return out

    def _count_audit(self, entries: int) -> None:
        self.counts.audit += entries
        self._last_was_server = False

    def begin_log(self, head: bytes = b"", begun: str = "", last: Mapping[str, Seen] | None = None) -> None:
        """A log of its own begins, with these bytes: which of the two logs it is decides what a plain line is.

        Args:
            begun: RFC 3339; the time of messages that have none, before the first that has one.
            last: what is known of nodes whose log goes on here.
        """
        self._last_was_server = self.source == "server"
        for line in head.split(b"\n") if self.source == "auto" else ():
            if self._index.reads(line):
                break
            if _looks_like_server_line(split_tag(line)[1]):
                self._last_was_server = True
                break
        self._server_keys = ServerEventKeys(begun=begun, last=last)

    def end_log(self) -> list[Alert]:
        """A log has ended, and with it its last message; requests go on waiting, for a response in the next log."""
        out: list[Alert] = []
        for message in self._server.flush() if self._reads_server_log else ():
            self._evaluate_server(message, out)
        return out

    def due(self, now: float | None = None) -> list[Alert]:
        """What has waited long enough: requests for their responses, messages for their further lines."""
        now = time.monotonic() if now is None else now
        out: list[Alert] = []
        for message in self._server.due(now) if self._reads_server_log else ():
            self._evaluate_server(message, out)
        while self._waiting and next(iter(self._waiting.values()))[0] <= now:
            out += self._waiting.popitem(last=False)[1][1]
        return out

    @property
    def next_due(self) -> float | None:
        """When `due` next has something to give, on the caller's clock; None while nothing waits."""
        moments = [waiting[0] for waiting in list(self._waiting.values())[:1]]
        if self._reads_server_log and self._server.next_due is not None:
            moments.append(self._server.next_due)
        return min(moments, default=None)

    @property
    def is_waiting(self) -> bool:
        """Whether a request waits for its response."""
        return bool(self._waiting)

    def waiting(self) -> list[Alert]:
        """The alerts of the requests that wait for their responses."""
        return [alert for _, alerts in self._waiting.values() for alert in alerts]

    def flush(self) -> list[Alert]:
        """Everything that still waits; for the end of the input."""
        out = self.end_log()
        for _, alerts in self._waiting.values():
            out += alerts
        self._waiting.clear()
        return out

    @cached_property
    def _server(self) -> ServerLogReader:
        """Made, and its module imported (20 ms of regular expressions), only where there is a server log."""
        from vaultwatch.reading.server_log import ServerLogReader

        return ServerLogReader(max_wait_seconds=MESSAGE_WAIT_SECONDS)

    @property
    def _reads_server_log(self) -> bool:
        return "_server" in self.__dict__

    def _read_slowly(self, origin: Origin, text: bytes, now: float, out: list[Alert]) -> None:
        """What the gate could not read: server-log lines, odd entries, and what is to be rejected."""
        if self.source == "auto" and self._belongs_to_server_log(text, origin):
            self._last_was_server = True
            self._read_server_line(origin, text, now, out)
            return
        if not text.strip():
            return
        record = read_audit_entry(text, origin)
        if isinstance(record, Rejected):
            self._reject(record)
            return
        self._count_audit(1)
        self._hold_against(record, self._index.candidates(text[max(text.find(b"{"), 0) :]), now, out)

    def _belongs_to_server_log(self, text: bytes, origin: Origin) -> bool:
        """One stream may hold both logs: a line of plain text belongs to the log that the line before it belongs to."""
        if origin.lane:
            return origin.lane == "server"
        if _looks_like_server_line(text) or (self._reads_server_log and self._server.continues(text, origin)):
            return True
        return self._last_was_server and b'{"' not in text[:4096] and not text.startswith((b"{", b"<json:"))

    def _read_server_line(self, origin: Origin, text: bytes, now: float, out: list[Alert]) -> None:
        for record in self._server.feed(text, origin, now):
            self._evaluate_server(record, out)

    def _reject(self, record: Rejected) -> None:
        self.counts.rejected += 1
        self._on_rejected(record)

    def _evaluate(self, origin: Origin, text: bytes, rules: tuple[Rule, ...], now: float, out: list[Alert]) -> None:
        record = read_audit_entry(text, origin)
        if isinstance(record, Rejected):  # the gate skips over what it does not decode: depth, above all
            self._reject(record)
            return
        self._count_audit(1)
        self._hold_against(record, rules, now, out)

    def _hold_against(self, entry: AuditEntry, rules: tuple[Rule, ...], now: float, out: list[Alert]) -> None:
        view = audit_view(entry, self._zone)
        key = audit_event_key(entry.fields)
        alerts = [from_audit(rule.compiled, entry, view, key) for rule in rules if self._matches(rule, view)]
        if is_response(entry.fields) or view["outcome"] == "failed":
            self._answer(key, entry, alerts, out)
        elif alerts:
            self._wait(key, alerts, now, out)

    def _answer(self, key: str, entry: AuditEntry, alerts: list[Alert], out: list[Alert]) -> None:
        waited = self._waiting.pop(key, (0.0, []))[1]
        out += [complete(alert, entry) for alert in waited]
        known = {alert.id for alert in waited}
        out += [alert for alert in alerts if alert.id not in known]

    def _wait(self, key: str, alerts: list[Alert], now: float, out: list[Alert]) -> None:
        waiting = self._waiting.setdefault(key, (now + self._wait_seconds, []))[1]
        known = {alert.id for alert in waiting}
        new = [alert for alert in alerts if alert.id not in known]
        waiting += new
        if new:
            self._on_waiting(new)
        if len(self._waiting) > MAX_WAITING:
            out += self._waiting.popitem(last=False)[1][1]

    def _evaluate_server(self, record: ServerMessage | Rejected, out: list[Alert]) -> None:
        if isinstance(record, Rejected):
            self._reject(record)
            return
        self.counts.server += 1
        view = server_view(record, self._zone)
        matching = [rule for rule in self._server_rules if self._matches(rule, view)]
        key = self._server_keys.key(record)
        time = self._server_keys.time(record)
        out += [from_server(rule.compiled, record, view, key, time) for rule in matching]

    def _matches(self, rule: Rule, view: View) -> bool:
        try:
            return rule.matches(view)
        except Exception as error:  # noqa: BLE001  a rule is somebody's code: counted by name, all others go on
            self.counts.rule_errors[rule.name] += 1
            self._on_rule_error(rule.name, error)
            return False


def _of(origin: Origin, text: bytes) -> tuple[Origin, bytes]:
    return origin, text


def _looks_like_server_line(text: bytes) -> bool:
    from vaultwatch.reading.server_log import looks_like_server_line

    return looks_like_server_line(text)


def evaluate_plainly(rules: Iterable[Rule], line: bytes, zone: tzinfo | None = None) -> set[str] | None:
    """The names of the rules that one audit line matches, every rule tried on the whole entry; None: not an entry.

    The reference that the index is tested against.
    """
    origin, text = split_tag(line.rstrip(b"\r\n"))
    record: Any = read_audit_entry(text, origin)
    if not isinstance(record, AuditEntry):
        return None
    view = audit_view(record, zone)
    return {rule.name for rule in rules if rule.service == "audit" and rule.matches(view)}
