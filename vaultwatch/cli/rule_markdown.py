"""Write texts as Markdown in which no character of theirs is markup."""

from __future__ import annotations

import re
from collections.abc import Sequence
from textwrap import fill

from vaultwatch.printable import one_line

_MARKS = re.compile(r"[\\`*<>\[\]|#~]|(?<![^\W_])_|_(?![^\W_])")  # an underscore within a word is no mark


def plain(text: str) -> str:
    """Return a text on one line in which no character is Markdown."""
    return _MARKS.sub(r"\\\g<0>", one_line(" ".join(text.split())))


def code(text: str) -> str:
    """Return a text on one line as code; backticks are left out."""
    shown = one_line(text).replace("`", "").replace("|", "\\|")
    return f"`{shown}`" if shown else ""


def paragraph(text: str) -> str:
    """Return a text of Markdown in lines of at most 120 characters."""
    return fill(text, 120, break_long_words=False, break_on_hyphens=False)


def table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; its cells are Markdown already."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heading, ["---"] * len(heading), *rows))
