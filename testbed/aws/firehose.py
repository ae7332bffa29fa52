"""PutRecordBatch of Firehose, with its limits; moto has none, and would write each call to S3 at once."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any
from unittest.mock import patch

from moto.firehose.exceptions import InvalidArgumentException
from moto.firehose.models import FirehoseBackend

from testbed.aws.template import arn_of

# Firehose API reference, PutRecordBatch.
MAX_RECORDS = 500
MAX_CALL_BYTES = 4 * 1024 * 1024
MAX_RECORD_BYTES = 1000 * 1024


def direct_puts(put: Callable[[str, bytes], None]) -> AbstractContextManager[Any]:
    """Pass each record to `put`, with the ARN of its delivery stream, while the context is open."""

    def put_record_batch(backend: FirehoseBackend, name: str, records: list[dict[str, bytes]]) -> dict[str, Any]:
        _check([len(record["Data"]) for record in records])
        for record in records:
            put(arn_of("firehose", f"deliverystream/{name}"), record["Data"])
        accepted = [{"RecordId": str(number)} for number in range(len(records))]
        return {"FailedPutCount": 0, "Encrypted": False, "RequestResponses": accepted}

    return patch.object(FirehoseBackend, "put_record_batch", put_record_batch)


def _check(sizes: list[int]) -> None:
    if not 0 < len(sizes) <= MAX_RECORDS:
        raise InvalidArgumentException(f"{len(sizes)} records in a call")
    if max(sizes) > MAX_RECORD_BYTES or sum(sizes) > MAX_CALL_BYTES:
        raise InvalidArgumentException("records are too large")
