"""Lines of a log in base64, as Kinesis, Pub/Sub and Kafka's REST proxy give them back."""

from __future__ import annotations

import base64
import binascii
import re

_BASE64 = re.compile(r"[A-Za-z0-9+/\s]*={0,2}")
_CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_FEWEST = 16
"""Characters: of fewer, many words are base64 of something."""


def text_in(text: str) -> bytes | None:
    """Return the text that a text is in base64; None if it is not."""
    if len(text) < _FEWEST or not (found := unpacked(text)):
        return None
    try:
        found.decode()
    except UnicodeDecodeError:
        return None
    return None if _CONTROLS.search(found) else found


def decoded(text: bytes) -> bytes:
    """Return what a text is in base64; the text itself if it is not."""
    found = unpacked(text.decode("utf-8", "replace"))
    return text if found is None else found


def unpacked(text: str) -> bytes | None:
    """Return what a text is in base64; None if it is not."""
    if not _BASE64.fullmatch(text.strip()):
        return None
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except binascii.Error:
        return None
