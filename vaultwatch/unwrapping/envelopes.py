"""Find the records that shippers and container runtimes wrap in JSON objects of their own.

A record is a text or an object that shows what it is, under any name, nested and in lists. Several are read, without
those that repeat others. A text that does not show it, such as a further line of a message, is a line if it is under a
name, or in a column, in which a record was found in the same log: a shipper writes all lines there. Before one was
found, it is a line under one of the names in `CARRIERS`. An object in a list of records in which nothing was found is
rejected.

An object that is a record itself is never searched. What has more values than a record may have is searched element by
element, each decoded alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec

from vaultwatch.reading.budget import MAX_DEPTH, exceeded, is_deep
from vaultwatch.reading.elements import elements_of
from vaultwatch.reading.unclear import BANNERS, is_banner
from vaultwatch.unwrapping.encoded import decoded, text_in
from vaultwatch.unwrapping.envelope_parts import (
    CARRIERS,
    TYPES,
    Frame,
    are_alike,
    cells_of,
    decoded_json,
    frame_of,
    is_large_record,
    is_record,
    pairs_of,
    plain_value,
)
from vaultwatch.unwrapping.quoted import Quoted
from vaultwatch.unwrapping.repeats import Known, shows_record, without_begun

_BEHIND_BLANK = re.compile(rb" (?:\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:|==> |\{\")")
_WORD = re.compile(rb"[\w.,:;/@+=-]*\s*")
"""What is beside a line: a time, a name, an address, a file; and no line."""
_MOST_NAMES = 64
_MAX_LEVELS = 64
"""What is below is read as a line of its own if it shows a record."""
_MAX_LARGE_LEVELS = 16
"""How deep the list may be for which an envelope is large; each level of that is copied."""
_MAX_BYTES = 64 * 1024 * 1024
_NUMBERS = re.compile(rb"\[[\d,\s]*\]")


_Form: TypeAlias = Literal["", "base64", "row", "digits"]
"""How a text is written: in base64, in a list beside words; or in digits, which are a line only under a known name."""


class _Formed(NamedTuple):
    """That the lines under a name have a form."""

    name: str | int
    form: _Form


_Name: TypeAlias = str | int | _Formed
"""The name of a member, or the number of a column."""


class Wrapped(NamedTuple):
    """What was found in a value.

    Attributes:
        texts: The texts; blank ones are blank lines.
        certain: Whether they are lines of a log for certain.
        names: The names directly above them.
        form: How they were written.
    """

    texts: list[bytes]
    certain: bool
    names: frozenset[_Name] = frozenset()
    form: _Form = ""


class _Part(NamedTuple):
    """What was found in an element of a list, and the element itself, which may be JSON."""

    found: Wrapped
    element: Any
    is_list: bool


_NOTHING = Wrapped([], certain=False)
_BLANK = Wrapped([b""], certain=False)
_TOO_DEEP = Wrapped([b'{"type":"[left out: nested too deeply]"}'], certain=True)
"""What cannot be searched is rejected."""


class Envelopes:
    """Searches the envelopes of a log, and remembers the names under which it has found records.

    Attributes:
        quoted: Finds its lines in quotes.
    """

    def __init__(self) -> None:
        """Know no names."""
        self.quoted = Quoted()
        self._names: set[_Name] = set()
        self._passed: set[_Name] = set()
        self._has_other_text = self._has_forms = False
        self._is_behind_blank = False

    @property
    def has_names(self) -> bool:
        """Whether a name is known."""
        return bool(self._names)

    def texts_in(self, envelope: bytes) -> list[bytes] | Frame:
        """Return the texts in an object that is no record, in their order; none if it is no envelope.

        Args:
            envelope: One JSON object.
        """
        if _is_large(envelope):
            return self._texts_in_large(envelope)
        found = decoded_json(envelope)
        if found is None or (isinstance(found, dict) and is_record(found)):
            return []
        return frame_of(found) or self._without_blank(self._learning(lambda: self._search(found, 0)).texts)

    def _without_blank(self, texts: list[bytes]) -> list[bytes]:
        """Return texts without the blank before each, if one before a record has shown that there is one.

        rsyslog has it in `msg`, and behind it the indentation of a further line.
        """
        self._is_behind_blank = self._is_behind_blank or any(map(_BEHIND_BLANK.match, texts))
        return [text.removeprefix(b" ") for text in texts] if self._is_behind_blank else texts

    def texts_in_pairs(self, pairs: Mapping[str, str]) -> list[bytes]:
        """Return the texts among the values of pairs that are lines for certain."""
        found = self._learning(lambda: self._in_members(pairs, 0))
        return found.texts if found.certain else []

    def texts_in_array(self, array: bytes) -> list[bytes]:
        """Return the texts in an array that is no list of lines or records, in their order; none if it is one.

        Fluentd forwards [tag, [[time, record], ...]], and CloudWatch Logs Insights has the fields of a line in a list.
        What is beside records is left out, as it is in objects.

        Args:
            array: The whole array, in JSON.
        """
        try:
            if not (array.startswith(b"[") and _is_row(array)):
                return []
            found = self._learning(lambda: self._in_raw_list(array, 0))
        except (ValueError, RecursionError):
            return []
        return found.texts if found.certain else []

    def texts_in_rows(self, rows: Sequence[Sequence[str | None]]) -> list[bytes]:
        """Return the texts in the rows of a table that are lines for certain.

        Args:
            rows: The cells of each; None for what is no text.
        """
        found = self._learning(lambda: self._in_list(list(map(list, rows)), 0))
        return found.texts if found.certain else []

    def _learning(self, search: Callable[[], Wrapped]) -> Wrapped:
        """Search, and search again if texts were left out under names that are known only now.

        If no text is one for certain, and another one could be, none is taken.
        """
        self._passed.clear()
        self._has_other_text = False
        found = search()
        if not found.certain and self._has_other_text:
            return _NOTHING
        new = found.names - self._names if found.certain and len(self._names) < _MOST_NAMES else frozenset()
        self._names |= new
        has_new_form = any(isinstance(name, _Formed) for name in new)
        self._has_forms = self._has_forms or has_new_form
        return search() if has_new_form or new & self._passed else found

    def _texts_in_large(self, envelope: bytes) -> list[bytes]:
        try:
            if is_large_record(envelope):
                return []
            return self._learning(lambda: self._search_raw(envelope, 0)).texts
        except (ValueError, RecursionError):
            return []

    def _search_raw(self, text: bytes, level: int) -> Wrapped:
        """Search JSON, decoding only what is not large.

        Raises:
            ValueError: A part of it is no strict JSON, or is no envelope.
            RecursionError: It is nested too deeply.
        """
        if not _is_large(text) or text.startswith(b'"'):
            return self._search(decoded_json(text), level)
        if level > _MAX_LARGE_LEVELS:
            return _TOO_DEEP
        if text.startswith(b"["):
            return self._in_raw_list(text, level, is_row=False)
        if level and is_large_record(text):
            return Wrapped([text], certain=True)
        members: dict[str, bytes] = {}
        for name, raw in elements_of(memoryview(text)):
            members[name] = b"[%s,%s]" % (members[name], raw) if name in members else bytes(raw)
        return self._in_members(members, level, is_raw=True)

    def _in_raw_list(self, text: bytes, level: int, *, is_row: bool = True) -> Wrapped:
        """Search a list as `_in_list` does, decoding only what is not large."""
        if not _is_large(text):
            found = decoded_json(text)
            return self._in_list(found, level, is_row=is_row) if isinstance(found, list) else _NOTHING
        if level > _MAX_LARGE_LEVELS:
            return _TOO_DEEP
        if _NUMBERS.fullmatch(text):
            return self._in_list(msgspec.json.decode(text, type=list[int]), level)
        elements = (bytes(raw) for _, raw in elements_of(memoryview(text)))
        return self._together(self._raw_parts(elements, level), level, is_row=is_row)

    def _raw_parts(self, elements: Iterable[bytes], level: int) -> Iterator[_Part]:
        for raw in elements:
            is_list = raw.startswith(b"[")
            yield _Part((self._in_raw_list if is_list else self._search_raw)(raw, level + 1), raw, is_list)

    def _search(self, value: Any, level: int) -> Wrapped:
        if level > _MAX_LEVELS:
            return _below(value)
        if isinstance(value, str):
            if (inner := text_in(value)) and ((found := self._in_text(inner, level + 1)).certain or is_banner(inner)):
                return found._replace(certain=True, form="base64")
            return self._in_text(value.encode("utf-8", "replace"), level)
        if isinstance(value, dict):
            value = plain_value(value) if "kvlistValue" in value else value
            if level and is_record(value):
                return Wrapped([msgspec.json.encode(value)], certain=True)
            return self._in_members(value, level)
        return self._in_list(value, level) if isinstance(value, list) else _NOTHING

    def _in_members(self, members: Mapping[str, Any], level: int, *, is_raw: bool = False) -> Wrapped:
        search = self._search_raw if is_raw else self._search
        if len(members) == 1 and not TYPES.isdisjoint(members):
            return search(next(iter(members.values())), level + 1)
        if are_alike(members):
            parts = self._raw_parts if is_raw else self._parts
            return self._together(parts(members.values(), level), level, is_row=False)
        names = (*(name for name in CARRIERS if name in members), *(name for name in members if name not in CARRIERS))
        found = {name: self._in_member(name, members[name], level, search) for name in names}
        certain = [one for one in found.values() if one.certain]
        if not certain:
            return self._likely(found)
        self._passed.update(*(one.names for one in found.values() if not one.certain))
        if len(certain) == 1:
            return certain[0]
        certain = without_begun(certain)
        known = Known()
        kept = [(known.without_repeats(one.texts), one.names) for one in certain]
        texts = [text for new, _ in kept for text in new]
        return Wrapped(texts, True, frozenset[_Name]().union(*(above for new, above in kept if new)))

    def _in_member(self, name: str, value: Any, level: int, search: Callable[[Any, int], Wrapped]) -> Wrapped:
        cells = cells_of(name, value)
        if cells:
            found = self._in_list(cells, level + 2, is_row=True)
        elif self._has_forms and _Formed(name, "row") in self._names:
            found = self._in_row(value, level + 1)
        else:
            found = search(value, level + 1)
        return self._under(name, found, level)

    def _in_row(self, value: Any, level: int) -> Wrapped:
        if isinstance(value, bytes):
            return self._in_raw_list(value, level) if value.startswith(b"[") else self._search_raw(value, level)
        return self._in_list(value, level, is_row=True) if isinstance(value, list) else self._search(value, level)

    def _likely(self, found: Mapping[str, Wrapped]) -> Wrapped:
        """Return the first texts under a usual name, and note whether others could be lines."""
        best = _NOTHING
        for name, one in found.items():
            if one.form == "digits":
                self._passed |= one.names
            elif name in CARRIERS and one.texts and not _has_text(best):
                self._passed |= best.names
                best = one
            else:
                self._passed |= one.names
                self._has_other_text |= not all(map(is_word, one.texts))
        return best

    def _under(self, name: str | int, found: Wrapped, level: int) -> Wrapped:
        """Return what was found in the value that has a name: of a known one, its texts are certain."""
        if not found.form and (found.names or not found.texts):
            return found
        names = frozenset[_Name]({_Formed(name, found.form)} if found.form in ("base64", "row") else ())
        if found.names or not found.texts:
            return found._replace(names=found.names | names, form="")
        if self._has_forms and not found.form and _Formed(name, "base64") in self._names:
            inner = [self._in_text(decoded(text), level + 1) for text in found.texts]
            names = names.union(*(one.names for one in inner))
            found = Wrapped([text for one in inner for text in one.texts], certain=True)
        form: _Form = "digits" if found.form == "digits" else ""
        return Wrapped(found.texts, found.certain or name in self._names, names | {name}, form)

    def _in_list(self, items: list[Any], level: int, *, is_row: bool = False) -> Wrapped:
        if items and all(isinstance(item, int) and 8 < item < 256 for item in items):  # journald: no text, but bytes
            return self._in_text(bytes(items), level)
        if pairs := pairs_of(items):
            return self._in_members(pairs, level)
        return self._together(self._parts(items, level), level, is_row=is_row)

    def _parts(self, items: Iterable[Any], level: int) -> Iterator[_Part]:
        for item in items:
            is_list = isinstance(item, list)
            is_row = is_list and level < _MAX_LEVELS
            found = self._in_list(item, level + 1, is_row=True) if is_row else self._search(item, level + 1)
            yield _Part(found, item, is_list)

    def _together(self, parts: Iterable[_Part], level: int, *, is_row: bool) -> Wrapped:
        """Return what was found in the elements of a list; in a row, each is in a column."""
        found = list(parts)
        are_words = not is_row and _is_beside_words(found)
        if is_row or are_words:
            found = [part._replace(found=self._under(at, part.found, level)) for at, part in enumerate(found)]
        certain = [part for part in found if part.found.certain]
        names = frozenset[_Name]().union(*(part.found.names for part in certain or found))
        if not certain:
            texts = [text for part in found if not part.found.form for text in part.found.texts]
            is_beside = is_row and any(isinstance(name, int) for name in self._names)
            return Wrapped([text for text in texts if not (is_beside and is_word(text))], False, names)
        self._passed.update(*(part.found.names for part in found if not part.found.certain))
        if (is_row or are_words) and len(certain) == 1:  # several are a column
            found = [part for part in found if part.found.certain or part.is_list]
        texts = [text for part in found for text in part.found.texts or ([] if is_row else _left(part.element))]
        return Wrapped(texts, True, names, "row" if are_words else certain[0].found.form)

    def _in_text(self, text: bytes, level: int) -> Wrapped:
        if text.isdigit():  # Loki: the time beside a line
            return Wrapped([text], certain=False, form="digits")
        if text.decode("utf-8", "replace") in CARRIERS:  # Athena: the name of a column, in its first row
            return _BLANK
        if text.lstrip().startswith(b"{"):
            if _is_large(text):
                return self._in_large_text(text, level)
            inner = decoded_json(text)
            if isinstance(inner, dict):
                found = Wrapped([text], certain=True) if is_record(inner) else self._search(inner, level + 1)
                return found if found.texts else Wrapped([text], certain=False)
        return _of_text(text)

    def _in_large_text(self, text: bytes, level: int) -> Wrapped:
        try:
            is_one = is_large_record(text)
            found = Wrapped([text], certain=True) if is_one else self._search_raw(text.strip(), level + 1)
        except (ValueError, RecursionError):
            return _of_text(text)
        return found if found.texts else Wrapped([text], certain=False)


def is_word(text: bytes) -> bool:
    """Return whether a text is what is beside a line, such as a time or a name, and no line."""
    return _WORD.fullmatch(text) is not None and not text_in(text.decode("utf-8", "replace"))


def _is_text(element: Any) -> bool:
    return element.startswith(b'"') if isinstance(element, bytes) else isinstance(element, str)


def _is_beside_words(parts: Sequence[_Part]) -> bool:
    """Return whether one text of a list is a line for certain, and all others are words, as columns have."""
    if len(parts) < 2 or not all(_is_text(part.element) for part in parts):
        return False
    others = [part.found.texts for part in parts if not part.found.certain]
    return len(others) == len(parts) - 1 and all(texts and texts[0].strip() and is_word(texts[0]) for texts in others)


def _has_text(found: Wrapped) -> bool:
    return any(text.strip() for text in found.texts)


def _of_text(text: bytes) -> Wrapped:
    return Wrapped([text], certain=shows_record(text) or text.startswith(BANNERS[:1]))


def _below(value: Any) -> Wrapped:
    """Return what is so deep that it is not searched, if it shows a record."""
    if is_deep(value, MAX_DEPTH):
        return _TOO_DEEP
    text = value.encode("utf-8", "replace") if isinstance(value, str) else msgspec.json.encode(value)
    return Wrapped([text], certain=True) if shows_record(text) else _NOTHING


def _left(element: Any) -> list[bytes]:
    """Return an object in which nothing was found, as it is."""
    if isinstance(element, bytes):
        return [element] if element.startswith(b"{") else []
    return [msgspec.json.encode(element)] if isinstance(element, dict) else []


def _is_row(array: bytes) -> bool:
    """Return whether an array has other elements than texts and objects, or is a list of names and values."""
    if not _is_large(array):
        found = decoded_json(array)
        is_list = isinstance(found, list)
        return is_list and (not all(isinstance(item, str | dict) for item in found) or bool(pairs_of(found)))
    return not all(raw[0] in b'"{' for _, raw in elements_of(memoryview(array)))


def _is_large(text: bytes) -> bool:
    """Return whether decoding a text could take many times its size."""
    return exceeded(text, _MAX_BYTES) == "values"
