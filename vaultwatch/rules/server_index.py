"""Find the rules that a server-log message could match, without evaluating them.

A message that no rule could match is recognised from its line alone: no text of the message contains a literal that is
not in the line, unless the line has escapes, colours or characters beyond ASCII.
"""

from __future__ import annotations

from collections.abc import Iterable

from vaultwatch.reading.budget import SMALL_BYTES
from vaultwatch.reading.hclog import LEVELS
from vaultwatch.reading.records import ServerMessage
from vaultwatch.reading.view import View
from vaultwatch.rules.anchors import Alternative, Masks, alternatives_of, bits, masks, needs_field, server_anchors
from vaultwatch.rules.pack import Rule
from vaultwatch.rules.predicates import all_texts

_PARTS = ("raw", "message", "module", "fields")


class ServerIndex:
    """The index over a pack's server rules: their levels, and the literals of their texts in one automaton."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        """Index the server rules among `rules`."""
        self.rules = tuple(rule for rule in rules if rule.service == "server")
        of_partial = ["partial" in one.fields and needs_field(one.compiled.condition, "partial") for one in self.rules]
        found = [(n, one) for n, rule in enumerate(self.rules) for one in _alternatives(rule)]
        self._rule_of = [number for number, _ in found]
        self._of_partial = sum(1 << bit for bit, (number, _) in enumerate(found) if of_partial[number])
        by_field = masks([one for _, one in found])
        of_level = by_field.get("level", Masks("level", [one for _, one in found]))
        self._by_level = {level: of_level.free | of_level.of(level) for level in LEVELS}
        self._line = by_field.get("line", Masks("line", [one for _, one in found]))

    def could_match(self, level: str, line: bytes) -> bool:
        """Return whether a rule could match the message of one line.

        Args:
            level: The message's level.
            line: The line, with whatever syslog put in front of it.
        """
        return not _is_literal(line) or bool(self._of_line(level, line) & ~self._of_partial)

    def candidates(self, message: ServerMessage, view: View) -> list[Rule]:
        """Return the rules that a message could match.

        Args:
            message: The message, which is not partial.
            view: Its view.
        """
        if _is_literal(message.raw):
            mask = self._of_line(message.level, message.raw)
        else:
            mask = self._line.free
            for text in all_texts([view[part] for part in _PARTS]):
                mask |= self._line.within(text.lower())
            mask &= self._by_level[message.level]
        numbers = dict.fromkeys(self._rule_of[bit] for bit in bits(mask & ~self._of_partial))
        return [self.rules[number] for number in numbers]

    def _of_line(self, level: str, line: bytes) -> int:
        mask = self._by_level[level]
        return mask and mask & (self._line.free | self._line.within(line.lower()))


def _alternatives(rule: Rule) -> list[Alternative]:
    return [{}] if rule.source else alternatives_of(rule.compiled.condition, server_anchors)


def _is_literal(line: bytes) -> bool:
    """Return whether the texts of a message are parts of its line, byte by byte."""
    return len(line) <= SMALL_BYTES and line.isascii() and not (b"\\" in line or b"\x1b" in line or b"\n" in line)
