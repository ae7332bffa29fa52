"""The `Threads` contract: for each alert group, the chat message that a sink updates."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from vaultwatch.rules.facts import Level


class Thread(msgspec.Struct, frozen=True, kw_only=True):
    """A message about one alert group, which is updated in place, and the posts in its thread.

    `channel` and `ts` identify the message in the chat service. Until `expires_at` (seconds since the epoch), the
    group's notifications are added to it. It shows `level`, `headline`, `body` (blocks), the numbers of `alerts` and
    `notifications`, and the text about the `latest` alert. `posted` are the keys of the newest posts that the service
    has accepted, so that a retry repeats none of them.
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
    """The threads of one sink, by alert group. If a method fails, it raises `StoreError`."""

    def get(self, group: str) -> Thread | None:
        """Return the group's thread, which may have expired."""
        ...

    def put(self, group: str, thread: Thread, replacing: Thread | None) -> bool:
        """Store a thread until it has expired.

        Args:
            group: The key of the alert group.
            thread: The thread.
            replacing: The thread that `get` returned.

        Returns:
            False, and nothing is changed, if another thread than `replacing` has been stored meanwhile.
        """
        ...
