"""An S3 in memory for what stores segments: `put_object` with `If-None-Match` and a checksum."""

from __future__ import annotations

import base64
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from botocore.exceptions import ClientError

Fault = Callable[[Callable[[], Any]], Any]


class MemoryS3:
    """Stores objects in memory.

    Attributes:
        objects: By key the object and its metadata.
        fault: What happens instead of the next call; it may make the call.
    """

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, dict[str, str]]] = {}
        self.fault: Fault | None = None

    def put_object(self, **arguments: Any) -> Any:
        """See S3's PutObject."""
        fault, self.fault = self.fault, None
        return fault(lambda: self._put(**arguments)) if fault else self._put(**arguments)

    def _put(self, **arguments: Any) -> Any:
        key, body = arguments["Key"], arguments["Body"].read()
        checksum = base64.b64encode(sha256(body).digest()).decode()
        if arguments["ChecksumSHA256"] != checksum:
            raise ClientError({"Error": {"Code": "BadDigest"}}, "PutObject")
        if arguments["IfNoneMatch"] == "*" and key in self.objects:
            raise ClientError({"Error": {"Code": "PreconditionFailed"}}, "PutObject")
        self.objects[key] = (body, arguments["Metadata"])
        return {"ChecksumSHA256": checksum}
