r"""Take the message out of an event of ArcSight or QRadar, which can be a line of a log.

    CEF:0|HashiCorp|Vault|1.15|log|vault|3|rt=... msg=2026-11-21T07:29:41Z [INFO]  core: vault is sealed dvchost=vault-0
    LEEF:2.0|HashiCorp|Vault|1.15|log|^|devTime=...^msg=2026-11-21T07:29:41Z [INFO]  core: vault is sealed

A value of CEF ends at the next pair. Not every program escapes `=` in it, so only the keys of CEF itself end one.
"""

from __future__ import annotations

import re

_FIELD = rb"(?:[^|\\]|\\.){0,256}\|"
_CEF = re.compile(rb"CEF:\d\|(?:" + _FIELD + rb"){6}")
_LEEF = re.compile(
    rb"LEEF:(?:1\.0\|(?:" + _FIELD + rb"){4}|2\.0\|(?:" + _FIELD + rb"){4}(?:(0?x[0-9a-fA-F]{2}|[^|\w])?\|)?)"
)
_BEGINS = re.compile(rb"(?:[^{|\"]{0,256} )?(?=(?:CEF|LEEF):\d)")
_KEY = re.compile(
    rb"(?:\A| )(msg|message|rawEvent|log|rt|start|end|act|app|cat|cnt|in|out|proto|reason|outcome|request|severity|type"
    rb"|c(?:s|n|fp|6a)\d(?:Label)?|flex\w{1,32}|externalId|eventId|dvc\w{0,16}|device[A-Z]\w{0,64}|[sd](?:host|mac|ntdom|pid"
    rb"|port|priv|proc|rc|st|t|tz|uid|user|vc)|source\w{1,64}|destination\w{1,64}|ad\.\w{1,64}|f(?:ile\w{0,32}|name|size))="
)
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)
_TAB = b"\t"
_TEXTS = frozenset({"msg", "message", "rawEvent", "log", "raw", "line", "payload"})
"""The keys of messages: the values of others, such as the name of a user, are of clients."""


def messages_of(line: bytes) -> dict[str, str]:
    """Return the messages of an event by their keys; none if the line is no event, or begins with a message itself.

    Args:
        line: A line without its end.
    """
    begins = _BEGINS.match(line)
    if not begins or b" [" in begins[0]:
        return {}
    return {key: value for key, value in _pairs(line, begins.end()).items() if key in _TEXTS}


def _pairs(line: bytes, at: int) -> dict[str, str]:
    if head := _CEF.match(line, at):
        return _of_cef(line[head.end() :])
    if head := _LEEF.match(line, at):
        delimiter = head[1] or _TAB
        is_code = len(delimiter) > 1
        return _of_leef(line[head.end() :], bytes([int(delimiter[-2:], 16)]) if is_code else delimiter)
    return {}


def _of_cef(text: bytes) -> dict[str, str]:
    keys = list(_KEY.finditer(text))
    ends = [key.start() for key in keys[1:]] + [len(text)]
    return {_text(key[1]): _text(_unescaped(text[key.end() : end])) for key, end in zip(keys, ends, strict=True)}


def _of_leef(text: bytes, delimiter: bytes) -> dict[str, str]:
    parts = (part.partition(b"=") for part in text.split(delimiter))
    return {_text(name): _text(value) for name, _, value in parts}


def _unescaped(value: bytes) -> bytes:
    return _ESCAPE.sub(lambda found: b"\n" if found[1] == b"n" else found[1], value)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
