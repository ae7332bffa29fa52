"""`vaultwatch rules`: look at the detection rules, test them, compile them."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import msgspec

from vaultwatch.cli.common import load_rules
from vaultwatch.errors import RuleError, SettingError

_DIRS = click.Path(path_type=Path)
_rules_option = click.option(
    "--rules", "rule_dirs", type=_DIRS, multiple=True, metavar="DIR", help="Rules to use instead of the shipped ones."
)


@click.group("rules")
def command() -> None:
    """List, show, test and compile the detection rules."""


@command.command("list")
@_rules_option
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def list_rules(rule_dirs: tuple[Path, ...], form: str) -> None:
    """Every rule, a line each."""
    for rule in sorted((rule.compiled for rule in load_rules(rule_dirs)), key=lambda rule: rule.name):
        if form == "json":
            facts = msgspec.to_builtins(rule)
            click.echo(msgspec.json.encode({key: facts[key] for key in facts if key != "condition"}).decode())
        else:
            staged = "  (staged: counted, not told)" if rule.staged else ""
            click.echo(f"{rule.name:34} {rule.level:13} {rule.title}{staged}")


@command.command("show")
@click.argument("rule")
@_rules_option
def show_rule(rule: str, rule_dirs: tuple[Path, ...]) -> None:
    """Everything about one rule."""
    found = next((one.compiled for one in load_rules(rule_dirs) if one.name == rule), None)
    if found is None:
        raise SettingError(f"no rule is named {rule}; `vaultwatch rules list` names them all")
    click.echo(f"{found.name}: {found.title}\n\n{found.description}\n")
    click.echo(f"level      {found.level}{' (staged: counted, not told)' if found.staged else ''}")
    click.echo(f"reads      the {found.service} log")
    for name, values in (("tags", found.tags), ("false positives", found.falsepositives), ("see", found.references)):
        if values:
            click.echo(f"{name:10} " + "\n           ".join(values))
    if found.runbook:
        click.echo("\nWhat to do first:\n" + "\n".join(f"  {line}" for line in found.runbook.splitlines()))
    click.echo("\nCondition:\n" + msgspec.json.format(msgspec.json.encode(found.condition), indent=0).decode())


@command.command("test")
@click.argument("directories", nargs=-1, type=_DIRS, metavar="[DIR]...")
def test_rules(directories: tuple[Path, ...]) -> int:
    """Hold every rule against its fixtures: DIR/fixtures/RULE/{match,ignore}.{jsonl,log}.

    Every record of `match` must raise the rule, none of `ignore` may. Exit status 1 when a rule fails.
    """
    from vaultwatch.cli.rule_fixtures import failures

    found = list(directories) or [_default_directory()]
    tested, faults = failures(found)
    for fault in faults:
        click.echo(fault, err=True)
    click.echo(f"{tested} rules tested, {len({fault.split(':')[0] for fault in faults})} failed")
    return 1 if faults else 0


@command.command("compile")
@click.argument("directories", nargs=-1, type=_DIRS, metavar="[DIR]...")
@click.option("-o", "--output", type=_DIRS, metavar="FILE", help="Where to write the pack; default stdout.")
def compile_rules(directories: tuple[Path, ...], output: Path | None) -> None:
    """Compile Sigma rules into the pack that check, watch and the functions read."""
    from vaultwatch.rules.compiling import compile_pack

    found = list(directories) or [_default_directory()]
    load_rules(found)
    pack = compile_pack(found)
    if output is None:
        sys.stdout.buffer.write(pack)
        return
    try:
        output.write_bytes(pack)
    except OSError as error:
        raise RuleError(f"--output: {output}: {error.strerror}") from error


def _default_directory() -> Path:
    """`rules` here, else that of the checkout this program runs from."""
    for directory in (Path("rules"), Path(__file__).parents[2] / "rules"):
        if directory.is_dir():
            return directory
    raise SettingError("no folder rules here: name the folder")
