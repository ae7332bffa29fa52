"""Lines as only an attacker sends them: recorded ones, changed a few times, each beside acts that must raise alerts.

The search is small and seeded. What a client chooses is text in a member of an entry, or in a message of the server
log; whoever is on a node or the log server can change any byte.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from vaultwatch.rules.facts import Service

_RECORDINGS = Path(__file__).parents[1] / "data/recordings"
_HEADS = ("2026-11-29T00:00:00.000Z [INFO]  core: vault is sealed", "2026/11/29 00:00:00 [ERR] core: barrier sealed")
_ENTRY = '{"time":"2026-11-29T00:00:00Z","type":"response","request":{"id":"q","operation":"update","path":"sys/seal"}}'
_TEXTS = (
    *("\x00", "\r", "\n", "\u2028", "\x85", "\ufeff", "\x1b[31m", "\x0c", "\ud800", "\udc00", "\U0001f600", "\x7f"),
    *('"', '\\"', "\\", "\\\\", "{", "}", "[", "]", '{"', '"}', "'", "`", "<br>", "| ", "\t", ",", ":", "=", '="'),
    *(
        "@prod/x/file ",
        "@prod/x/server ",
        "==> Vault shutdown triggered",
        "  | ",
        "1 ",
        "<13>1 2026-11-21T07:00:00Z ",
    ),
    *("<!channel>", "<https://a.b|c>", "*", "&lt;", "\\u0000", "\\n", "%s", "${x}", "a" * 5000, "\u202e", "\u200b"),
    *("[redacted]", "hmac-sha256:x", "__proto__", "null", "1e999", "Nov 21 07:00:00 host vault[1]: ", _ENTRY, *_HEADS),
)
_TIMES = ("9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "-1", "2026-11-21T07:00:00+99:99", "2262-04-12T00:00:00Z")
_INVALID = (b"\xc3", b"\xf0\x9f", b"\xff\xfe", b"\xed\xa0\x80")
_AHEAD = (b"\0" * 50, b"\r", b" " * 300, b"\xef\xbb\xbf", b"@prod/n/file ", b"<14>", b"@", b"#", b"999999 <13>1 - - ")
_DEPTHS = (b"[" * 300, b'{"a":' * 3000, b"[0," * 10)
_ACT_TIME = "2026-11-21T07:00:00.000000001Z"
_OF_NOBODY = 10**6
"""The number of an act that is part of a hostile line, which may raise its alert, or another one."""
_OPENS_VALUE = re.compile(rb"\S+=")
"""A line that a server writes before the lines of a value: it belongs to the message before it."""
_NUMBER = re.compile(r"sys/audit/device-(\d+)/|stored=1 shares=(\d+)")


class Case(NamedTuple):
    """The lines of one log, with the numbers of the acts in it."""

    service: Service
    lines: list[bytes]
    acts: tuple[int, int]


def act(service: Service, number: int) -> bytes:
    """Return the line of an act that raises a critical alert: the removal of an audit device, or a new barrier."""
    if service == "server":
        head = f"2026-11-21T07:{number // 60_000:02}:{number // 1000 % 60:02}.{number % 1000:03}Z [INFO]  core: "
        return f"{head}security barrier initialized: stored=1 shares={number} threshold=3".encode()
    request = {"id": f"aaaaaaaa-0000-4000-8000-{number:012}", "operation": "delete"}
    fields = {
        "time": _ACT_TIME,
        "type": "response",
        "auth": {"display_name": "alice", "entity_id": "e-1", "policies": ["default"]},
        "request": {**request, "path": f"sys/audit/device-{number}/"},
        "response": {"mount_type": "system"},
    }
    return json.dumps(fields, separators=(",", ":")).encode()


def found_acts(alerts: Iterable[Mapping[str, Any]]) -> list[tuple[Service, int]]:
    """Return the acts among alerts whose texts are those of an act without anything hostile beside it."""
    found = list[tuple[Service, int]]()
    for one in alerts:
        if one["rule"] in ("audit_device_disabled", "server_barrier_initialized"):
            number = _NUMBER.search(str(one["path"]) + str(one["record"].get("raw", "")))
            of = int(number[1] or number[2]) if number else _OF_NOBODY
            if of != _OF_NOBODY and _is_unaltered(one, of):
                found.append((one["service"], of))
    return found


def _is_unaltered(alert: Mapping[str, Any], number: int) -> bool:
    service: Service = alert["service"]
    if service == "server":
        said, *further = alert["record"]["raw"].encode().split(b"\n")
        return bool(said == act(service, number) and all(map(_OPENS_VALUE.fullmatch, further)))
    said = (alert["time"], alert["outcome"], alert["principal"], alert["summary"])
    return said == (_ACT_TIME, "succeeded", "e-1", f"alice disabled audit device device-{number}/: succeeded")


class Search:
    """A seeded search over hostile lines."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._recorded: dict[Service, list[bytes]] = {
            "audit": _lines("*/*/audit*.jsonl"),
            "server": [line for line in _lines("*/*/server.log") if not line.startswith(b" ")],
        }

    def case(self, number: int, tag: bytes = b"") -> Case:
        """Return a case, whose number makes its acts differ from those of others.

        Args:
            number: The number.
            tag: What begins the tag of each line: "@prod/vault-1/"; hostile lines have it too.
        """
        service: Service = self._random.choice(("audit", "audit", "server"))
        ways: list[Callable[[Service], bytes]] = [self._of_client, self._damaged]
        hostile = [self._random.choice(ways)(service) for _ in range(self._random.randint(1, 3))]
        acts = (2 * number, 2 * number + 1)
        first, second = (act(service, one) for one in acts)
        ordinary = self._random.choice(self._recorded[service])
        lines = self._random.choice(
            (
                [*hostile, first, ordinary, second],
                [first, ordinary, second, *hostile],
                [ordinary, first, *hostile, second],
            )
        )
        lane = b"%s%s " % (tag, b"file" if service == "audit" else b"server") if tag else b""
        return Case(service, [lane + line.replace(b"\n", b" ") + b"\n" for line in lines], acts)

    def text(self, most: int = 4) -> str:
        """Return a text that a client may choose."""
        return "".join(self._random.choice(("a", "kv/x", *_TEXTS)) for _ in range(self._random.randint(1, most)))

    def _of_client(self, service: Service) -> bytes:
        return self._entry() if service == "audit" else self._message()

    def _entry(self) -> bytes:
        line = self._random.choice(self._recorded["audit"])
        fields = json.loads(line)
        request = fields.setdefault("request", {})
        changes: list[Callable[[], object]] = [
            lambda: request.update(path=self.text()),
            lambda: request.update(data={self.text(): self.text(8)}),
            lambda: request.update(headers={self.text(): [self.text()]}),
            lambda: request.update(namespace={"id": self.text(), "path": self.text()}),
            lambda: request.update(id=self.text(), operation=self.text()),
            lambda: request.update(remote_address=self.text(), wrap_ttl=10**400),
            lambda: fields.setdefault("auth", {}).update(display_name=self.text(), metadata={self.text(): self.text()}),
            lambda: fields.update(error=self.text()),
            lambda: fields.update(time=self._random.choice(_TIMES)),
            lambda: fields.update(type=self._random.choice(("response", "request", None, 0, self.text()))),
        ]
        for change in self._random.sample(changes, self._random.randint(1, 4)):
            change()
        return json.dumps(fields, separators=(",", ":"), ensure_ascii=self._random.random() < 0.5).encode(
            "utf-8", self._random.choice(("surrogatepass", "replace"))
        )

    def _message(self) -> bytes:
        """Return a message with the text of a client, in each layout and as hclog escapes it there."""
        text, other, head = (
            _escaped(self.text(6)),
            _escaped(self.text()),
            "2026-11-21T07:00:00.000Z [ERROR] core: failed",
        )
        fields = {"@level": "error", "@message": self.text(), "@module": "core", "@timestamp": "2026-11-21T07:00:00Z"}
        return self._random.choice(
            (
                f'{head}: error="{text} x"',
                f'{head}: paths=["{text}", a] error="{other} y"',
                f"{head}: {text}",
                f"2026/11/21 07:00:00 [ERR] core: failed: {text}",
                json.dumps({**fields, "error": self.text()}),
            )
        ).encode("utf-8", "surrogatepass")

    def _damaged(self, service: Service) -> bytes:
        made = (lambda: self._random.choice(self._recorded[service]), lambda: act(service, _OF_NOBODY), self._entry)
        line = self._random.choice(made)()
        for _ in range(self._random.randint(1, 3)):
            at = self._random.randint(0, len(line))
            hostile = self._random.choice(_TEXTS).encode("utf-8", "surrogatepass")
            line = self._random.choice(
                (
                    lambda line=line, at=at: line[:at],
                    lambda line=line, at=at: line[at:],
                    lambda line=line, at=at, text=hostile: line[:at] + text + line[at:],
                    lambda line=line, at=at: line[:at] + self._random.choice(_INVALID) + line[at:],
                    lambda line=line: line + self._random.choice((b"", b" ", b",")) + line,
                    lambda line=line: self._random.choice(_AHEAD) + line,
                    lambda line=line: self._random.choice(_DEPTHS) + line,
                    lambda line=line: line.replace(b'"request"', b'"Request"', 1),
                    lambda line=line: line.replace(b'"request"', b'"request":{},"\\u0072equest"', 1),
                    lambda line=line: line.replace(b'"type"', b'"type":"response","type"', 1),
                    lambda line=line: line.replace(b'"type"', b'"type "', 1),
                    lambda line=line: line.replace(b'":', b'" :\r', 3),
                    lambda line=line: json.dumps({"log": line.decode("utf-8", "replace")}).encode(),
                    lambda line=line: json.dumps(line.decode("utf-8", "replace")).encode(),
                    lambda line=line: b"[" + line + b"]",
                )
            )()
        return line


def _escaped(text: str) -> str:
    """Return a value as hclog escapes it."""
    escapes = {'"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "\x0c": "\\f", "\x00": "\\x00", "\x1b": "\\x1b"}
    escapes |= {"\x7f": "\\x7f", "\x85": "\\u0085", "\u2028": "\\u2028", "\ufeff": "\\ufeff"}
    return text.translate({ord(one): escape for one, escape in escapes.items()})


def _lines(pattern: str) -> list[bytes]:
    return [line for file in sorted(_RECORDINGS.glob(pattern)) for line in file.read_bytes().splitlines() if line]
