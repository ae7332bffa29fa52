"""The names of logs, without the folder that all of them are in."""

from __future__ import annotations

import os
from collections.abc import Iterable


def common_folder(names: Iterable[str]) -> str:
    """Return the folder that all logs are below, with a slash; "" if there is none."""
    try:
        folder = os.path.commonpath([os.path.dirname(name) for name in names])  # noqa: PTH120  "" for no folder
    except ValueError:  # no name at all, or absolute and relative ones
        return ""
    return f"{folder}/" if folder.strip("/") else ""
