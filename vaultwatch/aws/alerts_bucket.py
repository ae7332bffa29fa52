"""The alerts bucket: lines too large for a Kinesis record, frames that cannot be read, rejected lines."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
from botocore.exceptions import ClientError

from vaultwatch.aws import keys
from vaultwatch.batches import RejectedLines, UnreadableFrame, checked
from vaultwatch.errors import FrameError
from vaultwatch.frames import Reference
from vaultwatch.printable import one_line

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from vaultwatch.store.apart import FailedAlert

MAX_LINES_BYTES = 128 * 1024 * 1024
"""The largest object that is read into memory: as much as a line may have."""
_MAX_REASON_BYTES = 1024  # S3 user guide: 2 KB for all metadata of an object
_ON_LOG_SERVER = "reference: the lines are on the log server, because its handler had no --oversize-bucket"


class AlertsBucket:
    """The bucket as `evaluate` and `sweep` use it. Failures of S3 are raised as botocore's own errors.

    Args:
        client: Returns the S3 client; called when the bucket is first needed.
        name: The name of the bucket.
    """

    def __init__(self, client: Callable[[], S3Client], name: str) -> None:
        self._client = client
        self._name = name

    def fetch_lines(self, reference: Reference) -> bytes:
        """Return the lines that a reference points to.

        Raises:
            FrameError: The reference is forged, leads nowhere, or is larger than any line.
        """
        if not reference.bucket:
            raise FrameError(_ON_LOG_SERVER)
        if reference.bucket != self._name or not keys.is_oversize(reference.key):
            raise FrameError("reference: points outside the bucket and folder of this deployment")
        if reference.size > MAX_LINES_BYTES:
            raise FrameError(f"reference: {reference.size} bytes are more than `ship` stores")
        try:
            body = self._client().get_object(Bucket=self._name, Key=reference.key)["Body"]
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") == "NoSuchKey":
                raise FrameError(f"reference: {reference.key[:200]} does not exist") from None
            raise
        with closing(body):
            return checked(body.read(reference.size + 1), reference)

    def park(self, unreadable: UnreadableFrame) -> None:
        """Store a frame that cannot be read, with the reason; S3's event for the object starts `sweep`."""
        reason = one_line(unreadable.reason).encode("ascii", "backslashreplace")[:_MAX_REASON_BYTES].decode()
        key, data = keys.parked(datetime.now(UTC), unreadable.frame.name), unreadable.frame.data
        self._client().put_object(Bucket=self._name, Key=key, Body=data, Metadata={"reason": reason})

    def keep_rejected(self, rejected: RejectedLines) -> None:
        """Store the rejected lines of a frame; if the frame is evaluated again, the same object is written again."""
        key = keys.rejected(rejected.first, rejected.process, rejected.sequence)
        self._client().put_object(Bucket=self._name, Key=key, Body=rejected.lines)

    def keep_failed(self, failed: FailedAlert) -> None:
        """Store an alert that could not be stored in the table as it is, with the name of the exception."""
        key = keys.failed_alert(failed.alert.id)
        self._client().put_object(Bucket=self._name, Key=key, Body=_encoded(failed))

    def keep_excluded(self, key: str, lines: bytes) -> None:
        """Store the records, as JSON lines, that `sweep` left out when it evaluated the object `key`."""
        self._client().put_object(Bucket=self._name, Key=keys.excluded(key), Body=lines)


def _encoded(failed: FailedAlert) -> bytes:
    from vaultwatch.store.encoding import encode_alert  # imported here: most processes never need it

    alert, whole = failed.alert, dict[str, Any]()
    try:
        whole = {"alert": msgspec.Raw(encode_alert(alert))}
    except Exception as error:  # noqa: BLE001  this alert has raised before; then its id leads to the log line
        whole = {"encoding": type(error).__name__}
    return msgspec.json.encode({"id": alert.id, "rule": alert.rule, "reason": failed.error, **whole})
