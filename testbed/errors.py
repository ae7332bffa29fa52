"""What can go wrong before there is anything to show."""

from __future__ import annotations


class DemoError(Exception):
    """The demo cannot go on; its text, one line, says why and what to do."""
