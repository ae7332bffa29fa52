"""Lines as nobody but an attacker sends them, and a search for worse ones.

A shape is a text repeated to fill a line, in front of and behind which stands the rest of an audit entry or of a
server-log message. The search changes shapes at random and continues with the worst ones.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import NamedTuple, TypeVar

HEAD = (
    b'{"time":"2026-11-28T00:00:00Z","type":"request","auth":{"display_name":"eve"},"request":{"id":"a",'
    b'"operation":"delete","path":"sys/audit/file","data":'
)
TAIL = b'},"error":"permission denied"}'
MESSAGE = b"2026-11-28T00:00:00.000Z [ERROR] core: failed: "
JSON_MESSAGE = b'{"@level":"error","@message":"failed","@module":"core","@timestamp":"2026-11-28T00:00:00.000000Z","x":'

Figures = TypeVar("Figures", bound=tuple[float, float])


class Shape(NamedTuple):
    """A line: `start`, `opening`, `item` as often as fits, `closing` and `end`; `%d` in an item is its number."""

    start: bytes
    opening: bytes
    item: bytes
    closing: bytes
    end: bytes

    def line(self, size: int) -> bytes:
        """Return the line of about `size` bytes."""
        if b"%d" in self.item:
            filled = bytearray()  # grows in place: pieces that are joined would leave their memory to the measurement
            for number in range(size // (len(self.item) + 5)):
                filled += self.item.replace(b"%d", b"%07d" % number)
            items = bytes(filled)
        else:
            items = self.item * (size // len(self.item))
        return self.start + self.opening + items + self.closing + self.end


def _nested(depth: int, opening: bytes = b"[", closing: bytes = b"]", leaf: bytes = b"") -> bytes:
    return opening * depth + leaf + closing * depth


def _array(item: bytes) -> Shape:
    return Shape(HEAD, b"[", item + b",", b"0]", TAIL)


def _text(item: bytes) -> Shape:
    return Shape(HEAD, b'"', item, b'"', TAIL)


def _object(item: bytes) -> Shape:
    return Shape(HEAD, b"{", item + b",", b'"x":0}', TAIL)


NAMED = {
    "arrays nested 120 deep": _array(_nested(120)),
    "arrays nested 2,000 deep": _array(_nested(2_000)),
    "objects nested 2,000 deep": _array(_nested(2_000, b'{"a":', b"}", b"0")),
    "empty arrays": _array(b"[]"),
    "empty objects": _array(b"{}"),
    "numbers": _array(b"1"),
    "blanks before colons": _object(b'"%d" :0'),
    "one name, repeated": _object(b'"a":0'),
    "a long name": Shape(HEAD, b'{"', b"k", b'":0}', TAIL),
    "a long name of wide characters": Shape(HEAD, b'{"\xf0\x9f\x98\x80', b"k", b'":0}', TAIL),
    "objects of 9,000 members": _array(b"{" + b",".join(b'"%x":0' % number for number in range(9_000)) + b"}"),
    "objects of 64 KiB and more": _object(b'"%d":{' + b",".join([b'"key":"value"'] * 5_000) + b"}"),
    "objects around a text": Shape(HEAD, b'{"a":' * 900 + b'"', b"x", b'"' + b"}" * 900, TAIL),
    "an entry in the data": _array(HEAD + b"0" + TAIL),
    "marks of UTF-8": _text(b"\xef\xbb\xbf"),
    "fractions": _array(b"1.5"),
    "one number": Shape(HEAD, b"", b"9", b"", TAIL),
    "one text": _text(b"x"),
    "escapes": _text(b"\\n"),
    "escaped characters": _text(b"\\ud83d\\ude00"),
    "lone surrogates": _text(b"\\ud800"),
    "not UTF-8": _text(b"\xff"),
    "control characters": _text(b"\x01"),
    "a wide path": Shape(HEAD.replace(b'file","data":', b"\xf0\x9f\x98\x80"), b"", b"sys/", b'","data":0', TAIL),
    "tokens in a path": Shape(HEAD.replace(b'file","data":', b""), b"", b"hvs.%d/", b'","data":0', TAIL),
    "a wide name, with quotes": Shape(HEAD, b'{"a":[],"\xf0\x9f\x98\x80', b'k\\"', b'":0}', TAIL),
    "lone surrogates between letters": _text(b"a\\ud800"),
    "objects nested 20,000 deep": _array(_nested(20_000, b'{"a":', b"}", b"0")),
    "empty arrays beside a deep one": Shape(HEAD, b"[" + _nested(20_000) + b",", b"[],", b"0]", TAIL),
    "empty arrays 98 deep, beside a deep one": Shape(
        HEAD, b"[" * 98 + _nested(20_000) + b",", b"[],", b"0" + b"]" * 98, TAIL
    ),
    "objects without an end": Shape(HEAD, b"", b'{"a":', b"", b""),
    "objects without an end, beside others": Shape(HEAD, b"", b'{"a":[{"b":0},', b"", b""),
    "NaN": _array(b"NaN"),
    "wide characters": _text("\U0001f600".encode()),
    "many keys": _object(b'"%d":0'),
    "one key, many times": _object(b'"a":{}'),
    "many headers": Shape(HEAD, b'{},"headers":{', b'"%d":["v"],', b'"x":[]}', TAIL),
    "many members of the entry": Shape(b"{", b"", b'"%d":0,', b"", HEAD[1:] + b"0" + TAIL),
    "a path": Shape(HEAD.replace(b'file","data":', b""), b"", b"sys/", b'","data":0', TAIL),
    "braces before the entry": Shape(b"", b"", b"{", b"", HEAD + b"0" + TAIL),
    "cut off": Shape(HEAD, b"[", b"[],", b"", b""),
    "cut off text": Shape(HEAD, b'"', b"x", b"", b""),
    "opening brackets": Shape(HEAD, b"", b"[", b"", b""),
    "server message, pairs": Shape(MESSAGE, b"", b"k%d=v ", b"", b""),
    "server message, quotes": Shape(MESSAGE, b"", b'a="', b"", b""),
    "server message, one wide character": Shape(MESSAGE, b"\xf0\x9f\x98\x80", b"k%d=v ", b"", b""),
    "server message, a text": Shape(MESSAGE, b"", b"x", b"", b""),
    "server message in JSON, pairs": Shape(JSON_MESSAGE, b"0,", b'"%d":"v",', b'"y":0', b"}"),
    "server message in JSON, arrays": Shape(JSON_MESSAGE, b"[", b"[],", b"0]", b"}"),
    "plain text": Shape(b"", b"", b"x", b"", b""),
    "NUL": Shape(b"", b"", b"\0", b"", b""),
}
_TOKENS = [
    *(b"[", b"]", b"[]", b"{}", b"0", b"-1e9", b"1.5", b"null", b'""', b'"x"', b'"\\n"', b'"\\ud800"', b'"\xff"'),
    *('"\U0001f600"'.encode(), b'{"%d":0}', b'{"a":[]}', b'{"a":{"b":{}}}', _nested(99), _nested(101), _nested(1_001)),
    *(b" ", b"\\", b'"', b"=", b": ", b"@", b"hvs.", b"s.", b"{", b"}", b"}{", b"\t", b"\x01", b"\xff", b"\xf0\x9f"),
]
_STARTS = sorted({(shape.start, shape.opening, shape.closing, shape.end) for shape in NAMED.values()})


def changed(shape: Shape, random: Random) -> Shape:
    """Return a shape that differs from another in its item or in what surrounds it."""
    token = random.choice(_TOKENS)
    separator = b"," if shape.item.endswith(b",") else b""
    body = shape.item.removesuffix(b",")
    if random.random() < 0.3:
        start, opening, closing, end = random.choice(_STARTS)
        return Shape(start, opening, shape.item, closing, end)
    bodies = (token, body + separator + token, token + separator + body, b"[" + body + b"]", b'{"a":' + body + b"}")
    return shape._replace(item=random.choice(bodies)[:2_100] + separator)


def searched(measure: Callable[[Shape], Figures], tries: int, seed: int = 1) -> dict[Shape, Figures]:
    """Return the figures of the named shapes and of others; half of the tries change one of the worst three so far.

    Args:
        measure: Returns the figures of a shape, higher ones for worse shapes; the tries search for each in turn.
        tries: How many shapes to try beside the named ones.
        seed: Of the random changes.
    """
    random = Random(seed)
    named = list(NAMED.values())
    found = {shape: measure(shape) for shape in named}
    for number in range(tries):
        worst_so_far = sorted(found, key=lambda one: -found[one][number % 2])[:3]
        shape = changed(random.choice(worst_so_far if random.random() < 0.5 else named), random)
        if shape not in found:
            found[shape] = measure(shape)
    return found
