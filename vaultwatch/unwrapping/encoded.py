"""Lines of a log in base64, as Kinesis, Pub/Sub and Kafka's REST proxy give them back, also compressed with gzip."""

from __future__ import annotations

import base64
import binascii
import re
import zlib

_BASE64 = re.compile(r"[A-Za-z0-9+/\s]*={0,2}")
_CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_FEWEST = 16
"""Characters: of fewer, many words are base64 of something."""
_GZIP = b"\x1f\x8b\x08"
_MOST_BYTES, _MOST_TIMES = 16 * 1024 * 1024, 100
"""What a record of Kinesis, of 1 MiB, may become when it is decompressed, and how many times its size."""


def text_in(text: str) -> bytes | None:
    """Return the text that a text is in base64; None if it is not."""
    if len(text) < _FEWEST or not (found := _plain(text)):
        return None
    try:
        found.decode()
    except UnicodeDecodeError:
        return None
    return None if _CONTROLS.search(found) else found


def decoded(text: bytes) -> bytes:
    """Return what a text is in base64; the text itself if it is not."""
    found = _plain(text.decode("utf-8", "replace"))
    return text if found is None else found


def _plain(text: str) -> bytes | None:
    """Return what a text is in base64, decompressed; None if it is not, or if it would become too large."""
    found = unpacked(text)
    if found is None or not found.startswith(_GZIP):
        return found
    stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        plain = stream.decompress(found, min(_MOST_BYTES, _MOST_TIMES * len(found)))
    except zlib.error:
        return None
    return plain if stream.eof else None


def unpacked(text: str) -> bytes | None:
    """Return what a text is in base64; None if it is not."""
    if not _BASE64.fullmatch(text.strip()):
        return None
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except binascii.Error:
        return None
