"""Secrets of `vaultwatch watch` and `probe`, which are in files: never in the arguments of a process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vaultwatch.errors import SettingError

_MAX_SECRET_BYTES = 4096


@contextmanager
def naming(origin: str) -> Iterator[None]:
    """Put the origin of a setting before the text of an error."""
    try:
        yield
    except SettingError as error:
        raise SettingError(f"{origin}: {error}") from error


def secret_in(path: Path, what: str) -> str:
    """Return the secret in a file, without the line end.

    Args:
        path: The file.
        what: What it contains, for errors.

    Raises:
        SettingError: It cannot be read, or contains nothing, several words or other characters than ASCII.
    """
    if path.is_fifo():  # reading a named pipe would wait for a writer, and the file is read more than once
        raise SettingError("is not a regular file")
    try:
        with path.open("rb") as file:
            secret = file.read(_MAX_SECRET_BYTES).decode("ascii")
    except OSError as error:
        raise SettingError(str(error.strerror)) from error
    except UnicodeDecodeError:
        secret = ""
    if not secret.strip():
        raise SettingError(f"contains no {what}")
    return one_word(secret, what)


def one_word(secret: str, what: str) -> str:
    """Return a secret without the space around it.

    Raises:
        SettingError: It has several words.
    """
    if len(secret.split()) > 1:
        raise SettingError(f"contains more than one {what}")
    return secret.strip()
