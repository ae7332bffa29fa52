"""What the title and the name of a rule may not hold, because people recognise an alert by them."""

from __future__ import annotations

import unicodedata

from vaultwatch.printable import spelled_out

_ALIKE = frozenset({"LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC", "LISU"})
"""Scripts with letters that look like those of another one; Unicode's names of letters begin with them."""


def fault_of_title(title: str) -> str:
    """Return what is wrong with a title; "" if nothing is. Any script may be used, but no word may mix two.

    Args:
        title: The title.
    """
    if spelled_out(title) != title:
        return "the title has characters that are not visible, or more than one line"
    for word in title.split():
        scripts = {unicodedata.name(char, "").partition(" ")[0] for char in word if char.isalpha()}
        if len(scripts) > 1 and scripts & _ALIKE:
            listed = " and ".join(sorted(one.lower() for one in scripts))
            return f"the title has a word with letters of several scripts ({listed}), which can look like another one"
    return ""


def fault_of_name(name: str) -> str:
    """Return what is wrong with the name of a rule; "" if nothing is.

    Args:
        name: The name.
    """
    if not name.isascii():
        return f"the name {spelled_out(name)} has letters beyond ASCII, which can look like others"
    if spelled_out(name) != name:
        return f"the name {spelled_out(name)} has characters that are not visible, or more than one line"
    return ""
