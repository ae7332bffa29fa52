"""The examples at the end of each command's help."""

from __future__ import annotations


def examples(*lines: str) -> str:
    """Return the end of a command's help: examples, one in each line, which click does not join."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])
