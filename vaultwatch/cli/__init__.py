"""The `vaultwatch` command: one module per subcommand, imported only when it is called."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import click

from vaultwatch.cli.examples import examples
from vaultwatch.cli.groups import Group, text_of
from vaultwatch.errors import RuleErrors, VaultwatchError

_SUBCOMMANDS = {
    "check": "Check existing logs against the rules.",
    "report": "Write what existing logs show as one page of HTML.",
    "search": "Find a record again, in files or in the archive.",
    "reconcile": "Compare the logs of two audit devices: what each lacks, and what differs.",
    "watch": "Evaluate a stream on stdin and notify people (syslog-ng program() handler).",
    "status": "Show what the handlers of this host do.",
    "probe": "Ask Vault, syslog-ng and the disks of this machine how they are.",
    "ship": "Send a stream on stdin to Kinesis (syslog-ng program() handler).",
    "archive": "Upload logs to the archive, list its segments, and verify them.",
    "host": "Set up and maintain a node or the log server of a deployment.",
    "fields": "List the fields that a log has, how often, and with which values.",
    "rules": "List, show, make, explain, test and compile the detection rules.",
}

_EXTRAS = {"boto3": "aws", "botocore": "aws", "cryptography": "host"}
"""The extra of each package that only some commands need."""


class _OutputGoneError(Exception):
    """Nobody reads the output any more."""


class _Subcommands(Group):
    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(_SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _SUBCOMMANDS:
            return super().get_command(ctx, cmd_name)
        found: click.Command = import_module(f"vaultwatch.cli.{cmd_name}").command
        return found

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:  # of which click makes status 1, which says that alerts were found
            raise _OutputGoneError from error

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_SUBCOMMANDS.items()))


@click.command(
    cls=_Subcommands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=examples("vaultwatch check /var/log/vault", "vaultwatch check --help"),
)
@click.version_option(package_name="vaultwatch", message="%(prog)s %(version)s")
def vaultwatch() -> None:
    """Day-1 logging and alerting for HashiCorp Vault and OpenBao."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command.

    Returns:
        Its exit status: 2 if it cannot run, with one line on stderr that says why.
    """
    # either is None if the parent process closed it
    sys.stdout = sys.stdout or Path(os.devnull).open("w")  # noqa: SIM115  stays open
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal may support fewer characters than a log contains
    try:
        result = vaultwatch.main(args=arguments, prog_name="vaultwatch", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return 2
    except click.ClickException as error:
        return _fail(text_of(error))
    except VaultwatchError as error:
        return max(map(_fail, map(str, error.errors if isinstance(error, RuleErrors) else [error])))
    except ModuleNotFoundError as error:
        return _fail(_missing(error))
    except (click.Abort, KeyboardInterrupt):
        return 130
    except (_OutputGoneError, BrokenPipeError):
        _drop_output()
        return 141
    except OSError as error:  # errors of reading are handled where files are read
        _drop_output()
        return _fail(f"cannot write{f' {error.filename}' if error.filename else ''}: {error.strerror}")
    return result if isinstance(result, int) else 0


def _missing(error: ModuleNotFoundError) -> str:
    """Return which extra has a package that is not installed; raise the error if it is none of them."""
    package = str(error.name).partition(".")[0]
    if package not in _EXTRAS:
        raise error
    return f"{package} is not installed: install Vaultwatch with its extra `{_EXTRAS[package]}`"


def _drop_output() -> None:
    """Discard what Python still buffers for stdout, which would fail again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str) -> int:
    from vaultwatch.printable import one_line

    click.echo(f"vaultwatch: {one_line(' '.join(message.split()))}", err=True)
    return 2
