"""Narrow the rules that an entry could match by the fields that the index does not look up in every entry.

A path that a rule names can be common. Of its entries, those with another person, engine or error are recognised by
fields that the gate has decoded, or by a second small decode (measured: 5 us, where evaluating the rule takes 20).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from operator import attrgetter
from typing import Any, TypeAlias

import msgspec

from vaultwatch.rules.anchors import Alternative, Masks, bits, masks
from vaultwatch.rules.gate import decoder_of, without_nulls
from vaultwatch.rules.json_masks import ANY, MAX_FIELD_BYTES, JsonMasks, of_text
from vaultwatch.rules.remembered import Remembered

MAX_PLANS = 256
"""One for each set of alternatives that were possible together; those of further sets are not narrowed."""
MAX_FIELDS = 8
"""With more fields, decoding them takes as long as evaluating the rules."""
_Plan: TypeAlias = Callable[[bytes, Any], int]
"""Returns the alternatives that an entry could match: it is given the entry, and what the gate decoded of it."""


class Narrowing:
    """Narrows masks of alternatives."""

    def __init__(self, alternatives: Sequence[Alternative], texts: Collection[str]) -> None:
        """Take what the gate does not look up of each alternative, and the fields that it decodes as texts."""
        self._alternatives = alternatives
        self._masks = masks(alternatives)
        # One table for each field, and not for each plan, so that the memory is bounded.
        self._by_text = {field: _by_text(self._masks[field]) for field in self._masks.keys() & set(texts)}
        self._plans: dict[int, _Plan | None] = {}

    def of(self, mask: int, text: bytes, gate: Any) -> int:
        """Return those of the alternatives that an entry could still match.

        Args:
            mask: The alternatives, not none.
            text: An entry that the gate can decode.
            gate: What it decoded.
        """
        try:
            plan = self._plans[mask]
        except KeyError:
            plan = self._plan(mask)
        return mask & plan(text, gate) if plan else mask

    def _plan(self, mask: int) -> _Plan | None:
        if len(self._plans) >= MAX_PLANS:
            return None
        named = sorted({field for bit in bits(mask) for field in self._alternatives[bit]})
        plan = self._plans[mask] = self._reading({field: self._masks[field] for field in named})
        return plan

    def _reading(self, asked: Mapping[str, Masks]) -> _Plan | None:
        if asked and self._by_text.keys() >= asked.keys():
            return _of_the_gate({field: self._by_text[field] for field in asked})
        by_json = JsonMasks(asked)
        return _of_the_entry(by_json) if 0 < len(by_json.fields) <= MAX_FIELDS else None


def _by_text(known: Masks) -> Remembered[str | None, int]:
    """Return the alternatives by a text of a field."""

    def look_up(text: str | None) -> int:
        return of_text(known, text) if len(text or "") <= MAX_FIELD_BYTES else ANY

    return Remembered(look_up, lambda text: len(text or ""))


def _of_the_gate(by_text: Mapping[str, Remembered[str | None, int]]) -> _Plan:
    """Look up texts that the gate has decoded."""
    looked_up = [(attrgetter(field), known) for field, known in by_text.items()]

    def plan(_text: bytes, gate: Any) -> int:
        mask = ANY
        for text_of, known in looked_up:
            mask &= known[text_of(gate)]
        return mask

    return plan


def _of_the_entry(by_json: JsonMasks) -> _Plan:
    """Decode the entry once more, and look up the JSON of its fields."""
    decode = decoder_of({*by_json.fields, "request.id"}, {"request.id": str | None})

    def plan(text: bytes, _gate: Any) -> int:
        try:
            gate = decode(text)
        except msgspec.DecodeError:  # an object is something else: the reader decides
            return ANY
        try:
            return by_json.of(gate)
        except AttributeError:
            return by_json.of(without_nulls(gate))

    return plan
