"""Make text from a log safe to show: nothing in it moves a cursor, is invisible, or reverses the reading direction."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from vaultwatch.patterns import on_first_use

# Characters that are invisible, although Unicode calls them printable.
_INVISIBLE = on_first_use(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0"
    "\U00016fe4\U0001d159\U000e0100-\U000e01ef]"
)
# All but Latin, Greek, Cyrillic, Chinese, Japanese and Korean characters that are harmless.
_UNCOMMON = on_first_use(
    "[^\x20-\x7e\u00a1-\u00ac\u00ae-\u02ff\u0390-\u03a1\u03a3-\u0482\u048a-\u052f\u1e00-\u1eff\u2010-\u2027"
    "\u2030-\u205e\u3001-\u3029\u3041-\u3096\u30a0-\u30ff\u3400-\u9fff\uac00-\ud7a3]"
)
# Whole blocks, with all control and format characters, all of private use, and all that are written from right to left.
_UNSAFE = on_first_use(
    "[\x80-\x9f\xad\u034f\u0590-\u08ff\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\u3164\ue000-\uf8ff\ufb1d-\ufdff\ufe00-\ufe0f\ufe70-\ufeff\uffa0\ufff0-\uffff\U00010800-\U00010fff\U000110bd"
    "\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U0001e800-\U0001efff"
    "\U000e0000-\U0010ffff]+"
)
_RIGHT_TO_LEFT = frozenset({"R", "AL", "AN"})
_MARK_CATEGORIES = frozenset({"Mn", "Mc", "Me"})
_MARKS_OF_A_LETTER = 3
_PLAIN = re.compile(r"[A-Za-z0-9_./@+*=~%$-]+")
_PLAIN_ADDRESS = re.compile(r"[0-9a-fA-F.:]+")
_PLAIN_TIME = re.compile(r"[0-9TZ:.+-]*…?")
_DOUBLE = (
    '"\u00a8\u00ab\u00bb\u02ba\u02dd\u02ee\u02f5\u02f6\u030e\u0385\u1cd3\u1fc1\u1fcd-\u1fcf\u1fdd-\u1fdf\u1fed\u1fee'
    "\u201c-\u201f\u2033\u2034\u2036\u2037\u2039\u203a\u2057\u275d\u275e\u2760\u276e\u276f\u2e42\u3003\u301d-\u301f"
    "\uff02\U0001f676-\U0001f678"
)
_SINGLE = (
    "'`\u00b4\u02b9\u02bb-\u02bd\u02c8\u02ca\u02cb\u02f4\u0374\u0384\u055a\u055b\u055d\u1fbd\u1fbf\u1fc0\u1fef\u1ffd"
    "\u1ffe\u2018-\u201b\u2032\u2035\u275b\u275c\u275f\ua78b\ua78c\uff07\uff40"
)
_MARKS = on_first_use(f"[{_DOUBLE}]|[{_SINGLE}]{{2,}}")
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def spelled_out(text: str) -> str:
    r"""Return the text with each character that is not safe to show replaced by its code, such as `\x1b`.

    These are line ends, terminal escapes, bidi overrides, zero-width characters and lone surrogates: `isprintable` is
    false for Unicode's categories "other" and "separator", except for the space. So are letters that are written from
    right to left, because they change the order of what surrounds them, and combining marks beyond three on a letter
    or on anything else, because they cover what is beside, above and below them.
    """
    if (text.isascii() and text.isprintable()) or not _UNCOMMON().search(text):
        return text
    shown: list[str] = []
    marks_left = 0
    for char in text:
        is_mark = unicodedata.category(char) in _MARK_CATEGORIES
        is_shown = _is_harmless(char) and (not is_mark or marks_left > 0)
        marks_left = 0 if not is_shown else marks_left - 1 if is_mark else _MARKS_OF_A_LETTER * char.isalpha()
        shown.append(char if is_shown else _code(char))
    return "".join(shown)


def one_line(text: str, limit: int | None = None) -> str:
    """Return the text spelled out, cut to `limit` characters."""
    safe = spelled_out(text if limit is None else text[:limit])
    return safe if limit is None or (len(safe) <= limit and len(text) <= limit) else safe[: max(limit - 1, 0)] + "…"


def quoted(text: str) -> str:
    """Return a text of one line for use within a sentence: in quotation marks, unless it is a plain name or path.

    Plain are ASCII letters, digits and the punctuation of paths, which cannot end a clause of the sentence. Everything
    that looks like a double quotation mark, or like two single ones, is spelled out, so that nothing in the text can
    close the marks.
    """
    if _PLAIN.fullmatch(text):
        return text
    return '"' + _MARKS().sub(lambda found: "".join(map(_code, found.group())), text) + '"'


def quoted_address(text: str) -> str:
    """Return a text of one line in quotation marks, unless it is an IP address or a plain name."""
    return text if _PLAIN_ADDRESS.fullmatch(text) else quoted(text)


def quoted_time(text: str) -> str:
    """Return a text of one line in quotation marks, unless it may be a time as RFC 3339 writes it."""
    return text if _PLAIN_TIME.fullmatch(text) else quoted(text)


def counted(count: int, unit: str) -> str:
    """Return a number with its unit: `1 rule`, `2 rules`, `2 entries`, `2 matches`."""
    if count != 1:
        unit = f"{unit[:-1]}ies" if unit.endswith("y") else f"{unit}{'es' if unit.endswith('ch') else 's'}"
    return f"{count:,} {unit}"


def encodable(text: str) -> str:
    """Return the text with each lone surrogate, which UTF-8 cannot encode, replaced by `?`."""
    return text.encode("utf-8", "replace").decode("utf-8")


def printable_json(encoded: bytes) -> bytes:
    r"""Return JSON with each control, format and right-to-left character replaced by its JSON escape, such as `\u202e`.

    It is the same JSON for a program, and nothing in it affects the terminal of a person who reads it.

    Args:
        encoded: JSON in UTF-8, in which control characters of ASCII are escaped, as JSON demands.
    """
    if encoded.isascii():
        return encoded
    import json  # most of what is shown is ASCII

    return _UNSAFE().sub(lambda found: json.dumps(found.group())[1:-1], encoded.decode()).encode()


@lru_cache(maxsize=4096)
def _is_harmless(char: str) -> bool:
    """Return whether a character alone is visible and leaves what surrounds it where it is."""
    return (
        char.isprintable()
        and unicodedata.bidirectional(char) not in _RIGHT_TO_LEFT
        and unicodedata.category(char) != "Me"
        and not _INVISIBLE().match(char)
    )


def _code(char: str) -> str:
    code = ord(char)
    return _NAMED.get(char) or (f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")
