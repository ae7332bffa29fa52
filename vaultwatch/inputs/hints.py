"""What a user can do about a file of which nothing can be read. Its commands work when pasted."""

from __future__ import annotations

import re
import shlex
from collections import deque
from collections.abc import Callable, Iterable
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
from vaultwatch.inputs.forms import FILE, Form, form_named
from vaultwatch.inputs.programs import OF_PAGE, UNPACKING, Program, programs_for
from vaultwatch.inputs.rejects import NOT_TEXT, PACKED, is_binary
from vaultwatch.inputs.torn import Torn
from vaultwatch.reading.budget import SMALL_BYTES
from vaultwatch.reading.records import Rejected
from vaultwatch.unwrapping.repeats import shows_record

_MAX_VALUES = 1_000
_SIGNS = ('"request"', '"@message"', "[INFO]", "[WARN]", "[ERROR]", "[DEBUG]")
_NAMES = " | keys_unsorted[]"
_PACKED = "H4sI"
"""How gzip begins in base64."""
_UNPACK_EACH = 'while read -r one || [ -n "$one" ]; do printf %s "$one" | base64 -d | gunzip; done'
_ENCODED = ("eyJ", "MjAy")
"""How JSON and a time begin in base64."""
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
_EACH_RECORD = (
    """jq -r 'def r: if type == "object" and (has("request") or has("@level")) then tojson """
    """elif type == "string" then select(test("[{[]")) else .[]? | r end; r'"""
)
"""Prints the records in an envelope of any form."""
_NO_JSON = re.compile(rb"(?m)^\s{0,64}[^\s{}\[\]\"]")
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


EXPECTED = "; expected are audit entries (JSON) or messages of the server log, of Vault or OpenBao"
"""A hint that names no command."""
Choose = Callable[[Iterable[Program], bytes], Program | None]
"""Chooses a program, given those that may make a log of a text, and the text; none if no one of them helps."""


def the_first(programs: Iterable[Program], _text: bytes) -> Program | None:
    """Choose the first program untried."""
    return next(iter(programs), None)


def hint_for(
    name: str,
    first: Rejected,
    torn: Torn = _WHOLE,
    reader: str = CHECK,
    sample: bytes = b"",
    choose: Choose = the_first,
) -> str:
    """Return the end of a sentence that says what to do.

    Args:
        name: The log.
        first: The first line that was rejected in it.
        torn: How its lines were torn.
        reader: The command that is to read what can be read, from its stdin.
        sample: Whole lines of the log around that line.
        choose: See `Choose`.
    """
    if form := form_named(first.reason):
        return f": {hint_of_form(name, form, reader)}"
    text = sample or first.raw[:SMALL_BYTES]
    way = _way_of_form(name, first) or (_way_by_program(name, sample, choose) if sample else None)
    way = way or _way_in_json(name, first.raw, text) or (None if sample else _way_by_program(name, text, choose))
    if torn.kind and not way:
        return _hint_for_torn(name, torn)
    return (way or _way_of_others(first, text)).read_by(name, reader)


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


def _way_of_form(name: str, first: Rejected) -> _Way | None:
    """Return what to do about a log of another form, which its beginning shows."""
    start = first.raw[:SMALL_BYTES].lstrip()
    if start.startswith(_ZIP) and archive_of(name):
        inner = shlex.quote(f"./{Path(name).name}")
        return _Way("; it is a zip archive in another archive", f"{printed(name)} >{inner}", inner)
    if known := next((text for form, text in _FORMS.items() if start.startswith(form)), ""):
        return _Way(f"; {known}")
    if first.reason == PACKED:
        return _way_by(UNPACKING, name)
    if _YAML.match(start):
        return _Way("; it is YAML, which the package yq reads", given_to(_OF_YAML, name))
    return None


def _way_in_json(name: str, raw: bytes, text: bytes) -> _Way | None:
    """Return what to do about an object that has records in a form that is not read, or is too large.

    Args:
        name: The log.
        raw: The line that has it.
        text: Lines of the log around that: jq ends at one that is no JSON.
    """
    if _NO_JSON.search(text):
        return None
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


def _way_by_program(name: str, text: bytes, choose: Choose) -> _Way | None:
    program = choose(programs_for(text), text)
    return _way_by(program, name) if program else None


def _way_of_others(first: Rejected, text: bytes) -> _Way:
    if is_binary(first.raw[:SMALL_BYTES].lstrip()):
        return _Way(("" if first.reason == NOT_TEXT else f"; {NOT_TEXT}") + _FILES_MAY_BE)
    if OF_PAGE in programs_for(text):
        return _Way(f"; {OF_PAGE.what}, as of a login: download the log itself")
    return _Way(EXPECTED)


def _way_by(program: Program, name: str) -> _Way:
    return _Way(f"; {program.what}", given_to_python(program.script, name))


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
