"""Make addresses in a text useless to click: mail programs turn them into links, and a log may contain any address.

`https://evil.example/x` becomes `hxxps://evil[.]example/x`, and `evil.example` at the beginning of a word
`evil[.]example`. The JSON (`vaultwatch.notify.machine`) has the exact text.
"""

from __future__ import annotations

import re

_HTTP = re.compile(r"http(?=s?://)", re.IGNORECASE)
_OTHER_SCHEME = re.compile(r"(?<!hxxp)(?<!hxxps)://", re.IGNORECASE)
_HOST = re.compile(r"(?:(?<=://)|(?<=\[:\]//))[^\s/?#\"'<>]+")
_BARE = re.compile(r"(?<![\w@/.\-\]])((?:[A-Za-z0-9-]{1,63}\.)+)(?=[A-Za-z]{2,63}(?![\w.-]))")
_WWW = re.compile(r"\bwww\.(?=\S)", re.IGNORECASE)


def defanged(text: str, ours: str = "") -> str:
    """Return the text with each URL, host name and `www.` address changed so that no program makes a link of it.

    Args:
        text: The text.
        ours: The address of the deployment's archive, which stays as it is: commands with it must work.
    """
    return ours.join(map(_defanged, text.split(ours))) if ours else _defanged(text)


def _defanged(text: str) -> str:
    without_schemes = _OTHER_SCHEME.sub("[:]//", _HTTP.sub("hxxp", text))
    without_hosts = _HOST.sub(_without_dots, without_schemes)
    without_www = _WWW.sub(lambda found: found[0][:3] + "[.]", without_hosts)
    return _BARE.sub(_without_dots, without_www)


def _without_dots(found: re.Match[str]) -> str:
    return found[0].replace(".", "[.]")
