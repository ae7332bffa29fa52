r"""The lines of a log in a document of YAML, which is read line by line: one of it may be damaged.

    - host: vault-1                                    - host: vault-1
      message: "2026-11-21T07:29:41Z [INFO]  core: x"    message: |-
                                                           2026-11-21T07:29:41Z [INFO]  core: x

A text is a line under a usual name, or under one under which a record was found. In a block, every line is one. As long
as no name is known, a text of several words is read as a line too, and so rejected if it is none.
"""

from __future__ import annotations

import re

import msgspec

from vaultwatch.unwrapping.envelopes import Envelopes, is_word

_USUAL = frozenset(
    (b"log", b"message", b"MESSAGE", b"line", b"msg", b"textPayload", b"text", b"_raw", b"content", b"LogMessage")
)
_PAIR = re.compile(
    rb"[ \t]*(?:- {1,8}){0,8}(?:(['\"]?)([\w.@/-]{1,64})\1:[ \t]{1,8})?"
    rb"(?:\"([^\"\\]*(?:\\.[^\"\\]*)*)\"|'([^']*(?:''[^']*)*)'|([^\s{|>\"'&*!%@`].*))[ \t]*",
    re.DOTALL,
)
_OPENS_BLOCK = re.compile(rb"( *(?:- {1,8}){0,8})(?:['\"]?[\w.@/-]{1,64}['\"]?: {1,8})?[|>][+-]?\d?[+-]?[ \t]*")
_STRUCTURE = re.compile(rb"[ \t]*(?:---|\.\.\.|-|(?:- {1,8}){0,8}['\"]?[\w.@/-]{1,64}['\"]?:)[ \t]*")
_OF_RECORD = re.compile(rb"[ \t]*(?:- {1,8}){0,8}['\"]?(?:request|@level)['\"]?:")
"""Shows a record that is YAML itself."""
_OF_ITEM = "-"
"""In place of the name, of a text in a list."""


class YamlLines:
    """Finds the lines of a log in the lines of a document."""

    def __init__(self, envelopes: Envelopes) -> None:
        """Begin a document.

        Args:
            envelopes: Remembers the names of this log.
        """
        self._envelopes = envelopes
        self._block = -1  # the column of the block that is open
        self._indent = 0  # of the lines of blocks

    def lines_in(self, line: bytes) -> list[bytes] | None:
        """Return the lines of the log in a line of the document; none if it only surrounds some; None if it may be one.

        Args:
            line: The line without its end, but with its indentation.
        """
        if self._block >= 0 and (found := self._in_block(line)) is not None:
            return [found]
        self._block = -1
        if opens := _OPENS_BLOCK.fullmatch(line):
            self._block = len(opens[1])
            return []
        if _OF_RECORD.match(line):
            return None
        if _STRUCTURE.fullmatch(line):
            return []
        pair = _PAIR.fullmatch(line)
        return self._in_pair(pair) if pair and (pair[2] or line.lstrip().startswith(b"- ")) else None

    def _in_block(self, line: bytes) -> bytes | None:
        """Return a line of a block without its indentation; None if the block has ended."""
        indent = len(line) - len(line.lstrip(b" "))
        if not line.strip():
            return b""
        if indent < max(self._block, 1):
            return None
        indent -= self._block
        self._indent = min(self._indent or indent, indent)
        return line[self._block + self._indent :]

    def _in_pair(self, pair: re.Match[bytes]) -> list[bytes] | None:
        name = pair[2] or _OF_ITEM.encode()
        text = _text_of(pair)
        if name in _USUAL:
            return [text]
        texts = self._envelopes.texts_in_pairs({name.decode("utf-8", "replace"): text.decode("utf-8", "replace")})
        return texts if texts or self._envelopes.has_names or is_word(text) else None


def _text_of(pair: re.Match[bytes]) -> bytes:
    double, single, plain = pair.groups()[2:]
    if double is None:
        return plain or single.replace(b"''", b"'")
    try:
        return str(msgspec.json.decode(b'"%s"' % double)).encode("utf-8", "replace")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return bytes(double)
