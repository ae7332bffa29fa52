"""What goes wrong when a log is read, unlike an error of writing, does not end the program."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager

_DECOMPRESSORS = {"zipfile", "_lzma"}
"""The modules whose own errors mean damage; they are not imported here, because few logs need them."""


class Unreadable(Exception):
    """A file cannot be read, or not to its end."""


class Shortened(Unreadable):
    """A file has become shorter since it was opened: somebody truncated or replaced it."""

    def __init__(self) -> None:
        super().__init__("became shorter while it was read: the rest of it is missing")


@contextmanager
def reading() -> Iterator[None]:
    """Raise errors of reading as `Unreadable`.

    Raises:
        Unreadable: The work raised an error of reading.
    """
    try:
        yield
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise Unreadable(getattr(error, "strerror", None) or f"damaged: {error}") from error
    except (RuntimeError, NotImplementedError) as error:  # zipfile: an encrypted member, an unknown compression
        raise Unreadable(str(error)) from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in _DECOMPRESSORS:
            raise
        raise Unreadable(f"damaged: {error}") from error
