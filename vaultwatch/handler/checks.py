"""Check settings before the input is read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from vaultwatch.appending import open_lines
from vaultwatch.handler.lock import open_lock
from vaultwatch.handler.log import open_log
from vaultwatch.outputs import Output, metrics_by


class Problem(NamedTuple):
    """Why a setting cannot be used.

    Attributes:
        text: One line that begins with the option.
        permanent: Whether somebody has to change a setting; a network that is not up yet comes up without anybody.
        is_of_command_line: Whether the command line has a wrong value, so that only another process can be right.
    """

    text: str
    permanent: bool = True
    is_of_command_line: bool = False


def source_problems(source: str) -> Iterator[Problem]:
    """Check `--source`."""
    if source not in ("audit", "server"):
        yield Problem(f"--source: {source!r} is neither audit nor server", is_of_command_line=True)


def state_problems(directory: Path, lock_file: Path) -> Iterator[Problem]:
    """Check `--state`, after creating the directory if it does not exist."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(open_lock(lock_file))
    except OSError as error:
        yield Problem(f"--state: {error.filename}: {error.strerror}")


def log_file_problems(log_file: Path | None) -> Iterator[Problem]:
    """Check `--log-file`."""
    if log_file is not None:
        yield from open_problems("--log-file", log_file, open_log)


def lines_file_problems(option: str, path: Path) -> Iterator[Problem]:
    """Check a file to which the handler appends; it is created if it does not exist."""
    if path.exists() and not path.is_file():
        yield Problem(f"{option}: {path}: is not a regular file")
        return
    yield from open_problems(option, path, open_lines)


def replaced_file_problems(option: str, path: Path, output: Output) -> Iterator[Problem]:
    """Check a file that the handler replaces; it is created if it does not exist."""
    found = list(lines_file_problems(option, path))
    yield from found
    if not found and (why := output.refusal(path)):
        yield Problem(f"{option}: {path}: {why}")


def shared_file_problems(files: Iterable[tuple[str, Path | None]]) -> Iterator[Problem]:
    """Refuse a file that two options name: what one writes there would damage what the other writes or reads.

    Args:
        files: Each option with its file; None if it is not given.
    """
    named: dict[tuple[int, int] | str, str] = {}
    for option, path in files:
        if path is not None and path.parent.is_dir():
            other = named.setdefault(_identity(path), option)
            if other != option:
                yield Problem(f"{option}: {path}: is the file of {other} too")


def _identity(path: Path) -> tuple[int, int] | str:
    """Return what two names of one file have in common, whether it exists or not."""
    try:
        found = path.stat()
    except OSError:
        return os.path.realpath(path)
    return found.st_dev, found.st_ino


def metrics_notes(path: Path | None, command: str) -> Iterator[str]:
    """Check `--metrics`: a file that cannot be written is only noted, because it must not keep a line waiting."""
    if path is not None:
        for problem in replaced_file_problems("--metrics", path, metrics_by(command)):
            yield f"{problem.text}: there are no metrics until this is fixed"


def open_problems(option: str, path: Path, opener: Callable[[Path], int]) -> Iterator[Problem]:
    """Check that a file can be opened."""
    try:
        os.close(opener(path))
    except OSError as error:
        yield Problem(f"{option}: {path}: {error.strerror}")
