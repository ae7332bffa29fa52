"""`vaultwatch rules new`: a rule with fixtures, made from a record of a log."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import click

from vaultwatch.cli.examples import examples
from vaultwatch.errors import RuleError, SettingError
from vaultwatch.reading.view import View
from vaultwatch.rules.facts import Level, Service
from vaultwatch.rules.pack import CompiledRule, Rule, shipped_rules

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)+")
_MAX_NAME = 64
_SERVICES: tuple[Service, ...] = ("audit", "server")


@click.command(
    "new",
    epilog=examples(
        "vaultwatch rules new audit_ldap_enabled --from audit.log",
        "grep sys/auth/ldap audit.log | vaultwatch rules new audit_ldap_enabled --from -",
        "vaultwatch rules test mine",
    ),
)
@click.argument("name")
@click.option(
    "--from", "source", required=True, metavar="LOG|LINE|-",
    help='A log, or a line of one, or "-" for stdin. The first record in it is used.',
)  # fmt: skip
@click.option(
    "--into", type=click.Path(path_type=Path), default=Path("mine"), show_default=True, metavar="DIR",
    help="The folder of your rules; it is made if it does not exist.",
)  # fmt: skip
def command(name: str, source: str, into: Path) -> None:
    """Make a rule and its fixtures from a record of a log.

    The rule selects the record by its path and operation, or by the level, module and message of the server log. The
    fixtures are the record itself, with its secrets redacted, and records that the rule does not match. All pass
    `rules test` at once: then edit them.

    Exit status: 0, or 2 if there is no record, the name is not allowed, or a file exists already.
    """
    from vaultwatch.cli.rule_scaffold import scaffold

    if not _NAME.fullmatch(name) or len(name) > _MAX_NAME:
        raise SettingError(
            f"a rule's name is of lower-case words joined by `_`, such as audit_ldap_enabled, not {name}"
        )
    if name in (rule.name for rule in shipped_rules()):
        raise SettingError(f"{name} is a shipped rule: choose another name")
    made = scaffold(name, *_first_record(source))
    folder = into / "fixtures" / name
    contents = {
        into / f"{name}.yml": made.rule.encode(),
        folder / f"match{made.suffix}": made.match,
        folder / f"ignore{made.suffix}": made.ignore,
    }
    _write(contents)
    for path in contents:
        click.echo(path)


def _first_record(source: str) -> tuple[Service, View]:
    """Return the log and the view of the first record.

    Raises:
        SettingError: There is none.
    """
    from vaultwatch.cli.records import read_line, read_records

    found: list[tuple[Service, View]] = []
    observers = [_observer(service, found) for service in _SERVICES]
    if source.lstrip().startswith("{") or " [" in source:
        read_line(source, observers)
    else:
        read_records([source], observers)
    return found[0]


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
