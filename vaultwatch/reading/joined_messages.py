r"""Find the messages of the server log that follow each other on one line, with anything or nothing between them.

`aws logs get-log-events --output text` writes tabs between messages, a spreadsheet commas, a wiki `<br>`. A message
begins wherever a time and a level stand outside of a value. A value in quotes (`error="..."`, `paths=["a b", ...]`)
belongs to its message: hclog writes the texts of clients in this way, with their quotes escaped. A quote counts as the
beginning of a value only if its end is followed by what can follow a value, and nothing in it is what hclog escapes,
such as a tab between messages; any other hides no message.

A quote behind two backslashes ends a value of the year in which hclog escaped backslashes, and today belongs to the
text of a client. It does if it leaves an odd number of quotes without a backslash: a client can write none of those.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Protocol

HEAD = (
    rb"(?:\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:?\d\d)"
    rb"|\d{4}/\d\d/\d\d \d\d:\d\d:\d\d(?:\.\d{1,9})?)"
    rb" \[ {0,2}(?:TRACE|DEBUG|INFO|WARN|ERROR|ERR) {0,2}\](?: |\Z)"
)
_OWN_HEAD = re.compile(HEAD)
_CANDIDATE = re.compile(rb'(?P<value>=\[?)(?=")|(?P<list>=\[)(?=[^\s"\]])|(?P<head>' + HEAD + rb')|(?P<object>\{")')
_BANNER = re.compile(rb"(?:[\s;,|]|\\n|#012|<br ?/?>){0,16}((?:==>|panic:|fatal error:) )")
_QUOTE_OR_ESCAPE = re.compile(rb'\\.|"', re.DOTALL)
_BARE_QUOTE = re.compile(rb'(?<!\\)"')
_UNESCAPED = re.compile(rb"[\x00-\x1f\x7f]|\xe2\x80[\xa8\xa9]|\xc2\x85")  # what hclog escapes in a value
_QUOTE_OR_BRACKET = re.compile(rb'["\]]')
_AFTER_VALUE = re.compile(rb"[\s,;|\"')\]}<\0]|\xe2\x80[\xa8\xa9]|\xc2\x85|\Z")
_CONTINUES_VALUE = re.compile(rb"(?:\A|: )\s{0,3}\| ?\Z")  # a line of a value of many lines, as hclog writes it
_ENDS_OTHER_LINE = re.compile(rb"[\w.)\]}]")
_ENDS_WITH_LEVEL = re.compile(rb"\[[a-z]{3,9}\]\Z")  # Fly.io: `2026-11-21T07:29:41Z app[148e] iad [info]`
_QUOTES = (b'"', b"'", b"`")
_SEPARATORS = b" \t\r\n\f\v\0,;|"
_LONG_SEPARATORS = (b"\xe2\x80\xa8", b"\xe2\x80\xa9", b"\xc2\x85", b"\\n", b"\\r", b"\\t", b"#012")
_TAG = re.compile(rb"(?i)</?(?:br|p|div|li|ul|td|tr|span|pre|code)\b[^<>]{0,64}>\Z")
_LONGEST_TAG = 80
_MOST_SEPARATORS = 64
_LONGEST_PREFIX = 256


class EndOf(Protocol):
    """Returns where an object that begins at a position of a text ends; 0 if it is none of those that are asked for."""

    def __call__(self, text: bytes, at: int, /, *, is_value: bool) -> int:
        """Return the end of a record, or of any object if it is the value of a pair."""


def messages_in(text: bytes, end_of: EndOf) -> list[bytes]:
    """Return the messages and objects in a line; the text alone if it is one message.

    Args:
        text: The line.
        end_of: Finds the end of a record behind a message.
    """
    own = _OWN_HEAD.search(text)
    if own is None or _CONTINUES_VALUE.search(text[max(own.start() - 8, 0) : own.start()]):
        return [text]
    starts = list(_starts(text, own.end(), end_of))
    prefix = text[: own.start()]
    is_other = _ENDS_OTHER_LINE.search(prefix[-1:]) is not None and not _ENDS_WITH_LEVEL.search(prefix[-16:])
    quote = prefix[-1:] if prefix.endswith(_QUOTES) else b""
    if not starts and not is_other:
        return [_without_end(text, prefix, quote)]
    parts, begin = list[bytes](), own.start()
    if is_other or (not quote and (b"{" in prefix or len(prefix) > _LONGEST_PREFIX)):
        parts.append(prefix)
    elif not quote and prefix.strip(_SEPARATORS + b"[("):
        begin = 0
    for end in [*starts, len(text)]:
        part, following = _without_opening_quote(text[begin:end], quote) if end < len(text) else (text[begin:], b"")
        parts.append(_without_quote(_without_separators(part), quote))
        begin, quote = end, following
    return [part for part in parts if part]


def _starts(text: bytes, at: int, end_of: EndOf) -> Iterator[int]:
    """Yield where another message or record begins, outside of values."""
    closed_lists, quotes = at, _Quotes(text)
    while found := _CANDIDATE.search(text, at):
        at = found.end()
        if found["head"]:
            yield found.start()
        elif found["object"]:
            is_value = text[found.start() - 1 : found.start()] == b"="
            if end := end_of(text, found.start(), is_value=is_value):
                at = end
                if not is_value:
                    yield found.start()
                    if banner := _BANNER.match(text, end):
                        yield banner.start(1)
        elif text[at - 1 : at] == b"[":
            if found.start() >= closed_lists:
                end, closed_lists = _end_of_list(text, at, quotes)
                at = max(end, at)
        else:
            at = max(_end_of_value(text, at, quotes), at)


class _Quotes:
    """The quotes of a text; they are asked for from its beginning to its end, which takes linear time."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._end = len(text.rstrip(_SEPARATORS))
        self._left: int | None = None
        self._left_at = 0

    def closing(self, at: int) -> int:
        """Return the position of the quote that ends a value; 0 if none does, or if hclog would have escaped a part."""
        closing = self._closing(at)
        return 0 if _UNESCAPED.search(self._text, at, closing) else closing

    def _closing(self, at: int) -> int:
        text = self._text
        marks = _QUOTE_OR_ESCAPE.finditer(text, at)
        closing = next((mark.start() for mark in marks if mark[0] == b'"'), 0)
        if not closing:  # hclog escapes no backslash at the end of a value
            return self._end - 1 if self._end - 2 >= at and text.endswith(b'\\"', 0, self._end) else 0
        if text[closing - 1 : closing] == b"\\" and self._is_odd_behind(closing + 1):
            further = _BARE_QUOTE.search(text, closing + 1)
            return further.start() if further else self._end - 1
        return closing

    def _is_odd_behind(self, at: int) -> bool:
        """Return whether an odd number of quotes without a backslash follow; the last one of a text counts as such."""
        if self._left is None:
            is_last = self._text.endswith(b'\\"', 0, self._end)
            self._left = self._bare(0, len(self._text)) + is_last
        self._left -= self._bare(self._left_at, at) - self._bare(at, self._left_at)
        self._left_at = at
        return self._left % 2 == 1

    def _bare(self, begin: int, end: int) -> int:
        return self._text.count(b'"', begin, end) - self._text.count(b'\\"', begin, end)


def _end_of_value(text: bytes, at: int, quotes: _Quotes) -> int:
    """Return where a value in quotes ends; 0 if it does not end as hclog ends one."""
    closing = quotes.closing(at + 1)
    return closing + 1 if closing and _AFTER_VALUE.match(text, closing + 1) else 0


def _end_of_list(text: bytes, at: int, quotes: _Quotes) -> tuple[int, int]:
    """Return where a list of values ends, 0 if it does not, and how far that was searched."""
    while mark := _QUOTE_OR_BRACKET.search(text, at):
        if _OWN_HEAD.search(text, at, mark.end() + 1):
            return 0, mark.end()
        if mark[0] == b"]":
            return (mark.end() if _AFTER_VALUE.match(text, mark.end()) else 0), mark.end()
        closing = quotes.closing(mark.end())
        if not closing or text[closing + 1 : closing + 2] not in (b",", b"]"):
            return 0, mark.end()
        at = closing + 1
    return 0, len(text)


def _without_opening_quote(part: bytes, quote: bytes) -> tuple[bytes, bytes]:
    """Remove the quote in which the next message is, and return it; a message without quotes can end with one."""
    if not part.endswith(_QUOTES):
        return part, b""
    before = part[:-1]
    if not quote and not before.endswith((b"[", b"(")) and _without_separators(before) == before:
        return part, b""
    return before, part[-1:]


def _without_separators(part: bytes) -> bytes:
    for _ in range(_MOST_SEPARATORS):
        before = len(part)
        part = part.rstrip(_SEPARATORS)
        for separator in _LONG_SEPARATORS:
            part = part.removesuffix(separator)
        if part.endswith(b">") and (tag := _TAG.search(part[-_LONGEST_TAG:])):
            part = part[: len(part) - len(tag[0])]
        if len(part) == before:
            break
    return part


def _without_end(text: bytes, prefix: bytes, quote: bytes) -> bytes:
    """Remove what closes the quote or the tags in front of the only message of a line."""
    if prefix.endswith(b">"):
        return _without_separators(text)
    if prefix == quote:
        bare = _without_quote(text, quote)
        return text if bare == text else bare[1:]
    has_pair = quote in (b"'", b"`") and text.count(quote, len(prefix)) % 2 == 1
    return _without_quote(text, quote) if has_pair else text


def _without_quote(part: bytes, quote: bytes) -> bytes:
    """Remove the end of the quotes that a whole message is in."""
    if not quote:
        return part
    bare = part.rstrip(_SEPARATORS + b")]}")
    return bare[:-1] if bare.endswith(quote) else part
