"""What a chat sink remembers of the messages it keeps up to date, one for each alert group: the `Threads` contract."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from vaultwatch.rules.facts import Level


class Thread(msgspec.Struct, frozen=True, kw_only=True):
    """A message about one alert group, which is updated in place, and what was posted in its thread.

    `channel` and `ts` name the message to the chat service. Until `expires_at` (seconds since the epoch) the group's
    notifications go into it. `level`, `headline`, `body` (blocks), the numbers of `alerts` and `notifications` and the
    text about the `latest` alert are what it shows. `posted` are the keys of the newest posts that the service has
    accepted, so that a retry repeats none of them.
    """

    channel: str
    ts: str
    begun_at: float
    expires_at: float
    level: Level
    headline: str
    body: list[dict[str, Any]]
    alerts: int = 0
    notifications: int = 0
    latest: str = ""
    posted: tuple[str, ...] = ()


class Threads(Protocol):
    """By alert group, the thread of one sink. Every method raises `StoreError` when it could not do its work now."""

    def get(self, group: str) -> Thread | None:
        """Return the group's thread, which may have expired."""
        ...

    def put(self, group: str, thread: Thread, replacing: Thread | None) -> bool:
        """Remember a thread until it has expired.

        Args:
            group: The key of the alert group.
            thread: What to remember.
            replacing: What `get` returned.

        Returns:
            False, and nothing is changed, if another thread than `replacing` is remembered by now.
        """
        ...
