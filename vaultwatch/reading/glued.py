r"""Divide what some program has joined to one line: the further lines of a message, and a banner or a crash behind it.

    ...request: backend=siem/\n  error=\n  | 2 errors occurred:   with what it writes for line ends, or nothing
    ...restore complete==> Vault shutdown triggered
    ...restore completepanic: runtime error: index out of range

A value in quotes is never divided: it can be a text of a client.
"""

from __future__ import annotations

import re

_QUOTED = rb'="[^"\\]*(?:\\.[^"\\]*){0,4096}(?:"|\Z)'
_FURTHER = re.compile(
    _QUOTED + rb"|(?P<end>(?<!\\)\\n|#012|<br ?/?>|['\"], ?['\"]| ?[|;] |[,\t ]|)"
    rb"(?=  [^\s=|\\#<]{1,256}(?: [^\s=|\\#<]{1,256}){0,3}=(?P=end)  \|)",
    re.DOTALL,
)
_BANNER = re.compile(_QUOTED + rb"|(?P<banner>(?:==>|panic:|fatal error:) )", re.DOTALL)
_STACK = re.compile(_QUOTED + rb"|(?P<stack>goroutine \d+ \[)", re.DOTALL)
_OF_THE_RUNTIME = b"runtime error: "
_BETWEEN_TEXTS = re.compile(rb"(?:\"[,;\t ]{0,4}\"|'[,;\t ]{0,4}')\Z")
_OPENS_TEXT = (b'"', b"'", b"=", b"(", b"[", b"{", b"<", b"`")


def lines_of(text: bytes) -> list[bytes]:
    """Return the lines of the message in a line; the line alone if it is one.

    Args:
        text: The line.
    """
    if b"  |" not in text or not (found := _first(_FURTHER, text, "end")):
        return [text]
    behind = rb"(?=  |\Z)" if found["end"] else rb"(?=  (?:\||\Z))"
    return [text[: found.start()], *re.split(re.escape(found["end"]) + behind, text[found.end() :])]


def banner_at(text: bytes) -> int:
    """Return where a banner, or a crash, begins behind a message; 0 if none does.

    A message can say `recovered: panic: x`, or quote a text: behind a blank, only what a stack follows, or what the
    runtime of Go says, is a crash.

    Args:
        text: The text of the message.
    """
    if b"==> " not in text and b"panic: " not in text and b"fatal error: " not in text:
        return 0
    for found in _BANNER.finditer(text, 1):
        at = found.start("banner")
        if at > 0 and _is_behind(text, at):
            return at
    return 0


def _is_behind(text: bytes, at: int) -> bool:
    before = text[:at].rstrip(b" ")
    if _BETWEEN_TEXTS.search(before[-8:]):
        return True
    if before.endswith(_OPENS_TEXT) or not before:
        return False
    if text.startswith(b"==>", at) or len(before) == at:
        return not before.endswith((b"-", b"_"))
    if before.endswith(b":"):
        return False
    return text.startswith(_OF_THE_RUNTIME, text.find(b" ", at) + 1) or _first(_STACK, text[at:], "stack") is not None


def _first(pattern: re.Pattern[bytes], text: bytes, group: str) -> re.Match[bytes] | None:
    return next((found for found in pattern.finditer(text) if found[group] is not None), None)
