"""What a regex of RE2 says about the texts that it finds."""

from __future__ import annotations

import re
from collections.abc import Iterator

import re2

from vaultwatch.rules.predicates import compile_regex

_FLAGS = re.compile(r"\(\?[a-z]+\)")
_START = re.compile(r"(\^|\\A)(?P<rest>.*)", re.DOTALL)
_MOST_BYTES = 64
_PIECE = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|.", re.DOTALL)


def always_begins(pattern: str, beginning: str) -> bool:
    """Return whether a search for a regex finds only texts that begin so; False if that is not sure."""
    flags = _FLAGS.match(pattern)
    if (flags and "m" in flags.group()) or r"\Q" in pattern:
        return False
    body = pattern[flags.end() :] if flags else pattern
    starts = [_START.fullmatch(one) for one in _alternatives(body)]
    return all(start is not None and _begins(start["rest"], beginning) for start in starts)


def _begins(rest: str, beginning: str) -> bool:
    try:
        least, most = compile_regex(rest).possiblematchrange(_MOST_BYTES)
    except re2.error:  # it may begin with anything
        return False
    return bool(least.startswith(beginning.encode()) and most.startswith(beginning.encode()))


def _alternatives(pattern: str) -> Iterator[str]:
    """Yield the parts between the `|` that are outside all groups."""
    depth, part = 0, ""
    for piece in _PIECE.findall(pattern):
        depth += (piece == "(") - (piece == ")")
        if piece == "|" and depth == 0:
            yield part
            part = ""
        else:
            part += piece
    yield part
