"""The page: one HTML file that loads nothing, runs nothing, and reads well on a screen and on paper."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path

from vaultwatch.report.completeness import completeness
from vaultwatch.report.contents import Contents, Origin
from vaultwatch.report.elements import code, command
from vaultwatch.report.happened import happened
from vaultwatch.report.markup import Html, style, tag
from vaultwatch.report.rules import rules
from vaultwatch.report.summary import cards, header
from vaultwatch.report.timeline import timeline
from vaultwatch.report.who import who

MARK = '<!doctype html>\n<html lang="en">\n<meta name="generator" content="vaultwatch report">\n'
"""How a report begins: a file that begins like this may be replaced by another report."""
_CSS = Path(__file__).with_name("report.css")


def page(contents: Contents) -> Iterator[str]:
    """Yield the parts of the page.

    Args:
        contents: What it says.
    """
    css = _CSS.read_text(encoding="utf-8")
    yield MARK
    yield tag("meta", charset="utf-8")
    yield tag("meta", http_equiv="Content-Security-Policy", content=_policy(css))
    yield tag("meta", name="viewport", content="width=device-width, initial-scale=1")
    yield tag("meta", name="referrer", content="no-referrer")
    yield tag("title", "Vault audit report")
    yield style(css)
    yield Html("\n<body>\n")
    for part in (header, cards, timeline, happened, who, completeness, rules):
        yield part(contents)
        yield "\n"
    yield _footer(contents.origin)
    yield "\n</body>\n</html>\n"


def _policy(css: str) -> str:
    """Return the policy of the page: nothing is loaded or run, and its one style sheet is known by its hash."""
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def _footer(origin: Origin) -> Html:
    made = tag("p", f"Vaultwatch {origin.version}, rules ", code(origin.rules), ". The same report again:")
    return tag("footer", made, command(origin.command))
