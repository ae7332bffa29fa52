"""Parse the text of one server-log message.

Layouts, oldest first, all of the form `<time> [LEVEL] <module>: <message>: key=value key="value"`:

    2015/10/30 18:03:15 [ERR] core: ...                       Go's log package, still in use; [LEVEL] may be missing
    2017/07/15 19:18:28.663808 [INFO ] core: ...              Vault 0.6 to 0.10; values are never quoted
    2018-08-15T11:04:09.918-0400 [INFO ] core: ...            hclog, 2018
    2018-08-15 11:04:10.025470 I | http: ...                  capnslog, for messages of Go's log package
    2026-10-02T06:28:49.851+0200 [INFO]  core: ...            hclog, today
    [INFO]  core: ...                                         as pages and issues show it: somebody left out the time
    {"@level":"info","@message":"...","@module":"core",...}   hclog, JSON

Quoting differs by hclog version (intlogger.go). Until 2021-09 a value with blanks was quoted and nothing inside was
escaped; until 2022 hclog used Go's quoting; today it escapes quotes and control characters, but not backslashes.

Every pattern takes linear time: a repetition is never followed by a character that it also matches. So no possessive
quantifiers are needed, which CPython before 3.11.5 compiles wrongly (python/cpython#106052). Quoted values and lists
are searched from one quote or bracket to the next, because a repeated group takes 120 bytes of memory per round.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from vaultwatch.reading.budget import MAX_MESSAGE_BYTES, Budget, exceeded
from vaultwatch.reading.depths import is_too_deep, without_depths
from vaultwatch.reading.left_out import LEFT_OUT
from vaultwatch.reading.plain import OF_A_SERVER

Fields = dict[str, Any]

_LEVELS = {
    "trace": "trace", "trc": "trace", "t": "trace", "debug": "debug", "dbg": "debug", "d": "debug",
    "info": "info", "inf": "info", "i": "info", "n": "info", "warn": "warn", "wrn": "warn", "warning": "warn",
    "w": "warn", "error": "error", "err": "error", "e": "error", "fatal": "error", "ftl": "error", "c": "error",
}  # fmt: skip
LEVELS = frozenset({*_LEVELS.values(), ""})
"""The levels of messages; "" for one that has none."""
_SLASH_TIME = rb"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d(?:\.\d{1,9})?"
_HEAD = re.compile(
    rb"[ \t]{0,32}(?:"  # logs pasted into an issue or a page are indented
    rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:?\d\d)|" + _SLASH_TIME + rb")"
    rb" \[ {0,2}([A-Z?]{3,7}) {0,2}\](?: {1,2}|$)"
    rb"|(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d{1,9})?) ([A-Z]) \|(?: \[ ?([A-Z]{3,5}) ?\])?(?: |$)"
    rb"|("
    + _SLASH_TIME
    + rb")(?: (?!\{\"(?:time|type|auth|request|@level)\":|\d{4}-\d\d-\d\dT\d\d:|==> )|$)"  # else it is before a record
    rb"|(?:\.\.\. )?\[ ?(TRACE|DEBUG|INFO|WARN|ERROR|ERR) ?\](?: {1,2}|$)"
    rb"(?!.*(?:[\dZ] \[ {0,2}[A-Z]{3,5} {0,2}\]|@level)))"  # else it is before a message
)
_OF_A_SERVER = re.compile(OF_A_SERVER)
_ANSI = re.compile(rb"\x1b\[[0-9;]{0,32}[A-Za-z]")
_MODULE = re.compile(r"([a-z][\w./()-]{0,254}): ")
_WORD = r"[\w@./()-]+"
_KEYS = rf"{_WORD}(?: {_WORD}){{0,3}}="  # `upgrade time=` is one key
_PAIRS = re.compile(rf": (?={_KEYS})")
_KEY = re.compile(rf" ({_WORD}(?: {_WORD}){{0,3}})=")
_STARTS_WITH_PAIR = re.compile(rf"{_WORD}=")
_ONE_WORD_KEY = re.compile(rf" ({_WORD})=")
_PLAIN = re.compile(rf'(?:"([^"\\]*)"|([^\s"\[]*))(?= {_KEYS}|\Z)')
_NEXT_PAIR = re.compile(rf" {_KEYS}|\Z")
_QUOTE_OR_ESCAPE = re.compile(r'\\.|"', re.DOTALL)
_QUOTE_OR_BRACKET = re.compile(r'["\]]')
_BLANK = re.compile(r"\s")
_ESCAPE = re.compile(r'\\(["\\abfnrtv]|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})')
_ESCAPES = {'"': '"', "\\": "\\", "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_MOST_STARTS = 8  # places tried as the beginning of the pairs: hostile text takes linear time


class Head(msgspec.Struct, frozen=True):
    """The head of a message, and where the text after it begins.

    Attributes:
        time: As logged; "" if somebody left it out.
        level: "" if it has none.
        text_at: Where the text begins.
    """

    time: str
    level: str
    text_at: int


def level_of(name: str) -> str:
    """Return the level that a program calls by this name; "" if it is none."""
    return _LEVELS.get(name.lower(), "")


def read_head(line: bytes) -> Head | None:
    """Return the head of a line in any layout but JSON; None if it begins with none of Vault's times or levels."""
    if not (found := _HEAD.match(line)):
        return None
    time, level, pipe_time, letter, inner, bare_time, alone = found.groups()
    name = (level or inner or letter or alone or b"").decode().lower()
    return Head((time or pipe_time or bare_time or b"").decode(), _LEVELS.get(name, ""), found.end())


def is_of_a_server(line: bytes, head: Head) -> bool:
    """Return whether a line with a head is of Vault or OpenBao: without a time, only what it says can show it."""
    return head.time != "" or _OF_A_SERVER.match(line, head.text_at) is not None


def without_colours(line: bytes) -> bytes:
    """Remove terminal colours from a line: banners of 2018 have them, and hclog can write them."""
    return _ANSI.sub(b"", line) if b"\x1b" in line else line


def unescape(value: str) -> str:
    """Undo hclog's escapes; any other backslash is kept."""
    return _ESCAPE.sub(_unescaped, value) if "\\" in value else value


def _unescaped(found: re.Match[str]) -> str:
    code = found[1]
    if len(code) == 1:
        return _ESCAPES[code]
    number = int(code[1:], 16)
    return chr(number) if number <= 0x10FFFF and not 0xD800 <= number <= 0xDFFF else "\ufffd"


def read_text(text: str, *, quotes: bool = True, pairs: bool = True) -> tuple[str, str, Fields]:
    """Split the text after the head into module ("" for the root logger), message and fields.

    Values are texts; a list (`[a, b]`) becomes a list of texts. Text that only resembles pairs stays in the message.

    Args:
        text: The text.
        quotes: Whether values with blanks are quoted. If not, a key is a single word, because a value may be several.
        pairs: Whether to search for fields. A text that was cut is all message: its last value would be wrong.
    """
    module, rest = _split_module(text)
    if not pairs or "=" not in rest:
        return module, _message(rest), {}
    key = _KEY if quotes else _ONE_WORD_KEY
    if module and _STARTS_WITH_PAIR.match(rest) and (fields := _read_pairs(" " + rest, key)) is not None:
        return "", module, fields  # `<message>: key=value` of the root logger
    message, fields = _split_pairs(rest.rstrip(), key)
    return module, _message(message), fields


def _split_module(text: str) -> tuple[str, str]:
    found = _MODULE.match(text)
    return (found[1], text[found.end() :]) if found else ("", text)


def _message(text: str) -> str:
    return text.strip().removesuffix(":")


def _split_pairs(text: str, key: re.Pattern[str]) -> tuple[str, Fields]:
    first = -1
    for tried, start in enumerate(_PAIRS.finditer(text)):
        if tried == _MOST_STARTS:
            break
        if (fields := _read_pairs(text[start.start() + 1 :], key)) is not None:
            return text[: start.start()], fields
        if first < 0 and _ONE_WORD_KEY.match(text, start.start() + 1):
            first = start.start()
    if first < 0:
        return text, {}
    return text[:first], _read_unquoted(text[first + 1 :])


def _read_pairs(text: str, key: re.Pattern[str]) -> Fields | None:
    """Read ` key=value key="v 2"` to the end of the text; None if part of it is not a pair."""
    fields: Fields = {}
    at, endless = 0, ""
    while found := key.match(text, at):
        name, at = found[1], found.end()
        opener = text[at : at + 1]
        if plain := _PLAIN.match(text, at):
            fields[name], at = plain[1] or plain[2] or "", plain.end()
        elif opener in _END_OF and opener not in endless and (end := _END_OF[opener](text, at + 1)) >= 0:
            inner = text[at + 1 : end]
            fields[name], at = unescape(inner) if opener == '"' else _items(inner), end + 1
        else:
            endless += opener if opener in _END_OF else ""  # no closing mark follows: do not search for it again
            end = _end_of_word(text, at)
            fields[name], at = text[at:end], end
    return fields if not text[at:].strip() else None


def _end_of_value(text: str, at: int) -> int:
    """Return the position of a value's closing quote; -1 if it has none.

    Until 2021 hclog did not escape quotes inside a value: the closing one is that before the next key or the end.
    """
    for mark in _QUOTE_OR_ESCAPE.finditer(text, at):
        if mark[0] == '"' and _NEXT_PAIR.match(text, mark.end()):
            return mark.start()
    return -1


def _end_of_list(text: str, at: int) -> int:
    """Return the position of a list's closing bracket; -1 if it has none, or if the value goes on after it."""
    while mark := _QUOTE_OR_BRACKET.search(text, at):
        if mark[0] == "]":
            return mark.start() if text[mark.end() : mark.end() + 1] in ("", " ") else -1
        closing = _end_of_quotes(text, mark.end())
        if closing < 0:
            return -1
        at = closing + 1
    return -1


def _end_of_quotes(text: str, at: int) -> int:
    marks = _QUOTE_OR_ESCAPE.finditer(text, at)
    return next((mark.start() for mark in marks if mark[0] == '"'), -1)


_END_OF = {'"': _end_of_value, "[": _end_of_list}


def _end_of_word(text: str, at: int) -> int:
    found = _BLANK.search(text, at)
    return found.start() if found else len(text)


def _items(text: str) -> list[str]:
    items: list[str] = []
    at = 0
    while at < len(text):
        closing = _end_of_quotes(text, at + 1) if text[at] == '"' else -1
        if closing >= 0 and text[closing + 1 : closing + 3] in ("", ", "):
            items.append(unescape(text[at + 1 : closing]))
            at = closing + 3
        else:
            end = text.find(", ", at)
            end = end if end >= 0 else len(text)
            items.append(text[at:end])
            at = end + 2
    return items


def _read_unquoted(text: str) -> Fields:
    """Read pairs whose values have blanks without quotes (before 2018): a value ends where the next key begins."""
    fields: Fields = {}
    name, start = "", 0
    for key in _ONE_WORD_KEY.finditer(text):
        if name:
            fields[name] = text[start : key.start()].strip()
        name, start = key[1], key.end()
    return {**fields, name: text[start:].strip()} if name else {}


def json_budget(line: bytes) -> Budget:
    """Return which limit a message in the JSON layout exceeds."""
    return exceeded(line, MAX_MESSAGE_BYTES) or ("depth" if is_too_deep(line) else "")


def read_json(line: bytes) -> tuple[str, str, str, str, Fields]:
    """Return time, level, module, message and fields of a message in the JSON layout; no fields over its budget.

    Raises:
        ValueError: The line is no such message. The text of the error gives the reason, and none of the content.
    """
    entry = _decode_in_part(line) if json_budget(line) else _decode(line)
    if not isinstance(entry, dict) or not ("@message" in entry or "@level" in entry):
        raise ValueError("JSON without @message and @level: not a server-log message")
    time, level, module, message = (_as_text(entry.pop(key, "")) for key in _JSON_KEYS)
    if not module:  # Go's http server writes `http: TLS handshake error ...` to the root logger
        module, message = _split_module(message)
    return time, _LEVELS.get(level.lower(), ""), module, _message(message), entry


class _JsonHead(msgspec.Struct, gc=False):
    level: str = msgspec.field(name="@level")
    message: str = msgspec.field(name="@message")
    module: str = msgspec.field(name="@module", default="")
    time: str = msgspec.field(name="@timestamp", default="")


_decode_json_head = msgspec.json.Decoder(_JsonHead).decode


def read_json_head(line: bytes) -> tuple[str, str] | None:
    """Return time and level of a message in the JSON layout, as `read_json` would; None if only that can say.

    Args:
        line: The line, which is not over its budget. All of it is checked to be JSON.
    """
    if is_too_deep(line):
        return None
    try:
        head = _decode_json_head(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return head.time, _LEVELS.get(head.level.lower(), "")


_JSON_KEYS = ("@timestamp", "@level", "@module", "@message")
_MAX_TEXT_BYTES = 64 * 1024
_HEAD_OF_JSON = msgspec.defstruct(
    "HeadOfJson",
    [(key[1:], msgspec.Raw | msgspec.UnsetType, msgspec.field(default=msgspec.UNSET, name=key)) for key in _JSON_KEYS],
)


def _decode_in_part(line: bytes) -> dict[str, object]:
    """Decode the four members that hclog always writes, and cut what is too long to be one of its texts."""
    try:
        return _head_of(line)
    except RecursionError:
        shallow = without_depths(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ValueError("invalid JSON over its budget") from None
    if shallow is None:
        raise ValueError("JSON nested too deep")
    return _head_of(shallow)


def _head_of(line: bytes | bytearray) -> dict[str, object]:
    found = msgspec.json.decode(line, type=_HEAD_OF_JSON)
    raw = ((key, getattr(found, key[1:])) for key in _JSON_KEYS)
    return {key: _text_of(value) for key, value in raw if value is not msgspec.UNSET}


def _text_of(raw: msgspec.Raw) -> object:
    if len(raw) <= _MAX_TEXT_BYTES:
        return _as_text(msgspec.json.decode(raw))
    return f"[{len(raw)}{LEFT_OUT}"


def _decode(line: bytes) -> object:
    try:
        return msgspec.json.decode(line)
    except UnicodeDecodeError:
        return _decode(line.decode("utf-8", "replace").encode())
    except RecursionError:
        raise ValueError("JSON nested too deep") from None
    except msgspec.DecodeError:
        whole = line.rstrip().endswith(b"}")
        raise ValueError("invalid JSON" if whole else "truncated JSON") from None


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)
