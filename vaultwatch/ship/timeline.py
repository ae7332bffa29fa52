"""Where each node's server log stands when a frame begins.

A message without a time of its own (a banner) is known by the last time seen on its node and its ordinal since. A frame
is evaluated by itself, so it carries that along.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from vaultwatch.reading.identity import Seen, ServerEventKeys
from vaultwatch.reading.records import ServerMessage, split_tag
from vaultwatch.reading.server_log import ServerLogReader

MAX_NODES = 300
"""Of a frame's header, which has to stay readable; more nodes do not begin with a banner in one second."""


class Timeline:
    """Follows the messages of a server log; `begun` stands for the time before a node's first (`Frame.begun`)."""

    def __init__(self, begun: str) -> None:
        self.begun = begun
        self._keys = ServerEventKeys(begun=begun)

    def before(self, lines: bytes) -> dict[str, Seen]:
        """What is known of the nodes whose first message in these lines has no time."""
        first: dict[str, ServerMessage] = {}
        for message in _messages(lines):
            first.setdefault(_node(message), message)
        asked = [node for node, message in first.items() if not (message.time or message.header_time)]
        return {node: seen for node in asked[:MAX_NODES] if (seen := self._keys.last(node)) is not None}

    def advance(self, lines: bytes) -> None:
        """These lines have gone into a frame."""
        for message in _messages(lines):
            self._keys.key(message)


def _node(message: ServerMessage) -> str:
    return message.origin.node or message.host


def _messages(lines: bytes) -> Iterator[ServerMessage]:
    reader = ServerLogReader()
    for line in lines.split(b"\n"):
        origin, text = split_tag(line.rstrip(b"\r"))
        yield from _only_messages(reader.feed(text, origin, 0.0))
    yield from _only_messages(reader.flush())


def _only_messages(records: Iterable[object]) -> Iterator[ServerMessage]:
    return (record for record in records if isinstance(record, ServerMessage))
