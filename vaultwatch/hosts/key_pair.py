"""A private key with its certificate in a folder, replaced together: whoever reads the folder finds a pair that fits.

    host.pem       -> current/host.pem     (and so host.key and authority.pem)
    current        -> pair-<random>
    pair-<random>/    host.key, host.pem, authority.pem

A new pair is complete, and on the disk, before the link `current` is renamed to it, which is one step. A crash at any
other moment leaves the former pair in use, and a folder that the next run removes.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

KEY, CERTIFICATE, AUTHORITY = "host.key", "host.pem", "authority.pem"
_CURRENT, _PAIR, _NEW = "current", "pair-", ".new"


class KeyPair(NamedTuple):
    """A private key, its certificate and that of the authority, in PEM."""

    key: bytes
    certificate: bytes
    authority: bytes


def read_pair(folder: Path) -> KeyPair | None:
    """Return the pair in a folder, None if there is none.

    Raises:
        OSError: It cannot be read.
    """
    try:
        current = folder / _CURRENT
        return KeyPair(*((current / name).read_bytes() for name in (KEY, CERTIFICATE, AUTHORITY)))
    except FileNotFoundError:
        return None


def install_pair(folder: Path, pair: KeyPair, group: str = "") -> None:
    """Put a pair into a folder in place of the former one.

    Args:
        folder: The folder, which is created if it does not exist.
        pair: The pair.
        group: The group that may read the key besides its owner; "" for none.

    Raises:
        OSError: It cannot be written; the former pair stays in use.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    made = _write_pair(folder, pair, group)
    for name in (KEY, CERTIFICATE, AUTHORITY):
        _link(folder / name, f"{_CURRENT}/{name}")
    _link(folder / _CURRENT, made.name)
    _flush(folder)


def remove_leftovers(folder: Path) -> None:
    """Remove former pairs, and what a crash left behind.

    Raises:
        OSError: Something cannot be removed.
    """
    with suppress(FileNotFoundError):
        current = (folder / _CURRENT).readlink().name
        for path in folder.iterdir():
            if path.name.startswith(_PAIR) and path.name != current:
                shutil.rmtree(path)
            elif path.name.endswith(_NEW):
                path.unlink()


def _write_pair(folder: Path, pair: KeyPair, group: str) -> Path:
    made = Path(tempfile.mkdtemp(prefix=_PAIR, dir=folder))
    _write(made / KEY, pair.key, 0o640 if group else 0o600, group)
    _write(made / CERTIFICATE, pair.certificate, 0o644, group)
    _write(made / AUTHORITY, pair.authority, 0o644, group)
    made.chmod(0o755)
    _flush(made)
    return made


def _write(path: Path, content: bytes, mode: int, group: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:  # noqa: PTH123  of a descriptor, which pathlib cannot open
        file.write(content)
        if group:
            shutil.chown(path, group=group)
        os.fchmod(descriptor, mode)
        file.flush()
        os.fsync(descriptor)


def _link(path: Path, target: str) -> None:
    """Make a symbolic link, in place of whatever has its name, in one step."""
    if path.is_symlink() and path.readlink() == Path(target):
        return
    new = path.with_name(path.name + _NEW)
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    new.replace(path)


def _flush(folder: Path) -> None:
    """Write the names in a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
