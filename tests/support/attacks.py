"""Attacks on one critical act: forged lines that share something with it, hostile ones beside it, and damaged frames.

The search is small and seeded. A forged line has the id of the act's request, which the log server sees before anybody
else, or an id that resembles it; each member on which rules, groups and texts depend may be altered, absent, or of
another type.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from tests.support.hostile import Search

Fields = dict[str, Any]
_TAG = b"@prod/vault-1/file "
_TAGS = (_TAG, _TAG, _TAG, b"@prod/vault-1/socket ", b"@prod/vault-9/file ", b"@unknown/log-1/file ", b"")
_OTHER_TYPES: tuple[Any, ...] = (
    None,
    7,
    True,
    [],
    {},
    ["x"],
    {"a": {"b": []}},
    "",
    "\ud800",
    10**30,
    1.5e300,
    "x" * 3000,
)
_TIMES: tuple[Any, ...] = (
    "9999-12-31T23:59:59Z",
    "1970-01-01T00:00:00Z",
    "2126-01-01T00:00:00Z",
    "yesterday",
    "",
    None,
    7,
    [],
)
_TYPES: tuple[Any, ...] = ("request", "response", "response", "kmip-response", "ssh-request", "RESPONSE", "", None, [])
_ERRORS: tuple[Any, ...] = (
    "permission denied",
    "1 error occurred:\n\t* permission denied\n\n",
    ["x"],
    {"a": 1},
    " ",
    "succeeded",
    0,
)
_WITHOUT = object()


class Attack(NamedTuple):
    """An act and what is done to hide it.

    Attributes:
        number: The number of the act, which differs from those of others.
        calls: The lines of each of its frames, which are sent one after the other.
        archived: The lines that the node itself archives.
    """

    number: int
    calls: list[list[bytes]]
    archived: list[bytes]

    def named_by(self, texts: Sequence[str]) -> list[str]:
        """Return those of some e-mails that have its alert, with what was done, by whom, from where, and its outcome.

        The outcome may be unknown, and the name be missing, if a request without them was evaluated first.
        """
        name, entity = f"alice-{self.number}", f"entity entity-{self.number}"
        return self._with_caller(texts, name, rf"{name} \({entity}\)") or self._with_caller(texts, entity, entity)

    def _with_caller(self, texts: Iterable[str], who: str, caller: str) -> list[str]:
        what = f"audit device device-{self.number}/ in namespace team-a/"
        done = f"(disabled {what}: succeeded|asked to disable {what}: no response logged)"
        sentence = rf"{who} \({re.escape(_address(self.number))}\) {done}"
        alone = rf"{sentence}[^\n]*\n\n +who +{caller}\n(?: +\w+ +[^\n]+\n)* +rule +audit_device_disabled\n"
        merged = rf" Audit device (?:disabled|removal requested) by {caller}\n[^\n]*\n +{sentence}"
        return [text for text in texts if re.search(f"{alone}|{merged}", text)]


class Attacks:
    """A seeded search over attacks."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._search = Search(seed)

    def attack(self, number: int) -> Attack:
        """Return an attack on the act of a number."""
        real = {kind: _line(_act(number, kind)) for kind in ("request", "response")}
        request, response = real["request"], real["response"]
        calls = self._random.choice(
            (
                [[request, response]],
                [[], [request, response]],
                [[request], [response]],
                [[response], [request]],
                [[request, response], [request, response]],
                [[], [response]],
            )
        )
        calls = [list(call) for call in calls]
        for _ in range(self._random.randint(1, 3)):
            call = self._random.choice(calls)
            call.insert(self._random.randint(0, len(call)), self._forged(number))
        for _ in range(self._random.randint(0, 2)):
            call = self._random.choice(calls)
            hostile = self._search.case(number).lines[0].replace(b"\n", b" ")
            call.insert(self._random.randint(0, len(call)), self._random.choice(_TAGS[:5]) + hostile + b"\n")
        return Attack(number, calls, [request, response])

    def _forged(self, number: int) -> bytes:
        fields = _act(number, self._random.choice(("request", "response")))
        changes: list[Callable[[], object]] = [
            lambda: self._set(
                fields, "auth", None, [], {}, "x", {"display_name": "mallory", "entity_id": "m"}, _WITHOUT
            ),
            lambda: self._set(fields.get("auth"), "entity_id", "m", *_OTHER_TYPES, _WITHOUT),
            lambda: self._set(fields.get("auth"), "display_name", "mallory", *_OTHER_TYPES, _WITHOUT),
            lambda: self._set(fields["request"], "remote_address", "198.51.100.9", *_OTHER_TYPES, _WITHOUT),
            lambda: self._set(fields["request"], "namespace", {"path": "team-b/"}, *_OTHER_TYPES, _WITHOUT),
            lambda: self._set(fields["request"], "path", "sys/audit/decoy/", "sys/audit/" + "d" * 70_000, "sys/seal"),
            lambda: self._set(fields["request"], "operation", "update", "read", *_OTHER_TYPES, _WITHOUT),
            lambda: self._set(fields["request"], "data", {"a": [[]] * 12_000}, self._deep(), *_OTHER_TYPES),
            lambda: self._set(fields["request"], "mount_type", *_OTHER_TYPES),
            lambda: self._set(fields, "error", *_ERRORS),
            lambda: self._set(fields, "response", {"data": {"error": "x"}}, {"auth": {"accessor": "a"}}, *_OTHER_TYPES),
            lambda: self._set(fields, "type", *_TYPES),
            lambda: self._set(fields, "time", *_TIMES),
            lambda: self._set(fields, self._search.text(), self._search.text()),
            lambda: self._other_id(fields),
        ]
        for change in self._random.sample(changes, self._random.randint(1, 4)):
            change()
        line = _line(fields, self._random.choice(_TAGS), ascii_only=self._random.random() < 0.7)
        return self._random.choice((_as_it_is, _as_it_is, _as_it_is, _twice, _cut, _wrapped))(line)

    def _set(self, where: Any, name: str, *values: Any) -> None:
        value = self._random.choice(values)
        if isinstance(where, dict):
            if value is _WITHOUT:
                where.pop(name, None)
            else:
                where[name] = value

    def _other_id(self, fields: Fields) -> None:
        """Give it an id that resembles the real one; then it is another act, of which nobody must think it is this."""
        own = fields["request"]["id"]
        self._set(fields["request"], "id", own.upper(), own + " ", own + "\0", own[:-1], [own], {"id": own}, "", None)
        fields["request"]["path"] = "sys/audit/decoy/"

    def _deep(self) -> Any:
        value: Any = 1
        for _ in range(self._random.choice((50, 150, 900))):
            value = [value]
        return value


def plain(number: int) -> Attack:
    """Return an act that nobody attacks."""
    lines = [_line(_act(number, kind)) for kind in ("request", "response")]
    return Attack(number, [lines], lines)


def _address(number: int) -> str:
    return f"192.0.2.{number % 250}"


def _act(number: int, kind: str) -> Fields:
    """Return the removal of an audit device."""
    return {
        "time": f"2026-11-21T07:00:00.{number:09}Z",
        "type": kind,
        "auth": {"display_name": f"alice-{number}", "entity_id": f"entity-{number}", "policies": ["default"]},
        "request": {
            "id": f"aaaaaaaa-0000-4000-8000-{number:012}",
            "operation": "delete",
            "mount_type": "system",
            "path": f"sys/audit/device-{number}/",
            "namespace": {"id": "ns1", "path": "team-a/"},
            "remote_address": _address(number),
        },
        **({"response": {"mount_type": "system"}} if kind == "response" else {}),
    }


def _line(fields: Fields, tag: bytes = _TAG, *, ascii_only: bool = True) -> bytes:
    text = json.dumps(fields, separators=(",", ":"), ensure_ascii=ascii_only)
    return tag + text.encode("utf-8", "surrogatepass").replace(b"\n", b" ") + b"\n"


def _as_it_is(line: bytes) -> bytes:
    return line


def _twice(line: bytes) -> bytes:
    """Let an object stand twice in the entry, first that of somebody else."""
    return line.replace(b'"request":{', b'"request":{"id":"other","path":"sys/seal"},"request":{', 1)


def _cut(line: bytes) -> bytes:
    return line[: 2 * len(line) // 3].rstrip(b"\n") + b"\n"


def _wrapped(line: bytes) -> bytes:
    tag, _, text = line.rpartition(b"/file ") if b"/file " in line[:30] else (b"", b"", line)
    return (tag + b"/file " if tag else b"") + json.dumps({"log": text.decode("utf-8", "replace")}).encode() + b"\n"
