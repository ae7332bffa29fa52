"""The files that options name for output: which may be written, and how."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import click

from vaultwatch.inputs import STDIN
from vaultwatch.outputs import Output

_STREAMS = {STDIN: 1, "/dev/stdout": 1, "/dev/stderr": 2}  # what is stdin for an input is stdout for an output
_DESCRIPTOR = re.compile(r"/(?:dev|proc/self)/fd/(\d{1,9})")


class Outputs(ExitStack):
    """The files that a command writes while it reads its inputs.

    Attributes:
        paths: Those that are open.
    """

    def __init__(self, inputs: Sequence[str]) -> None:
        """Open none yet.

        Args:
            inputs: The places that the command reads.
        """
        super().__init__()
        self.paths: list[Path] = []
        self._inputs = inputs

    def open(self, *named: tuple[str, Path | None, Output]) -> list[IO[bytes] | None]:
        """Open files for writing, without what was in them; none of them is touched if one must not be written.

        Args:
            named: The options with the files that they name, None if they are not given, and what is written to them.

        Raises:
            UsageError: One of them must not be written, or cannot be opened.
        """
        for number, (option, path, output) in enumerate(named):
            if path and any(other and _are_same(path, other) for _, other, _ in named[:number]):
                raise click.UsageError(f"{option}: {path}: is the file of another option")
            if path:
                check_output(option, path, output, self._inputs)
        return [self._open(option, path) if path else None for option, path, _ in named]

    def _open(self, option: str, path: Path) -> IO[bytes]:
        try:
            file = self.enter_context(_opened(path))
        except OSError as error:
            raise click.UsageError(f"{option}: {path}: {error.strerror}") from error
        self.paths.append(path)
        return file


def check_output(option: str, path: Path, output: Output, inputs: Sequence[str] = ()) -> None:
    """Refuse a file that has anything but earlier output of the same kind.

    Raises:
        UsageError: It has, or it is one of the inputs, or no file can be made there.
    """
    if _descriptor(path) is not None:
        return
    if any(is_same(path, name) for name in inputs) and not path.is_dir():
        why = "is one of the files to read"
    else:
        why = output.refusal(path) or ("" if path.parent.is_dir() else f"there is no folder {path.parent}")
    if why:
        raise click.UsageError(f"{option}: {path}: {why}")


def check_folder(option: str, path: Path) -> None:
    """Refuse what names stdout where a folder is asked for.

    Raises:
        UsageError: It does.
    """
    if _descriptor(path) is not None:
        raise click.UsageError(f"{option}: {path}: a folder is expected, and this is stdout")


def write_output(option: str, path: Path, output: Output, parts: Iterable[bytes], mode: int = 0o644) -> None:
    """Write a file: one that is there is replaced, with its permissions, once all of the output is on the disk.

    Args:
        option: The option that names it.
        path: The file.
        output: What is written to it.
        parts: The output.
        mode: The permissions of a new file, without those that the umask takes away.

    Raises:
        UsageError: It must not be written, or cannot be.
    """
    check_output(option, path, output)
    try:
        if _is_stream(path):
            with _opened(path) as file:
                file.writelines(parts)
        else:
            _replace(Path(os.path.realpath(path)), parts, mode)
    except BrokenPipeError:  # the reader of stdout is gone
        raise
    except OSError as error:
        raise click.UsageError(f"{option}: {path}: {error.strerror}") from error


def is_same(path: Path, name: str) -> bool:
    """Return whether a path and the name of an input are the same file."""
    try:
        return os.path.samestat(path.stat(), os.fstat(0)) if name == STDIN else path.samefile(name)
    except (OSError, ValueError):  # reported when this file is read
        return False


def _are_same(path: Path, other: Path) -> bool:
    """Return whether two paths are the same file, which need not exist yet."""
    return is_same(path, str(other)) or os.path.realpath(path) == os.path.realpath(other) != os.path.realpath(
        os.devnull
    )


def _replace(path: Path, parts: Iterable[bytes], mode: int) -> None:
    new = path.with_name(f".{path.name[:100]}-{os.urandom(8).hex()}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)  # with the user's umask
    try:
        with os.fdopen(descriptor, "wb") as file:
            if path.exists():
                os.fchmod(descriptor, stat.S_IMODE(path.stat().st_mode))
            file.writelines(parts)
            file.flush()
            os.fsync(descriptor)
        new.replace(path)
    except BaseException:
        new.unlink()
        raise


def _opened(path: Path) -> IO[bytes]:
    """Open a file; what names an open descriptor is not opened again, which would write over its beginning."""
    descriptor = _descriptor(path)
    return path.open("wb") if descriptor is None else os.fdopen(os.dup(descriptor), "wb")


def _is_stream(path: Path) -> bool:
    return _descriptor(path) is not None or (path.exists() and not path.is_file())


def _descriptor(path: Path) -> int | None:
    """Return the open descriptor that a path names, such as /dev/stdout; None if it names none."""
    if named := _DESCRIPTOR.fullmatch(str(path)):
        return int(named[1])
    return _STREAMS.get(str(path))
