"""Make text from a log safe to show: nothing in it moves a cursor, is invisible, or reverses the reading direction."""

from __future__ import annotations

import re

# Letters and marks that are invisible, although Unicode calls them printable.
_INVISIBLE = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")
_PLAIN = re.compile(r"[A-Za-z0-9_./@+*=~%$-]+")
_PLAIN_ADDRESS = re.compile(r"[0-9a-fA-F.:]+")
_MARKS = re.compile(
    '["\u00ab\u00bb\u02ba\u02dd\u02ee\u05f4\u201c-\u201f\u2033\u2036\u2039\u203a\u275d\u275e\u301d-\u301f\uff02]'
)
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def spelled_out(text: str) -> str:
    r"""Return the text with each unprintable character replaced by its code, such as `\x1b`.

    Unprintable are line ends, terminal escapes, bidi overrides, zero-width characters and lone surrogates:
    `isprintable` is false for Unicode's categories "other" and "separator", except for the space.
    """
    if text.isascii() and text.isprintable():
        return text
    shown = "".join(char if char.isprintable() else _code(char) for char in text)
    return _INVISIBLE.sub(lambda found: _code(found.group()), shown)


def one_line(text: str, limit: int | None = None) -> str:
    """Return the text spelled out, cut to `limit` characters."""
    safe = spelled_out(text if limit is None else text[:limit])
    return safe if limit is None or (len(safe) <= limit and len(text) <= limit) else safe[: max(limit - 1, 0)] + "…"


def quoted(text: str) -> str:
    """Return a text of one line for use within a sentence: in quotation marks, unless it is a plain name or path.

    Plain are ASCII letters, digits and the punctuation of paths, which cannot end a clause of the sentence. Everything
    that looks like a double quotation mark is spelled out, so that nothing in the text can close the marks.
    """
    if _PLAIN.fullmatch(text):
        return text
    return '"' + _MARKS.sub(lambda found: _code(found.group()), text) + '"'


def quoted_address(text: str) -> str:
    """Return a text of one line in quotation marks, unless it is an IP address or a plain name."""
    return text if _PLAIN_ADDRESS.fullmatch(text) else quoted(text)


def encodable(text: str) -> str:
    """Return the text with each lone surrogate, which UTF-8 cannot encode, replaced by `?`."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _code(char: str) -> str:
    code = ord(char)
    return _NAMED.get(char) or (f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")
