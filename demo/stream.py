"""Reads the frames on the stream as they come, and adds them up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vaultwatch.frames import Heartbeat, Reference, count_lines, decode
from vaultwatch.rules.facts import Service


@dataclass
class Shipped:
    """What came of one of the two logs; `raw_bytes` are the lines, `bytes` what the stream was given for them."""

    frames: int = 0
    heartbeats: int = 0
    lines: int = 0
    raw_bytes: int = 0
    bytes: int = 0


class StreamTail:
    """Every frame since the beginning of a stream of one shard; `kinesis` is boto3's client."""

    def __init__(self, kinesis: Any, stream: str) -> None:
        self.shipped: dict[Service, Shipped] = {"audit": Shipped(), "server": Shipped()}
        self._kinesis = kinesis
        (shard,) = kinesis.list_shards(StreamName=stream)["Shards"]
        place = {"ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
        self._iterator: str = kinesis.get_shard_iterator(StreamName=stream, **place)["ShardIterator"]

    def poll(self) -> None:
        """Add up what has come since the last call."""
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
            row.lines += count_lines(frame.content.lines)
            row.raw_bytes += len(frame.content.lines)
