"""Encode rejected lines as JSON lines: the only format in which log servers, S3 and `check` keep them.

    {"reason":"no JSON object in the line","cluster":"prod","node":"vault-1","lane":"file","bytes":5,"line":"plain"}

`cluster`, `node` and `lane` are those of the line's tag, empty without one. `line` is the line without its tag; if that
is not UTF-8 text, `line_base64` takes its place. If a limit cuts the line, `sha256` is that of the complete line.
"""

from __future__ import annotations

import base64
import codecs
import hashlib
from collections.abc import Iterator

import msgspec

from vaultwatch.reading.records import Rejected

_PIECE_BYTES = 3 * 256 * 1024  # a multiple of three, so that each piece is base64 of its own


def encode_rejected(rejected: Rejected, limit_bytes: int | None = None) -> Iterator[bytes]:
    """Yield one JSON line in pieces: in one piece, 64 MiB of random bytes would take a gigabyte to encode.

    Args:
        rejected: The rejected line.
        limit_bytes: How much of the line to keep; all of it if None.
    """
    raw, origin = rejected.raw[:limit_bytes], rejected.origin
    head: dict[str, str | int] = {"reason": rejected.reason, "cluster": origin.cluster, "node": origin.node}
    head |= {"lane": origin.lane, "bytes": len(rejected.raw)}
    if len(raw) < len(rejected.raw):
        head["sha256"] = hashlib.sha256(rejected.raw).hexdigest()
    is_text = _is_text(raw)
    yield msgspec.json.encode(head)[:-1] + (b',"line":"' if is_text else b',"line_base64":"')
    yield from _escaped(raw) if is_text else map(base64.b64encode, _pieces(raw))
    yield b'"}\n'


def _pieces(raw: bytes) -> Iterator[bytes]:
    return (raw[start : start + _PIECE_BYTES] for start in range(0, len(raw), _PIECE_BYTES))


def _is_text(raw: bytes) -> bool:
    try:
        for _ in codecs.iterdecode(_pieces(raw), "utf-8"):
            pass
    except UnicodeDecodeError:
        return False
    return True


def _escaped(raw: bytes) -> Iterator[bytes]:
    return (msgspec.json.encode(text)[1:-1] for text in codecs.iterdecode(_pieces(raw), "utf-8"))
