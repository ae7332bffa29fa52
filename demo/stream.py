"""Reads the frames on the stream as they arrive, and counts their lines and bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vaultwatch.frames import Heartbeat, Reference, decode
from vaultwatch.reading.records import split_tag
from vaultwatch.rules.facts import Service


@dataclass
class Shipped:
    """The frames of one log on the stream: `raw_bytes` before compression, `bytes` after it.

    `lines` are without `marks`, the lines that a node's syslog-ng sends by itself.
    """

    frames: int = 0
    heartbeats: int = 0
    lines: int = 0
    marks: int = 0
    raw_bytes: int = 0
    bytes: int = 0


class StreamTail:
    """All frames of a stream of one shard, from its beginning.

    Args:
        kinesis: boto3's client.
        stream: The name of the stream.
    """

    def __init__(self, kinesis: Any, stream: str) -> None:
        self.shipped: dict[Service, Shipped] = {"audit": Shipped(), "server": Shipped()}
        self._kinesis = kinesis
        (shard,) = kinesis.list_shards(StreamName=stream)["Shards"]
        place = {"ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
        self._iterator: str = kinesis.get_shard_iterator(StreamName=stream, **place)["ShardIterator"]

    def poll(self) -> None:
        """Count what has arrived since the last call."""
        answer = self._kinesis.get_records(ShardIterator=self._iterator)
        self._iterator = answer["NextShardIterator"]
        for record in answer["Records"]:
            self._add(record["Data"])

    def _add(self, data: bytes) -> None:
        frame = decode(data)
        row = self.shipped[frame.source]
        row.frames += 1
        row.bytes += len(data)
        if isinstance(frame.content, Heartbeat):
            row.heartbeats += 1
        elif isinstance(frame.content, Reference):
            row.lines += frame.content.count
            row.raw_bytes += frame.content.size
        else:
            marks = sum(not split_tag(line)[1].strip() for line in frame.content.split)
            row.marks += marks
            row.lines += len(frame.content.split) - marks
            row.raw_bytes += len(frame.content.lines)
