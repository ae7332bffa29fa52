"""Remember the last time that each node logged before a frame begins.

The event key of a message without a time of its own (a banner) consists of the last time that its node logged and the
message's ordinal since then. Each frame is evaluated by itself, so its header has to contain both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from vaultwatch.reading.identity import Seen, ServerEventKeys
from vaultwatch.reading.records import ServerMessage, split_tag
from vaultwatch.reading.server_log import ServerLogReader

MAX_NODES = 300
"""Bounds a frame's header; more nodes than this do not begin with a banner in the same second."""


class Timeline:
    """Follows the messages of a server log.

    `log_start` is used as the last time of a node that has not logged one yet; see `Frame.log_start`.
    """

    def __init__(self, log_start: str) -> None:
        self.log_start = log_start
        self._keys = ServerEventKeys(log_start=log_start)

    def before(self, lines: bytes) -> dict[str, Seen]:
        """Return the last time and ordinal of each node whose first message in these lines has no time."""
        first: dict[str, ServerMessage] = {}
        for message in _messages(lines):
            first.setdefault(message.node, message)
        untimed = [node for node, message in first.items() if not (message.time or message.header_time)]
        return {node: seen for node in untimed[:MAX_NODES] if (seen := self._keys.last(node)) is not None}

    def advance(self, lines: bytes) -> None:
        """Note the times in lines that were put into a frame."""
        for message in _messages(lines):
            self._keys.key(message)


def _messages(lines: bytes) -> Iterator[ServerMessage]:
    reader = ServerLogReader()
    for line in lines.split(b"\n"):
        origin, text = split_tag(line.rstrip(b"\r"))
        yield from _only_messages(reader.feed(text, origin, 0.0))
    yield from _only_messages(reader.flush())


def _only_messages(records: Iterable[object]) -> Iterator[ServerMessage]:
    return (record for record in records if isinstance(record, ServerMessage))
