"""Regular expressions that are compiled when they are first needed: most runs of a command need few of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import AnyStr


def on_first_use(pattern: AnyStr, flags: int = 0) -> Callable[[], re.Pattern[AnyStr]]:
    """Return what returns a compiled regular expression.

    Args:
        pattern: The regular expression.
        flags: Those of `re.compile`.
    """
    return cache(lambda: re.compile(pattern, flags))
