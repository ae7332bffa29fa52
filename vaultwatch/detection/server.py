"""Evaluate server-log messages, which may have several lines."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from vaultwatch.detection.correlation import Correlator
from vaultwatch.detection.evaluator import Evaluator
from vaultwatch.detection.verdict import Verdict, on_message, on_silenced
from vaultwatch.reading.identity import ServerEventKeys
from vaultwatch.reading.records import (
    Origin,
    Rejected,
    ServerMessage,
    ServerRecord,
    SkippedMessage,
    undecoded_message,
)
from vaultwatch.reading.server_line import ServerLine
from vaultwatch.reading.server_log import ServerLogReader
from vaultwatch.reading.view import View, partial_server_view, server_view
from vaultwatch.rules.pack import Rule
from vaultwatch.rules.server_index import ServerIndex

MESSAGE_WAIT_SECONDS = 1.0  # Vault writes a message at once, but nothing marks its last line


class ServerDetector:
    """Evaluates the messages of server logs; `keys` makes their event keys, in the log that is being read."""

    def __init__(
        self,
        index: ServerIndex,
        evaluator: Evaluator,
        keys: ServerEventKeys,
        correlator: Correlator,
        on_message: Callable[[str], None] | None = None,
        on_unclear: Callable[[bytes], None] | None = None,
    ) -> None:
        self.keys = keys
        self._note_message = on_message
        self._correlator = correlator
        self._index = index
        self._of_partial = tuple(rule for rule in index.rules if rule.asks_partial)
        self._evaluator = evaluator
        self._note_unclear = on_unclear
        self._reader = ServerLogReader(
            max_wait_seconds=MESSAGE_WAIT_SECONDS, could_match=self._could_match, on_unclear=self._on_unclear
        )

    @property
    def next_due(self) -> float | None:
        """When the first waiting message has waited long enough for further lines; None if none waits."""
        return self._reader.next_due

    def read(self, line: ServerLine, origin: Origin, now: float) -> list[Verdict]:
        """Read one line and return the verdicts on the messages that it completes."""
        return self._evaluate(self._reader.feed(line, origin, now))

    def continues(self, line: ServerLine, origin: Origin) -> bool:
        """Return whether the line belongs to a message that waits for further lines."""
        return self._reader.continues(line, origin)

    def due(self, now: float) -> list[Verdict]:
        """Return the verdicts on messages that have waited long enough."""
        return self._evaluate(self._reader.due(now))

    def flush(self) -> list[Verdict]:
        """Return the verdicts on all messages that wait, at the end of the log."""
        return self._evaluate(self._reader.flush())

    def _could_match(self, level: str, line: bytes) -> bool:
        return self._evaluator.before_record is not None or self._index.could_match(level, line)

    def _on_unclear(self, line: bytes) -> None:
        self._evaluator.counts.unclear += 1
        if self._note_unclear:
            self._note_unclear(line)

    def _evaluate(self, records: Iterable[ServerRecord]) -> list[Verdict]:
        return [verdict for record in records for verdict in self._verdicts(record)]

    def _verdicts(self, record: ServerRecord) -> list[Verdict]:
        if self._note_message and not isinstance(record, Rejected):
            self._note_message(record.time or record.header_time)
        if isinstance(record, SkippedMessage):
            self.keys.skip(record)
            self._evaluator.counts.server += 1
            return []
        if isinstance(record, Rejected):
            self._evaluator.reject(record)
            return self._evaluate_message(undecoded_message(record), self._of_partial) if record.partial else []
        return self._evaluator.isolate(
            record.raw, record.origin, lambda: self._on_message(record), instead=lambda: self.keys.key(record)
        )

    def _on_message(self, message: ServerMessage) -> list[Verdict]:
        found = self._evaluate_message(message, self._index.rules)
        self._evaluator.counts.server += 1
        return found

    def _evaluate_message(self, message: ServerMessage, of_partial: Iterable[Rule]) -> list[Verdict]:
        """Evaluate a message; if it is partial, against rules that are given."""
        key, time = self.keys.key(message), self.keys.time(message)  # first: banners after it are identified by it
        view = server_view(message, self._evaluator.zone)
        matching = self._matching(message, view, of_partial)
        origin = msgspec.structs.replace(message.origin, node=view["node"])
        alerting, counted = self._correlator.take(matching, view, key, time, origin)
        facts = [rule.compiled for rule in alerting]
        silenced = [on_silenced(one, view, key, origin, time) for one in facts if one.silenced_by]
        return [
            *(on_message(one, message, view, key, time) for one in facts if not one.silenced_by),
            *silenced,
            *counted,
        ]

    def _matching(self, message: ServerMessage, view: View, of_partial: Iterable[Rule]) -> list[Rule]:
        if message.partial:
            return self._evaluator.matching_partial(of_partial, view, partial_server_view(message, view))
        return self._evaluator.matching(self._index.candidates(message, view), view)
