"""Masks of alternatives by the fields of an entry that are kept as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import Any

import msgspec

from vaultwatch.reading.view import in_any_case
from vaultwatch.rules.anchors import Masks
from vaultwatch.rules.gate import gate_field
from vaultwatch.rules.predicates import text_of, values
from vaultwatch.rules.remembered import Remembered

MAX_FIELD_BYTES = 64 * 1024
"""Larger fields are left to the rules themselves."""
ANY = -1
_SEPARATOR = b"\n"  # no line contains it, so joined values can be split again


class JsonMasks:
    """The alternatives that the values of some fields allow, which repeat in any real log.

    Anchors of a field are looked up in its texts, however its value is nested.

    Attributes:
        fields: What to decode, in order.
        by_value: The masks by the JSON of one of these fields.
    """

    def __init__(self, by_field: Mapping[str, Masks]) -> None:
        """Take the masks of each field that rules name."""
        self._masks = by_field
        self.fields: Sequence[str] = sorted({gate_field(field) for field in by_field})
        self.by_value: dict[str, Remembered[bytes, int]] = {
            name: Remembered(partial(self._look_up_value, name), len) for name in self.fields
        }
        self._joined: Remembered[bytes, int] = Remembered(self._look_up, len)
        # `attrgetter` returns a tuple only of several values.
        self._values: Any = attrgetter(*self.fields, *self.fields[-1:]) if self.fields else None

    def of(self, gate: Any) -> int:
        """Return the alternatives that a decoded entry could match by these fields.

        Raises:
            AttributeError: An object that contains one of them is null.
        """
        return self._joined[_SEPARATOR.join(self._values(gate)[:-1])]

    def _look_up(self, joined: bytes) -> int:
        mask = ANY
        for name, raw in zip(self.fields, joined.split(_SEPARATOR), strict=True):
            mask &= self.by_value[name][raw]
        return mask

    def _look_up_value(self, name: str, raw: bytes) -> int:
        if len(raw) > MAX_FIELD_BYTES:
            return ANY
        try:
            asked = {name: msgspec.json.decode(raw) if raw else None}
            asked["request.data"] = in_any_case(asked.get("request.data"))
        except (msgspec.DecodeError, ValueError, RecursionError):  # the reader is more lenient than the gate
            return ANY
        mask = ANY
        for field, known in self._masks.items():
            if gate_field(field) == name:
                mask &= of_texts(known, _texts(asked, field))
        return mask


def of_text(known: Masks, text: str | None) -> int:
    """Return the alternatives that one text, or none, of a field allows."""
    return known.free | known.of(text) if text else known.of_nothing


def of_texts(known: Masks, texts: Iterable[str] | None) -> int:
    """Return the alternatives that the texts of a field allow."""
    mask = known.of_nothing
    for text in texts or ():
        mask |= of_text(known, text)
    return mask


def _texts(asked: dict[str, Any], field: str) -> Iterable[str]:
    above = gate_field(field)
    listed = values({"_": asked[above]}, "_" + field[len(above) :])
    return [text for item in listed if (text := text_of(item)) is not None]
