"""What a user can do about a file of which nothing can be read. Its commands work when pasted."""

from __future__ import annotations

import re
import shlex
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from vaultwatch.inputs import CHECK
from vaultwatch.inputs.commands import (
    archive_of,
    before_command,
    given_to,
    given_to_python,
    is_stdin,
    printed,
    saved_as,
    to_reader,
)
from vaultwatch.inputs.forms import FILE, OF_MARKUP, Form, form_named
from vaultwatch.inputs.rejects import NOT_TEXT, PACKED, is_binary
from vaultwatch.inputs.torn import Torn
from vaultwatch.reading.budget import SMALL_BYTES
from vaultwatch.reading.records import Rejected
from vaultwatch.reading.repeats import shows_record

_MAX_VALUES = 1_000
_SIGNS = ('"request"', '"@message"', "[INFO]", "[WARN]", "[ERROR]", "[DEBUG]")
_NAMES = " | keys_unsorted[]"
_PACKED = "H4sI"
"""How gzip begins in base64."""
_UNPACK_EACH = 'while read -r one || [ -n "$one" ]; do printf %s "$one" | base64 -d | gunzip; done'
_ENCODED = ("eyJ", "MjAy")
"""How JSON and a time begin in base64."""
_DECODE_EACH = 'while read -r one || [ -n "$one" ]; do printf %s "$one" | base64 -d; echo; done'
_WRAPPED_AT = (64, 76)
_BASE64 = re.compile(r"[A-Za-z0-9+/]{16,}={0,2}")
_FILES_MAY_BE = "; a log may be plain, gzip, zstd, bzip2, xz, zip or tar"
_ZIP = b"PK\x03\x04"
_FORMS = {
    b"<json:": "configure the audit device with format=json, which is its default",
    b"version https://git-lfs": "it is what Git LFS has in place of the file: run `git lfs pull` where it comes from",
}
"""What texts of other forms begin with, and what to do about them."""
_YAML = re.compile(rb"(?:- )?(?:auth|request|response|time|type):|---\s*\Z")
_OF_YAML = """sh -c 'case $(yq --version) in *mikefarah*) yq -o json "$@" ;; *) yq . "$@" ;; esac' yq"""
"""Two programs have this name; Debian has the one whose first argument is a filter of jq."""
_OPENS_ENVELOPE = re.compile(rb'(?!\{"(?:time|type|auth|request|@level)":)[\[{]')
_OPENS_TEXT = re.compile(rb'"\s{0,64}(?:[\[{\\]|\d{4}-)')
_OF_RUBY = (
    r"""import re, sys; sys.stdout.write(re.sub(r"(\"(?:[^\"\\]|\\.)*\")( *=>)?|\bnil\b|\[\d+\] |"""
    r"""(\d{4}-\d\d-\d\dT[\d:.]+Z)", """
    r"""lambda one: (one[1] + (":" if one[2] else "") if one[1] else f"\"{one[3]}\"" if one[3] else """
    r""""null" if one[0] == "nil" else ""), sys.stdin.read()))"""
)
_OF_FLUENT_BIT = (
    r"""import re, sys; [print(re.sub(r"\\(.)", lambda of: {"n": "\n", "t": "\t"}.get(of[1], of[1]), one) """
    r"""if re.fullmatch(r"(?:[^\"\\]|\\.)*", one) else one) """
    r"""for one in re.findall(r"\"(?:log|message|msg|MESSAGE)\"=>\"(.*?)\"(?=, \"[\w.@-]+\"=>|\}\]?\s*$)", """
    r"""sys.stdin.read(), re.M)]"""
)
"""A text may be printed as it is: then it has quotes without a backslash."""
_BORDER = re.compile(rb"\+-{3,}(?:\+-{3,})*\+\s*\Z")
_OF_TABLE = (
    r"""import re, sys; [print(row[at + 1:at + len(widest)].rstrip() if row[:1] == "|" else row.rstrip(" |")) """
    r"""for border, rows in re.findall(r"(?ms)^(\+[-+]+\+)$\n.*?^\1$\n(.*?)\n\1$", """
    r"""sys.stdin.read().replace("\r", "")) for widest in [max(border.split("+"), key=len)] """
    r"""for at in [border.index(widest)] for row in rows.split("\n")]"""
)
"""Prints the widest column of tables; in a cell of several lines, those behind the first stand alone."""
_UNPACK_WITHIN = (
    r"""import sys, zlib; plain = lambda data: (lambda at, gzip: data if at < 0 else data[:at] + """
    r"""gzip.decompress(data[at:]) + plain(gzip.unused_data))(data.find(b"\x1f\x8b\x08"), zlib.decompressobj(31)); """
    r"""sys.stdout.buffer.write(plain(sys.stdin.buffer.read()))"""
)
_EACH_RECORD = (
    """jq -r 'def r: if type == "object" and (has("request") or has("@level")) then tojson """
    """elif type == "string" then select(test("[{[]")) else .[]? | r end; r'"""
)
"""Prints the records in an envelope of any form."""
_HALF = r"sed 's/\\\\/\\/g'"
_SCRIPTS = (
    (
        re.compile(rb"(?i)\A<(?:!doctype html|html|head|body|pre|table)\b"),
        "it is a web page: if of a login, download the log itself; if it shows the log",
        OF_MARKUP,
    ),
    (re.compile(rb"\A<(?:\?xml |[A-Za-z][\w.:-]{0,64}(?: [^<>]{0,512})?>\s*(?:<|\Z))"), "it is XML", OF_MARKUP),
    (
        re.compile(rb"&quot;[\w@]{1,64}&quot;\s?:"),
        "its quotes are those of HTML",
        "import html, sys; sys.stdout.write(html.unescape(sys.stdin.read()))",
    ),
    (
        re.compile(rb"%7[Bb]%22|T\d\d%3[Aa]\d\d%3[Aa]\d\d"),
        "it is encoded as a part of a URL",
        "import sys, urllib.parse as url; text = sys.stdin.read(); "
        'sys.stdout.write((url.unquote if "%20" in text else url.unquote_plus)(text))',
    ),
    (
        re.compile(rb"\A(?:7[bB]22|3230[23])[0-9a-fA-F]{12,}\s*\Z"),
        "it is in hexadecimal",
        # xxd -p divides what it prints into lines of 60 characters.
        r"""import sys; [sys.stdout.buffer.write(bytes.fromhex(one) + (b"" if len(one) == 60 else b"\n")) """
        r"""for one in sys.stdin.read().split()]""",
    ),
    (
        re.compile(rb"\A[0-9a-f]{6,16}:? {1,2}(?:[0-9a-f]{2}){1,2} [0-9a-f]{2}[0-9a-f ]{8}"),
        "it is a dump in hexadecimal, as of hexdump -C, xxd or od",
        r"""import re, sys; [sys.stdout.buffer.write(bytes.fromhex(one[1] or one[2])) for one in re.finditer("""
        r"""r"(?m)^[0-9a-f]+(?: +((?:[0-9a-f]{2} +)+)[|>]|: ((?:[0-9a-f]{2,4} )+) )", sys.stdin.read())]""",
    ),
    (
        re.compile(rb"\Ab['\"]"),
        "it is what Python prints of bytes",
        "import ast, sys; [print(ast.literal_eval(one.strip()).decode()) for one in sys.stdin]",
    ),
    (
        re.compile(rb"\A\[?\{'[\w@]{1,64}':"),
        "it is what Python prints of an object",
        "import ast, json, sys; [print(json.dumps(ast.literal_eval(one.strip()))) for one in sys.stdin]",
    ),
    (
        re.compile(rb'\A\{\s{0,64}"[^"\\]{1,128}"\s{0,64}=>'),
        "it is what Ruby prints of an object, also by Logstash's codec rubydebug",
        _OF_RUBY,
    ),
    (
        re.compile(rb'\A\[\d+\] [^"]{0,256}\{.{0,2048}"(?:log|message|msg|MESSAGE)"=>"'),
        "it is what Fluent Bit prints for people",
        _OF_FLUENT_BIT,
    ),
    (re.compile(rb'\A\[\d+\] [^"]{0,256}\{"[^"\\]{1,128}"=>'), "it is what Fluent Bit prints for people", _OF_RUBY),
    (
        re.compile(
            rb"\A(?:From \S|(?:Return-Path|Received|Delivered-To|MIME-Version|Message-ID|Date|From|To|Subject): )"
        ),
        "it is mail",
        r"""import email, re, sys; [sys.stdout.buffer.write((part.get_payload(decode=True) or b"") + b"\n") """
        r"""for mail in re.split(rb"(?m)^From .*\n", sys.stdin.buffer.read()) """
        r"""for part in email.message_from_bytes(mail).walk()]""",
    ),
)
"""What shows that Python can make a log of a text, what that is, and the program."""
_WRAPPED_ENTRY = re.compile(rb'\{"(time|type|auth|request)":[^\n]{0,2048}(?<!\})')
_QUOTED_PRINTABLE = re.compile(rb"(?=[^ {]{0,75}[ {])[ -~]{32,75}=")
_AFTER_CR = re.compile(rb"\r(?:[^\r{]{0,120} )?(?:\{\"|\d{4}-\d\d-\d\dT[\d:.,+Z-]{8,35} \[[A-Z]{4,5} ?\] )")
"""A record behind a CR: a progress bar writes CRs too, but no records."""
_CR_TO_LF = r"""awk '{ gsub(/\r/, "\n") } 1'"""
_JOIN_MESSAGES = (
    r"""awk '{ sub(/\r$/, "") } /^==>/ || !NF { m = 0 } """
    r"""{ h = /^[{]|:[0-9][0-9]:[0-9][0-9][^ ]* \[|^ +[A-Z][A-Za-z0-9 ]*: /; printf "%%s%%s", """
    r"""NR == 1 ? "" : h || !m || /^  / ? "\n" : "%s", $0 } h { m = 1 } END { print "" }'"""
)
"""Joins a line to the message or line of a banner before it, unless it is one of several lines that hclog indents."""
_SHOW_CUT = r"""LC_ALL=C awk '{ sub(/\r$/, "") } length($0) == %d { print NR ": " $0 }'"""
_SHOW_BROKEN = r"""jq -nrR 'inputs | . as $line | try (fromjson | empty) catch "\(input_line_number): \($line)"'"""
_WHOLE = Torn()


class _Way(NamedTuple):
    """What can be done about a log.

    Attributes:
        what: What it is, in a sentence.
        command: The command that prints what can be read; "" if there is none.
        place: Where the command puts it instead, for a shell; "" if it prints it.
    """

    what: str
    command: str = ""
    place: str = ""

    def read_by(self, name: str, reader: str) -> str:
        """Return a sentence that ends with the command, and with the one that reads what it gives of a log."""
        if not self.command:
            return self.what
        return f"{self.what}: {before_command(name, reader)}{to_reader(self.command, self.place, reader)}"


_EXPECTED = "; expected are audit entries (JSON) or messages of the server log, of Vault or OpenBao"


def hint_for(name: str, first: Rejected, torn: Torn = _WHOLE, reader: str = CHECK) -> str:
    """Return the end of a sentence that says what to do.

    Args:
        name: The log.
        first: The first line that was rejected in it.
        torn: How its lines were torn.
        reader: The command that is to read what can be read, from its stdin.
    """
    if torn.kind and not _BORDER.match(first.raw[:SMALL_BYTES]):
        return _hint_for_torn(name, torn)
    if form := form_named(first.reason):
        return f": {hint_of_form(name, form, reader)}"
    way = _way_of_form(name, first) or _way_in_json(name, first.raw) or _way_of_text(name, first)
    return way.read_by(name, reader)


def is_of_known_form(name: str, first: Rejected) -> bool:
    """Return whether a command is known for a line, and it is none that was wrapped."""
    return not (_way_of_divided(name, first.raw.strip()) or hint_for(name, first).endswith(_EXPECTED))


def _hint_for_torn(name: str, torn: Torn) -> str:
    """Return what was done to lines that cannot be recovered, what to read instead, and the command that shows them."""
    count, at = torn.lengths.get(torn.cut_at, 0), torn.cut_at
    if at:
        what = f"{count:,} lines end at byte {at}, and none of the others is longer: something cut them there"
        instead, show = "what is missing is not in this file: read the log itself", _SHOW_CUT % at
    else:
        what = f"{torn.mixed:,} lines begin and end like entries and are broken in between"
        what += ": two programs wrote to this file at once"
        instead, show = "what they tore apart is no entry any more: read the log of another audit device", _SHOW_BROKEN
    shown = f"; the lines: {before_command(name, CHECK)}{given_to(show, name)}" if torn.is_in_lines else ""
    return f"; {what}; {instead} (`vault audit list -detailed` names it){shown}"


def hint_of_form(name: str, form: Form, reader: str = CHECK) -> str:
    """Return what to do about a file that is no text.

    Args:
        name: The log.
        form: Its form.
        reader: The command that is to read the log in it.
    """
    if not form.is_command:
        return form.command
    if FILE not in form.command:
        read = given_to(form.command, name).replace(" - ", " ")  # a dash stands for stdin, where no file is named
    elif is_stdin(name) or Path(name).is_file():
        read = form.command.replace(FILE, saved_as(name))
    else:
        inner = shlex.quote(f"./{Path(name).name}")
        read = f"{printed(name)} >{inner} && {form.command.replace(FILE, inner)}"
    return f"{before_command(name, reader)}{to_reader(f'{form.install}{read}', form.place, reader)}"


def decoding_quoted(name: str) -> str:
    """Return the command that decodes quoted-printable, and joins the lines that it has divided."""
    return f"{_decoding_quoted(name)} | {CHECK}"


def joining_lines(name: str, *, is_exact: bool) -> str:
    """Return the command that joins the lines of a server log that were wrapped.

    Args:
        name: The log.
        is_exact: Whether they were wrapped within words.
    """
    return f"{given_to(_JOIN_MESSAGES % ('' if is_exact else ' '), name)} | {CHECK}"


def _decoding_quoted(name: str) -> str:
    return given_to("python3 -m quopri -d", name)


def _way_of_form(name: str, first: Rejected) -> _Way | None:
    """Return what to do about a log of another form, which its beginning shows."""
    start = first.raw[:SMALL_BYTES].lstrip()
    if start.startswith(_ZIP) and archive_of(name):
        inner = shlex.quote(f"./{Path(name).name}")
        return _Way("; it is a zip archive in another archive", f"{printed(name)} >{inner}", inner)
    if known := next((text for form, text in _FORMS.items() if start.startswith(form)), ""):
        return _Way(f"; {known}")
    if first.reason == PACKED:
        return _Way("; as it is, and decompressed", given_to_python(_UNPACK_WITHIN, name))
    if _BORDER.match(start):
        return _Way("; it is a table of a database client, whose cells are padded", given_to_python(_OF_TABLE, name))
    if _YAML.match(start):
        return _Way("; it is YAML, which the package yq reads", given_to(_OF_YAML, name))
    return None


def _way_in_json(name: str, raw: bytes) -> _Way | None:
    """Return what to do about an object that has records in a form that is not read, or is too large."""
    if path := _path_to(_shows_record, raw):
        what = "a name in an object" if path.endswith(_NAMES) else f"inside {path}"
        return _Way(f"; a record is {what}", given_to(f"jq -r {shlex.quote(path)}", name))
    if path := _path_to(_is_packed, raw):
        unpacked = f"{given_to(f'jq -r {shlex.quote(path)}', name)} | {_UNPACK_EACH}"
        return _Way(f"; records are compressed inside {path}", unpacked)
    if path := _path_to(_is_encoded, raw):
        decode = f"jq -rj {shlex.quote(f'{path} | @base64d')}"
        return _Way(f"; records are inside {path}, in base64", given_to(decode, name))
    start = raw[:SMALL_BYTES].lstrip()
    if len(raw) > SMALL_BYTES and _OPENS_ENVELOPE.match(start) and shows_record(start):
        return _Way("; it is too large to be read as one line", given_to(_EACH_RECORD, name))
    return None


def _way_of_text(name: str, first: Rejected) -> _Way:
    start = first.raw[:SMALL_BYTES].lstrip()
    if divided := _way_of_divided(name, start.rstrip()):
        return divided
    if _is_encoded(line := start.decode("utf-8", "replace").rstrip()) or line.startswith(_PACKED):
        each = line.endswith("=") or len(line) not in _WRAPPED_AT
        decode = f"{given_to('cat', name)} | {_DECODE_EACH}" if each else given_to("base64 -d", name)
        return _Way("; it is in base64", decode)
    for form, what, script in _SCRIPTS:
        if form.search(start):
            return _Way(f"; {what}", given_to_python(script, name))
    if _OPENS_TEXT.match(start):
        return _Way("; it is JSON in a text", given_to("jq -r .", name))
    if b'\\\\"' in start:
        return _Way("; its backslashes are doubled", given_to(_HALF, name))
    if is_binary(start):
        return _Way(("" if first.reason == NOT_TEXT else f"; {NOT_TEXT}") + _FILES_MAY_BE)
    if b"\n" not in start.rstrip() and _AFTER_CR.search(start):
        return _Way("; its lines end with CR alone", given_to(_CR_TO_LF, name))
    if any(quote.encode() in start for quote in "“”"):
        return _Way("; its quotes are those of a word processor", given_to("sed 's/[“”]/\"/g'", name))
    return _Way(_EXPECTED)


def _way_of_divided(name: str, start: bytes) -> _Way | None:
    """Return what to do if a line is a part of one that a mail program, or somebody else, has divided."""
    if _QUOTED_PRINTABLE.fullmatch(start):
        return _Way("; it is quoted-printable", _decoding_quoted(name))
    if wrapped := _WRAPPED_ENTRY.fullmatch(start):
        return _Way("; if its lines were wrapped", given_to(_joining(wrapped[1].decode()), name))
    return None


def _joining(member: str) -> str:
    """Return the command that joins lines into objects that begin with a member."""
    begins = f"""/^[{{]"{member}":/ && NR > 1 {{ print "" }}"""
    return f"""awk '{begins} {{ sub(/\\r$/, ""); printf "%s", $0 }} END {{ print "" }}'"""


def _path_to(is_it: Callable[[str], bool], raw: bytes) -> str:
    """Return the path, as jq writes it, of a text of some kind in a JSON object; "" if there is none."""
    start = raw.find(b"{")
    if start < 0 or len(raw) > SMALL_BYTES:
        return ""
    try:
        level: deque[tuple[str, Any]] = deque([("", msgspec.json.decode(raw[start:]))])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    for _ in range(_MAX_VALUES):
        if not level:
            break
        path, value = level.popleft()
        if isinstance(value, str) and path and is_it(value):
            return path
        if isinstance(value, dict) and any(map(is_it, value)):
            return f"{path or '.'}{_NAMES}"
        level += _below(path, value)
    return ""


def _shows_record(text: str) -> bool:
    return any(sign in text for sign in _SIGNS)


def _is_packed(text: str) -> bool:
    return _PACKED in text


def _is_encoded(text: str) -> bool:
    return text.startswith(_ENCODED) and _BASE64.fullmatch(text) is not None


def _below(path: str, value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [
            (f"{path}.{key}" if key.isidentifier() else f"{path or '.'}[{msgspec.json.encode(key).decode()}]", item)
            for key, item in value.items()
        ]
    return [(f"{path or '.'}[]", item) for item in value] if isinstance(value, list) else []
