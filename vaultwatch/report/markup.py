"""HTML that is escaped by construction: a text becomes markup only through `tag` and `text`."""

from __future__ import annotations

import html
from collections.abc import Iterable

from vaultwatch.printable import one_line

_TEXT_LIMIT = 600
_VOID = frozenset({"meta", "rect", "line", "br"})


class Html(str):
    """Markup. Only this module makes it from text."""

    __slots__ = ()


Child = Html | str | int | None
"""What may be in an element: markup, text, a number, or nothing."""


def text(value: str | int, limit: int = _TEXT_LIMIT) -> Html:
    """Return a text as markup: visible, on one line, cut, and escaped. A number gets commas.

    Args:
        value: The text or the number.
        limit: The most characters.
    """
    shown = f"{value:,}" if isinstance(value, int) else one_line(value, limit)
    return Html(html.escape(shown))


def tag(name: str, /, *children: Child, **attributes: str | int | None) -> Html:
    """Return an element.

    Args:
        name: Its name.
        children: What is in it; a text is escaped, and None is left out.
        attributes: Its attributes; a `_` in a name becomes a `-`, one at its end is dropped, and None is left out.
    """
    given = "".join(f' {_name(key)}="{_value(value)}"' for key, value in attributes.items() if value is not None)
    if name in _VOID:
        return Html(f"<{name}{given}>" if name in ("meta", "br") else f"<{name}{given}/>")
    return Html(f"<{name}{given}>{join(children)}</{name}>")


def join(children: Iterable[Child]) -> Html:
    """Return elements and texts one after the other."""
    found = (child if isinstance(child, Html) else text(child) for child in children if child is not None)
    return Html("".join(found))


def style(css: str) -> Html:
    """Return the style element of a page.

    Args:
        css: A style sheet of ours, in which nothing is from a log.
    """
    return Html(f"<style>{css}</style>")


def _name(key: str) -> str:
    return key.rstrip("_").replace("_", "-")


def _value(value: str | int) -> str:
    return str(value) if isinstance(value, int) else text(value)
