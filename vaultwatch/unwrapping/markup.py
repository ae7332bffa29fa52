r"""The lines of a log in HTML or XML: the texts of the elements in which records were found.

    <tr><td>07:29:41</td><td><pre>2026-11-21T07:29:41Z [ERROR] core: x: path=&quot;a&quot;
      error=
      | 1 error occurred:</pre></td></tr>
    <event><message><![CDATA[{"time":...}]]></message></event>

It is read line by line. An element is known by its name and attributes, and those of the element around it; numbers in
them do not count. The cells of a row are known by their places.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from vaultwatch.unwrapping.envelopes import Envelopes, is_word

_OPENS = re.compile(rb"(?i)<(?:\?xml\b|!doctype\b|!--|(?!json:)[a-z][\w:.-]{0,64}(?:\s[^<>]{0,4096})?/?>)")
_TOKEN = re.compile(
    r"<!\[CDATA\[|<[?!][^<>]{0,4096}>"
    r"|<(?P<end>/?)(?P<name>(?!(?:nil|no|invalid)\b)[A-Za-z][\w:.-]{0,64})(?P<rest>(?:\s[^<>]{0,4096})?)>"
)
_CDATA, _END_OF_CDATA = "<![CDATA[", "]]>"
_VOID = frozenset({"br", "hr", "img", "meta", "link", "input", "wbr", "col", "area", "base", "source"})
_INLINE = frozenset({"b", "i", "u", "em", "strong", "a", "mark", "font", "small", "wbr"})
"""Within a line of a log: what a page shows in another style."""
_CELLS = frozenset({"td", "th"})
_OF_ATTRIBUTE = "@"
_OF_MESSAGE = re.compile(r"(?i)@(?:log_?)?(?:message|msg|line|log|raw|entry|text)\Z")
"""Attributes that can be lines even before a record was found in one."""
_ATTRIBUTE = re.compile(r"""([\w:.-]{1,64})=(?:"([^"]*)"|'([^']*)')""")
_STYLE = re.compile(r"""\s(?:class|style|id)=(?:"[^"]*"|'[^']*'|\S*)""")
_NUMBER = re.compile(r"\w*\d\w*")
_MAX_LEVELS = 64


def is_markup(first: bytes) -> bool:
    """Return whether a log is a document of HTML or XML.

    Args:
        first: Its first line, stripped.
    """
    return _OPENS.match(first) is not None


class Markup:
    """Finds the lines of a log in the lines of a document."""

    def __init__(self, envelopes: Envelopes) -> None:
        """Begin a document.

        Args:
            envelopes: Remembers the elements of this log.
        """
        self._envelopes = envelopes
        self._elements: list[tuple[str, str]] = []  # that are open: their names, and how they are known
        self._known = set[str]()  # without their styles
        self._is_cdata = False
        self._cells = 0

    def lines_in(self, line: bytes) -> list[bytes] | None:
        """Return the lines of the log in a line; none if it only surrounds some; None if it may be one itself.

        Args:
            line: The line without its end.
        """
        texts = list(self._texts(line.decode("utf-8", "replace")))
        for _ in range(2):  # what was before the first record is known when that was found
            found = [line for element, text in texts for line in self._lines_of(element, text)]
        possible = (text for element, text in texts if _OF_ATTRIBUTE not in element or _OF_MESSAGE.search(element))
        if not self._envelopes.has_names and not all(is_word(text.strip().encode()) for text in possible):
            return None
        return found

    def _lines_of(self, element: str, text: str) -> list[bytes]:
        """Return the lines in a text of an element; of one that differs in its style only, what is no word is one."""
        style_less = _STYLE.sub("", element)
        if found := self._envelopes.texts_in_pairs({element: text}):
            self._known.add(style_less)
            return found
        encoded = text.encode("utf-8", "replace")
        return [encoded] if style_less in self._known and not is_word(encoded.strip()) else []

    def _texts(self, line: str) -> Iterator[tuple[str, str]]:
        """Yield the texts in a line, and the elements that they are in."""
        text, at = "", 0
        while at < len(line):
            if self._is_cdata:
                end = line.find(_END_OF_CDATA, at)
                text += line[at:] if end < 0 else line[at:end]
                self._is_cdata, at = end < 0, len(line) if end < 0 else end + len(_END_OF_CDATA)
                continue
            token = _TOKEN.search(line, at)
            text += html.unescape(line[at : token.start() if token else len(line)])
            at = token.end() if token else len(line)
            if not token or (token["name"] or "").lower() in _INLINE:
                continue
            if token[0] == _CDATA:
                self._is_cdata = True
            elif token["name"]:
                if text.strip():
                    yield self._element, text
                text = ""
                yield from _attributes(token["name"], token["rest"])
                self._note(token["name"].lower(), token["rest"], is_end=token["end"] == "/")
        if text.strip() or text == line:
            yield self._element, text

    @property
    def _element(self) -> str:
        return "/".join(known for _, known in self._elements[-2:])

    def _note(self, name: str, rest: str, *, is_end: bool) -> None:
        if is_end:
            levels = (at for at in reversed(range(len(self._elements))) if self._elements[at][0] == name)
            del self._elements[next(levels, len(self._elements)) :]
        elif name not in _VOID and not rest.endswith("/") and len(self._elements) < _MAX_LEVELS:
            self._cells = 0 if name == "tr" else self._cells + (name in _CELLS)
            place = f" {self._cells}" if name in _CELLS else ""
            self._elements.append((name, name + _NUMBER.sub("0", rest) + place))


def _attributes(name: str, rest: str) -> Iterator[tuple[str, str]]:
    """Yield the attributes of an element that can be lines."""
    for key, double, single in _ATTRIBUTE.findall(rest):
        yield f"{name}{_OF_ATTRIBUTE}{key}", html.unescape(double or single)
