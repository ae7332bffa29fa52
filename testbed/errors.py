"""What prevents the test bed from starting or from going on."""

from __future__ import annotations


class TestbedError(Exception):
    """The test bed cannot go on; its text, one line, says why and what to do."""

    __test__ = False  # or pytest takes it for a class of tests, by its name
