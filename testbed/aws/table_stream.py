"""The stream of a table in moto, as DynamoDB's is: what changes nothing is no record of it, and what fails neither.

DynamoDB developer guide, "Change data capture for DynamoDB Streams" and "DynamoDB Streams and Time to Live".
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import Any
from unittest.mock import patch

from moto.dynamodb.models import DynamoDBBackend, dynamodb_backends
from moto.dynamodb.models.table import StreamShard

from testbed.aws.template import ACCOUNT

_ADD = StreamShard.add
_TTL = {"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"}


def patched() -> AbstractContextManager[Any]:
    """Patch moto, whose stream has a record of each call, also of one that leaves the row as it was."""
    return patch.object(StreamShard, "add", _add)


def _add(shard: StreamShard, old: Any, new: Any) -> None:
    if old is None or new is None or old.to_json() != new.to_json():
        _ADD(shard, old, new)


@contextmanager
def undone_on_error(backend: DynamoDBBackend) -> Iterator[None]:
    """Let what raises leave no records: it is rolled back."""
    shards = [table.stream_shard for table in backend.tables.values() if table.stream_shard is not None]
    lengths = [len(shard.items) for shard in shards]
    try:
        yield
    except BaseException:
        for shard, length in zip(shards, lengths, strict=True):
            del shard.items[length:]
        raise


def expire_rows(region: str, now: float) -> int:
    """Delete the rows that are expired, as DynamoDB does within days, and return how many there were.

    Args:
        region: The region of the tables.
        now: The time, in seconds since the epoch.
    """
    count = 0
    for table in dynamodb_backends[ACCOUNT][region].tables.values():
        name = (table.ttl or {}).get("AttributeName", "")
        rows = [row for row in table.all_items() if name in row.attrs]
        expired = [row for row in rows if float(row.attrs[name].value) <= now]
        for row in expired:
            table.delete_item(row.hash_key, row.range_key)
            if table.stream_shard is not None:
                table.stream_shard.items[-1].record["userIdentity"] = _TTL
        count += len(expired)
    return count


def event_record(record: Mapping[str, Any], stream_arn: str = "") -> dict[str, Any]:
    """Return a record of the stream as an event source mapping passes it to a function.

    Args:
        record: The record as botocore returns it.
        stream_arn: The stream.
    """
    change = dict(record["dynamodb"])
    moment: datetime = change["ApproximateCreationDateTime"]
    images = {name: _image(change[name]) for name in ("Keys", "NewImage", "OldImage") if name in change}
    identity = record.get("userIdentity")
    return {
        **{name: record[name] for name in ("eventID", "eventName", "eventVersion", "eventSource", "awsRegion")},
        "dynamodb": {**change, **images, "ApproximateCreationDateTime": float(int(moment.timestamp()))},
        **({"userIdentity": {"type": identity["Type"], "principalId": identity["PrincipalId"]}} if identity else {}),
        "eventSourceARN": stream_arn,
    }


def _image(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _value(value) for name, value in row.items()}


def _value(value: Mapping[str, Any]) -> dict[str, Any]:
    ((kind, inside),) = value.items()
    if kind == "B":
        return {kind: base64.b64encode(inside).decode()}
    if kind == "BS":
        return {kind: [base64.b64encode(one).decode() for one in inside]}
    return {kind: inside}
