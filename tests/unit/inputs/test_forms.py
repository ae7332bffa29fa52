"""Files that are no text are refused whole, with a command that makes a log of them.

Each command was pasted for files that hold recorded logs, with these programs, and gave the alerts of the logs
themselves: LibreOffice 7.4 (.doc, .docx, .odt, .rtf; audit logs in .xls, .xlsx, .ods), duckdb 2.0, python-snappy 0.7,
systemd 252.
"""

from __future__ import annotations

import html
import json
import lzma
import shlex
import subprocess
import zipfile
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
PDF = "it is a PDF, whose lines are wrapped and cannot be joined as they were: export the log itself, as text or JSON"
BEGINS = {
    b"%PDF-1.7": PDF,
    b"PAR1": "it is Parquet: python3 -m venv ~/duckdb && ~/duckdb/bin/pip install -q duckdb && ~/duckdb/bin/python -c ",
    b"\xff\x06\0\0sNaPpY": "it is compressed with snappy: python3 -m venv ~/snappy && ",
    b"{\\rtf1\\ansi": "it is a document of an office program, of which LibreOffice makes text: soffice --cat {}",
    b"\xd0\xcf\x11\xe0\xa1\xb1": "it is a document of an office program, of which LibreOffice makes text: soffice ",
    b"\xd0\xcf\x11\xe0\xa1\xb1" + "Workbook".encode("utf-16-le"): "it is a table of an office program, of which ",
    b"LPKSHHRH": "it is a journal of systemd: journalctl --all -o json --file {} | vaultwatch check",
    b"7z\xbc\xaf\x27\x1c": "it is an archive of 7-Zip: 7z x -so {} | vaultwatch check",
    b"Rar!": "it is an archive of RAR: unrar p -inul {} | vaultwatch check",
    b"\x04\x22\x4d\x18": "it is compressed with lz4: lz4 -dc {} | vaultwatch check",
    b"\x1f\x9d\x90": "it is compressed with compress: gzip -dc {} | vaultwatch check",
    b"]\0\0\x80\0": "it is compressed with lzma: xz --format=lzma -dc {} | vaultwatch check",
    b"<?xml version='1.0'?>": "it is XML: cat {} | python3 -c ",
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


def test_no_line_of_a_server_log_in_xml_is_lost(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    lines = (DATA / "ordinary-restart" / "server.log").read_text().splitlines()
    rows = "".join(f"<log>{html.escape(line)}</log>\n" for line in lines)
    (file := tmp_path / "log.xml").write_text(f'<?xml version="1.0"?>\n<logs>\n{rows}</logs>\n')
    status, error = said(capfd, file)
    assert status == 2
    command = error.partition("it is XML: ")[2].removesuffix(" | vaultwatch check\n")
    printed = subprocess.run(["sh", "-c", command], check=True, capture_output=True, text=True).stdout.splitlines()
    assert any(line.startswith("==> ") for line in printed)
    assert printed == [line for line in lines if "{" in line or "] " in line or line.startswith(("  ", "==> "))]


def test_a_text_of_a_client_does_not_make_a_log_such_a_file() -> None:
    assert form_of("a", ENTRY + DEBUG_FORMAT.encode()) is None


def test_what_is_text_has_no_form() -> None:
    assert form_of("a", ENTRY) is None
    assert form_of("a", b"") is None
