"""The text of one server-log message, taken apart.

Layouts, oldest first; all of one form, `<time> [LEVEL] <module>: <message>: key=value key="value"`:

    2015/10/30 18:03:15 [ERR] core: ...                       Go's log package; without [LEVEL] too, to this day
    2017/07/15 19:18:28.663808 [INFO ] core: ...              Vault 0.6 to 0.10; values are never quoted
    2018-08-15T11:04:09.918-0400 [INFO ] core: ...            hclog, 2018
    2018-08-15 11:04:10.025470 I | http: ...                  capnslog, for what Go's log package says
    2026-10-02T06:28:49.851+0200 [INFO]  core: ...            hclog, today
    {"@level":"info","@message":"...","@module":"core",...}   hclog, JSON

Quoting differs by hclog version (intlogger.go): until 2021-09 a value with blanks stood in quotes and nothing in it
was escaped, until 2022 Go's quoting, today quotes and control characters are escaped and backslashes are not.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

Fields = dict[str, Any]

_LEVELS = {
    "trace": "trace", "trc": "trace", "t": "trace", "debug": "debug", "dbg": "debug", "d": "debug",
    "info": "info", "inf": "info", "i": "info", "n": "info", "warn": "warn", "wrn": "warn", "warning": "warn",
    "w": "warn", "error": "error", "err": "error", "e": "error", "fatal": "error", "ftl": "error", "c": "error",
}  # fmt: skip
_SLASH_TIME = rb"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d(?:\.\d{1,9})?"
_HEAD = re.compile(
    rb"[ \t]{0,32}+(?:"  # a log pasted into an issue or a page
    rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:?\d\d)|" + _SLASH_TIME + rb")"
    rb" \[ {0,2}([A-Z?]{3,7}) {0,2}\](?: {1,2}|$)"
    rb"|(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d{1,9})?) ([A-Z]) \|(?: \[ ?([A-Z]{3,5}) ?\])?(?: |$)"
    rb"|(" + _SLASH_TIME + rb")(?: |$))"
)
_ANSI = re.compile(rb"\x1b\[[0-9;]{0,32}[A-Za-z]")
_MODULE = re.compile(r"([a-z][\w./()-]{0,254}+): ")
_WORD = r"[\w@./()-]++"
_KEYS = rf"{_WORD}(?: {_WORD}){{0,3}}+="  # `upgrade time=` is one key
_PAIRS = re.compile(rf": (?={_KEYS})")
_KEY = re.compile(rf" ({_WORD}(?: {_WORD}){{0,3}}+)=")
_STARTS_WITH_PAIR = re.compile(rf"{_WORD}=")
_ONE_WORD_KEY = re.compile(rf" ({_WORD})=")
_PLAIN = re.compile(rf'(?:"([^"\\]*+)"|([^\s"\[]*+))(?= {_KEYS}|\Z)')
_QUOTED = re.compile(rf'"((?:[^"\\]++|\\.|"(?! {_KEYS}|\Z))*+)"(?= |\Z)', re.DOTALL)
_LIST = re.compile(r'\[((?:"(?:[^"\\]++|\\.)*+"|[^\]"])*+)\](?= |\Z)', re.DOTALL)
_ITEM = re.compile(r'(?:"((?:[^"\\]++|\\.)*+)"|([^,]*+))(?:, |\Z)', re.DOTALL)
_BLANK = re.compile(r"\s")
_ESCAPE = re.compile(r'\\(["\\abfnrtv]|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})')
_ESCAPES = {'"': '"', "\\": "\\", "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_MOST_STARTS = 8  # places tried as the beginning of the pairs: keeps hostile text linear
_MOST_TEXT = 1 << 20  # characters; longer text is not searched for pairs: hostile, it costs a second for each of these


class Head(msgspec.Struct, frozen=True):
    """The beginning of a message: its time as logged, its level ("" where it has none), where its text begins."""

    time: str
    level: str
    text_at: int


def read_head(line: bytes) -> Head | None:
    """Return the head of a line in any layout but JSON; None when it does not begin with a time of Vault's."""
    if not (found := _HEAD.match(line)):
        return None
    time, level, pipe_time, letter, inner, bare_time = found.groups()
    name = (level or inner or letter or b"").decode().lower()
    return Head((time or pipe_time or bare_time).decode(), _LEVELS.get(name, ""), found.end())


def without_colours(line: bytes) -> bytes:
    """Take away terminal colours: the banners of 2018 have them, hclog can."""
    return _ANSI.sub(b"", line) if b"\x1b" in line else line


def unescape(value: str) -> str:
    """Undo hclog's escapes; what is no escape stays as it is."""
    return _ESCAPE.sub(_unescaped, value) if "\\" in value else value


def _unescaped(found: re.Match[str]) -> str:
    code = found[1]
    if len(code) == 1:
        return _ESCAPES[code]
    number = int(code[1:], 16)
    return chr(number) if number <= 0x10FFFF and not 0xD800 <= number <= 0xDFFF else "\ufffd"


def read_text(text: str, *, quotes: bool = True) -> tuple[str, str, Fields]:
    """Split what stands behind the head into module ("" for the root logger), message and fields.

    Values are text, lists (`[a, b]`) lists of text. Text that only looks like pairs stays in the message.
    Without `quotes` a key is one word, because a value may be several.
    """
    module, rest = _split_module(text)
    if "=" not in rest or len(rest) > _MOST_TEXT:
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
    """Read ` key=value key="v 2"` to the end of the text; None when something in it is not a pair."""
    fields: Fields = {}
    at, endless = 0, ""
    while found := key.match(text, at):
        name, at = found[1], found.end()
        if plain := _PLAIN.match(text, at):
            fields[name], at = plain[1] or plain[2] or "", plain.end()
            continue
        first = text[at : at + 1]
        value = _QUOTED.match(text, at) if first == '"' and first not in endless else None
        value = _LIST.match(text, at) if first == "[" and first not in endless else value
        if value:
            fields[name] = unescape(value[1]) if first == '"' else _items(value[1])
            at = value.end()
            continue
        if first in ('"', "["):
            endless += first  # no end found once: do not search the rest again for each one to come
        end = _end_of_word(text, at)
        fields[name], at = text[at:end], end
    return fields if not text[at:].strip() else None


def _end_of_word(text: str, at: int) -> int:
    found = _BLANK.search(text, at)
    return found.start() if found else len(text)


def _items(text: str) -> list[str]:
    if not text:
        return []
    return [unescape(item[1]) if item[1] is not None else item[2] for item in _ITEM.finditer(text) if item[0]]


def _read_unquoted(text: str) -> Fields:
    """Read pairs whose values have blanks and no quotes (before 2018): a value ends where the next key begins."""
    keys = list(_ONE_WORD_KEY.finditer(text))
    ends = [key.start() for key in keys[1:]] + [len(text)]
    return {key[1]: text[key.end() : end].strip() for key, end in zip(keys, ends, strict=True)}


def read_json(line: bytes) -> tuple[str, str, str, str, Fields]:
    """Read a message in the JSON layout: time, level, module, message, fields.

    Raises ValueError, with a reason fit for a person and nothing of the content, when it is not such a message.
    """
    entry = _decode(line)
    if not isinstance(entry, dict) or not ("@message" in entry or "@level" in entry):
        raise ValueError("JSON without @message and @level: not a server-log message")
    time, level, module, message = (_as_text(entry.pop(key, "")) for key in _JSON_KEYS)
    if not module:  # Go's http server says `http: TLS handshake error ...` through the root logger
        module, message = _split_module(message)
    return time, _LEVELS.get(level.lower(), ""), module, _message(message), entry


_JSON_KEYS = ("@timestamp", "@level", "@module", "@message")


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
