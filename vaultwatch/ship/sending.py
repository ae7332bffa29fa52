"""Send the outbox to Kinesis; records that Kinesis rejects, and only those, are retried without a limit."""

from __future__ import annotations

from collections import Counter
from threading import Thread
from typing import TYPE_CHECKING

from vaultwatch.aws.clients import Failure, classify
from vaultwatch.printable import one_line
from vaultwatch.ship.options import Pace
from vaultwatch.ship.outbox import Outbox, StreamRecord
from vaultwatch.ship.retries import Retries, make_clients

if TYPE_CHECKING:
    from mypy_boto3_kinesis.type_defs import PutRecordsResultEntryTypeDef

MAX_RECORDS_PER_CALL = 500
MAX_BYTES_PER_CALL = 5 * 1024 * 1024


class Sender(Thread):
    """The thread that sends until the outbox is closed and empty; no failure ends it.

    Attributes:
        sent: How many frames Kinesis has accepted.
        failed_calls: How many calls failed, or left frames to be sent again.
    """

    def __init__(self, stream: str, outbox: Outbox, pace: Pace) -> None:
        super().__init__(name="sender", daemon=True)
        self._stream = stream
        self._outbox = outbox
        self._clients = make_clients(pace)
        self._retries = Retries(pace, self._clients)
        self.sent = 0
        self.failed_calls = 0

    def run(self) -> None:
        """Send the outbox: each call repeats the records that the last one left, with as many new ones as fit."""
        rejected: list[StreamRecord] = []
        while records := rejected + self._next(rejected):
            rejected = self._send(records)
            self._retries.wait()
        self._clients.renew()

    def finish(self) -> None:
        """Close the outbox and wait, without a limit, until Kinesis has accepted everything in it."""
        self._outbox.close()
        self.join()

    def _next(self, rejected: list[StreamRecord]) -> list[StreamRecord]:
        room = MAX_BYTES_PER_CALL - sum(record.size for record in rejected)
        return self._outbox.take(MAX_RECORDS_PER_CALL - len(rejected), room, wait=not rejected)

    def _send(self, records: list[StreamRecord]) -> list[StreamRecord]:
        """Make one call and return the records to send again: all of them if the call failed."""
        try:
            answered = list(zip(records, self._put(records), strict=True))
        except Exception as error:  # noqa: BLE001 (the thread's outermost edge: the frames are kept and sent again)
            self.failed_calls += 1
            self._retries.failed(classify(error), f"{len(records)} frames wait to be sent again")
            return records
        self._outbox.release(record for record, reason in answered if not reason)
        self._note(Counter(reason for _, reason in answered if reason), len(records))
        return [record for record, reason in answered if reason]

    def _put(self, records: list[StreamRecord]) -> list[str]:
        """Make the call and return, for each record, why it was rejected; "" if it was accepted."""
        entries = [{"Data": record.data, "PartitionKey": record.partition_key} for record in records]
        answer = self._clients.kinesis().put_records(StreamName=self._stream, Records=entries)  # type: ignore[arg-type]
        return [_rejection(result) for result in answer["Records"]]

    def _note(self, reasons: Counter[str], sent: int) -> None:
        rejected = reasons.total()
        self.sent += sent - rejected
        if not reasons:
            self._retries.succeeded("Kinesis accepts frames again")
            return
        self.failed_calls += 1
        name, _ = reasons.most_common(1)[0]
        note = self._retries.failed_in_part if rejected < sent else self._retries.failed
        note(
            Failure(name, f"PutRecords: {name}", permanent=False),
            f"{rejected} of {sent} frames rejected; they are sent again",
        )


def _rejection(result: PutRecordsResultEntryTypeDef) -> str:
    """Return why a record was rejected; only a sequence number proves that it was accepted."""
    if code := result.get("ErrorCode"):
        return one_line(str(code), 80)
    return "" if result.get("SequenceNumber") else "no sequence number"
