"""See at once that a line holds no record in another form, so that only others are searched (`unwrapping`)."""

from __future__ import annotations

import re

from vaultwatch.reading.budget import SMALL_BYTES

WORD_BEFORE_LEVEL = rb"(?!\S{0,64}\d:\d\d)[^\s{\"'`|(\[]{1,64}(?: {1,32}\|)? {1,4}"
"""A word before a level, such as the name of a pod; a time in another form is none, because it would be lost."""
LEVEL = rb"\[ ?(?:TRACE|DEBUG|INFO|WARN|ERROR|ERR) ?\] "
_LEVEL_FIRST = rb"[ \t]{0,32}(?:" + WORD_BEFORE_LEVEL + rb")?" + LEVEL
"""The beginning of a message whose time somebody left out, or of a line of another program."""
OF_A_SERVER = (
    rb"(?:(?:core|audit|activity|expiration|identity|licensing|mfa|namespace|plugins|quotas|replication|reporting"
    rb"|request-forward|rollback|seals?|(?:auth|ha|secrets|service_registration|storage)\.[\w-]{1,64})"
    rb"(?:\.[\w./()-]{1,254})?: "
    rb"|system: (?:installed|rotat|enabl|disabl|mount)|http: (?:TLS handshake|panic serving)"
    rb"|failed to unseal core|proxy environment: )"
)
"""How the text of a message of a server begins: other programs write levels in the same way."""
_MESSAGE = re.compile(
    rb"(?!\S{1,40} std(?:out|err) [PF] )(?:[^{\"]{0,120}? )??\d{4}-\d\d-\d\dT[\d:.,+Z-]{8,35} \[[A-Z]{4,5} ?\] "
    rb"|" + _LEVEL_FIRST
)
"""The beginning of a line that is a message of the server log."""
_OF_A_VALUE = re.compile(rb"[ \t]*\| (?![-:| \t]{1,512}\|\s*\Z)")
"""A line of a value that has several, as hclog writes it: what follows `| ` may be a text of a client.

One that could be the row below the heading of a table of Markdown is none, if it does not continue a message.
"""
_ANOTHER = re.compile(rb"[\dZ] \[ {0,2}[A-Z]{3,5} {0,2}\]")
"""What shows that another message follows in the same line."""
_LEVEL = b'"@level":'
_JSON_MESSAGE = re.compile(
    rb"(?:(?:<\d{1,3}>)?(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT[\d:.,+Z-]{8,35})"
    rb" [\w.:%-]{1,255} [\w./-]{1,48}(?:\[\d{1,10}\])?: )?\{" + _LEVEL
)
"""The beginning of a message in JSON, also behind the header that syslog writes."""
_FIRST_PAIR = re.compile(rb"[A-Za-z_@][\w.@/-]{0,127}=")

_SIGN = re.compile(
    rb"\d:\d\d|==> |<json:|@message|__CURSOR=|\d <\d|\| (?:CHANGED|SUCCESS|FAILED)\b|panic: |fatal error: "
)
"""What a line without a brace has if it is a record, a tag, or between records in another form: most often a time."""
_OPENS_OTHER = re.compile(
    rb"[ \t\0]*(?:[@|+(]|--|Error (?:initializing|parsing Seal|configuring seal) |error loading conf|ERROR! Storage)"
    rb"|[ \t\r\n\0,;\[\]\x1e\"]*\Z"
)
"""The beginning of a tag, of what separates records, or of what a server that could not start writes."""
_OPENS_MESSAGE = re.compile(_LEVEL_FIRST + rb" ?" + OF_A_SERVER)


def holds_nothing(line: bytes) -> bool:
    """Return whether a line is no record in any form, and no part of one, wherever no message or object is open.

    Most lines of files that are no logs are such, and need not be searched. It may be wrong of the first line of a log.
    """
    if b"{" in line or _SIGN.search(line) or _OPENS_OTHER.match(line) or len(line) > SMALL_BYTES:
        return False
    return b"] " not in line or _OPENS_MESSAGE.match(line) is None


def is_of_a_value(line: bytes) -> bool:
    """Return whether a line may be one of a value of a message of the server log that has several lines."""
    return _OF_A_VALUE.match(line) is not None


def is_plain_message(line: bytes) -> bool:
    """Return whether a line is a message of the server log that holds nothing in another form."""
    if _OF_A_VALUE.match(line):
        return True
    if b'{"' in line or not (head := _MESSAGE.match(line)):
        return False
    if b"\t" in line and line.find(b"\t", head.end()) > 0:  # a column
        return False
    return line.count(b" [") < 2 or _ANOTHER.search(line, head.end()) is None


def is_json_message(line: bytes) -> bool:
    """Return whether a line is a message of the server log in JSON, at most behind a header, and holds nothing else."""
    return (
        _JSON_MESSAGE.match(line) is not None
        and line.endswith((b"}", b"}\n", b"}\r\n"))
        and line.count(_LEVEL) == 1
        and line.count(b"{") == line.count(b"}")
        and b'"request":' not in line
    )


def may_hold_records(line: bytes) -> bool:
    """Return whether a line, without its tag, may hold records in another form; False for what Vault itself writes.

    Args:
        line: A line that is no audit entry as it is.
    """
    if b"{" in line or b" [" in line:
        return not (is_plain_message(line) or is_json_message(line))
    return not _OF_A_VALUE.match(line) and _FIRST_PAIR.match(line) is not None
