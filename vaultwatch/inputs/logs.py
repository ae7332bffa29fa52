"""Find and open the logs at the places that a user names."""

from __future__ import annotations

import os
import re
import shlex
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from vaultwatch.inputs import CHECK, STDIN
from vaultwatch.inputs.archives import form_of_zip, is_tar, is_zip, tar_members, zip_members
from vaultwatch.inputs.commands import to_reader
from vaultwatch.inputs.decompression import CHUNK_BYTES, decompressed
from vaultwatch.inputs.encodings import as_utf_8
from vaultwatch.inputs.errors import Shortened, Unreadable, reading
from vaultwatch.inputs.forms import Form, form_of
from vaultwatch.inputs.order import by_rotation

_TAR_START = 512
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{1,15}://")
HEAD_BYTES = 65536
_MAX_EXPANSION = 2_000
"""Times that a file may grow when it is decompressed: twice what gzip can reach, and far beyond any log."""
_ALWAYS_ALLOWED_BYTES = 1 << 30


Opening = Callable[[], AbstractContextManager[tuple[Any, int]]]
"""Opens what is no file: gives a buffered stream and its size in bytes; raises `Unreadable`."""


class Log(NamedTuple):
    """An open log.

    Attributes:
        name: Its path, behind it the name in the archive.
        head: Its first bytes.
        size: Bytes; 0 if it is not known.
        chunks: Yields its bytes in chunks of at most 256 KiB, each with the number of bytes up to its end; raises
            `Unreadable` if the rest cannot be read, or if it is no text.
        form: What is said of a file that is no text; "" of others.
    """

    name: str
    head: bytes
    size: int
    chunks: Callable[[], Iterator[tuple[bytes, int]]]
    form: str = ""


def files_at(place: str) -> list[str]:
    """Return the files at a place: those below a folder, those that match a pattern, or the file itself.

    Rotated files are in the order in which they were written. A subfolder that cannot be listed is among them: reading
    it fails for the same reason.
    """
    if place == STDIN:
        return [place]
    if is_folder(place):
        return sorted(_files_below(place), key=by_rotation)
    if any(mark in place for mark in "*?[") and not Path(place).exists():
        import glob

        return sorted(glob.glob(place, recursive=True), key=by_rotation) or [place]  # noqa: PTH207  of any path
    return [place]


def _files_below(folder: str) -> Iterator[str]:
    closed: list[str] = []
    for base, _, names in os.walk(folder, onerror=lambda error: closed.append(str(error.filename))):
        yield from (path for name in names if _is_file(path := str(Path(base, name))))
    yield from closed


def _is_file(path: str) -> bool:
    """Return whether a path is a regular file, or may be one."""
    try:
        return stat.S_ISREG(Path(path).stat().st_mode)
    except FileNotFoundError:  # a link to nothing
        return False
    except OSError:  # reported when it is read
        return True


def is_folder(place: str) -> bool:
    """Return whether a place is a folder."""
    try:
        return place != "" and Path(place).is_dir()
    except (OSError, ValueError):
        return False


def logs_in(name: str, opening: Opening | None = None, reader: str = CHECK) -> Iterator[Log]:
    """Open a file and yield its log, or each of those in an archive; one is open until the next.

    Args:
        name: A path, or "-" for stdin.
        opening: Opens what has this name, if that is no file.
        reader: The command that reads it, as it reads stdin, for a hint; "" if that cannot read stdin.

    Raises:
        Unreadable: It cannot be opened or read.
    """
    with ExitStack() as stack:
        with reading():
            raw, size = stack.enter_context((opening or partial(_opened, name, reader))())
            start = raw.peek(4)[:4]
        if not is_zip(start):
            yield from _streamed(name, raw, size, reader, is_file=opening is None)
            return
        if not raw.seekable():
            raise Unreadable("a zip archive cannot be read as a stream: name a file")
        if form := form_of_zip(raw):
            yield _of_form(name, form, start, reader)
            return
        for member in zip_members(raw):
            yield from _streamed(f"{name}/{member.name}", member.stream, member.packed_bytes, reader, is_packed=True)


@contextmanager
def _opened(name: str, reader: str) -> Iterator[tuple[Any, int]]:
    path: int | str = 0 if name == STDIN else name
    if _URL.match(name) and not Path(name).exists():
        command = to_reader(f"curl -fsSL {shlex.quote(name)}", "", reader)
        raise Unreadable(f"addresses are not read; {command if name.startswith('http') else 'download it first'}")
    with open(path, "rb", buffering=CHUNK_BYTES, closefd=name != STDIN) as raw:
        yield raw, 0 if name == STDIN else Path(name).stat().st_size


def _streamed(
    name: str, raw: Any, size: int, reader: str, *, is_packed: bool = False, is_file: bool = False
) -> Iterator[Log]:
    with reading():
        stream, is_compressed = decompressed(raw)
        is_archive = is_tar(stream.peek(_TAR_START)[:_TAR_START])
    if not is_archive:
        log = _log(name, stream, size, reader, is_compressed=is_compressed or is_packed)
        yield log._replace(chunks=lambda: _to_end(log, raw)) if is_file and not log.form else log
        return
    for member in tar_members(stream):
        with reading():
            content, _ = decompressed(member.stream)
        yield _log(f"{name}/{member.name}", content, size, reader, is_compressed=True)


def _log(name: str, stream: Any, size: int, reader: str, *, is_compressed: bool) -> Log:
    with reading():
        text = as_utf_8(stream)
        head = text.peek(HEAD_BYTES)[:HEAD_BYTES]
    if form := form_of(name, head):
        return _of_form(name, form, head, reader)
    limit = max(_ALWAYS_ALLOWED_BYTES, _MAX_EXPANSION * size) if is_compressed and size else 0
    return Log(name, head, 0 if is_compressed else size, lambda: _chunks(text, limit))


def _of_form(name: str, form: Form, head: bytes, reader: str) -> Log:
    def refuse() -> Iterator[tuple[bytes, int]]:
        from vaultwatch.inputs.hints import hint_of_form

        raise Unreadable(f"{form.what}: {hint_of_form(name, form, reader)}")

    return Log(name, head, 0, refuse, form.what)


def _to_end(log: Log, raw: Any) -> Iterator[tuple[bytes, int]]:
    """Yield the chunks of a file, and miss what it had when it was opened."""
    yield from log.chunks()
    if log.size and raw.seek(0, os.SEEK_CUR) < log.size:
        raise Shortened


def _chunks(stream: Any, limit: int) -> Iterator[tuple[bytes, int]]:
    position = 0
    while True:
        with reading():
            chunk = stream.read1(CHUNK_BYTES)
        if not chunk:
            return
        position += len(chunk)
        if limit and position > limit:
            raise Unreadable(f"decompresses to more than {_MAX_EXPANSION:,} times its size")
        yield chunk, position
