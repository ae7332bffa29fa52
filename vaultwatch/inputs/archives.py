"""The files in an archive: zip, and tar as a stream of blocks.

`tarfile` is not used: it reads headers of any size into memory, and remembers every member.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, NamedTuple

from vaultwatch.inputs.errors import Unreadable, reading
from vaultwatch.inputs.forms import DOCUMENT, TABLE, Form
from vaultwatch.inputs.order import by_rotation

MAX_MEMBERS = 10_000
_ENCRYPTED = 1
"""The bit that a file in a zip archive has if it is encrypted."""
_BLOCK = 512
_MAX_NAME_BYTES = 64 * 1024
_REGULAR = (b"0", b"\0", b"7")
_LONG_NAME, _PAX = b"L", b"x"
_IN_PARTS = {b"S": "sparse", b"M": "continued from another archive"}


class Member(NamedTuple):
    """A file in an archive: its name, a stream of its bytes, and the bytes that it takes in the archive."""

    name: str
    stream: Any
    packed_bytes: int


def is_zip(start: bytes) -> bool:
    """Return whether a file that starts with these bytes is a zip archive."""
    return start.startswith((b"PK\x03\x04", b"PK\x05\x06"))


def form_of_zip(file: Any) -> Form | None:
    """Return which form a zip archive has that an office program has saved; None if it is an archive of files.

    Raises:
        Unreadable: The archive cannot be read.
    """
    import zipfile

    with reading(), zipfile.ZipFile(file) as archive:
        names = set(archive.namelist())
        if {"mimetype", "content.xml"} <= names:
            with archive.open("mimetype") as kind:
                return TABLE if b"spreadsheet" in kind.read(_BLOCK) else DOCUMENT
    if "[Content_Types].xml" not in names:
        return None
    return TABLE if any(name.startswith("xl/") for name in names) else DOCUMENT


def is_tar(start: bytes) -> bool:
    """Return whether a file that starts with these bytes is a tar archive."""
    return start[257:262] == b"ustar"


def zip_members(file: Any) -> Iterator[Member]:
    """Yield the files in a zip archive, rotated ones from the oldest.

    Raises:
        Unreadable: The archive or a file in it cannot be read.
    """
    import zipfile

    with reading(), zipfile.ZipFile(file) as archive:
        files = (one for one in archive.infolist() if not one.is_dir() and not _is_of_mac(one.filename))
        found = sorted(files, key=lambda one: by_rotation(one.filename))
        _refuse_many(len(found))
        for one in found:
            if one.flag_bits & _ENCRYPTED:
                raise Unreadable(f"{one.filename} in it is encrypted: unpack it first (7z x, with the password)")
            with archive.open(one) as stream:
                yield Member(one.filename, stream, one.compress_size)


def tar_members(file: Any) -> Iterator[Member]:
    """Yield the files in a tar archive in their order.

    Raises:
        Unreadable: The archive cannot be read, or not all of it.
    """
    name, count = "", 0
    while (header := _read(file, _BLOCK)).strip(b"\0"):
        size, kind = _size(header), header[156:157]
        if kind in (_LONG_NAME, _PAX):
            name = _long_name(_read(file, min(size, _MAX_NAME_BYTES)), kind)
            _skip(file, size - min(size, _MAX_NAME_BYTES) + _padding(size))
            continue
        if kind in _IN_PARTS:
            raise Unreadable(f"an archive with a file that is {_IN_PARTS[kind]}")
        content = _Content(file, size)
        if kind in _REGULAR and not _is_of_mac(called := name or _name(header)):
            _refuse_many(count := count + 1)
            yield Member(called, io.BufferedReader(content), 0)
        name = ""
        _skip(file, content.left + _padding(size))
    _refuse_more(file)


class _Content(io.RawIOBase):
    """The bytes of one file in a tar archive."""

    def __init__(self, file: Any, size: int) -> None:
        self._file, self.left = file, size

    def readable(self) -> bool:
        """See `io.RawIOBase`."""
        return True

    def readinto(self, buffer: Any) -> int:
        """See `io.RawIOBase`."""
        piece = self._file.read1(min(len(buffer), self.left)) if self.left else b""
        if self.left and not piece:
            raise EOFError("the archive ends within a file")
        self.left -= len(piece)
        buffer[: len(piece)] = piece
        return len(piece)


def _is_of_mac(name: str) -> bool:
    """Return whether macOS has added a file beside the archived one, for its attributes."""
    return name.startswith("__MACOSX/") or name.rpartition("/")[2].startswith("._")


def _refuse_many(count: int) -> None:
    if count > MAX_MEMBERS:
        raise Unreadable(f"an archive of more than {MAX_MEMBERS:,} files")


def _read(file: Any, size: int) -> bytes:
    with reading():
        found: bytes = file.read(size)
        if len(found) < size and found:
            raise EOFError("the archive ends within a header")
    return found


def _skip(file: Any, size: int) -> None:
    with reading():
        while size > 0:
            piece = file.read1(min(size, 1 << 18))
            if not piece:
                raise EOFError("the archive ends within a file")
            size -= len(piece)


def _refuse_more(file: Any) -> None:
    """Look for data behind the end of an archive: archives that somebody put into one file."""
    with reading():
        while piece := file.read1(1 << 18):
            if piece.strip(b"\0"):
                raise Unreadable("an archive with more data behind its end")


def _padding(size: int) -> int:
    return -size % _BLOCK


def _size(header: bytes) -> int:
    """Return the size of a file: octal digits, or a binary number if it begins with 0x80."""
    field = header[124:136]
    if field[0] == 0x80:
        return int.from_bytes(field[4:], "big")
    digits = field.strip(b" \0") or b"0"
    if not digits.isdigit():  # `int` would take signs and underscores
        raise Unreadable("damaged: a size that is no number")
    with reading():
        return int(digits, 8)


def _name(header: bytes) -> str:
    parts = (header[345:500], header[:100])
    return "/".join(part.partition(b"\0")[0].decode("utf-8", "replace") for part in parts if part.strip(b"\0"))


def _long_name(content: bytes, kind: bytes) -> str:
    """Return the name that an extended header holds for the file after it; "" if it holds none."""
    if kind == _LONG_NAME:
        return content.partition(b"\0")[0].decode("utf-8", "replace")
    path = content.partition(b" path=")[2].partition(b"\n")[0]
    return path.decode("utf-8", "replace")
