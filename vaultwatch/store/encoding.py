"""An alert as bytes and back, whatever a log has put into its texts."""

from __future__ import annotations

from typing import Any

import msgspec

from vaultwatch.alerts import Alert
from vaultwatch.printable import encodable

_decoder = msgspec.json.Decoder(Alert)
_UNREADABLE = {"vaultwatch": "this record is nested too deeply to be kept"}


def encode_alert(alert: Alert) -> bytes:
    """The alert as JSON. A lone surrogate, which JSON text can escape but UTF-8 cannot hold, becomes `?`."""
    try:
        return msgspec.json.encode(alert)
    except UnicodeEncodeError:
        return msgspec.json.encode(_clean(msgspec.to_builtins(alert)))
    except RecursionError:
        return encode_alert(msgspec.structs.replace(alert, record=_UNREADABLE))


def decode_alert(body: bytes) -> Alert:
    """The alert that `encode_alert` wrote; raises `msgspec.DecodeError`."""
    return _decoder.decode(body)


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, dict):
        return {encodable(str(key)): _clean(item) for key, item in value.items()}
    return [_clean(item) for item in value] if isinstance(value, list | tuple) else value
