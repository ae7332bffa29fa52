"""Read records from the lines of the server (operational) log.

One message can have many lines, and journald and syslog make each line a record of its own: this module joins them
again. A line that begins with a time, `{` or `==> ` opens a message. Any other line continues the open message of its
process if it is

    `  KEY=` alone                                 opens a value of many lines (hclog since 2021-02)
    `  | text`, a blank line, `  KEY=VALUE`        while such a value is open; syslog may strip both of blanks
    anything                                       while a quote is open (hclog before 2021-02)
    a blank line, `* text`                         after `... occurred:` (Vault before 0.10: no quotes at all)
    a line of a Go stack trace                     after `panic`
    anything                                       while a bracket of a line of a banner is open: somebody wrapped it

and is a record of its own otherwise. JSON lines are never continued, nor are other lines of banners. The first three
rules join all 47 messages of many lines in the recordings, with nodes interleaved; the next two are for older servers.

A message behind a text that no known form has is read from its time on, unless it may be of a value, or has its quotes
escaped: then it is rejected. So none is read without its level and time because of what is before it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import msgspec

from vaultwatch.reading.budget import MAX_MESSAGE_BYTES, SMALL_BYTES, Budget, exceeded
from vaultwatch.reading.glued import banner_at, lines_of
from vaultwatch.reading.hclog import (
    Head,
    json_budget,
    read_head,
    read_json,
    read_json_head,
    read_text,
    unescape,
)
from vaultwatch.reading.joined_messages import HEAD
from vaultwatch.reading.plain import is_of_a_value
from vaultwatch.reading.records import (
    MISPLACED_MESSAGE,
    Origin,
    Rejected,
    ServerMessage,
    ServerRecord,
    SkippedMessage,
    rejected_by_error,
)
from vaultwatch.reading.server_line import ServerLine, split_line
from vaultwatch.reading.syslog_header import Header
from vaultwatch.reading.unclear import is_unclear

_Key = tuple[str, str, str, str, str]
_Completed = list[ServerRecord]
CouldMatch = Callable[[str, bytes], bool]
"""Says from its level and its line whether a rule could match a message; if not, the message is skipped."""

_CONTROLS = bytes(code for code in (*range(0x20), 0x7F) if code not in b"\t\x1b\n")
_OPENS_BRACKET = re.compile(rb"\s*[A-Z][\w ]{0,32}: [^()]{0,64}\([^()]*\Z")
_MOST_PARTS = 16
"""Lines that one line of a banner was wrapped into."""
_NO_HEAD = Head("", "", 0)
_MOSTLY_INVALID = 0.3  # about half of random bytes is invalid, and a tenth of Latin-1 prose
_OPENS_VALUE = re.compile(
    rb"(?:  |(?=[^\s=|]{1,256}=))([^\s=|]{1,256}(?: [^\s=|]{1,256}){0,3})=\s*\Z"  # syslog may strip the blanks
)
_IN_VALUE = re.compile(rb"(?:  )?\||\s*\Z|   ?[^\s=|]{1,256}(?: [^\s=|]{1,256}){0,3}=")
_STACK_LINE = re.compile(rb"goroutine \d+ \[|\t|\s*\Z|created by |[^\s(]{1,512}\(.*\)\s*\Z|panic\(|\.\.\.")
_JSON = re.compile(rb'\s*\{\s*["}]')
_GLUED = re.compile(
    rb"(?<=[\w.)\]}/\"'])(?: ?" + HEAD + rb"|(?<![_-])(?:==>|panic:|fatal error:) | panic: runtime error: )"
)
"""What is behind a line of a value: where one begins, a value can be lines of a log itself."""
_ANY_MESSAGE = re.compile(HEAD + rb'|\{\\{0,8}"@(?:level|message|module|timestamp|caller)\\{0,8}":')
"""A message in a line, also where its quotes are still escaped: then nothing can be read of it."""


class _Open:
    """A message that further lines may continue: its lines as they arrived, and their texts without headers."""

    def __init__(self, line: ServerLine, head: Head, origin: Origin, deadline: float) -> None:
        self.head, self.first, self.origin, self.deadline = head, line, origin, deadline
        self.lines = [line.raw]
        self.texts = [line.text[head.text_at :]]
        self.bytes = len(line.raw)
        self._value_open = False
        self.has_bare_lines = False  # added without a header
        self._quotes = b'="' in line.text
        self._quote_open = self._quotes and _odd_quotes(line.text)
        self._is_banner = head is _NO_HEAD

    @property
    def wrapped(self) -> ServerLine | None:
        """The line of a banner that all lines were before somebody wrapped it; None if they are a message."""
        if not self._is_banner:
            return None
        text = self.first.text
        for part in self.texts[1:]:  # a mail program leaves the blank out at which it wraps
            is_cut_at_blank = text.endswith((b",", b":")) and not text.count(b'"') % 2 and not part.startswith(b" ")
            text += b" " + part if is_cut_at_blank else part
        return msgspec.structs.replace(self.first, raw=self.first.raw + text[len(self.first.text) :], text=text)

    @property
    def waits_for_quote(self) -> bool:
        """Whether a quote is open, so that anything continues the message."""
        return self._quote_open

    def takes(self, text: bytes) -> bool:
        """Return whether a line that opens no message continues this one."""
        if self._is_banner:
            return len(self.lines) < _MOST_PARTS and b")" not in self.texts[-1] and text.strip() != b""
        if self._quote_open or _OPENS_VALUE.match(text):
            return True
        if self._value_open:
            return bool(_IN_VALUE.match(text))
        if b" occurred:" in self.texts[0] and not self._quotes:
            return not text.strip() or text.lstrip().startswith(b"* ")
        return b"panic" in self.texts[0] and bool(_STACK_LINE.match(text))

    def add(self, line: ServerLine, origin: Origin) -> _Completed:
        """Add a line, and return what is behind it: a message in a line of a value could also be of a client."""
        rejected: _Completed = []
        if line.text.startswith((b"  | ", b"| ")) and (behind := _GLUED.search(line.text)):
            text = line.text[behind.start() :]
            rejected.append(Rejected(text, MISPLACED_MESSAGE, origin, exceeded(text, MAX_MESSAGE_BYTES)))
            line = msgspec.structs.replace(line, raw=line.raw.removesuffix(text), text=line.text[: behind.start()])
        self.lines.append(line.raw)
        self.texts.append(line.text)
        self.bytes += len(line.raw)
        self.has_bare_lines |= not any(_key(line.header, origin)[2:])
        if self._quote_open:
            self._quote_open ^= _odd_quotes(line.text)
        elif _OPENS_VALUE.match(line.text):
            self._value_open = True
        return rejected


def _odd_quotes(text: bytes) -> bool:
    if b"\\" not in text:
        return text.count(b'"') % 2 == 1
    text = text.replace(b"\\\\", b"")
    if text.rstrip().endswith(b'\\"'):  # a value that ends with a backslash, which hclog does not escape since 2022
        return False
    return (text.count(b'"') - text.count(b'\\"')) % 2 == 1


def _finish(opened: _Open) -> list[ServerRecord]:
    try:
        if line := opened.wrapped:
            return [_single(line, opened.origin)]
        text = opened.texts[0]
        at = banner_at(text) if len(text) <= MAX_MESSAGE_BYTES else 0
        return _divided(opened, at) if at else [_message(opened)]
    except Exception as error:  # noqa: BLE001  only this message is rejected, not the line that ended it
        return [rejected_by_error(error, b"\n".join(opened.lines), opened.origin)]


def _divided(opened: _Open, at: int) -> list[ServerRecord]:
    """Return a message, and the lines that are no part of it because a banner or a crash begins here in its line."""
    banner = opened.texts[0][at:]
    further = zip([banner, *opened.lines[1:]], [banner, *opened.texts[1:]], strict=True)
    first = opened.first
    opened.first = msgspec.structs.replace(first, text=first.text[: -len(banner)])
    opened.lines, opened.texts = [first.raw.replace(banner, b"")], [opened.texts[0][:at]]
    lines = (msgspec.structs.replace(first, raw=raw, text=text, head=None) for raw, text in further if text.strip())
    return [_message(opened), *(_single(line, opened.origin) for line in lines)]


def _message(opened: _Open) -> ServerMessage:
    partial: Budget = "bytes" if sum(map(len, opened.texts)) > MAX_MESSAGE_BYTES else ""
    texts = list(_beginning(opened.texts)) if partial else opened.texts
    further = lines_of(texts[0]) if len(texts) == 1 else texts
    text, values = _join(further)
    module, message, fields = read_text(text, quotes=opened.head.time[4:5] != "/", pairs=not partial)
    return ServerMessage(
        time=opened.head.time,
        level=opened.head.level,
        module=module,
        message=message,
        fields=fields | values if values else fields,
        raw=opened.lines[0] if len(opened.lines) == 1 else b"\n".join(opened.lines),
        origin=opened.origin,
        header_time=opened.first.header.time,
        host=opened.first.header.host,
        partial=partial,
        own=opened.first.text.removesuffix(texts[0]) + further[0],
        program=opened.first.header.program,
    )


def _beginning(texts: list[bytes]) -> Iterator[bytes]:
    room = MAX_MESSAGE_BYTES
    for text in texts:
        yield text[:room]
        room -= len(text)
        if room <= 0:
            break


def _join(parts: list[bytes]) -> tuple[str, dict[str, str]]:
    """Split the lines of one message into its text and its values of several lines."""
    text = [str(parts[0], "utf-8", "replace")]
    if len(parts) == 1:
        return text[0], {}
    values: dict[str, list[str]] = {}
    name = ""
    for line in (str(part, "utf-8", "replace") for part in parts[1:]):
        if name and line.startswith(("  |", "|")):
            values[name].append(unescape(line.partition("|")[2].removeprefix(" ")))
        elif found := _OPENS_VALUE.match(line.encode()):
            name = found[1].decode()
            values[name] = []
        elif name:
            text[-1] += f" {line.strip()}" if line.strip() else ""
        else:
            text.append(line)
    return "\n".join(text), {key: "\n".join(lines).rstrip("\n") for key, lines in values.items()}


def _single(line: ServerLine, origin: Origin) -> ServerMessage | Rejected:
    """Read a line that is a record by itself: JSON, a banner, or a line that continues no message."""
    time = level = module = ""
    fields: dict[str, object] = {}
    text, header = line.text, line.header
    partial: Budget = ""
    if _JSON.match(text):
        partial = json_budget(text)
        try:
            time, level, module, message, fields = read_json(text)
        except ValueError as error:
            return Rejected(line.raw, str(error), origin, partial)
    else:
        message = text[:MAX_MESSAGE_BYTES].decode("utf-8", "replace").strip()
        partial = "bytes" if len(text) > MAX_MESSAGE_BYTES else ""
    known = (line.raw, origin, header.time, header.host, partial, text, header.program)
    return ServerMessage(time, level, module, message, fields, *known)


def _time_and_level(line: ServerLine) -> tuple[str, str] | None:
    """Return time and level of a line that is a record by itself; None if only reading all of it can say."""
    return read_json_head(line.text) if _JSON.match(line.text) else ("", "")


def _why_not_text(text: bytes) -> str:
    """Return why a line is not text; "" if it is."""
    if len(text.translate(None, _CONTROLS)) != len(text):
        return "NUL or control characters"
    if text.isascii():
        return ""
    text = text[:MAX_MESSAGE_BYTES]
    decoded = text.decode("utf-8", "replace")
    return "not UTF-8 text" if decoded.count("\ufffd") > _MOSTLY_INVALID * len(decoded) else ""


class ServerLogReader:
    """Joins the lines of any number of servers into records.

    Processes are distinguished by cluster and node of a line's origin and by host, program and process id in its
    header. A message is complete when its process begins the next one, `max_wait_seconds` after its first line
    (`due`), when another line would exceed `max_lines` or `max_bytes`, or when more than `max_open` messages are open
    (the oldest is closed first). A single longer line is still one record. `now` is in seconds of any monotonic clock.
    `on_unclear` is called with each line that is a record by itself, but none that a server is known to write.
    """

    def __init__(
        self,
        *,
        max_lines: int = 1000,
        max_bytes: int = 1 << 20,
        max_wait_seconds: float = 5.0,
        max_open: int = 1000,
        could_match: CouldMatch = lambda level, line: True,
        on_unclear: Callable[[bytes], None] = lambda line: None,
    ) -> None:
        self._could_match = could_match
        self._on_unclear = on_unclear
        self._max_lines = max_lines
        self._max_bytes = max_bytes
        self._max_wait_seconds = max_wait_seconds
        self._max_open = max_open
        self._open: dict[_Key, _Open] = {}  # in the order of their deadlines

    @property
    def next_due(self) -> float | None:
        """When `due` next has something to return, on the clock of `now`; None if no message is open."""
        return next((opened.deadline for opened in self._open.values()), None)

    def feed(self, line: bytes | ServerLine, origin: Origin, now: float) -> _Completed:
        """Add one line, without its newline and tag, and return the records that it completes, in order."""
        line = line if isinstance(line, ServerLine) else split_line(line)
        if reason := _why_not_text(line.text):
            return [Rejected(line.raw, reason, origin, exceeded(line.raw, MAX_MESSAGE_BYTES))]
        key = _key(line.header, origin)
        if line.head and line.head.level:
            return self._begin(key, line, line.head, origin, now)
        if not line.head and (opened := self._waiting(key, line)):
            return opened.add(line, origin)
        if not line.text.strip():
            return []
        if start := _hidden(line.text):
            text = line.text[start:]
            if is_of_a_value(line.text) or text.startswith(b"{\\"):
                partial = exceeded(line.raw, MAX_MESSAGE_BYTES)
                return [*self._close(key), Rejected(line.raw, MISPLACED_MESSAGE, origin, partial)]
            line = msgspec.structs.replace(line, text=text, head=read_head(text))
        if head := line.head or (_NO_HEAD if _OPENS_BRACKET.match(line.text) else None):
            return self._begin(key, line, head, origin, now)
        if not _JSON.match(line.text) and is_unclear(line.text):
            self._on_unclear(line.raw)
        return [*self._close(key), self._skipped(line, origin) or _single(line, origin)]

    def _begin(self, key: _Key, line: ServerLine, head: Head, origin: Origin, now: float) -> _Completed:
        done = self._close(key)
        self._open[key] = _Open(line, head, origin, now + self._max_wait_seconds)
        return done if len(self._open) <= self._max_open else done + self._close(next(iter(self._open)))

    def continues(self, line: ServerLine, origin: Origin) -> bool:
        """Return whether `feed` would add this line to an open message."""
        return line.head is None and self._waiting(_key(line.header, origin), line) is not None

    def due(self, now: float) -> _Completed:
        """Close the messages that have waited long enough."""
        done: _Completed = []
        while (deadline := self.next_due) is not None and deadline <= now:
            done += self._close(next(iter(self._open)))
        return done

    def flush(self) -> _Completed:
        """Close every open message at the end of the input."""
        done = [record for opened in self._open.values() for record in self._complete(opened)]
        self._open.clear()
        return done

    def _close(self, key: _Key) -> _Completed:
        """Close the message of a process, or those that its lines without a header were added to."""
        keys = [key] if key in self._open else self._with_bare_lines(key)
        return [record for one in keys for record in self._complete(self._open.pop(one))]

    def _with_bare_lines(self, key: _Key) -> list[_Key]:
        if any(key[2:]) or not self._open:
            return []
        return [one for one, opened in self._open.items() if opened.has_bare_lines and one[:2] == key[:2]]

    def _complete(self, opened: _Open) -> _Completed:
        if len(opened.lines) == 1 and not self._could_match(opened.head.level, opened.lines[0]):
            header = opened.first.header
            return [SkippedMessage(opened.head.time, opened.lines[0], opened.origin, header.time, header.host)]
        return _finish(opened)

    def _skipped(self, line: ServerLine, origin: Origin) -> SkippedMessage | None:
        """Return a line that is a record by itself as skipped, if no rule could match it."""
        if len(line.raw) > SMALL_BYTES or not (found := _time_and_level(line)):
            return None
        time, level = found
        if self._could_match(level, line.raw):
            return None
        return SkippedMessage(time, line.raw, origin, line.header.time, line.header.host)

    def _last_before(self, key: _Key) -> _Open | None:
        """Return the message that was begun last, for a line without a header: that may be before the first only."""
        last = next(reversed(self._open), None)
        return self._open[last] if last and last[:2] == key[:2] and not any(key[2:]) else None

    def _waiting(self, key: _Key, line: ServerLine) -> _Open | None:
        """Return the open message that a line without a head continues."""
        opened = self._open.get(key) or self._last_before(key)
        if not opened or line.text.startswith((b"{", b"==> ")):
            return None
        if len(opened.lines) >= self._max_lines or opened.bytes + len(line.raw) > self._max_bytes:
            return None
        if opened.waits_for_quote and _hidden(line.text) and not is_of_a_value(line.text):
            return None
        return opened if opened.takes(line.text) else None


def _hidden(text: bytes) -> int:
    """Return where a message begins behind an unknown text; 0 if none does."""
    found = None if _JSON.match(text) else _ANY_MESSAGE.search(text)
    return found.start() if found else 0


def _key(header: Header, origin: Origin) -> _Key:
    return origin.cluster, origin.node, header.host, header.program, header.pid
