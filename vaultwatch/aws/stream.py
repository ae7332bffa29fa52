"""Read records from the stream of frames again, for a function that evaluates parked or discarded frames.

A function that may park frames may write any bytes to the alerts bucket. So a parked frame is read from the stream, to
which no function can write: the object only names the record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from vaultwatch.aws.keys import parse_parked
from vaultwatch.batches import EncodedFrame
from vaultwatch.errors import FrameError

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

MAX_REPORT_BYTES = 32 * 1024 * 1024
"""The largest report of Lambda on a discarded batch: it contains the event, at most 6 MiB, as text in a JSON text."""
_MAX_RECORDS = 100  # the batch size of the event source mapping
_MAX_EMPTY_ANSWERS = 100


class Batch(NamedTuple):
    """Consecutive records of one shard, by the sequence numbers of the first and the last."""

    shard: str
    first: str
    last: str


class _BatchInfo(msgspec.Struct, rename="camel"):
    shard_id: str
    start_sequence_number: str
    end_sequence_number: str


class _Report(msgspec.Struct, rename={"batch": "KinesisBatchInfo"}):
    batch: _BatchInfo


def parked_batch(key: str) -> Batch:
    """Return the record that the key of a parked frame names.

    Raises:
        FrameError: The key names no record.
    """
    shard, number = parse_parked(key)
    return Batch(shard, number, number)


def discarded_batch(report: bytes) -> Batch:
    """Return the records that Lambda's report on a discarded batch names; the copies in it are not read.

    Raises:
        FrameError: This is not such a report.
    """
    try:
        info = msgspec.json.decode(report, type=_Report).batch
    except (msgspec.DecodeError, RecursionError) as error:
        raise FrameError(f"not a report on a discarded batch: {error}") from None
    return Batch(info.shard_id, info.start_sequence_number, info.end_sequence_number)


class StreamReader:
    """Reads records of one stream.

    Args:
        client: Returns botocore's client for Kinesis; called when a record is first read.
        arn: The stream.
    """

    def __init__(self, client: Callable[[], KinesisClient], arn: str) -> None:
        self._client = client
        self._arn = arn

    def frames(self, batch: Batch) -> Iterator[EncodedFrame]:
        """Yield the frames of a batch, at most as many as a batch of the event source mapping has.

        Raises:
            FrameError: The stream does not have the first record, or no longer has it.
        """
        count = 0
        for record in self._records(batch):
            number = record["SequenceNumber"]
            if not count and number != batch.first:
                break
            count += 1
            yield EncodedFrame(f"{batch.shard}-{number}", record["Data"])
            if number == batch.last or count == _MAX_RECORDS:
                return
        if not count:
            raise FrameError(_no_record(batch))

    def _records(self, batch: Batch) -> Iterator[Any]:
        """Yield records from the first onward; an answer may be empty though others follow (Kinesis API reference)."""
        start = {"ShardIteratorType": "AT_SEQUENCE_NUMBER", "StartingSequenceNumber": batch.first}
        where: Any = {"StreamARN": self._arn, "ShardId": batch.shard, **start}
        kinesis = self._client()
        try:
            iterator = kinesis.get_shard_iterator(**where)["ShardIterator"]
        except (kinesis.exceptions.InvalidArgumentException, kinesis.exceptions.ResourceNotFoundException):
            raise FrameError(_no_record(batch)) from None
        for _ in range(_MAX_EMPTY_ANSWERS):
            answer = kinesis.get_records(StreamARN=self._arn, ShardIterator=iterator, Limit=_MAX_RECORDS)
            yield from answer["Records"]
            iterator = answer.get("NextShardIterator", "")
            if not iterator or (not answer["Records"] and not answer["MillisBehindLatest"]):
                return


def _no_record(batch: Batch) -> str:
    return f"the stream has no record {batch.first[:200]} in {batch.shard[:100]}, or no longer"
