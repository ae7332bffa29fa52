"""An initialisation, from before Vault makes the recovery keys until they are stored."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from vaultwatch.errors import BootstrapError


class Attempt:
    """An initialisation of a cluster, as a file that remains if the host loses its power.

    While it remains and nobody has the keys, nobody has ever had a token of the cluster: it is empty.

    Args:
        path: The file, on a disk.
        start_over: Starts Vault without the storage that it has now.
    """

    def __init__(self, path: Path, start_over: Callable[[], None]) -> None:
        self._path = path
        self._start_over = start_over

    def begin(self) -> None:
        """Note on the disk that the cluster is about to be initialised.

        Raises:
            BootstrapError: It may not be on the disk.
        """
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._path.touch(mode=0o600)
            folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise BootstrapError(f"{self._path}: {error.strerror}") from error

    def is_begun(self) -> bool:
        """Return whether it was begun and has not ended."""
        return self._path.exists()

    def end(self) -> None:
        """Note that the keys are stored."""
        self._path.unlink(missing_ok=True)

    def start_over(self) -> None:
        """Let Vault begin with an empty storage; the present one is moved aside, not removed."""
        self._start_over()
