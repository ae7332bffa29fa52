r"""Make addresses in a text useless to click: mail programs turn them into links, and a log may contain any address.

`https://evil.example/x` becomes `hxxps://evil[.]example/x`, and `evil.example` at the beginning of a word
`evil[.]example`. So do names with the other dots that browsers accept, network paths (`\\host`), and schemes without
slashes, such as `mailto:`. A mail address stays as it is, because many people's names are one. The JSON
(`vaultwatch.notify.machine`) has the exact text.
"""

from __future__ import annotations

import re

_DOT = r"[.\u2024\u3002\uff0e\uff61]"
_HTTP = re.compile(r"http(?=s?://)", re.IGNORECASE)
_OTHER_SCHEME = re.compile(r"(?<!hxxp)(?<!hxxps)://", re.IGNORECASE)
_WITHOUT_SLASHES = re.compile(
    r"\b(mailto|tel|sms|sips?|callto|xmpp|file|javascript|skype|outlook|onenote|search-ms|ms-[a-z-]{1,30}):(?=\S)",
    re.IGNORECASE,
)
_NETWORK_PATH = re.compile(r"\\\\(?=\w)")
_HOST = re.compile(r"(?:(?<=://)|(?<=\[:\]//))[^\s/?#\"'<>]+")
_TOP = r"(?:[^\W\d_]{2,63}|xn--[A-Za-z0-9-]{1,59})(?!\w|-\w)"
_BARE = re.compile(rf"(?:(?<![\w/-])(?<!\w\.)(?<![\w.+-]@)|(?<=//))((?:[\w-]{{1,63}}{_DOT})+)(?={_TOP})")
_WWW = re.compile(rf"\bwww{_DOT}(?=\S)", re.IGNORECASE)
_DOTS = re.compile(_DOT)


def defanged(text: str, ours: str = "") -> str:
    """Return the text with each URL, host name and `www.` address changed so that no program makes a link of it.

    Args:
        text: The text.
        ours: The address of the deployment's archive, which stays as it is: commands with it must work.
    """
    return ours.join(map(_defanged, text.split(ours))) if ours else _defanged(text)


def _defanged(text: str) -> str:
    for pattern, replacement in ((_HTTP, "hxxp"), (_OTHER_SCHEME, "[:]//"), (_WITHOUT_SLASHES, r"\1[:]")):
        text = pattern.sub(replacement, text)
    text = _NETWORK_PATH.sub(lambda _: r"[\\]", text)
    for addresses in (_HOST, _WWW, _BARE):
        text = addresses.sub(_without_dots, text)
    return text


def _without_dots(found: re.Match[str]) -> str:
    return _DOTS.sub(lambda dot: f"[{dot.group()}]", found.group())
