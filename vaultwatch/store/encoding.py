"""Encode an alert as bytes and decode it, whatever a log has put into its texts."""

from __future__ import annotations

from typing import Any

import msgspec
import zstandard

from vaultwatch.alerts import Alert
from vaultwatch.printable import encodable

_decoder = msgspec.json.Decoder(Alert)
_ZSTD = b"\x28\xb5\x2f\xfd"  # how a zstd frame begins, and JSON never does
_MAX_BYTES = 1024 * 1024
_UNREADABLE = {"vaultwatch": "this record is nested too deeply to be kept"}


def encode_alert(alert: Alert) -> bytes:
    """Encode an alert as JSON. A lone surrogate, which JSON can escape but UTF-8 cannot encode, becomes `?`."""
    try:
        return msgspec.json.encode(alert)
    except UnicodeEncodeError:
        return msgspec.json.encode(_clean(msgspec.to_builtins(alert)))
    except RecursionError:
        return encode_alert(msgspec.structs.replace(alert, record=_UNREADABLE))


def decode_alert(body: bytes) -> Alert:
    """Decode an alert from `encode_alert` or `pack_alert`; raises `msgspec.DecodeError`."""
    return _decoder.decode(_unpack(body) if body.startswith(_ZSTD) else body)


def pack_alert(alert: Alert) -> bytes:
    """Encode an alert as JSON, compressed if that is smaller: DynamoDB charges for each KiB."""
    body = encode_alert(alert)
    packed = zstandard.ZstdCompressor(level=3).compress(body)
    return packed if len(packed) < len(body) else body


def _unpack(packed: bytes) -> bytes:
    try:
        if zstandard.frame_content_size(packed) > _MAX_BYTES:
            raise msgspec.DecodeError("an alert that decompresses to too many bytes")
        return zstandard.ZstdDecompressor().decompress(packed)
    except zstandard.ZstdError as error:
        raise msgspec.DecodeError(str(error)) from error


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, dict):
        return {encodable(str(key)): _clean(item) for key, item in value.items()}
    return [_clean(item) for item in value] if isinstance(value, list | tuple) else value
