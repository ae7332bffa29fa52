"""`vaultwatch fields`: the fields that a log has, how often, and with which values."""

from __future__ import annotations

from collections.abc import Iterator

import click
import msgspec

from vaultwatch.cli.common import complete_place, note_terminal
from vaultwatch.cli.examples import examples
from vaultwatch.cli.field_usage import MAX_FIELDS, FieldUsage
from vaultwatch.cli.records import read_records
from vaultwatch.cli.rule_explained import shown_value, without_secrets
from vaultwatch.detection.views import observing
from vaultwatch.errors import SettingError, did_you_mean
from vaultwatch.printable import counted, one_line, printable_json
from vaultwatch.redaction import redacted_text
from vaultwatch.rules.conditions import Never
from vaultwatch.rules.facts import Level, Service
from vaultwatch.rules.pack import CompiledRule, Rule

_WIDTH = 44
_MAX_NAME = 60
_SERVICES: tuple[Service, ...] = ("audit", "server")


@click.command(
    "fields",
    epilog=examples(
        "vaultwatch fields /var/log/vault/audit.log",
        "vaultwatch fields --below request.data audit.log",
        "docker logs vault 2>&1 | vaultwatch fields --format json",
    ),
)
@click.argument("places", nargs=-1, metavar="[LOG]...", shell_complete=complete_place)
@click.option("--below", default="", metavar="FIELD", help="Only this field, and those below it, such as request.data.")
@click.option(
    "--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True,
    help="A table for people, or one field per line as JSON.",
)  # fmt: skip
def command(places: tuple[str, ...], below: str, form: str) -> None:
    """List the fields that the records of a log have, as rules name them.

    For each field: in how many records it is, up to three of its values, and whether it has more. Fields that
    Vaultwatch derives, such as outcome and mount_path, are among them. A LOG may have any form that check reads;
    without it, or with "-", records are read from stdin. At most 2,000 fields of each log are listed; values are cut,
    and shown without secrets.

    Exit status: 0, or 2 if a log cannot be read, or has no records.
    """
    found = {service: FieldUsage() for service in _SERVICES}
    note_terminal(places)
    observers = [_observer(service, usage) for service, usage in found.items()]
    read_records(places or ("-",), observers, "vaultwatch fields")
    rows = [row for service, usage in found.items() for row in _rows(service, usage, below)]
    if not rows:
        names = [field for usage in found.values() for field in usage.fields]
        raise SettingError(f"--below: no record has the field {below}{did_you_mean(below, names)}")
    for line in map(_as_json, rows) if form == "json" else _table(rows):
        click.echo(line)
    if left_out := sum(usage.left_out for usage in found.values()):
        click.echo(f"{counted(left_out, 'value')} in fields beyond the first {MAX_FIELDS:,} not listed", err=True)


class _Row(msgspec.Struct):
    """A field of a log, without secrets: in how many of its records it is, some values, and whether it has more."""

    log: Service
    field: str
    records: int
    of: int
    examples: list[str]
    more: bool


def _observer(service: Service, usage: FieldUsage) -> Rule:
    rule = CompiledRule(name=f"{service}_fields", title="", level=Level.LOW, service=service, condition=Never())
    return observing(rule, usage.add)


def _rows(service: Service, usage: FieldUsage, below: str) -> Iterator[_Row]:
    for field, one in sorted(usage.fields.items()):
        if not below or field == below or field.startswith(f"{below.removesuffix('.')}."):
            examples = [without_secrets(field, text) for text in one.examples]
            yield _Row(service, redacted_text(field), one.records, usage.records, examples, one.has_more)


def _table(rows: list[_Row]) -> Iterator[str]:
    """Yield the lines of a table: the fields of each log under their own heading."""
    log, width = "", max([_WIDTH, *(len(one_line(row.field, _MAX_NAME)) for row in rows)])
    for row in rows:
        if row.log != log:
            log = row.log
            title = f"{counted(row.of, 'record')} of the {log} log".upper()
            yield f"{title:{width}}  RECORDS       %  VALUES"
        examples = ", ".join(shown_value(row.field, text) for text in row.examples)
        share, more = 100 * row.records / row.of, " and more" if row.more else ""
        yield f"{one_line(row.field, _MAX_NAME):{width}}  {row.records:7,}  {share:5.1f}%  {examples}{more}"


def _as_json(row: _Row) -> str:
    return printable_json(msgspec.json.encode(row)).decode()
