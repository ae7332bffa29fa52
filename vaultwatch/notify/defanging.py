"""Make addresses in a text useless to click: mail programs turn them into links, and a log may contain any address.

`https://evil.example/x` becomes `hxxps://evil[.]example/x`, and `evil.example` at the beginning of a word
`evil[.]example`. The JSON (`vaultwatch.notify.machine`) has the exact text.
"""

from __future__ import annotations

import re

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)://([^\s/?#\"'<>]*)")
_BARE = re.compile(r"(?<![\w@/.\-\]])((?:[A-Za-z0-9-]{1,63}\.)+)(?=[A-Za-z]{2,63}(?![\w.-]))")
_WWW = re.compile(r"\bwww\.(?=\S)", re.IGNORECASE)


def defanged(text: str) -> str:
    """Return the text with each URL, host name and `www.` address changed so that no program makes a link of it."""
    without_urls = _WWW.sub(lambda found: found[0][:3] + "[.]", _URL.sub(_defanged_url, text))
    return _BARE.sub(lambda found: found[0].replace(".", "[.]"), without_urls)


def _defanged_url(found: re.Match[str]) -> str:
    scheme, host = found.groups()
    plain = re.sub("^http", "hxxp", scheme, flags=re.IGNORECASE)
    separator = "://" if plain != scheme else "[:]//"
    return plain + separator + host.replace(".", "[.]")
