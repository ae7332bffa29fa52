"""Decide which notifications a sink gets."""

from __future__ import annotations

import msgspec

from vaultwatch.dispatch.notification import NOTIFIED, Disposition
from vaultwatch.rules.facts import Level


class Route(msgspec.Struct, frozen=True):
    """A sink, and the notifications that it wants. A store is opened with a list of routes.

    To a `batched` sink, a store may pass several alerts that notify nobody in one notification.
    """

    sink: str
    dispositions: frozenset[Disposition] = NOTIFIED
    minimum_level: Level = Level.LOW
    batched: bool = False

    def wants(self, disposition: Disposition, level: Level) -> bool:
        """Return whether the sink gets a notification with this disposition and level."""
        return disposition in self.dispositions and level.rank >= self.minimum_level.rank
