"""Why lines were rejected: how often for which reason, and what a user can do about it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import IO

import msgspec

from vaultwatch.inputs.torn import Torn
from vaultwatch.reading.budget import SMALL_BYTES
from vaultwatch.reading.records import NO_OBJECT, Rejected
from vaultwatch.reading.rejected import encode_rejected

NOT_TEXT = "it is not text"
PACKED = "data that gzip has compressed, in a log that is not"
_GZIP = b"\x1f\x8b\x08"
_OF_NOISE = (NO_OBJECT, "broken JSON: Expecting property name")
"""Reasons that noise has, by chance: it depends on whether a brace is in it."""
_CONTROLS = bytes(code for code in (*range(0x20), 0x7F) if code not in b"\b\t\n\f\r\x1b")
_OF_VAULT = (b'"request":', b'"@message":')
_MOSTLY_INVALID = 0.2
_SAMPLE_BYTES = 128 * 1024
_LINES_BEFORE = 50
"""Of a head, as of mail, which is read as messages."""
_WHERE = re.compile(r" at byte \d+ of \d+")


def without_position(reason: str) -> str:
    """Return a reason without the position in the line, so that it is the same for other lines."""
    return _WHERE.sub("", reason) if " at byte " in reason else reason


def is_binary(start: bytes) -> bool:
    """Return whether a line has control characters, or is mostly no UTF-8.

    Args:
        start: Its beginning.
    """
    invalid = start.decode("utf-8", "replace").count("\ufffd")
    return len(start.translate(None, _CONTROLS)) < len(start) or invalid > _MOSTLY_INVALID * len(start)


def is_foreign(line: bytes) -> bool:
    """Return whether a line is of a file that is no text and has nothing of Vault: no client can make Vault write one.

    NULs at its beginning are no sign: a crash of the host leaves them in a log.
    """
    return is_binary(line.lstrip(b"\0")[:SMALL_BYTES]) and not any(sign in line for sign in _OF_VAULT)


class Rejects:
    """Counts rejected lines by their reasons, and writes them to a file.

    Attributes:
        reasons: How often each reason occurred.
        first: The first line that was rejected in the log that is being read, or the last one in which compressed data
            begins; None if none was.
        unclear: The beginning of the first of its lines that no server is known to write; b"" if none is such.
        torn: How entries of that log were torn.
        sample: Its lines around the first of these.
        kept_bytes: How much was written to the file.
    """

    def __init__(self, keep: IO[bytes] | None) -> None:
        """Count from zero.

        Args:
            keep: The file; None to keep no lines.
        """
        self.reasons: Counter[str] = Counter()
        self.first: Rejected | None = None
        self.unclear = self.sample = b""
        self.torn = Torn()
        self._whole = b""
        self.kept_bytes = 0
        self._keep = keep

    @property
    def keeps(self) -> bool:
        """Whether lines are written to a file."""
        return self._keep is not None

    def begin_log(self) -> None:
        """Begin another log."""
        self.first, self.unclear, self.torn, self.sample = None, b"", Torn(), b""

    def watch(self, lines: Sequence[bytes]) -> None:
        """Keep the lines around the first that is rejected or unclear, of those that were read last."""
        if len(self.sample) >= _SAMPLE_BYTES or not (self.first or self.unclear):
            return
        at = 0
        if not self.sample:
            begins = [text[:64].strip() for text in (self.unclear, self.first.raw if self.first else b"") if text]
            at = next((number for number, line in enumerate(lines) if any(one in line for one in begins)), 0)
        taken, size = list[bytes](), len(self.sample)
        for line in lines[max(at - _LINES_BEFORE, 0) :]:
            taken.append(line)
            if (size := size + len(line)) >= _SAMPLE_BYTES:
                break
        self.sample += b"".join(taken)[: _SAMPLE_BYTES * 2]

    def note_unclear(self, line: bytes) -> None:
        """Note a line that is read as a message, and that no server is known to write."""
        self.unclear = self.unclear or line[:SMALL_BYTES]

    def add(self, line: Rejected) -> None:
        """Count a rejected line, and write it; one of which several parts were rejected is written once."""
        is_packed = line.raw.startswith(_GZIP) or b"}" + _GZIP in line.raw
        if is_packed or (line.reason.startswith(_OF_NOISE) and is_binary(line.raw[:SMALL_BYTES])):
            line = msgspec.structs.replace(line, reason=PACKED if is_packed else NOT_TEXT)
        self.first = line if is_packed or self.first is None else self.first
        self.torn.note(line)
        self.reasons[without_position(line.reason)] += 1
        if self._keep is None or (line.whole and line.whole is self._whole):
            return
        self._whole = line.whole
        for piece in encode_rejected(_as_it_stood(line) if line.whole else line):
            self._write(piece)

    def add_all(
        self, reasons: Mapping[str, int], first: Rejected | None, torn: Torn, sample: bytes, kept: bytes
    ) -> None:
        """Add what was counted elsewhere: reasons, the first line, how lines were torn, a sample, and those kept."""
        self.sample = self.sample or sample
        self.first = first if first and first.reason == PACKED else self.first or first
        self.torn.add(torn)
        self.reasons.update(reasons)
        self._write(kept)

    def _write(self, kept: bytes) -> None:
        if self._keep:
            self.kept_bytes += self._keep.write(kept)

    def commonest(self) -> str:
        """Return the commonest reason, and that there are others; "" if no line was rejected."""
        if not self.reasons:
            return ""
        reason = self.reasons.most_common(1)[0][0]
        return reason if len(self.reasons) == 1 else f"most often: {reason}"


def _as_it_stood(line: Rejected) -> Rejected:
    """Return what stood in the log instead of a part of it; a position in the part is none in the whole."""
    return msgspec.structs.replace(line, raw=line.whole, reason=without_position(line.reason))
