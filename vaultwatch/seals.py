"""Name and seal the rows of a table, and seal messages: nobody else can find or write one that is recognised.

A name is an HMAC-SHA-256 over what a row would be called in clear. So whoever may read and write rows of a certain
kind, but has neither the key nor a list of the rows, can name none of them, whatever he knows of alerts and rules.

A seal is an HMAC-SHA-256 over the key of a row, its content, and the numbers and texts beside it that decide something.
So it belongs to no other row, content, due time or expiry. Whoever has a list of the rows, but not the key, can put
back an earlier row under its own key, and nothing else.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Mapping
from typing import Annotated

import msgspec

from vaultwatch.printable import one_line

SecretKey = Annotated[str, msgspec.Meta(min_length=32)]
"""A key that nobody can guess."""
_BYTES = 16  # of a name or seal: 128 bits
_OF_NAMES, _OF_SEALS, _OF_MESSAGES = b"name\0", b"seal\0", b"message\0"
"""What an HMAC begins with, so that none is two of them."""
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
    """Names and seals rows with a key; without one, `UNSEALED`, names are clear, and everybody can make the seals.

    Args:
        key: A secret that nobody can read with the credential of a role that may write to the table.
    """

    def __init__(self, key: str) -> None:
        self._key = key.encode()

    def name(self, clear: str) -> str:
        """Return the name of a row; without a key, the clear one.

        Args:
            clear: What the row would be called in clear: "alert#1".

        Returns:
            The same beginning, up to the first "#", and 32 hex digits, which are others behind another beginning.
        """
        if not self._key:
            return clear
        beginning, mark, _ = clear.partition("#")
        digest = hmac.digest(self._key, _OF_NAMES + clear.encode("utf-8", "surrogatepass"), "sha256")
        return f"{beginning}{mark}{digest[:_BYTES].hex()}"

    def of(self, key: tuple[str, str], body: bytes, marks: Mapping[str, str | float]) -> bytes:
        """Return the seal of a row: 16 bytes.

        Args:
            key: The key by which the row is stored.
            body: Its content.
            marks: Its numbers and texts that decide something.
        """
        # DynamoDB returns a number in another form than it was given, but the same float.
        fields = [(name, one if isinstance(one, str) else float(one)) for name, one in sorted(marks.items())]
        sealed = msgspec.msgpack.encode((key, body, fields))
        return hmac.digest(self._key, _OF_SEALS + sealed, "sha256")[:_BYTES]

    def of_message(self, body: bytes) -> str:
        """Return the seal of a message that is published: 32 hex digits.

        Args:
            body: The whole message.
        """
        return hmac.digest(self._key, _OF_MESSAGES + body, "sha256")[:_BYTES].hex()

    def holds(self, seal: bytes, key: tuple[str, str], body: bytes, marks: Mapping[str, str | float]) -> bool:
        """Return whether this is the seal of a row."""
        return hmac.compare_digest(seal, self.of(key, body, marks))


UNSEALED = Seal("")
