"""See at once that a line holds no record in another form, so that only others are searched (`unwrapping`)."""

from __future__ import annotations

import re

_MESSAGE = re.compile(
    rb"(?!\S{1,40} std(?:out|err) [PF] )(?:[^{\"]{0,120}? )??\d{4}-\d\d-\d\dT[\d:.,+Z-]{8,35} \[[A-Z]{4,5} ?\] "
)
"""The beginning of a line that is a message of the server log."""
_OF_A_VALUE = re.compile(rb"[ \t]*\| (?![-:| \t]{1,512}\|\s*\Z)")
"""A line of a value that has several, as hclog writes it: what follows `| ` may be a text of a client.

One that could be the row below the heading of a table of Markdown is none, if it does not continue a message.
"""
_ANOTHER = re.compile(rb"[\dZ] \[ {0,2}[A-Z]{3,5} {0,2}\]")
"""What shows that another message follows in the same line."""
_LEVEL = b'"@level":'
_JSON_MESSAGE = b"{" + _LEVEL
_FIRST_PAIR = re.compile(rb"[A-Za-z_@][\w.@/-]{0,127}=")


def is_plain_message(line: bytes) -> bool:
    """Return whether a line is a message of the server log that holds nothing in another form."""
    if _OF_A_VALUE.match(line):
        return True
    if b'{"' in line or not (head := _MESSAGE.match(line)):
        return False
    if b"\t" in line and line.find(b"\t", head.end()) > 0:  # a column
        return False
    return line.count(b" [") < 2 or _ANOTHER.search(line, head.end()) is None


def may_hold_records(line: bytes) -> bool:
    """Return whether a line, without its tag, may hold records in another form; False for what Vault itself writes.

    Args:
        line: A line that is no audit entry as it is.
    """
    if _OF_A_VALUE.match(line):
        return False
    if b"{" in line:
        if line.startswith(_JSON_MESSAGE):
            return line.count(_LEVEL) > 1 or b'"request":' in line or not line.endswith((b"}", b"}\n", b"}\r\n"))
        return not is_plain_message(line)
    if b" [" in line:
        return not is_plain_message(line)
    return _FIRST_PAIR.match(line) is not None
