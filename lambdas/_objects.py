"""The alerts bucket, as evaluate and sweep use it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from vaultwatch.aws import keys as prefixes
from vaultwatch.batches import UnreadableFrame, checked, rejected_lines
from vaultwatch.errors import FrameError
from vaultwatch.frames import Reference
from vaultwatch.printable import one_line
from vaultwatch.reading.records import Rejected

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


# Others S3 would refuse with an error that looks like its own, and the frame would be tried for a day.
_OVERSIZE_KEY = re.compile(rf"{prefixes.OVERSIZE}[\w=/-]{{1,300}}", re.ASCII)
_MAX_REASON_BYTES = 1024  # S3 user guide: 2 KB for all metadata of an object


class Objects:
    """Reads what frames refer to, up to `max_claim_bytes`; keeps what cannot be read. The client is made when needed.

    What S3 cannot do now is raised as botocore says it.
    """

    def __init__(self, client: Callable[[], S3Client], bucket: str, max_claim_bytes: int) -> None:
        self._client = client
        self._bucket = bucket
        self._max_claim_bytes = max_claim_bytes

    def claim(self, reference: Reference) -> bytes:
        """The lines that a frame refers to; raises `FrameError` for what no sender of ours could have meant."""
        if reference.bucket != self._bucket or not _OVERSIZE_KEY.fullmatch(reference.key):
            raise FrameError("reference: not to our own bucket and folder" if reference.bucket else _ON_LOG_SERVER)
        if reference.size > self._max_claim_bytes:
            raise FrameError(f"reference: {reference.size} bytes are left to a function with more memory")
        try:
            body = self._client().get_object(Bucket=self._bucket, Key=reference.key)["Body"]
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") == "NoSuchKey":
                raise FrameError(f"reference: {reference.key[:200]} is not there") from None
            raise
        with closing(body):
            return checked(body.read(reference.size + 1), reference)

    def park(self, unreadable: UnreadableFrame) -> None:
        """Keep a frame that cannot be read here, with its reason; that it is there calls sweep."""
        reason = one_line(unreadable.reason).encode("ascii", "backslashreplace")[:_MAX_REASON_BYTES].decode()
        key = f"{prefixes.PARKED}dt={datetime.now(UTC):%Y-%m-%d}/{unreadable.frame.name}.frame"
        self._client().put_object(Bucket=self._bucket, Key=key, Body=unreadable.frame.data, Metadata={"reason": reason})

    def keep_rejected(self, name: str, rejected: Sequence[Rejected]) -> None:
        """Keep the rejected lines of a frame; the same frame again writes the same object."""
        key = f"{prefixes.REJECTED}{name}.jsonl"
        self._client().put_object(Bucket=self._bucket, Key=key, Body=rejected_lines(rejected))


_ON_LOG_SERVER = "reference: the lines lie on the log server, since its handler knew no bucket"
