"""What a partial record lacks: the members that were left out when it was decoded, and the texts that were cut."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

Path = tuple[str, ...]
"""The names of a member and of the objects that it is in, from the top."""

NOTE = "left_out"
"""The member that says that the others are only a part of the entry."""
LEFT_OUT = " bytes left out]"
"""The end of the marker in the place of a value that was left out."""


class LeftOut(msgspec.Struct, frozen=True):
    """The members that a partial record lacks.

    Attributes:
        beginnings: The members that were left out, each with the beginning of its text; "" if nothing of it was kept.
        decoded: Objects of which only the members with these names were decoded.
        is_cut_off: Whether the end of the record is missing.
    """

    beginnings: Mapping[Path, str] = {}
    decoded: Mapping[Path, frozenset[str]] = {}
    is_cut_off: bool = False

    def lacks(self, path: Path) -> bool:
        """Return whether the member at this path, or one that it is in, may have been left out in part or in full."""
        return any(self._lacks_exactly(path[:count]) for count in range(1, len(path) + 1))

    def lacks_below(self, path: Path) -> bool:
        """Return whether a member directly below this path was left out."""
        return any(left_out[:-1] == path for left_out in self.beginnings)

    def known(self, fields: dict[str, Any], *, beginnings: bool = False) -> dict[str, Any]:
        """Return the fields without those that were left out.

        Args:
            fields: The record's fields, which have a marker in the place of each of them.
            beginnings: Whether to keep the beginnings of texts that were cut.
        """
        return self._known(fields, (), beginnings)

    def _known(self, fields: dict[str, Any], above: Path, beginnings: bool) -> dict[str, Any]:
        kept: dict[str, Any] = {}
        for name, value in fields.items():
            path = (*above, name)
            if path not in self.beginnings:
                kept[name] = self._known(value, path, beginnings) if isinstance(value, dict) else value
            elif beginnings and self.beginnings[path]:
                kept[name] = self.beginnings[path]
        return kept

    def _lacks_exactly(self, path: Path) -> bool:
        return path in self.beginnings or path[-1] not in self.decoded.get(path[:-1], path)


NOTHING = LeftOut()
