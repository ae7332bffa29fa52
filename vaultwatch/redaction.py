"""Replace secrets that a log contains in clear, before anything leaves this process.

A secret is anything that looks like a Vault or OpenBao token (`hvs.`, `hvb.`, `hvr.`; the older `s.`, `b.`, `r.` with
24 or more characters), a bearer or basic credential, and any unhashed text in a member that only ever contains a
secret: a client token, a wrapping token, an authorization header, a password. JSON and URL escapes are recognised, so
that a token quoted inside another document is found too.

Every search takes linear time: prefixes have a fixed length, and no pattern matches the same text in two ways.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Any

from vaultwatch.patterns import on_first_use

SALTED = "hmac-sha256:"
"""The prefix of values that an audit device has hashed."""

_DIGEST_DIGITS = 12
_MAX_DEPTH = 120  # records are at most 100 deep (`vaultwatch.reading.records`), an alert adds a few levels
_TOO_DEEP = "[left out: nested too deeply]"
_SECRET_MEMBERS = frozenset(
    {"client_token", "x-vault-token", "authorization", "proxy-authorization"}
    # what a mount can be tuned to log as it is, of a login or its configuration
    | {"password", "secret_id", "jwt", "bindpass", "private_key"}
)
_INLINE_LOGIN = "x-vault-inline-auth-parameter-"  # OpenBao: what follows is any name, its value a part of a login
_TOKEN_OF_A_WRAPPING = ("wrap_info", "token")


def _char(plain: str, code: str) -> str:
    """Return a pattern for a character of `plain`, its JSON escape (nested up to three times), or its URL escape."""
    return rf"(?:{plain}|\\{{1,7}}u00{code}|%{code})"


_H, _V, _DOT = _char("h", "68"), _char("v", "76"), _char(r"\.", "2[eE]")
_KIND = _char("[sbr]", "(?:73|62|72)")
_REST = _char("[A-Za-z0-9_-]", "(?:2[dD]|3[0-9]|[46][1-9a-fA-F]|[57][0-9aA]|5[fF])")
_NAMESPACE = rf"(?:{_DOT}{_REST}{{4,8}})?"  # OpenBao's tokens end in the id of their namespace
_TOKEN = on_first_use(
    rf"(?<![A-Za-z0-9])(?:{_H}{_V}{_KIND}{_DOT}{_REST}{{8,}}|{_KIND}{_DOT}{_REST}{{24,}}){_NAMESPACE}"
)
_CREDENTIAL = on_first_use(r"\b(?P<scheme>(?:bearer|basic)[ +]{1,4})(?P<secret>[A-Za-z0-9._~+/=-]{8,})", re.IGNORECASE)
_HEADER = on_first_use(
    r"(?P<scheme>(?:authorization|x-vault-token)[\"'\\]{0,8} ?[:=][ \[\"'\\]{0,16}(?P<named>(?:bearer|basic) {1,4})?)"
    r"(?P<secret>[^\s\"'\\,;\]}\[]{3,})",
    re.IGNORECASE,
)
_CREDENTIAL_WORD = on_first_use("basic|bearer|authorization|x-vault-token", re.IGNORECASE)
_LONG_TEXT = 64 * 1024
PARTS_OF_SECRETS = ("s.", "b.", "r.", "%", "\\", "basic", "bearer", "authorization", "x-vault-token")
"""`redacted_text` changes no text of at most 64 KiB whose lower case has none of these."""
_MARKER = re.compile(rf"\[redacted sha256:[0-9a-f]{{{_DIGEST_DIGITS}}}\]")


def marker(secret: str) -> str:
    """Return what replaces a secret: just enough to compare it with a known token.

    Args:
        secret: The text to replace.
    """
    digest = hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
    return f"[redacted sha256:{digest[:_DIGEST_DIGITS]}]"


def redacted_text(text: str) -> str:
    """Return the text with each secret replaced by its marker.

    Args:
        text: Any text from a log, of any length.
    """
    if is_salted(text):
        return text
    if _may_have_token(text):
        text = _TOKEN().sub(lambda found: marker(found.group()), text)
    if _names_credential(text):
        text = _CREDENTIAL().sub(_credential, _HEADER().sub(_credential, text))
    return text


def shows_secret(text: str) -> bool:
    """Return whether `redacted_text` would replace anything, without the memory that many replacements take.

    Args:
        text: Any text from a log, of any length.
    """
    if is_salted(text):
        return False
    if _may_have_token(text) and _TOKEN().search(text):
        return True
    if not _names_credential(text):
        return False
    found = (one for pattern in (_HEADER(), _CREDENTIAL()) for one in pattern.finditer(text))
    return any(_credential(one) != one.group() for one in found)


def is_salted(text: str) -> bool:
    """Return whether a text is a value that an audit device has hashed, and not a name that only begins so."""
    return text.startswith(SALTED) and text[len(SALTED) :].isalnum()  # as most texts of an entry


def _may_have_token(text: str) -> bool:
    return "s." in text or "b." in text or "r." in text or "%" in text or "\\" in text  # few texts do


def _names_credential(text: str) -> bool:
    if len(text) > _LONG_TEXT:  # the lower case of a text takes 16 bytes a character if one is outside ASCII
        return _CREDENTIAL_WORD().search(text) is not None
    lowered = text.lower()
    return "basic" in lowered or "bearer" in lowered or "authorization" in lowered or "x-vault-token" in lowered


def redacted(value: Any) -> Any:
    """Return a JSON value with each secret in its texts and keys replaced by its marker.

    Args:
        value: What a JSON decoder returned, however nested.
    """
    return _redacted(value, ("", ""), _MAX_DEPTH)


def holds_secret(value: Any) -> bool:
    """Return whether `redacted` would replace anything in this JSON value.

    All texts are searched as one, with newlines between them, which no secret contains: ten times as fast as one by
    one.
    """
    texts: list[str] = []
    if _gather(value, ("", ""), _MAX_DEPTH, texts):
        return True
    return any(map(shows_secret, _joined(texts)))


def _joined(texts: list[str]) -> Iterator[str]:
    """Join texts to portions of about `_LONG_TEXT` characters; a longer text is not copied."""
    start = size = 0
    for end, text in enumerate(texts, 1):
        if len(text) > _LONG_TEXT and start < end - 1:
            yield "\n".join(texts[start : end - 1])
            start, size = end - 1, 0
        size += len(text)
        if size > _LONG_TEXT or end == len(texts):
            yield "\n".join(texts[start:end])
            start, size = end, 0


def _gather(value: Any, names: tuple[str, str], depth: int, texts: list[str]) -> bool:
    """Add the texts and keys to search to `texts`; return whether there is more to replace than those could show."""
    if isinstance(value, str):
        if _is_secret_member(names):
            return _whole(value) != value
        texts.append(value)
        return False
    if not isinstance(value, dict | list | tuple):
        return False
    if depth == 0:
        return True
    if isinstance(value, dict):
        texts.extend(value)
        for key, item in value.items():  # noqa: SIM110  a generator would take half as long again
            if _gather(item, (names[1], key.lower()), depth - 1, texts):
                return True
        return False
    for item in value:  # noqa: SIM110  as above
        if _gather(item, names, depth - 1, texts):
            return True
    return False


def _redacted(value: Any, names: tuple[str, str], depth: int) -> Any:
    if isinstance(value, str):
        return _whole(value) if _is_secret_member(names) else redacted_text(value)
    if not isinstance(value, dict | list | tuple):
        return value
    if depth == 0:
        return _TOO_DEEP
    if isinstance(value, dict):
        return {
            redacted_text(str(key)): _redacted(item, (names[1], str(key).lower()), depth - 1)
            for key, item in value.items()
        }
    return [_redacted(item, names, depth - 1) for item in value]


def _is_secret_member(names: tuple[str, str]) -> bool:
    return names[1] in _SECRET_MEMBERS or names == _TOKEN_OF_A_WRAPPING or names[1].startswith(_INLINE_LOGIN)


def _whole(text: str) -> str:
    return text if not text or text.startswith(SALTED) or _MARKER.fullmatch(text) else marker(text)


def _credential(found: re.Match[str]) -> str:
    """Replace the secret in a match, unless it is a plain word, as in "basic authentication"."""
    secret, is_certain = found["secret"], bool(found.groupdict().get("named"))
    is_word = secret.isalpha() and (secret[1:].islower() or secret.isupper())
    if secret.startswith((SALTED, "[redacted")) or (is_word and not is_certain):
        return found.group()
    return found["scheme"] + marker(secret)
