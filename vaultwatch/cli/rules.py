"""`vaultwatch rules`: list, show, test and compile the detection rules."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import indent

import click
import msgspec

from vaultwatch.cli import rule_catalogue, rule_convert, rule_coverage, rule_explain, rule_new, rule_replay
from vaultwatch.cli.common import (
    SHIPPED_FILES,
    RulesFolder,
    complete_rule,
    default_rules,
    find_rule,
    load_rules,
    rules_option,
)
from vaultwatch.cli.examples import examples
from vaultwatch.cli.groups import Group
from vaultwatch.cli.outputs import write_output
from vaultwatch.outputs import Output
from vaultwatch.printable import counted, one_line
from vaultwatch.rules.files import rule_files
from vaultwatch.rules.pack import CompiledRule, Rule

_STAGED = "staged: evaluated and stored, notifies nobody"
_LONGEST_LINE = 500
_PACK = Output("a pack of rules", re.compile(rb'\{"version":\d+,"rules":\['))


@click.group("rules", cls=Group, epilog=examples("vaultwatch rules list"))
def command() -> None:
    """List, make, test, compare, convert and compile the detection rules."""


command.add_command(rule_catalogue.command)
command.add_command(rule_convert.command)
command.add_command(rule_coverage.command)
command.add_command(rule_explain.command)
command.add_command(rule_new.command)
command.add_command(rule_replay.command)


@command.command(
    "list",
    epilog=examples(
        "vaultwatch rules list",
        "vaultwatch rules list --rules shipped --rules mine --format json",
    ),
)
@rules_option
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def list_rules(rule_dirs: tuple[Path, ...], form: str) -> None:
    """List the rules, one per line."""
    for rule in sorted((rule.compiled for rule in load_rules(rule_dirs)), key=lambda rule: rule.name):
        if form == "json":
            facts = msgspec.to_builtins(rule)
            click.echo(msgspec.json.encode({key: facts[key] for key in facts if key != "condition"}).decode())
        else:
            click.echo(f"{rule.name:40} {rule.level:13} {rule.title}{_notes(rule)}")
    for name in _disabled(rule_dirs):
        disabled = json.dumps({"name": name, "enabled": False})
        click.echo(disabled if form == "json" else f"{name:40} {'-':13} (disabled by overrides.yml)")


def _notes(rule: CompiledRule) -> str:
    """Return what distinguishes a rule from others, in brackets."""
    notes = [_STAGED] if rule.staged else []
    notes += [f"overridden: {', '.join(rule.overridden)}"] if rule.overridden else []
    notes += [f"filtered by {', '.join(rule.filters)}"] if rule.filters else []
    return "".join(f"  ({note})" for note in notes)


def _disabled(directories: Sequence[Path]) -> list[str]:
    if not directories:
        return []
    from vaultwatch.rules.compiling import read_overrides

    return sorted(name for name, override in read_overrides(directories).items() if not override.enabled)


@command.command(
    "show",
    epilog=examples(
        "vaultwatch rules show audit_device_disabled",
    ),
)
@click.argument("rule", shell_complete=complete_rule)
@rules_option
def show_rule(rule: str, rule_dirs: tuple[Path, ...]) -> None:
    """Show one rule with its condition.

    The condition is shown as it is evaluated: with placeholders filled in and filters applied.
    """
    found = find_rule(rule, rule_dirs)
    click.echo("\n\n".join(part for part in _parts(found, rule_dirs or [SHIPPED_FILES]) if part))


def _parts(rule: Rule, directories: Sequence[Path]) -> Iterator[str]:
    from vaultwatch.cli.rule_text import as_yaml, readable

    facts = rule.compiled
    yield f"{facts.name}: {facts.title}"
    yield facts.description
    labelled = {
        "file": [str(path) for path in _files(rule, directories)],
        "level": [f"{facts.level}{f' ({_STAGED})' if facts.staged else ''}"],
        "reads": [f"the {facts.service} log"],
        "filters": facts.filters,
        "overridden": facts.overridden,
        "tags": facts.tags,
        "false positives": facts.falsepositives,
        "see": facts.references,
    }
    below = "\n" + " " * 17
    yield "\n".join(f"{label:15}  {below.join(texts)}" for label, texts in labelled.items() if texts)
    yield _below("What to do first:", facts.runbook)
    counting = as_yaml(msgspec.to_builtins(facts.correlation), lists_in_line=True) if facts.correlation else ""
    yield _below("Condition:", counting or ("a function in Python" if rule.source else readable(facts.condition)))
    values = "".join(as_yaml({name: listed}, lists_in_line=True) for name, listed in facts.placeholders.items())
    yield _below("Placeholders in force:", values)


def _below(heading: str, text: str) -> str:
    return f"{heading}\n{indent(text.strip(), '  ')}" if text.strip() else ""


def _files(rule: Rule, directories: Sequence[Path]) -> Iterator[Path]:
    """Yield the file that defines a rule, if it exists."""
    for directory in directories:
        if not directory.is_dir():
            continue
        if rule.source:
            yield from (path for path in rule_files(directory, {".py"}) if path.read_bytes() == rule.source)
        else:
            yield from (path for path in rule_files(directory, {".yml", ".yaml"}) if path.stem == rule.name)


@command.command(
    "test",
    epilog=examples(
        "vaultwatch rules test",
        "vaultwatch rules test --explain shipped mine",
    ),
)
@click.argument("directories", nargs=-1, type=RulesFolder(), metavar="[DIR]...")
@click.option("--explain", is_flag=True, help="Show for each record that fails which conditions hold for it.")
def test_rules(directories: tuple[Path, ...], explain: bool) -> int:
    """Test every rule on its fixtures.

    DIR/fixtures/RULE holds match.jsonl and ignore.jsonl with audit entries, or match.log and ignore.log with server-log
    lines. The rule must match every record of `match` and none of `ignore`. Values that no record ever has fail the
    test too; values that few records have, and selections that the condition does not use, are warnings. Without DIR:
    the folder `rules` here, or the shipped rules.

    Exit status: 0 if all rules pass, 1 if a rule fails, 2 if the rules cannot be read.
    """
    from vaultwatch.cli.rule_fixtures import tested
    from vaultwatch.cli.rule_reports import fault_report

    folders = list(directories) or [default_rules()]
    found = tested(folders)
    for warning in found.warnings:
        click.echo(one_line(warning, _LONGEST_LINE), err=True)
    for fault in found.faults:
        click.echo(one_line(fault.text, _LONGEST_LINE), err=True)
        for line in fault_report(fault, folders) if explain else ():
            click.echo(f"    {one_line(line, _LONGEST_LINE)}", err=True)
    for (rule, filters), records in found.silenced.items():
        are = "are" if records != 1 else "is"
        click.echo(f"{rule}: {counted(records, 'record')} of its fixtures {are} silenced by {', '.join(filters)}")
    failed = len({fault.text.split(":")[0] for fault in found.faults})
    warned = f", {counted(len(found.warnings), 'warning')}" if found.warnings else ""
    click.echo(f"{counted(found.rules, 'rule')} tested, {failed} failed{warned}")
    return 1 if found.faults else 0


@command.command(
    "compile",
    epilog=examples(
        "vaultwatch rules compile -o vaultwatch/rules/pack.json",
        "vaultwatch rules compile shipped mine -o pack.json",
    ),
)
@click.argument("directories", nargs=-1, type=RulesFolder(), metavar="[DIR]...")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The file to write; without it, the pack goes to stdout. A pack that is there is replaced, any other file is "
    "not.",
)
def compile_rules(directories: tuple[Path, ...], output: Path | None) -> None:
    """Compile Sigma rules to a pack.

    Without --rules, check and watch use the pack vaultwatch/rules/pack.json. Without DIR: the folder `rules` here,
    or the shipped rules.
    """
    from vaultwatch.rules.compiling import compile_pack

    found = list(directories) or [default_rules()]
    load_rules(found)
    pack = compile_pack(found)
    if output is None:
        sys.stdout.buffer.write(pack)
        return
    write_output("--output", output, _PACK, [pack])
