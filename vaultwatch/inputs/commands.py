"""How a shell gives a log to a program, and what that prints to Vaultwatch: commands that work when pasted."""

from __future__ import annotations

import shlex
from pathlib import Path

from vaultwatch.inputs import STDIN
from vaultwatch.inputs.archives import is_zip
from vaultwatch.inputs.encodings import LONGEST_START, encoding_of

_S3 = "s3://"
_DECOMPRESS = {".gz": "gzip -dc", ".zst": "zstd -dc", ".bz2": "bzip2 -dc", ".xz": "xz -dc"}
_SAVED = "stdin.log"


def is_stdin(name: str) -> bool:
    """Return whether a log was read from stdin."""
    return name in ("stdin", STDIN)


def before_command(name: str, reader: str) -> str:
    """Return what to say before a command that reads a log: of stdin nothing is left, and it would wait for more."""
    said = f"save it as {_SAVED}, then: " if is_stdin(name) else ""
    return said if reader else f"{said}name what this makes instead: "


def given_to(tool: str, name: str) -> str:
    """Return the command that gives a log to a tool: a file, one in an archive, an object on S3, or stdin as saved."""
    if is_stdin(name):
        return f"{tool} {saved_as(name)}"
    decompress = _DECOMPRESS.get(Path(name).suffix)
    if name.startswith(_S3):
        return " | ".join(filter(None, (f"aws s3 cp {shlex.quote(name)} -", decompress, tool)))
    if archive := archive_of(name):
        member = shlex.quote(name.removeprefix(f"{archive}/"))
        extract = "unzip -p" if _is_zip(archive) else "tar -xOf"
        return " | ".join(filter(None, (f"{extract} {_quoted(archive)} {member}", decompress, tool)))
    if decompress or (decode := _decoding(name)):
        return f"{decompress or decode} {_quoted(name)} | {tool}"
    return f"{tool} {_quoted(name)}"


def printed(name: str) -> str:
    """Return the command that prints a log."""
    return given_to("cat", name).removesuffix(" | cat")


def given_to_python(script: str, name: str) -> str:
    """Return the command that gives a log to a program in Python."""
    return f"{given_to('cat', name)} | python3 -c {shlex.quote(script)}"


def to_reader(command: str, place: str, reader: str) -> str:
    """Return a command with the one that reads what it gives.

    Args:
        command: What prints a log, or puts logs at a place.
        place: The place, for a shell; "" if it prints them.
        reader: The command that reads stdin, or a place behind it; "" if it cannot read stdin: the name is printed.
    """
    if reader:
        return f"{command} && {reader.removesuffix(' -')} {place}" if place else f"{command} | {reader}"
    return f"{command} && echo {place}" if place else f'f=$(mktemp) && {command} >"$f" && echo "$f"'


def archive_of(name: str) -> str:
    """Return the file that a log is in; "" if it is a file itself."""
    return next((str(path) for path in Path(name).parents if path.is_file()), "")


def saved_as(name: str) -> str:
    """Return the name of the file that has a log, for a shell."""
    return _SAVED if is_stdin(name) else _quoted(name)


def _quoted(name: str) -> str:
    """Return the name of a file for a shell, such that no program takes it for an option."""
    return shlex.quote(f"./{name}" if name.startswith("-") else name)


def _decoding(path: str) -> str:
    """Return the command that makes UTF-8 of a file; "" if that is what it has."""
    try:
        with Path(path).open("rb") as file:
            mark, encoding = encoding_of(file.read(LONGEST_START))
    except OSError:
        return ""
    name = encoding.upper().replace("-LE", "" if mark else "LE").replace("-BE", "" if mark else "BE")
    return f"iconv -f {name} -t UTF-8" if name else ""


def _is_zip(path: str) -> bool:
    try:
        with Path(path).open("rb") as file:
            return is_zip(file.read(4))
    except OSError:
        return path.endswith(".zip")
