"""Files that are no text are refused whole, with a command that makes a log of them.

Each command was pasted for files that hold recorded logs, with these programs, and gave the alerts of the logs
themselves: LibreOffice 7.4 (.doc, .docx, .odt, .rtf; audit logs in .xls, .xlsx, .ods), duckdb 2.0, python-snappy 0.7,
systemd 252, bsdtar 3.6 (archives of 7-Zip 26.02 and its own, also with bzip2 and PPMd), unar 1.10 (RAR 4, stored),
lz4 1.9, gzip 1.12 (files of ncompress 4.2).
"""

from __future__ import annotations

import gzip
import html
import json
import lzma
import shlex
import shutil
import sqlite3
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.archives import zipped
from tests.unit.cli.test_check import DATA
from vaultwatch.cli import main
from vaultwatch.inputs.errors import Unreadable
from vaultwatch.inputs.forms import form_of
from vaultwatch.inputs.logs import logs_in

ENTRY = (
    b'{"time":"2026-11-21T07:29:41Z","type":"request","request":{"id":"e1","path":"sys/seal","operation":"update"}}\n'
)
PACKAGES = {"bsdtar": "libarchive-tools", "unar": "unar", "lz4": "lz4", "compress": "ncompress"}
PDF = "it is a PDF, whose lines are wrapped and cannot be joined as they were: export the log itself, as text or JSON"
BEGINS = {
    b"%PDF-1.7": PDF,
    b"PAR1": "it is Parquet: python3 -m venv ~/duckdb && ~/duckdb/bin/pip install -q duckdb && ~/duckdb/bin/python -c ",
    b"\xff\x06\0\0sNaPpY": "it is compressed with snappy: python3 -m venv ~/snappy && ",
    b"{\\rtf1\\ansi": "it is a document of an office program, of which LibreOffice makes text: soffice --cat {}",
    b"\xd0\xcf\x11\xe0\xa1\xb1": "it is a document of an office program, of which LibreOffice makes text: soffice ",
    b"\xd0\xcf\x11\xe0\xa1\xb1" + "Workbook".encode("utf-16-le"): "it is a table of an office program, of which ",
    b"LPKSHHRH": "it is a journal of systemd: journalctl --all -o json --file {} | vaultwatch check",
    b"7z\xbc\xaf\x27\x1c": "it is an archive of 7-Zip, which the package libarchive-tools unpacks: d=$(mktemp -d) && ",
    b"Rar!": 'it is an archive of RAR, which the package unar unpacks: d=$(mktemp -d) && unar -q -o "$d" {} && ',
    b"\x04\x22\x4d\x18": "it is compressed with lz4, which the package lz4 reads: lz4 -dc {} | vaultwatch check",
    b"\x1f\x9d\x90": "it is compressed with compress: gzip -dc {} | vaultwatch check",
    b"]\0\0\x80\0": "it is compressed with lzma: xz --format=lzma -dc {} | vaultwatch check",
    b"SQLite format 3\0": "it is a database of SQLite: python3 -c 'import sqlite3, sys; ",
    b"ElfFile\0": "it is an event log of Windows: export it as text",
}


def said(capfd: pytest.CaptureFixture[str], *places: Path) -> tuple[int, str]:
    status = main(["check", "-q", *map(str, places)])
    out, err = capfd.readouterr()
    assert out == ""
    return status, err


@pytest.mark.parametrize("begins", BEGINS)
def test_none_is_read_in_part(begins: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (file := tmp_path / "it's a log").write_bytes(begins + b"\0\n" + ENTRY * 20)
    status, error = said(capfd, file)
    assert status == 2
    assert error.startswith(f"vaultwatch: {file}: {BEGINS[begins].format(shlex.quote(str(file)))}")
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize("names", [["[Content_Types].xml", "word/document.xml"], ["mimetype", "content.xml"]])
def test_a_document_is_known_by_the_names_in_it(
    names: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (file := tmp_path / "a").write_bytes(zipped(dict.fromkeys(names, ENTRY)))
    form = "it is a document of an office program, of which LibreOffice makes text"
    assert said(capfd, file) == (2, f"vaultwatch: {file}: {form}: soffice --cat {file} | vaultwatch check\n")


@pytest.mark.parametrize("content", [{"xl/workbook.xml": b"", "[Content_Types].xml": b""}, {"content.xml": b""}])
def test_a_table_is_made_to_files_in_a_folder_of_its_own(
    content: dict[str, bytes], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    kind = {} if len(content) > 1 else {"mimetype": b"application/vnd.oasis.opendocument.spreadsheet"}
    (file := tmp_path / "a").write_bytes(zipped(kind | content))
    status, error = said(capfd, file)
    assert status == 2
    assert "LibreOffice makes CSV: d=$(mktemp -d) && soffice --headless --convert-to 'csv:" in error
    assert error.endswith(f'--outdir "$d" {file} && vaultwatch check "$d"\n')


def test_beside_logs_they_are_named_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for name in "abc":
        (tmp_path / name).write_bytes(b"%PDF-1.7\n" + ENTRY)
    (tmp_path / "log").write_bytes(ENTRY)
    assert main(["check", "--format", "json", str(tmp_path)]) == 1
    out, err = capfd.readouterr()
    assert {json.loads(line)["source"]["file"] for line in out.splitlines()} == {f"{tmp_path}/log"}
    assert err.splitlines()[0] == (
        f"vaultwatch: {tmp_path}: nothing can be read of 3 files (a, b, c); the first: {PDF}"
    )


def test_the_others_in_an_archive_are_read(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (file := tmp_path / "a.zip").write_bytes(zipped({"a.pdf": b"%PDF-1.7\n", "b.sz": b"PAR1", "c.log": ENTRY}))
    assert main(["check", "--format", "json", str(file)]) == 1
    out, err = capfd.readouterr()
    assert {json.loads(line)["source"]["file"] for line in out.splitlines()} == {f"{file}/c.log"}
    assert f"unzip -p {file} b.sz >./b.sz && ~/duckdb/bin/python" in err


def test_what_reads_a_stream_is_given_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile("a.zip", "w") as archive:
        archive.writestr("b.lzma", lzma.compress(ENTRY, lzma.FORMAT_ALONE))
    (log,) = logs_in("a.zip")
    with pytest.raises(Unreadable) as refused:
        list(log.chunks())
    command = str(refused.value).partition(": ")[2].removesuffix(" | vaultwatch check")
    assert subprocess.run(["sh", "-c", command], check=True, capture_output=True).stdout == ENTRY


def rar(files: dict[str, bytes]) -> bytes:
    """Return an archive as RAR 4 writes it with -m0: no program that can make one is free."""

    def block(kind: int, fields: bytes, data: bytes = b"") -> bytes:
        head = struct.pack("<BHH", kind, 0x8000 if data else 0, 7 + len(fields)) + fields
        return struct.pack("<H", zlib.crc32(head) & 0xFFFF) + head + data

    packed = b"".join(
        block(0x74, struct.pack("<LLBLLBBHL", len(data), len(data), 3, zlib.crc32(data), 0x50210000, 20, 0x30,
                                len(name), 0o100644) + name.encode(), data)
        for name, data in files.items()
    )  # fmt: skip
    return b"Rar!\x1a\x07\0" + block(0x73, bytes(6)) + packed + block(0x7B, b"")


PLAIN, OLDER = (DATA / name / "audit.jsonl" for name in ("audit-device-changes", "generate-root"))
FILES = {"audit.log": PLAIN.read_bytes(), "audit.log.1.gz": gzip.compress(OLDER.read_bytes())}


def packed(program: str, folder: Path) -> bytes:
    """Return both files, packed in the form that a program unpacks."""
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    make = {
        "bsdtar": ["bsdtar", "-c", "--format=7zip", "-f", "-", *FILES],
        "lz4": ["sh", "-c", f"tar -c {' '.join(FILES)} | lz4 -q"],
        "compress": ["sh", "-c", f"tar -c {' '.join(FILES)} | compress -c"],
    }
    if program not in make:
        return rar(FILES)
    return subprocess.run(make[program], cwd=folder, check=True, capture_output=True).stdout


@pytest.mark.parametrize("program", ["bsdtar", "unar", "lz4", "compress"])
def test_what_is_packed_raises_the_alerts_of_the_logs_in_it(
    program: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"no {program}: apt-get install {PACKAGES[program]}")
    (folder := tmp_path / "logs").mkdir()
    (file := tmp_path / "it's packed").write_bytes(packed(program, folder))
    status, error = said(capfd, file)
    assert status == 2
    command = error.removeprefix(f"vaultwatch: {file}: ").partition(": ")[2].strip()
    check = f"{shlex.quote(sys.executable)} -m vaultwatch check --format json"
    done = subprocess.run(["sh", "-c", command.replace("vaultwatch check", check)], check=False, capture_output=True)
    main(["check", "--format", "json", str(folder)])
    assert ids(done.stdout.decode()) == ids(capfd.readouterr().out) != []


def test_a_database_of_sqlite_raises_the_alerts_of_the_logs_in_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file, lines = tmp_path / "it's logs.db", [*PLAIN.read_text().splitlines(), PANIC]
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("create table log (id integer primary key, line text)")
        database.executemany("insert into log (line) values (?)", [(line,) for line in lines])
    status, error = said(capfd, file)
    assert status == 2
    command = error.partition("a database of SQLite: ")[2].removesuffix(" | vaultwatch check\n")
    (plain := tmp_path / "plain").write_text("\n".join(lines))
    done = subprocess.run(["sh", "-c", command], check=True, capture_output=True)
    (dump := tmp_path / "dump").write_bytes(done.stdout)
    rules = []
    for place in (plain, dump):
        main(["check", "--format", "json", str(place)])
        rules.append(sorted(json.loads(line)["rule"] for line in capfd.readouterr().out.splitlines()))
    assert rules[0] == rules[1] != []


def ids(out: str) -> list[str]:
    return sorted(json.loads(line)["id"] for line in out.splitlines())


DEBUG_FORMAT = """Debug line with all properties:
FROMHOST: 'vault-1', fromhost-ip: '127.0.0.1', HOSTNAME: 'vault-1', PRI: 14,
syslogtag 'vault[12]:', programname: 'vault', APP-NAME: 'vault', PROCID: '12', MSGID: '-',
TIMESTAMP: 'Nov 21 07:29:41', STRUCTURED-DATA: '-',
msg: ' {text}'
escaped msg: ' {text}'
inputname: imuxsock rawmsg: '<14>Nov 21 07:29:41 vault[12]: {text}'
$!:{{ "a": 1 }}
$.:
$/:

"""


@pytest.mark.parametrize("name", ["audit-socket-down/server.log", "audit-device-changes/audit.jsonl"])
def test_each_message_in_the_debug_format_of_rsyslog_counts_once(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    lines = (DATA / name).read_text().splitlines()
    (file := tmp_path / "it's debug").write_text("".join(DEBUG_FORMAT.format(text=line) for line in lines))
    status, error = said(capfd, file)
    assert status == 2
    command = error.partition("three times: ")[2].removesuffix(" | vaultwatch check\n")
    assert subprocess.run(["sh", "-c", command], check=True, capture_output=True).stdout.decode().splitlines() == lines


PANIC = """panic: runtime error: index out of range
fatal error: all goroutines are asleep - deadlock!
[signal SIGSEGV: segmentation violation code=0x1 addr=0x18 pc=0x2a3b4c]
goroutine 421 [running]:
github.com/hashicorp/vault/vault.(*Core).handleRequest(0xc000a1e000, 0x8d0f2a8)
\t/home/runner/work/vault/vault/vault/request_handling.go:1024 +0x1a4
created by net/http.(*Server).Serve
"""


@pytest.mark.parametrize("write", [html.escape, "<![CDATA[{}]]>".format], ids=["escaped", "CDATA"])
def test_no_line_of_a_server_log_in_xml_is_lost(
    write: Callable[[str], str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    lines = [*(DATA / "ordinary-restart" / "server.log").read_text().splitlines(), *PANIC.splitlines()]
    rows = "".join(f"<log>{write(line)}</log>\n" for line in lines)
    (file := tmp_path / "log.xml").write_text(f'<?xml version="1.0"?>\n<logs>\n{rows}</logs>\n')
    plain, alerts = tmp_path / "log", []
    plain.write_text("\n".join(lines) + "\n")
    for place in (plain, file):
        main(["check", "--format", "json", str(place)])
        alerts.append([json.loads(line)["id"] for line in capfd.readouterr().out.splitlines()])
    assert alerts[0] == alerts[1] != []


def test_a_text_of_a_client_does_not_make_a_log_such_a_file() -> None:
    assert form_of("a", ENTRY + DEBUG_FORMAT.encode()) is None


def test_what_is_text_has_no_form() -> None:
    assert form_of("a", ENTRY) is None
    assert form_of("a", b"") is None
