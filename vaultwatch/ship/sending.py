"""The outbox, to Kinesis: what is refused is sent again, and only that, without end."""

from __future__ import annotations

from collections import Counter
from threading import Thread
from typing import TYPE_CHECKING

from vaultwatch.handler.stdin import logger
from vaultwatch.printable import one_line
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
            answered = list(zip(parcels, self._put(parcels), strict=True))
        except Exception as error:  # noqa: BLE001 (the thread's outermost edge: the frames are kept, and sent again)
            self._patience.failed(trouble(error), f"{len(parcels)} frames wait and are sent again")
            return parcels
        self._outbox.release(parcel for parcel, refusal in answered if not refusal)
        self._note(Counter(refusal for _, refusal in answered if refusal), len(parcels))
        return [parcel for parcel, refusal in answered if refusal]

    def _put(self, parcels: list[Parcel]) -> list[str]:
        """Make the call; for each parcel why it was refused, "" where it was taken."""
        records = [{"Data": parcel.data, "PartitionKey": parcel.partition_key} for parcel in parcels]
        answer = self._clients.kinesis().put_records(StreamName=self._stream, Records=records)  # type: ignore[arg-type]
        return [_refusal(result) for result in answer["Records"]]

    def _note(self, refusals: Counter[str], sent: int) -> None:
        if not refusals:
            self._patience.succeeded("Kinesis takes frames again")
            return
        name, _ = refusals.most_common(1)[0]
        reason = Trouble(name, f"PutRecords: {name}", permanent=False)
        refused = refusals.total()
        note = self._patience.failed_in_part if refused < sent else self._patience.failed
        note(reason, f"{refused} of {sent} frames refused; they are sent again")


def _refusal(result: PutRecordsResultEntryTypeDef) -> str:
    """Why a parcel was not taken: only a sequence number says that it was."""
    if code := result.get("ErrorCode"):
        return one_line(str(code), 80)
    return "" if result.get("SequenceNumber") else "no sequence number"


def drained(sender: Sender, outbox: Outbox) -> None:
    """Close the outbox and wait, without end, until everything in it was accepted."""
    outbox.close()
    logger.info("end of input: sends what is left")
    sender.join()
