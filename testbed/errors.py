"""The error of the test bed."""

from __future__ import annotations


class TestbedError(Exception):
    """The test bed cannot start or continue; the text, one line, says why and what to do."""

    __test__ = False  # otherwise pytest would collect it as a class of tests, because of its name
