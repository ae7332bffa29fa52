"""Which notifications a sink gets."""

from __future__ import annotations

import msgspec

from vaultwatch.dispatch.notification import NOTIFIED, Disposition
from vaultwatch.rules.facts import Level


class Route(msgspec.Struct, frozen=True):
    """One sink, and what it wants. A store is opened with the list of its routes."""

    sink: str
    dispositions: frozenset[Disposition] = NOTIFIED
    minimum_level: Level = Level.LOW

    def wants(self, disposition: Disposition, level: Level) -> bool:
        """Whether a notification of this kind and level is for the sink."""
        return disposition in self.dispositions and level.rank >= self.minimum_level.rank
