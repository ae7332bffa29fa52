"""Encode an alert as bytes and decode it, whatever a log has put into its texts."""

from __future__ import annotations

from typing import Any

import msgspec

from vaultwatch.alerts import Alert
from vaultwatch.printable import encodable

_decoder = msgspec.json.Decoder(Alert)
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
    """Decode an alert from `encode_alert`; raises `msgspec.DecodeError`."""
    return _decoder.decode(body)


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, dict):
        return {encodable(str(key)): _clean(item) for key, item in value.items()}
    return [_clean(item) for item in value] if isinstance(value, list | tuple) else value
