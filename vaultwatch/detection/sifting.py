"""Look lines up in the index over the rules, so that few are read as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from typing import Any

from vaultwatch.detection.line_reader import LineReader
from vaultwatch.detection.prefixes import Prefixes
from vaultwatch.detection.verdict import Verdict
from vaultwatch.reading.records import Origin, split_tag
from vaultwatch.reading.repeated import repeated_members
from vaultwatch.rules.index import Before, Candidate, ForTheReader, Passed, Rules, Settle, Sifted, Unreadable

INDEX = "index"
"""The name under which an error of the index over the rules is counted; names of rules contain an underscore."""


class SiftingReader(LineReader):
    """Reads lines that the index over the rules does not settle."""

    _fatal: tuple[type[Exception], ...]
    _uses_index: bool
    _is_thorough: bool

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

    @cached_property
    def _prefixes(self) -> Prefixes:
        """Removes the prefixes of entries."""
        return Prefixes(lambda line: self._split_line(line).opens_message)

    def _settling(self, origin: Origin | None, found: list[Verdict], ahead: int) -> Settle:
        """Return what settles entries that can be evaluated from a few of their fields.

        Those are the ones that no rule matches, or only rules whose matches are just counted.

        Args:
            origin: Where all of them came from, if their tags are already removed.
            found: Gets the verdicts on them.
            ahead: How many lines the first of them is behind the line that was read last.
        """

        def settle(line: bytes, text: bytes, gate: Any, rules: Rules, passed: int) -> bool:
            found_in = split_tag(line)[0] if origin is None else origin
            try:
                few = read(text, found_in, rules, zone, gate)
                if few is None:
                    return False
                if not few[2]:  # no rule matches
                    return True
                verdicts = count(few, (found_in, self._log, self._line + passed + ahead), zone, text)
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

    def _read_sifted(self, sifted: Sifted, now: float, origin: Origin | None) -> list[Verdict]:
        if isinstance(sifted, Passed):
            self._count_audit(sifted.entries)
            return []
        rules = sifted.rules if isinstance(sifted, Candidate) else None
        return self._take(sifted.line, rules, now, origin)


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


def _without_tag(line: bytes) -> bytes:
    return split_tag(line)[1]
