"""Write the manual page of the command from the help of its subcommands: `python -m tools.man_page`."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from inspect import cleandoc
from pathlib import Path
from textwrap import wrap

import click

from vaultwatch.cli import vaultwatch

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/vaultwatch.1"
_WIDTH = 79  # mandoc warns of longer lines
_ESCAPES = str.maketrans(
    {"\\": r"\e", "-": r"\-", "'": r"\(aq", "`": r"\(ga", '"': r"\(dq", "^": r"\(ha", "~": r"\(ti"}
)
"""What groff would print as another character than the one that can be typed."""
_QUOTED = re.compile(r"\\\(ga(.+?)\\\(ga")
_DATE = re.compile(r"(?<=^\.TH VAULTWATCH 1 )\S+", re.MULTILINE)
_END = r"""
.SH ENVIRONMENT
.TP
\fBNO_COLOR\fR
Nothing is coloured if it is set.
.TP
\fBVAULTWATCH_SLACK_WEBHOOK_URL\fR
The URL of a Slack webhook for \fBvaultwatch watch\fR.
"""


def man_page(date: str) -> str:
    """Return the page.

    Args:
        date: When it last changed, as YYYY-MM-DD.
    """
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    context = click.Context(vaultwatch, info_name="vaultwatch", **vaultwatch.context_settings)
    return "\n".join([f'.TH VAULTWATCH 1 {date} "vaultwatch {version}"', *_root(context), *_commands(context)]) + _END


def undated(page: str) -> str:
    """Return a page without its date."""
    return _DATE.sub("", page)


def _root(context: click.Context) -> Iterator[str]:
    command = context.command
    text = cleandoc(command.help or "")
    yield from (".SH NAME", rf"vaultwatch \- {_text(text.rstrip('.'))}")
    yield from (".SH SYNOPSIS", r"\fBvaultwatch\fR \fICOMMAND\fR [\fIOPTION\fR]... [\fIARGUMENT\fR]...")
    help_of_one = "All commands are described below; `vaultwatch COMMAND --help` prints the same of one."
    yield from (".SH DESCRIPTION", *_filled(text), *_filled(help_of_one), ".SH OPTIONS")
    yield from _options(context)
    yield from _examples(command)
    yield ".SH COMMANDS"


def _commands(context: click.Context) -> Iterator[str]:
    """Yield a section for each command that has no subcommands."""
    command = context.command
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            if found and not found.hidden:
                yield from _commands(click.Context(found, info_name=name, parent=context))
        return
    path, usage = _text(context.command_path), " ".join(command.collect_usage_pieces(context))
    first, *others = cleandoc(command.help or "").split("\n\n")
    yield from (f".SS {path}", rf"\fB{path}\fR {_text(usage)}")
    for paragraph in (first, *others):
        yield from (".PP", *_filled(paragraph))
    yield from _options(context)
    yield from _examples(command)


def _options(context: click.Context) -> Iterator[str]:
    """Yield what the options say of themselves; that of --help is said once."""
    for param in context.command.get_params(context):
        record = param.get_help_record(context)
        if record and isinstance(param, click.Option) and (not context.parent or "--help" not in param.opts):
            yield from (".TP", rf"\fB{_text(record[0])}\fR", *_filled(record[1].replace("  [", " [")))


def _examples(command: click.Command) -> Iterator[str]:
    """Yield the examples, each a line that can be copied."""
    lines = [line.strip() for line in (command.epilog or "").splitlines()[2:]]
    if lines:
        yield from (".PP", "Examples:", ".PP", ".RS 4", ".nf", *(_line(_text(line)) for line in lines), ".fi", ".RE")


def _filled(text: str) -> list[str]:
    literal = _QUOTED.sub(r"\\fB\1\\fR", _text(" ".join(text.split())))
    lines = wrap(literal, _WIDTH, break_long_words=False, break_on_hyphens=False)
    return [_line(line) for line in lines]


def _text(text: str) -> str:
    return text.translate(_ESCAPES)


def _line(text: str) -> str:
    """Return a line that is no request, though it begins like one."""
    return rf"\&{text}" if text.startswith(".") else text


def main() -> None:
    """Write the page; its date stays if nothing else changes."""
    old = PAGE.read_text() if PAGE.exists() else ""
    new = man_page(datetime.now(UTC).date().isoformat())
    if undated(new) != undated(old):
        PAGE.write_text(new)


if __name__ == "__main__":
    main()
