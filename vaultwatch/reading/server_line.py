"""Take a line of the server log apart: its header, what is around it in its log, and its head.

A message behind a text that no known form has is found by its time and level, or by its members in JSON.
"""

from __future__ import annotations

import re

import msgspec

from vaultwatch.reading.affixes import Affixes
from vaultwatch.reading.hclog import Head, is_of_a_server, read_head, read_json, without_colours
from vaultwatch.reading.plain import LEVEL, OF_A_SERVER, WORD_BEFORE_LEVEL, is_json_message
from vaultwatch.reading.syslog_header import NO_HEADER, Header, strip_syslog_header
from vaultwatch.reading.unclear import is_banner

_AROUND = (b"\0", b"\f", b"\v", b"\x1e")
"""What separates lines beside line ends; and NUL in a file that was truncated while somebody wrote at its old end."""
_NO_BREAK = b"\xc2\xa0"
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
_ANY_PREFIX = re.compile(
    rb"(?:[^\s{\"|][^{\"]{0,255}?(?:\{[^{}]{0,512}\} {1,64})?|\{(?:\w{1,64}=[^{}]{0,512})?\} {1,64}"
    rb"|[ \t]{1,32}\d{1,9}[: \t][ \t]{0,8}"  # the numbers of cat -n
    rb"|[ \t]{1,32}\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[^{\"|=]{0,128} "  # Cloud Foundry
    rb"|[ \t]{1,32}\d[^{\"|=]{0,255}(?:\||\xe2\x94\x82) "  # a column of psql, the numbers of bat
    rb"|[ \t]{1,32}(?:- )?[\w.@/-]{1,64}: '?"  # YAML
    rb"|[ \t]{1,32}/[\w./-]{1,255} "  # the name of a container
    rb"|[A-Z_]{1,64}=)(?<!\w)(?<![^A-Z_]=)(?="  # journalctl -o export
    rb"\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:?\d\d)? \[ {0,2}[A-Z?]{3,7} {0,2}\]"
    rb"|\{\"@(?:level|message|module|timestamp|caller)\":)"
)
"""What some program has written before a message: never the beginning of a line that continues one."""
_BEFORE_LEVEL = re.compile(WORD_BEFORE_LEVEL + rb"(?=" + LEVEL + rb" ?" + OF_A_SERVER + rb")")
_PLAIN = re.compile(
    rb"(?:(?:<\d{1,3}>)?([A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d) ([\w.-]{1,255}) ([\w/.-]{1,128})(?:\[(\d{1,20})\])?: )?"
    rb"((?:(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}(?:Z|[+-]\d{4})) \[(TRACE|DEBUG|INFO|WARN|ERROR)\] {1,2}(?! )"
    rb"|(?=\{\"@level\":))([ -~]+))\Z"
)
"""A message of today's Vault in ASCII, as it is or behind the header that syslog writes: nearly all are such."""


def mask_secrets(line: bytes) -> bytes:
    """Replace the root token and unseal keys that `vault server -dev` and `operator init` print by `[redacted]`."""
    return _SECRET.sub(rb"\1\2[redacted]", line) if _may_have_secrets(line) else line


def _may_have_secrets(line: bytes) -> bool:
    return b"oot Token" in line or b" Key" in line or b"TOKEN" in line


class ServerLine(msgspec.Struct, frozen=True):
    """One line of a server log, taken apart as far as every line must be.

    Attributes:
        raw: The line, with its secrets masked.
        header: What syslog put in front of it.
        text: What follows the header, without colours and trailing carriage return.
        head: The head of the message that it opens; None if it has none.
    """

    raw: bytes
    header: Header
    text: bytes
    head: Head | None

    @property
    def opens_message(self) -> bool:
        """Whether the line opens a message: with a head, as a banner, in JSON, or as the end of a Go program."""
        if self.head:
            return is_of_a_server(self.text, self.head)
        if is_banner(self.text) or _SERVER_KEY.match(self.text):
            return True
        if not self.text.lstrip().startswith(b"{") or not _SERVER_KEY_LATER.search(self.text, 0, _NEAR_START):
            return False
        try:
            read_json(self.text)
        except ValueError:
            return False
        return True


def plain_message(line: bytes) -> re.Match[bytes] | None:
    """Return how a line is a message of today's Vault and holds nothing else; None if all forms must be tried."""
    if not (found := _PLAIN.match(line)) or _may_have_secrets(line):
        return None
    if not found[7]:
        return found if is_json_message(line) else None
    return None if b'{"' in line or line.count(b" [") > 1 else found


def line_of(found: re.Match[bytes], known: Affixes | None = None) -> ServerLine:
    """Return a plain message as `split_line` does."""
    header_time, host, program, pid, text, time, level, _ = found.groups(b"")
    header = NO_HEADER
    if header_time:
        header = Header(host.decode(), program.decode(), pid.decode(), header_time.decode())
    if not time:
        return _without_head(found.string, header, text, known)
    head = Head(time.decode(), level.decode().lower(), found.start(8) - found.start(5))
    return ServerLine(found.string, header, text, head)


def _without_head(line: bytes, header: Header, text: bytes, known: Affixes | None) -> ServerLine:
    rest = known.remove(text) if known else text
    return ServerLine(line, header, rest, read_head(rest) if rest is not text else None)


def split_line(line: bytes, known: Affixes | None = None) -> ServerLine:
    """Take a line apart.

    Args:
        line: The line, without its newline and tag.
        known: What is around the lines of its log.
    """
    line = mask_secrets(line)
    if found := _PLAIN.match(line):
        return line_of(found, known)
    text = without_colours(line).removesuffix(b"\r")
    if text.startswith(_AROUND) or text.endswith(_AROUND):
        within = text.strip(b"".join(_AROUND))
        text = within if strip_syslog_header(within)[1].strip() else text
    head = read_head(text)
    if (not head or text.startswith(_NO_BREAK, head.text_at)) and _NO_BREAK in text:  # copied from a web page
        text = text.replace(_NO_BREAK, b" ")
        head = read_head(text)
    if head:
        if not head.level and known and (rest := known.remove(text)) is not text:
            return ServerLine(line, NO_HEADER, rest, None)  # behind the time that a program in Go writes
        return ServerLine(line, NO_HEADER, text, head)
    header, text = strip_syslog_header(text)
    if known and header.host and not header.program:
        known.learn_host(header.host)
    if header is not NO_HEADER and (head := read_head(text)):
        return ServerLine(line, header, text, head)
    if prefix := _ANY_PREFIX.match(text) or (_BEFORE_LEVEL.match(text) if b"] " in text else None):
        if known:
            known.learn(text, prefix[0])
        text = text[prefix.end() :]
        return ServerLine(line, header, text, read_head(text))
    return _without_head(line, header, text, known)
