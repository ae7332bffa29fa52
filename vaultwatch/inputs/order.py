"""The order of rotated logs: the oldest first, the one that is still written last."""

from __future__ import annotations

import re

from vaultwatch.patterns import on_first_use

_COMPRESSION = r"(?:\.(?:gz|zst|bz2|xz|zip))?"
_NUMBERED = on_first_use(rf"(.+)\.(\d{{1,4}}){_COMPRESSION}\Z", re.DOTALL)
_DATED = on_first_use(rf"(.+?)[-._](\d{{6,}}[\dTZ._-]*){_COMPRESSION}\Z", re.DOTALL)


def by_rotation(name: str) -> tuple[str, int, int, str]:
    """Return a key that sorts the rotated files of one log from the oldest, and the one without a suffix last.

    logrotate adds a number, the higher the older, or a date.

    Args:
        name: A path.
    """
    if numbered := _NUMBERED().match(name):
        return numbered[1], 1, -int(numbered[2]), name
    if dated := _DATED().match(name):
        return dated[1], 0, 0, dated[2]
    return name, 2, 0, name
