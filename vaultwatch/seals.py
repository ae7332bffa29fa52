"""Seal the rows of a table, so that rows which somebody else wrote are recognised, and count these.

A seal is an HMAC-SHA-256 over the key of a row, its content, and the numbers and texts beside it that decide something.
So it belongs to no other row, content, due time or expiry. Whoever may write to the table, but does not have the key,
can put back an earlier row under its own key, and nothing else.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Mapping
from typing import Annotated

import msgspec

from vaultwatch.printable import one_line

SealKey = Annotated[str, msgspec.Meta(min_length=32)]
"""A key that nobody can guess."""
_SEAL_BYTES = 16
_log = logging.getLogger(__name__)


class ForeignRows:
    """How many rows this process has ignored, because Vaultwatch did not write them."""

    def __init__(self) -> None:
        self.count = 0

    def add(self, key: tuple[str, str]) -> None:
        """Count a row, and log its key."""
        self.count += 1
        _log.error("the row %s cannot be read, and is ignored: who wrote it?", one_line(str(key), 300))

    def taken(self) -> int:
        """Return how many there were since the last call."""
        count, self.count = self.count, 0
        return count


foreign_rows = ForeignRows()


class Seal:
    """Seals rows with a key; `UNSEALED`, without one, is a checksum that everybody can make.

    Args:
        key: A secret that nobody can read with the credential of a role that may write to the table.
    """

    def __init__(self, key: str) -> None:
        self._key = key.encode()

    def of(self, key: tuple[str, str], body: bytes, marks: Mapping[str, str | float]) -> bytes:
        """Return the seal of a row: 16 bytes.

        Args:
            key: The key of the row.
            body: Its content.
            marks: Its numbers and texts that decide something.
        """
        # DynamoDB returns a number in another form than it was given, but the same float.
        fields = [(name, one if isinstance(one, str) else float(one)) for name, one in sorted(marks.items())]
        return hmac.digest(self._key, msgspec.msgpack.encode((key, body, fields)), "sha256")[:_SEAL_BYTES]

    def holds(self, seal: bytes, key: tuple[str, str], body: bytes, marks: Mapping[str, str | float]) -> bool:
        """Return whether this is the seal of a row."""
        return hmac.compare_digest(seal, self.of(key, body, marks))


UNSEALED = Seal("")
