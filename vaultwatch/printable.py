"""Text from a log, made safe to show: nothing in it moves a cursor, hides, or turns the reading direction round."""

from __future__ import annotations

import re
import unicodedata

_UNSAFE = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\u00ad\u061c\u115f\u1160\u180e\u200b-\u200f\u2028-\u202f\u2060-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e0fff]"
)


def one_line(text: str, limit: int | None = None) -> str:
    """One line with every control, format and surrogate character spelled out, cut to `limit` characters."""
    safe = _UNSAFE.sub(lambda found: _spell_out(found.group()), text.replace("\t", " "))
    return safe if limit is None or len(safe) <= limit else safe[: max(limit - 1, 0)] + "…"


def _spell_out(char: str) -> str:
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def display_width(text: str) -> int:
    """Columns on a terminal: wide East Asian characters take two, combining ones none."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )
