"""Files that are no logs as they are, and what makes a log of them.

Of some of them a few records could be read, and most could not, or each several times. So none is read, and each is
named with a command. Only its first bytes decide that: no text of a client can make a log such a file.
"""

from __future__ import annotations

from typing import NamedTuple

FILE = "{}"
"""The place of a file in a command that cannot read a stream."""
_OF_DOCUMENT = "soffice --cat {}"
_SHEETS = "csv:Text - txt - csv (StarCalc):44,34,76,1,,0,false,true,false,false,false,-1"
_OF_TABLE = f"""d=$(mktemp -d) && soffice --headless --convert-to '{_SHEETS}' --outdir "$d" {{}}"""
_FOLDER = '"$d"'
_INTO_FOLDER = "d=$(mktemp -d) && %s"
"""Unpacks an archive: one that prints its files would run them together, and packed ones with plain ones."""
_ROWS = (
    """'import duckdb, sys; [print(row[0]) for row in duckdb.read_parquet(sys.argv[1])"""
    """.query("t", "select to_json(t) from t").fetchall()]'"""
)
_DUMP = """'import sqlite3, sys; print(*sqlite3.connect(sys.argv[1]).iterdump(), sep="\\n")'"""
_UNSNAP = """'import snappy, sys; snappy.stream_decompress(open(sys.argv[1], "rb"), sys.stdout.buffer)'"""

OF_MARKUP = (
    r"""import html, re, sys; text = re.sub(r"(?s)<!\[CDATA\[(.*?)\]\]>", lambda one: html.escape(one[1]), """
    r"""sys.stdin.read()); text = html.unescape(text) if re.search("&amp;(?:quot|lt|gt|#[0-9]+);", text) else text; """
    r"""text = re.sub(r"</?(?:a|b|code|em|font|i|mark|sg|span|strong|wbr)\b[^>]*>", "", text); """
    r"""tag = lambda one: "\n".join(["", *map("".join, re.findall(r"=(?:\"([^\"]*)\"|'([^']*)')", one[0])), ""]); """
    r"""[print(one) for one in html.unescape(re.sub("<[^>]*>", tag, text)).split("\n") """
    r"""if "{" in one or "] " in one or """
    r"""re.match(r"  |==> |panic: |fatal error: |\[signal |goroutine |created by |\t/|\S+\(", one)]"""
)
"""Prints the lines and attributes that may be of a record, also if they were escaped twice.

What is beside records, such as a title, would be rejected.
"""


class Form(NamedTuple):
    """A form of files.

    Attributes:
        what: What such a file is, in a sentence.
        command: What prints the log in it: it reads a file in the place of `FILE`, or else a stream; or a sentence.
        is_command: Whether it is a command.
        install: The command that installs it before; "" if systems have it.
        place: Where the command puts the logs instead of printing them, for a shell.
    """

    what: str
    command: str
    is_command: bool = True
    install: str = ""
    place: str = ""


def _in_venv(name: str, package: str) -> str:
    """Return the command that installs a package: Debian lets pip install only into an environment."""
    return f"python3 -m venv ~/{name} && ~/{name}/bin/pip install -q {package} && "


AVRO = Form("it is Avro", "~/avro/bin/fastavro -", install=_in_venv("avro", "fastavro"))
DOCUMENT = Form("it is a document of an office program, of which LibreOffice makes text", _OF_DOCUMENT)
TABLE = Form("it is a table of an office program, of which LibreOffice makes CSV", _OF_TABLE, place=_FOLDER)
_OLE = b"\xd0\xcf\x11\xe0"
_WORKBOOK = "Workbook".encode("utf-16-le")
_FORMS = {
    b"Obj\x01": AVRO,
    b"PAR1": Form("it is Parquet", f"~/duckdb/bin/python -c {_ROWS} {{}}", install=_in_venv("duckdb", "duckdb")),
    b"SQLite format 3\0": Form("it is a database of SQLite", f"python3 -c {_DUMP} {{}}"),
    b"\xff\x06\0\0sNaPpY": Form(
        "it is compressed with snappy",
        f"~/snappy/bin/python -c {_UNSNAP} {{}}",
        install=_in_venv("snappy", "python-snappy"),
    ),
    # Of a log of 36 entries as PDF by four programs, mutool 1.21 and joined lines gave back all; but 25 of what a
    # browser prints with its header on each page, with texts of it in others, and 48 to 51 of 64 lines of a server log.
    # pdftotext 22.12 (plain, -raw, -layout) gave back fewer, and alerts that the logs do not raise.
    b"%PDF": Form(
        "it is a PDF, whose lines are wrapped and cannot be joined as they were",
        "export the log itself, as text or JSON",
        is_command=False,
    ),
    b"Debug line with all properties:\nFROMHOST: '": Form(
        "it has rsyslog's debug format, in which each message stands three times",
        r'''sed -n "s/^msg: ' \{0,1\}\(.*\)'\$/\1/p"''',
    ),
    b"ElfFile\0": Form("it is an event log of Windows", "export it as text", is_command=False),
    b"{\\rtf": DOCUMENT,
    b"LPKSHHRH": Form("it is a journal of systemd", "journalctl --all -o json --file {}"),
    b"7z\xbc\xaf\x27\x1c": Form(
        "it is an archive of 7-Zip, which the package libarchive-tools unpacks",
        _INTO_FOLDER % 'bsdtar -xf {} -C "$d"',
        place=_FOLDER,
    ),
    b"Rar!": Form(
        "it is an archive of RAR, which the package unar unpacks", _INTO_FOLDER % 'unar -q -o "$d" {}', place=_FOLDER
    ),
    b"\x04\x22\x4d\x18": Form("it is compressed with lz4, which the package lz4 reads", "lz4 -dc"),
    b"\x1f\x9d": Form("it is compressed with compress", "gzip -dc"),
    b"]\0\0": Form("it is compressed with lzma", "xz --format=lzma -dc"),
}
"""What files begin with that are of one form only."""
_BY_WHAT = {form.what: form for form in (*_FORMS.values(), DOCUMENT, TABLE)}


def form_of(name: str, head: bytes) -> Form | None:
    """Return which form a file has; None if it may be text.

    Args:
        name: Its name, which shows what else may be too far behind its beginning.
        head: Its first bytes.
    """
    if head.startswith(_OLE):
        return TABLE if _WORKBOOK in head or name.lower().endswith(".xls") else DOCUMENT
    return next((form for begins, form in _FORMS.items() if head.startswith(begins)), None)


def form_named(what: str) -> Form | None:
    """Return the form of which this is said; None if it is another sentence."""
    return _BY_WHAT.get(what)
