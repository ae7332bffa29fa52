"""Read records from the lines of the server (operational) log.

One message can have many lines, and journald and syslog make each line a record of its own: this module joins them
again. A line that begins with a time, `{` or `==> ` opens a message. Any other line continues the open message of its
process if it is

    `  KEY=` alone                                 opens a value of many lines (hclog since 2021-02)
    `  | text`, a blank line, `  KEY=VALUE`        while such a value is open
    anything                                       while a quote is open (hclog before 2021-02)
    a blank line, `* text`                         after `... occurred:` (Vault before 0.10: no quotes at all)
    a line of a Go stack trace                     after `panic`

and is a record of its own otherwise. JSON lines and banners are never continued. The first three rules join all 47
messages of many lines in the recordings, with nodes interleaved; the last two are for older servers.
"""

from __future__ import annotations

import re

from vaultwatch.reading.budget import MAX_MESSAGE_BYTES, Budget, exceeded
from vaultwatch.reading.hclog import Head, read_head, read_json, read_text, unescape, without_colours
from vaultwatch.reading.records import Origin, Rejected, ServerMessage, rejected_by_error
from vaultwatch.reading.syslog_header import NO_HEADER, Header, strip_syslog_header

_Key = tuple[str, str, str, str, str]
_Completed = list[ServerMessage | Rejected]

_CONTROLS = bytes(code for code in (*range(0x20), 0x7F) if code not in b"\t\x1b\n")
_MOSTLY_INVALID = 0.3  # about half of random bytes is invalid, and a tenth of Latin-1 prose
_OPENS_VALUE = re.compile(rb"  ([^\s=|]{1,256}(?: [^\s=|]{1,256}){0,3})=\s*\Z")
_IN_VALUE = re.compile(rb"  \||\s*\Z|   ?[^\s=|]{1,256}(?: [^\s=|]{1,256}){0,3}=")
_STACK_LINE = re.compile(rb"goroutine \d+ \[|\t|\s*\Z|created by |[^\s(]{1,512}\(.*\)\s*\Z|panic\(|\.\.\.")
_COLOUR = rb"\x1b\[[0-9;]{0,32}m"
_GAP = rb" *(?:" + _COLOUR + rb" *){0,16}(?! |" + _COLOUR + rb")"  # all of the blanks and terminal colours
_SECRET = re.compile(
    rb"((?:(?:Unseal|Recovery) Key(?: \d+)?(?: \(\w{1,16}\))?|Root Token(?: ID)?)" + _GAP + rb":" + _GAP + rb"|"
    rb"(?:VAULT|BAO)_\w{0,32}TOKEN\w{0,32}=)"
    rb"([\"']?)[^\s\"'\\]+"
)
_SERVER_KEY = re.compile(rb'\s*\{\s*"@(?:level|message|module|timestamp|caller)"\s*:')
_SERVER_KEY_LATER = re.compile(rb'"@(?:level|message)"\s*:')
_NEAR_START = 512
_JSON = re.compile(rb'\s*\{\s*["}]')


def mask_secrets(line: bytes) -> bytes:
    """Replace the root token and unseal keys that `vault server -dev` and `operator init` print by `[redacted]`."""
    if b"oot Token" in line or b" Key" in line or b"TOKEN" in line:
        return _SECRET.sub(rb"\1\2[redacted]", line)
    return line


def looks_like_server_line(line: bytes) -> bool:
    """Return whether a line, with or without a syslog header, opens a server-log message."""
    text = without_colours(line)
    if read_head(text):
        return True
    text = without_colours(strip_syslog_header(text)[1])
    if text.startswith(b"==> ") or read_head(text) or _SERVER_KEY.match(text):
        return True
    if not text.lstrip().startswith(b"{") or not _SERVER_KEY_LATER.search(text, 0, _NEAR_START):
        return False
    try:
        read_json(text)
    except ValueError:
        return False
    return True


class _Open:
    """A message that further lines may continue: its lines as they arrived, and their texts without headers."""

    def __init__(self, line: bytes, text: bytes, head: Head, header: Header, origin: Origin, deadline: float) -> None:
        self.head, self.header, self.origin, self.deadline = head, header, origin, deadline
        self.lines = [line]
        self.texts = [text[head.text_at :]]
        self.bytes = len(line)
        self._value_open = False
        self._quotes = b'="' in text
        self._quote_open = self._quotes and _odd_quotes(text)

    def takes(self, text: bytes) -> bool:
        """Return whether a line that opens no message continues this one."""
        if self._quote_open or _OPENS_VALUE.match(text):
            return True
        if self._value_open:
            return bool(_IN_VALUE.match(text))
        if b" occurred:" in self.texts[0] and not self._quotes:
            return not text.strip() or text.lstrip().startswith(b"* ")
        return b"panic" in self.texts[0] and bool(_STACK_LINE.match(text))

    def add(self, line: bytes, text: bytes) -> None:
        self.lines.append(line)
        self.texts.append(text)
        self.bytes += len(line)
        if self._quote_open:
            self._quote_open ^= _odd_quotes(text)
        elif _OPENS_VALUE.match(text):
            self._value_open = True


def _odd_quotes(text: bytes) -> bool:
    if b"\\" not in text:
        return text.count(b'"') % 2 == 1
    text = text.replace(b"\\\\", b"")
    if text.rstrip().endswith(b'\\"'):  # a value that ends with a backslash, which hclog does not escape since 2022
        return False
    return (text.count(b'"') - text.count(b'\\"')) % 2 == 1


def _finish(opened: _Open) -> ServerMessage | Rejected:
    try:
        return _message(opened)
    except Exception as error:  # noqa: BLE001  only this message is rejected, not the line that ended it
        return rejected_by_error(error, b"\n".join(opened.lines), opened.origin)


def _message(opened: _Open) -> ServerMessage:
    text, values = _join([part[:MAX_MESSAGE_BYTES] for part in opened.texts])
    partial: Budget = "bytes" if sum(map(len, opened.texts)) > MAX_MESSAGE_BYTES else ""
    module, message, fields = read_text(text, quotes=opened.head.time[4] != "/", pairs=not partial)
    return ServerMessage(
        time=opened.head.time,
        level=opened.head.level,
        module=module,
        message=message,
        fields=fields | values if values else fields,
        raw=opened.lines[0] if len(opened.lines) == 1 else b"\n".join(opened.lines),
        origin=opened.origin,
        header_time=opened.header.time,
        host=opened.header.host,
        partial=partial,
    )


def _join(parts: list[bytes]) -> tuple[str, dict[str, str]]:
    """Split the lines of one message into its text and its values of several lines."""
    text = [str(parts[0], "utf-8", "replace")]
    if len(parts) == 1:
        return text[0], {}
    values: dict[str, list[str]] = {}
    name = ""
    for line in (str(part, "utf-8", "replace") for part in parts[1:]):
        if line.startswith("  |") and name:
            values[name].append(unescape(line[3:].removeprefix(" ")))
        elif line.startswith("  ") and (found := _OPENS_VALUE.match(line.encode())):
            name = found[1].decode()
            values[name] = []
        elif name:
            text[-1] += f" {line.strip()}" if line.strip() else ""
        else:
            text.append(line)
    return "\n".join(text), {key: "\n".join(lines).rstrip("\n") for key, lines in values.items()}


def _single(line: bytes, text: bytes, header: Header, origin: Origin) -> ServerMessage | Rejected:
    """Read a line that is a record by itself: JSON, a banner, or a line that continues no message."""
    time = level = module = ""
    fields: dict[str, object] = {}
    partial = exceeded(text)
    if _JSON.match(text):
        try:
            time, level, module, message, fields = read_json(text)
        except ValueError as error:
            return Rejected(raw=line, reason=str(error), origin=origin)
    else:
        message = text[:MAX_MESSAGE_BYTES].decode("utf-8", "replace").strip()
        partial = "bytes" if len(text) > MAX_MESSAGE_BYTES else ""
    return ServerMessage(time, level, module, message, fields, line, origin, header.time, header.host, partial)


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
    """

    def __init__(
        self,
        *,
        max_lines: int = 1000,
        max_bytes: int = 1 << 20,
        max_wait_seconds: float = 5.0,
        max_open: int = 1000,
    ) -> None:
        self._max_lines = max_lines
        self._max_bytes = max_bytes
        self._max_wait_seconds = max_wait_seconds
        self._max_open = max_open
        self._open: dict[_Key, _Open] = {}  # in the order of their deadlines

    @property
    def next_due(self) -> float | None:
        """When `due` next has something to return, on the clock of `now`; None if no message is open."""
        return next((opened.deadline for opened in self._open.values()), None)

    def feed(self, line: bytes, origin: Origin, now: float) -> _Completed:
        """Add one line, without its newline and tag, and return the records that it completes, in order."""
        line = mask_secrets(line)
        header, text, head = _split(line)
        if reason := _why_not_text(text):
            return [Rejected(raw=line, reason=reason, origin=origin)]
        key = _key(header, origin)
        if head:
            done = self._close(key)
            self._open[key] = _Open(line, text, head, header, origin, now + self._max_wait_seconds)
            return done if len(self._open) <= self._max_open else done + self._close(next(iter(self._open)))
        if opened := self._waiting(key, line, text):
            opened.add(line, text)
            return []
        if not text.strip():
            return []
        return [*self._close(key), _single(line, text, header, origin)]

    def continues(self, line: bytes, origin: Origin) -> bool:
        """Return whether `feed` would add this line to an open message."""
        header, text, head = _split(line)
        return head is None and self._waiting(_key(header, origin), line, text) is not None

    def due(self, now: float) -> _Completed:
        """Close the messages that have waited long enough."""
        done: _Completed = []
        while (deadline := self.next_due) is not None and deadline <= now:
            done += self._close(next(iter(self._open)))
        return done

    def flush(self) -> _Completed:
        """Close every open message at the end of the input."""
        done: _Completed = [_finish(opened) for opened in self._open.values()]
        self._open.clear()
        return done

    def _close(self, key: _Key) -> _Completed:
        opened = self._open.pop(key, None)
        return [_finish(opened)] if opened else []

    def _waiting(self, key: _Key, line: bytes, text: bytes) -> _Open | None:
        """Return the open message that a line without a head continues."""
        opened = self._open.get(key)
        if not opened or text.startswith((b"{", b"==> ")):
            return None
        if len(opened.lines) >= self._max_lines or opened.bytes + len(line) > self._max_bytes:
            return None
        return opened if opened.takes(text) else None


def _key(header: Header, origin: Origin) -> _Key:
    return origin.cluster, origin.node, header.host, header.program, header.pid


def _split(line: bytes) -> tuple[Header, bytes, Head | None]:
    """Split a line into its header, its text without colours and trailing carriage return, and its head."""
    text = without_colours(line).removesuffix(b"\r")
    if head := read_head(text):
        return NO_HEADER, text, head
    header, text = strip_syslog_header(text)
    return header, text, read_head(text) if header is not NO_HEADER else None
