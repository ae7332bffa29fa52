"""Recognise what syslog, journald and container runtimes write in front of a line.

Known forms, each with or without a leading `<priority>`:

    Nov 21 07:29:41 host vault[123]: text                     RFC 3164, journalctl short, short-precise
    2026-11-21T07:29:41+02:00 host vault[123]: text           rsyslog, syslog-ng, journalctl short-iso
    Sat 2026-11-21 07:29:41 UTC host vault[123]: text         journalctl short-full
    1795246181.065830 host vault[123]: text                   journalctl short-unix
    [ 4181.065830 <    1.000200 >] host vault[123]: text      journalctl short-monotonic, short-delta
    <14>1 2026-11-21T07:29:41Z host vault 123 - - text        RFC 5424
    vault[123]: text, vault: text, host vault: text           no time
    2026-11-21T07:29:41.065830008Z stderr F text              Kubernetes CRI
    2026-11-21T07:29:41.065830008Z text                       docker logs --timestamps
    vault-1  | text                                           docker compose
    [pod/vault-0/vault] text                                  kubectl logs --prefix, with and without --timestamps

Hostile text takes linear time: a repetition is bounded, or is never followed by a character that it also matches.
Groups are repeated a bounded number of times, because each round takes 120 bytes of memory.
"""

from __future__ import annotations

import re

import msgspec

from vaultwatch.reading.unclear import BANNERS


class Header(msgspec.Struct, frozen=True):
    """Who wrote a line and when, as text; "" where the header does not say."""

    host: str = ""
    program: str = ""
    pid: str = ""
    time: str = ""


NO_HEADER = Header()

# What a server-log message can begin with: the head of a line, JSON, a banner.
_OPENER = rb"(?=\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d|\{\s*\"|" + b"|".join(BANNERS) + rb")"
_LEVEL = rb"\[ {0,2}[A-Z?]"
_PRIORITY = rb"(?:<\d{1,3}>)?"
_ISO_TIME = rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?"
_TIME = (
    rb"(?:(?P<time>"
    rb"[A-Z][a-z]{2} [ \d]\d (?:\d{4} )?\d\d:\d\d:\d\d(?:\.\d{1,9})?"
    rb"|" + _ISO_TIME + rb"|[A-Z][a-z]{2} \d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d{1,6})? [A-Z+][A-Z\d:]{0,5}"
    rb"|\d{10}\.\d{6})"
    rb"|\[ {0,9}\d{1,10}\.\d{6}(?: <[ \d.]{1,24}>)?\])"  # of a monotonic clock
)
_HOST = rb"(?P<host>(?!fatal error: )[\w.:%-]{1,255})(?<!:)"
_PROGRAM = rb"(?P<program>(?!panic: )[^\s\[\]:{}\"=|<>]{1,128})"
_PID = rb"\[(?P<pid>[\w.-]{1,20})\]"
_VAULT = rb"(?P<program>vault|openbao|bao)"
_END = rb"(?: |$)"
_VALUE = rb"\"[^\"\\]*(?:\\.[^\"\\]*){0,64}\""
_ELEMENT = rb"\[(?! {0,2}[A-Z]{3,5} {0,2}\] )[^\s=\]\"]{1,64}(?: [^\s=\]\"]{1,64}=" + _VALUE + rb"){0,64}\]"

_FORMS = [
    re.compile(pattern, re.DOTALL)
    for pattern in (
        rb"(?P<time>" + _ISO_TIME + rb") std(?:out|err) [FP]" + _END,
        _PRIORITY + rb"1 (?:-|(?P<time>" + _ISO_TIME + rb")) (?P<host>\S{1,255}) (?P<program>\S{1,48})"
        rb" (?P<pid>\S{1,128}) \S{1,32} (?:-|(?:" + _ELEMENT + rb"){1,16})(?: (?:\xef\xbb\xbf)?|$)",
        _PRIORITY + _TIME + rb" " + _HOST + rb" " + _PROGRAM + rb"(?:" + _PID + rb")?:" + _END,
        _PRIORITY + _TIME + rb" " + _PROGRAM + _PID + rb":" + _END,
        _PRIORITY + _TIME + rb" " + _VAULT + rb":" + _END,
        _PRIORITY + _TIME + rb" " + _HOST + rb" " + _OPENER,
        _PRIORITY + rb"(?P<time>" + _ISO_TIME + rb")(?: (?!" + _LEVEL + rb")|$)",
        _PRIORITY + _VAULT + rb"(?:" + _PID + rb")?:" + _END,
        _PRIORITY + _PROGRAM + _PID + rb":" + _END,
        _PRIORITY + _HOST + rb" " + _PROGRAM + rb"(?:" + _PID + rb")?: " + _OPENER,
        rb"(?P<program>[\w.-]{1,128}) {1,64}\|" + _END,
        rb"\[pod/(?P<host>[\w.-]{1,255})/(?P<program>[\w.-]{1,255})\](?: (?P<time>"
        + _ISO_TIME
        + rb")(?! "
        + _LEVEL
        + rb"))?"
        + _END,
        rb"<\d{1,3}>",
    )
]
_MAYBE_HEADER = re.compile(rb"[\w<\[]")


def _header(groups: dict[str, bytes]) -> Header:
    """Make a header of the groups found; RFC 5424 writes `-` for an unknown value."""
    return Header(**{name: str(value, "utf-8", "replace") for name, value in groups.items() if value != b"-"})


def strip_syslog_header(line: bytes) -> tuple[Header, bytes]:
    """Split a line into its header (`NO_HEADER` if it has none) and the message after it.

    Exactly one space after the header is removed: the indentation of a continuation line belongs to the message.
    """
    if not _MAYBE_HEADER.match(line):
        return NO_HEADER, line
    for form in _FORMS:
        if found := form.match(line):
            return _header(found.groupdict(b"")), line[found.end() :]
    return NO_HEADER, line
