"""What some program has written behind each line of a log, such as ` [host=vault-1]`.

No sign is between a message and what somebody has appended to it. But all lines at the beginning of a log end with the
same, and one of them shows that it is not of Vault: it follows a whole object of JSON, or the last pair of a message
without being one; or a pair follows messages that have no other pairs, and so no colon before it. If no line shows it,
such as of a log of which somebody has searched the lines with a word, nothing is taken away.
"""

from __future__ import annotations

import re

import msgspec

from vaultwatch.patterns import on_first_use

_FEWEST_LINES = 4
_LONGEST = 256
_STARTS = re.compile(rb"(?<![ \t])[ \t]")
_IS_PAIR = on_first_use(rb"[ \t]+[\w@./()-]+=")
_IS_PAIRS = on_first_use(rb"(?:[ \t]+[\w@./()-]{1,64}=[^\s\"]{1,128}){1,8}")
_LAST_PAIR = on_first_use(rb'[\w@./()-]+=(?:"[^"]*"|[^\s"\[]+)')
_skip = msgspec.json.Decoder(msgspec.Raw).decode


def ending_of(head: bytes) -> bytes:
    """Return what is behind each line of a log; b"" if nothing is.

    Args:
        head: The first bytes of the log.
    """
    lines = [line.rstrip() for line in head.split(b"\n")[:-1]]
    if len(lines) < _FEWEST_LINES:
        return b""
    common = _common_end(lines)
    endings = (common[found.start() :] for found in _STARTS.finditer(common))
    return next((ending for ending in endings if ending.strip() and _is_shown(ending, lines)), b"")


def _common_end(lines: list[bytes]) -> bytes:
    """Return what all lines end with: what the first and the last in the order of their ends do."""
    reversed_ends = [line[-_LONGEST:][::-1] for line in lines]
    first, last = min(reversed_ends), max(reversed_ends)
    differs = (at for at, (one, other) in enumerate(zip(first, last, strict=False)) if one != other)
    return first[: next(differs, len(first))][::-1]


def _is_shown(ending: bytes, lines: list[bytes]) -> bool:
    """Return whether a line shows that what all have at their ends is not of Vault."""
    if ending.count(b'"') % 2:
        return False
    rests = [line[: -len(ending)] for line in lines]
    if any(map(_is_object, rests)):
        return True
    if not _IS_PAIR().match(ending):
        return any(map(_ends_with_pair, rests))
    messages = [text for rest in rests if (text := _text_of(rest))]
    if not _IS_PAIRS().fullmatch(ending) or any(text.endswith(b":") for text in messages):
        return False
    return len({text for text in messages if b"=" not in text}) > 1


def _is_object(text: bytes) -> bool:
    if not (text.startswith(b"{") and text.endswith(b"}")):
        return False
    try:
        _skip(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _ends_with_pair(text: bytes) -> bool:
    """Return whether a text is a message whose pairs are complete: hclog puts a value with blanks in quotes."""
    message = _text_of(text)
    value = message.rfind(b'="') if message.endswith(b'"') else len(message)
    start = message.rfind(b" ", 0, max(value, 0)) + 1
    return b": " in message[:start] and _LAST_PAIR().fullmatch(message, start) is not None


def _text_of(line: bytes) -> bytes:
    """Return the text of a message of hclog; b"" if the line has no head of one."""
    from vaultwatch.reading.hclog import read_head  # few lines of audit logs end alike

    head = read_head(line)
    return line[head.text_at :] if head and "T" in head.time else b""
