r"""What programs have added to each line of a log, learned from lines that hold a message or an entry.

    84: 2026-11-21T07:29:41Z [INFO]  core: vault is sealed        `84: ` before each
    84: panic: runtime error                                      so this is a crash
    07:29:41,2026-11-21T07:29:41Z [INFO]  core: x,vault-1         columns around each
    07:29:41,"panic: runtime error, index",vault-1                with quotes where a cell needs them

What has no head of its own can only be known by what is around it: the same as around heads, apart from numbers, from
words that have a digit, and from blanks. Lines without that stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from vaultwatch.reading.hclog import without_colours
from vaultwatch.reading.joined_messages import HEAD
from vaultwatch.reading.syslog_header import strip_syslog_header

_MOST_FORMS = 16
_MOST_SEEN = 64
_LONGEST = 512
_LONG_ENOUGH = re.compile(rb"(?s).{6}|\d{1,9}[:\t]\Z|[>+] ?\Z|(?:\xc2\xa0)+\Z")
"""What is learned at once: long texts, and what grep -n, Markdown, diff and web pages put before each line."""
_OF_A_VALUE = re.compile(rb"\s*\|\s*\Z")
"""What hclog writes before each line of a value, which can be a text of a client."""
_PART = re.compile(rb" +|\w*\d\w*")
_ANY_HEAD = re.compile(HEAD)
_RECORD = re.compile(HEAD + rb'|\{"')
_QUOTES = (b'"', b"'")
_DELIMITERS = (b",", b";", b"\t", b"|")


class _Form(NamedTuple):
    """What is around lines: before them, behind them, and behind those in quotes of each kind."""

    before: re.Pattern[bytes]
    after: re.Pattern[bytes] | None
    quotes: dict[bytes, re.Pattern[bytes]]

    def inner(self, text: bytes) -> bytes | None:
        """Return the line in a text; None if something else is around it."""
        if not (found := self.before.match(text)):
            return None
        at = found.end()
        if (quote := text[at : at + 1]) in self.quotes:
            end = self.quotes[quote].search(text, at + 1)
            return _unescaped(text[at + 1 : end.start()] if end else text[at + 1 :], quote)  # it may have further lines
        if not self.after:
            return text[at:]
        end = self.after.search(text, at)
        return text[at : end.start()] if end else None


class Affixes:
    """Removes from lines what others of the same log have at their beginning and their end."""

    def __init__(self) -> None:
        """Know nothing."""
        self._forms: dict[tuple[bytes, bytes, bytes], _Form] = {}
        self._seen: dict[tuple[bytes, bytes, bytes], int] = {}
        self._hosts: set[str] = set()

    def learn(self, line: bytes, before: bytes, after: bytes = b"") -> None:
        """Learn what is around a message or an entry in a line.

        Of a long text, one line is enough. With a short one another line could begin by chance: two lines must have it.
        """
        if not (before + after).strip() or max(len(before), len(after)) > _LONGEST or _OF_A_VALUE.match(before):
            return
        quote = before[-1:] if before.endswith(_QUOTES) and after[:1] == before[-1:] else b""
        if quote:
            before, after = before[:-1], after[1:]
        key = (_pattern(before), _pattern(after), quote)
        if key in self._forms or len(self._forms) >= _MOST_FORMS or _ANY_HEAD.search(before + b"\0" + after):
            return
        if _LONG_ENOUGH.match(before + after) or self._seen.get(key, hash(line)) != hash(line):
            form = _form(before, after, quote)
            self._forms = {key: form, **self._forms} if after else {**self._forms, key: form}  # the longer ones first
        elif len(self._seen) < _MOST_SEEN:
            self._seen[key] = hash(line)

    def learn_host(self, host: str) -> None:
        """Learn what is between the time that is before each line, and messages: it need not be a host."""
        if host not in self._hosts and len(self._hosts) < _MOST_SEEN:
            self._hosts.add(host)
            before = f"{host} ".encode()
            self._forms.setdefault((_pattern(before), b"", b""), _form(before, b"", b""))

    def learn_of_entry(self, line: bytes) -> None:
        """Learn what is before an audit entry, behind its header."""
        text = strip_syslog_header(without_colours(line))[1]
        if (start := text.find(b'{"')) > 0:
            self.learn(text, text[:start])

    def learn_of_row(self, row: bytes, line: bytes) -> None:
        """Learn what is around a message or an entry in a row of a table, or in another text that is no JSON."""
        if row.startswith((b"{", b"[")) or not _RECORD.match(line):
            return
        row = strip_syslog_header(row)[1]
        for written in _ways_to_write(line):
            if (at := row.find(written)) >= 0:
                self.learn(row, row[:at], row[at + len(written) :])
                return

    def remove(self, text: bytes) -> bytes:
        """Return a line without what is around it; the line as it is if that is not known."""
        for form in self._forms.values():
            if (inner := form.inner(text)) is not None:
                return inner
        return text


def _form(before: bytes, after: bytes, quote: bytes) -> _Form:
    end = re.escape(before[len(before.rstrip(b" ")) :])
    opening = _pattern(before.rstrip(b" ")) + (rb"(?:%s|\Z)" % end if end else b"")
    closing = _pattern(after) + rb"\s{0,8}\Z"
    quotes = _QUOTES[:1] if before.endswith(_DELIMITERS) else ()
    ends = {one: re.compile(one + closing) for one in {*quotes, quote} if one}
    return _Form(re.compile(opening), re.compile(closing) if after.strip() else None, ends)


def _pattern(text: bytes) -> bytes:
    """Return a pattern of the texts that differ from this one only in numbers, words with a digit, and blanks."""
    return b"".join(_patterns(text))


def _patterns(text: bytes) -> Iterator[bytes]:
    at = 0
    for part in _PART.finditer(text):
        yield re.escape(text[at : part.start()])
        is_blank, is_number = not part[0].strip(), part[0].isdigit()
        if is_blank:
            yield b" {0,32}" if not part.start() else b" {1,32}"
        else:
            yield rb"\d{1,32}" if is_number else rb"(?=\w{0,63}\d)\w{1,64}"
        at = part.end()
    yield re.escape(text[at:])


def _ways_to_write(line: bytes) -> Iterator[bytes]:
    yield line
    if b'"' in line or b"\\" in line:
        yield line.replace(b'"', b'""')
        yield msgspec.json.encode(line.decode("utf-8", "replace"))[1:-1]


def _unescaped(text: bytes, quote: bytes) -> bytes:
    if quote == b'"' and b'\\"' in text:
        try:
            return msgspec.json.decode(b'"%s"' % text, type=str).encode("utf-8", "replace")
        except ValueError:
            return text
    return text.replace(quote * 2, quote)
