"""The outbox, to Kinesis: what is refused is sent again, and only that, without end."""

from __future__ import annotations

from collections import Counter
from threading import Thread
from typing import TYPE_CHECKING

from vaultwatch.printable import one_line
from vaultwatch.program import logger
from vaultwatch.ship.aws import Clients, Patience, Trouble, trouble
from vaultwatch.ship.options import Pace
from vaultwatch.ship.outbox import Outbox, Parcel

if TYPE_CHECKING:
    from mypy_boto3_kinesis.type_defs import PutRecordsResultEntryTypeDef

MAX_PARCELS_A_CALL = 500
MAX_BYTES_A_CALL = 5 * 1024 * 1024


class Sender(Thread):
    """Sends until the outbox is closed and empty. Nothing that goes wrong ends it."""

    def __init__(self, stream: str, outbox: Outbox, pace: Pace) -> None:
        super().__init__(name="sender", daemon=True)
        self._stream = stream
        self._outbox = outbox
        self._clients = Clients(pace)
        self._patience = Patience(pace, self._clients)

    def run(self) -> None:
        """Send, and send again what was refused, topped up with what came meanwhile."""
        refused: list[Parcel] = []
        while parcels := refused + self._next(refused):
            refused = self._send(parcels)
            self._patience.wait()
        self._clients.renew()

    def _next(self, refused: list[Parcel]) -> list[Parcel]:
        room = MAX_BYTES_A_CALL - sum(parcel.size for parcel in refused)
        return self._outbox.take(MAX_PARCELS_A_CALL - len(refused), room, wait=not refused)

    def _send(self, parcels: list[Parcel]) -> list[Parcel]:
        """Make one call and release what it took; a call that may have been taken counts as refused."""
        try:
            results = self._put(parcels)
            answered = list(zip(parcels, results, strict=True))
        except Exception as error:  # noqa: BLE001 (the thread's outermost edge: the frames are kept, and sent again)
            self._patience.failed(trouble(error), f"{len(parcels)} frames wait and are sent again")
            return parcels
        refused = [parcel for parcel, result in answered if result.get("ErrorCode")]
        self._outbox.release(parcel for parcel, result in answered if not result.get("ErrorCode"))
        self._note(results, len(refused), len(parcels))
        return refused

    def _put(self, parcels: list[Parcel]) -> list[PutRecordsResultEntryTypeDef]:
        records = [{"Data": parcel.data, "PartitionKey": parcel.partition_key} for parcel in parcels]
        return self._clients.kinesis().put_records(StreamName=self._stream, Records=records)["Records"]  # type: ignore[arg-type]

    def _note(self, results: list[PutRecordsResultEntryTypeDef], refused: int, sent: int) -> None:
        if not refused:
            self._patience.succeeded("Kinesis takes frames again")
            return
        codes = Counter(one_line(result.get("ErrorCode", ""), 80) for result in results if result.get("ErrorCode"))
        name, _ = codes.most_common(1)[0]
        reason = Trouble(name, f"PutRecords: {name}", permanent=False)
        note = self._patience.failed_in_part if refused < sent else self._patience.failed
        note(reason, f"{refused} of {sent} frames refused; they are sent again")


def drained(sender: Sender, outbox: Outbox) -> None:
    """Close the outbox and wait, without end, until everything in it was accepted."""
    outbox.close()
    logger.info("end of input: sends what is left")
    sender.join()
