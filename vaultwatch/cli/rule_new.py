"""`vaultwatch rules new`: a rule with fixtures, made from a record of a log."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import click

from vaultwatch.cli.examples import examples
from vaultwatch.cli.outputs import check_folder
from vaultwatch.errors import RuleError, SettingError
from vaultwatch.printable import one_line
from vaultwatch.reading.view import View
from vaultwatch.redaction import redacted_text
from vaultwatch.rules.facts import Level, Service
from vaultwatch.rules.pack import CompiledRule, Rule, shipped_rules

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)+")
_MAX_NAME = 64
_LONGEST_LINE = 300
_SERVICES: tuple[Service, ...] = ("audit", "server")


@click.command(
    "new",
    epilog=examples(
        "vaultwatch rules new audit_ldap_enabled --from audit.log",
        "grep sys/auth/ldap audit.log | vaultwatch rules new audit_ldap_enabled --from -",
        "vaultwatch rules test mine",
    ),
    context_settings={"allow_extra_args": True},  # to say where they belong
)
@click.argument("name")
@click.option(
    "--from", "source", metavar="LOG|LINE|-",
    help='A log, or a line of one, or "-" for stdin. The first record in it is used.  [required]',
)  # fmt: skip
@click.option(
    "--into", type=click.Path(path_type=Path), default=Path("mine"), show_default=True, metavar="DIR",
    help="The folder of your rules; it is made if it does not exist.",
)  # fmt: skip
@click.pass_context
def command(context: click.Context, name: str, source: str | None, into: Path) -> None:
    """Make a rule and its fixtures from a record of a log.

    The rule selects the record by its path and operation, or by the level, module and message of the server log. The
    fixtures are the record itself, with its secrets redacted, and records that the rule does not match. All pass
    `rules test` at once: then edit them.

    Exit status: 0, or 2 if there is no record, the name is not allowed, or a file exists already.
    """
    from vaultwatch.cli.rule_scaffold import scaffold

    if source is None:
        raise click.UsageError(f"give the log as --from {shlex.quote(context.args[0]) if context.args else 'LOG'}")
    if context.args:
        raise click.UsageError(f"one log is used: leave out {shlex.join(context.args)}")
    check_folder("--into", into)
    if not _NAME.fullmatch(name) or len(name) > _MAX_NAME:
        raise SettingError(
            f"a rule's name is of two or more lower-case words joined by `_`, such as audit_ldap_enabled, not {name}"
        )
    if name in (rule.name for rule in shipped_rules()):
        raise SettingError(f"{name} is a shipped rule: choose another name")
    found = _first_record(source, name)
    made = scaffold(name, found.service, found.view)
    folder = into / "fixtures" / name
    contents = {
        into / f"{name}.yml": made.rule.encode(),
        folder / f"match{made.suffix}": made.match,
        folder / f"ignore{made.suffix}": made.ignore,
    }
    _write(contents)
    click.echo(one_line(f"made from {found.place}: {_said(found.view)}", _LONGEST_LINE), err=True)
    for path in contents:
        click.echo(path)


class _First(NamedTuple):
    """The first record: its log, its view, and which one it is, of how many."""

    service: Service
    view: View
    place: str


def _said(view: View) -> str:
    """Return what a record says, for people who look for it."""
    if "message" in view:
        return f"{view.get('time') or ''} {redacted_text(str(view['message']))}".strip()
    request = view.get("request") or {}
    when = f" of {view['time']}" if view.get("time") else " without a time"
    operation, path = request.get("operation") or "no operation", request.get("path") or "no path"
    return f"{view.get('type') or 'entry'}{when}, {operation} on {redacted_text(str(path))}"


def _first_record(source: str, name: str) -> _First:
    """Return the first record, of the log that the rule's name begins with, if it begins with one.

    Raises:
        SettingError: There is none.
    """
    from vaultwatch.cli.records import read_line, read_records

    found: list[tuple[Service, View]] = []
    services = [one for one in _SERVICES if name.startswith(f"{one}_")] or _SERVICES
    observers = [_observer(service, found) for service in services]
    reader = f"vaultwatch rules new {name} --from -"
    if source.lstrip().startswith("{") or " [" in source:
        counts = read_line(source, observers, reader)
    else:
        counts = read_records([source], observers, reader)
    if not found:
        (other,) = set(_SERVICES) - set(services)
        raise SettingError(
            f"--from: no record is of the {services[0]} log, which the name {name} begins with; "
            f"{other}_{name.partition('_')[2]} would be a name for the {other} log"
        )
    records = sum({"audit": counts.audit, "server": counts.server}[service] for service in services)
    return _First(*found[0], "the only record" if records == 1 else f"the first of {records:,} records")


def _observer(service: Service, found: list[tuple[Service, View]]) -> Rule:
    from vaultwatch.detection.views import observing
    from vaultwatch.rules.conditions import Never

    rule = CompiledRule(name=f"{service}_first", title="", level=Level.LOW, service=service, condition=Never())
    return observing(rule, _keeping_first(service, found))


def _keeping_first(service: Service, found: list[tuple[Service, View]]) -> Callable[[View], bool]:
    def keep(view: View) -> bool:
        if not found:
            found.append((service, view))
        return False

    return keep


def _write(contents: dict[Path, bytes]) -> None:
    """Write new files.

    Raises:
        RuleError: One exists already, or cannot be written.
    """
    for path in contents:
        if path.exists():
            raise RuleError(f"{path} exists already")
    for path, content in contents.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        except OSError as error:
            raise RuleError(f"{path}: {error.strerror}") from error
