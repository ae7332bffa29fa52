"""Whatever an archive says of itself, reading it takes little memory, ends, and touches no file but the archive."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.archives import zipped
from vaultwatch.inputs import logs
from vaultwatch.inputs.archives import MAX_MEMBERS, tar_members
from vaultwatch.inputs.errors import Unreadable
from vaultwatch.inputs.logs import logs_in

MIB = 1 << 20
LINE = b'{"type":"request"}\n'


def read(path: Path) -> dict[str, bytes]:
    """Return the logs in a file by the name of the member."""
    return {log.name.removeprefix(f"{path}/"): b"".join(c for c, _ in log.chunks()) for log in logs_in(str(path))}


def tar_of(*members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.GNU_FORMAT) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=form) as archive:
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def with_size(archive: bytes, field: bytes) -> bytes:
    """Return an archive whose first header has another size, and the checksum for it."""
    header = archive[:124] + field.ljust(12, b"\0") + archive[136:148] + b" " * 8 + archive[156:512]
    return header[:148] + b"%06o\0 " % sum(header) + header[156:] + archive[512:]


def with_dictionary_of_2_gib(packed: bytes) -> bytes:
    """Return an xz file whose block header asks for a dictionary of 2 GiB (xz file format, 3.1 and 5.3.1)."""
    size = (packed[12] + 1) * 4
    header = bytearray(packed[12 : 12 + size - 4])
    assert header[2:4] == b"\x21\x01"
    header[4] = 38
    return packed[:12] + header + zlib.crc32(header).to_bytes(4, "little") + packed[12 + size :]


@pytest.fixture
def small_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_ALWAYS_ALLOWED_BYTES", MIB)


@pytest.mark.usefixtures("small_bound")
@pytest.mark.parametrize("pack", [bz2.compress, lambda data: lzma.compress(data, preset=0)])
def test_a_bomb_ends_at_2_000_times_its_size(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "audit.log"
    path.write_bytes(pack(bytes(40 * MIB)))
    (log,) = logs_in(str(path))
    positions = list[int]()
    with pytest.raises(Unreadable, match="decompresses to more than 2,000 times its size"):
        positions.extend(position for _, position in log.chunks())
    assert positions[-1] <= max(MIB, 2_000 * path.stat().st_size)


@pytest.mark.usefixtures("small_bound")
def test_a_bomb_in_an_archive_ends_by_the_size_that_it_takes_there(tmp_path: Path) -> None:
    path = tmp_path / "logs.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("audit.log", bytes(40 * MIB))
        archive.writestr("other.log", bytes(8 * MIB))
    (log, *_) = logs_in(str(path))
    with pytest.raises(Unreadable, match="decompresses to more than"):
        list(log.chunks())


def test_an_ordinary_log_that_compresses_well_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "audit.log.gz"
    path.write_bytes(gzip.compress(LINE * 100_000))
    assert read(path) == {str(path): LINE * 100_000}


def test_an_xz_file_that_asks_for_gibibytes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "audit.log.xz"
    path.write_bytes(with_dictionary_of_2_gib(lzma.compress(LINE)))
    with pytest.raises(Unreadable, match=r"(?i)memory"):
        read(path)


@pytest.mark.parametrize("name", ["/etc/cron.d/vault", "../../escaped.log", "a\n\x1b[2Jb", "C:\\x"])
@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_a_name_is_only_shown_and_never_opened(tmp_path: Path, name: str, form: int) -> None:
    path = tmp_path / "logs.tar"
    path.write_bytes(tar_of((tarfile.TarInfo(name), LINE), form=form))
    assert list(read(path).values()) == [LINE]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
def test_what_is_no_file_is_skipped(tmp_path: Path, kind: bytes) -> None:
    link = tarfile.TarInfo("audit.log")
    link.type, link.linkname = kind, "/etc/shadow"
    path = tmp_path / "logs.tar"
    path.write_bytes(tar_of((link, b""), (tarfile.TarInfo("b.log"), LINE)))
    assert read(path) == {"b.log": LINE}


def test_a_file_whose_content_is_in_another_form_is_named_and_not_skipped(tmp_path: Path) -> None:
    whole = bytearray(tar_of((tarfile.TarInfo("audit.log"), LINE)))
    whole[156:157] = tarfile.GNUTYPE_SPARSE
    path = tmp_path / "logs.tar"
    path.write_bytes(with_size(bytes(whole), b"%011o" % len(LINE)))
    with pytest.raises(Unreadable, match="sparse"):
        read(path)


def test_what_follows_the_end_of_an_archive_is_not_skipped(tmp_path: Path) -> None:
    path = tmp_path / "logs.tar"
    path.write_bytes(tar_of((tarfile.TarInfo("a.log"), LINE)) + bytes(MIB) + tar_of((tarfile.TarInfo("b.log"), LINE)))
    found = logs_in(str(path))
    assert next(found).name == f"{path}/a.log"
    with pytest.raises(Unreadable, match="behind its end"):
        next(found)


@pytest.mark.parametrize("field", [b"77777777777", b"\x80" + b"\xff" * 11, b"-0000000005", b"no number", b"1_0"])
def test_a_size_that_is_not_true_is_an_error_and_no_endless_reading(tmp_path: Path, field: bytes) -> None:
    path = tmp_path / "logs.tar"
    path.write_bytes(with_size(tar_of((tarfile.TarInfo("a.log"), LINE)), field))
    with pytest.raises(Unreadable, match="damaged"):
        read(path)


def test_a_long_name_of_a_gibibyte_is_not_held(tmp_path: Path) -> None:
    long_name = tarfile.TarInfo("././@LongLink")
    long_name.type = tarfile.GNUTYPE_LONGNAME
    path = tmp_path / "logs.tar"
    path.write_bytes(with_size(tar_of((long_name, b"n" * 600), (tarfile.TarInfo("a.log"), LINE)), b"10000000000"))
    with pytest.raises(Unreadable, match="ends within"):
        read(path)


def test_an_encrypted_file_is_named_with_what_to_do(tmp_path: Path) -> None:
    """Python writes no encrypted archives: only the mark of one is set, in both headers."""
    path = tmp_path / "logs.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.log", LINE)
    marked = bytearray(path.read_bytes())
    marked[6] |= 1
    marked[marked.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(marked)
    with pytest.raises(Unreadable, match=r"^a\.log in it is encrypted: unpack it first"):
        read(path)


def test_more_than_10_000_files_are_refused(tmp_path: Path) -> None:
    header = tar_of((tarfile.TarInfo("a.log"), b""))[:512]
    with pytest.raises(Unreadable, match="more than 10,000 files"):
        for _ in tar_members(io.BytesIO(header * (MAX_MEMBERS + 1) + bytes(1024))):
            pass
    path = tmp_path / "logs.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(MAX_MEMBERS + 1):
            archive.writestr(str(number), b"")
    with pytest.raises(Unreadable, match="more than 10,000 files"):
        read(path)


@given(st.binary(max_size=2_000), st.integers(0, 2_000))
def test_a_damaged_archive_is_read_or_unreadable_and_raises_nothing_else(damage: bytes, at: int) -> None:
    whole = tar_of((tarfile.TarInfo("a.log"), LINE * 20), (tarfile.TarInfo("b.log"), LINE))
    with suppress(Unreadable, EOFError):
        for member in tar_members(io.BufferedReader(io.BytesIO(whole[:at] + damage + whole[at:]))):
            member.stream.read()


def test_files_that_macos_adds_for_attributes_are_no_logs(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("__MACOSX/._audit.log", b"\0\5\x16\7")
        archive.writestr("audit.log", LINE)
    (tmp_path / "a.tar").write_bytes(
        tar_of((tarfile.TarInfo("logs/._audit.log"), b"\0\5\x16\7"), (tarfile.TarInfo("logs/audit.log"), LINE))
    )
    assert read(tmp_path / "a.zip") == {"audit.log": LINE}
    assert read(tmp_path / "a.tar") == {"logs/audit.log": LINE}


@pytest.mark.parametrize("names", [["[Content_Types].xml", "xl/sharedStrings.xml"], ["mimetype", "content.xml"]])
def test_a_document_is_refused(tmp_path: Path, names: list[str]) -> None:
    """Of a log in a table, some lines would be read, and others not."""
    (file := tmp_path / "book").write_bytes(zipped(dict.fromkeys(names, LINE)))
    with pytest.raises(Unreadable, match="soffice --"):
        read(file)
