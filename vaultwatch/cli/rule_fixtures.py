"""Test rules on their fixtures.

The folder DIR/fixtures/RULE contains the files `match` and `ignore`: .jsonl with audit entries, .log with server-log
lines, both as logged. A placeholders.yaml in it sets the values of the rule's placeholders for the test. Local time is
UTC. All records of a file are one log for a correlation, and every one is a log of its own for any other rule.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC
from functools import partial
from pathlib import Path
from typing import NamedTuple

from vaultwatch.cli.common import load_rules
from vaultwatch.detection.detector import Detector
from vaultwatch.detection.evaluator import Ruleset
from vaultwatch.errors import RuleError
from vaultwatch.reading.records import Rejected
from vaultwatch.rules.compiling import (
    PLACEHOLDERS_FILES,
    Document,
    compile_directories,
    compile_few,
    lint,
    read_all,
    read_placeholders,
)
from vaultwatch.rules.files import FIXTURES
from vaultwatch.rules.pack import Rule

_KINDS = ("match", "ignore")


class Fault(NamedTuple):
    """What makes a test of rules fail.

    Attributes:
        text: One line that begins with the rule's name.
        lines: The lines of the record that a rule was wrong about.
        rule: This rule.
        silenced_by: The files of filters without which the rule would be right: then it is no fault.
    """

    text: str
    lines: Sequence[bytes] = ()
    rule: Rule | None = None
    silenced_by: tuple[str, ...] = ()


class Tested(NamedTuple):
    """What a test of rules found.

    Attributes:
        rules: Their number.
        faults: What makes the test fail.
        warnings: What does not: lines that begin with the rule's name.
        silenced: How many records that a rule must match are silenced, by the rule and the files of its filters.
    """

    rules: int
    faults: list[Fault]
    warnings: list[str]
    silenced: Counter[tuple[str, tuple[str, ...]]]


def tested(directories: Sequence[Path]) -> Tested:
    """Test all rules below these directories, and look for what can never match.

    Raises:
        RuleError: The rules do not compile, or there are none.
    """
    rules = load_rules(directories)
    findings = lint([rule.compiled for rule in rules], directories)
    documents = read_all(directories)
    found = [fault for rule in rules for fault in _test(rule, rules, directories, documents)]
    faults = [Fault(f"{finding.rule}: {finding.text}") for finding in findings if finding.is_error]
    faults += [fault for fault in found if not fault.silenced_by]
    silenced = Counter((fault.rule.name, fault.silenced_by) for fault in found if fault.rule and fault.silenced_by)
    warnings = [f"{finding.rule}: warning: {finding.text}" for finding in findings if not finding.is_error]
    return Tested(len(rules), faults, warnings, silenced)


def failures(directories: Sequence[Path]) -> tuple[int, list[str]]:
    """Return the number of rules below these directories, and what makes their test fail.

    Raises:
        RuleError: The rules do not compile, or there are none.
    """
    found = tested(directories)
    return found.rules, [fault.text for fault in found.faults]


def fixtures_of(name: str, directories: Sequence[Path]) -> Path | None:
    """Return the folder with the fixtures of a rule; None if there is none."""
    return next((path for path in (base / FIXTURES / name for base in directories) if path.is_dir()), None)


def _test(
    rule: Rule, rules: Sequence[Rule], directories: Sequence[Path], documents: Sequence[Document]
) -> Iterator[Fault]:
    folder = fixtures_of(rule.name, directories)
    if folder is None:
        where = " or ".join(map(str, directories))
        yield Fault(f"{rule.name}: no fixtures: no folder fixtures/{rule.name} in {where}")
        return
    if any((folder / name).exists() for name in PLACEHOLDERS_FILES):
        rules = _with_placeholders(rule, rules, [*directories, folder], documents)
        rule = _named(rule, rules)
    faults = [fault for kind in _KINDS for fault in _test_kind(rule, _counted(rule, rules), folder, kind)]
    filters = _filters(rule, _counted(rule, rules))
    if not (faults and filters):
        yield from faults
        return
    unfiltered = [Rule(one) for one in compile_directories([*directories, folder], filtered=False)]
    rule = _named(rule, unfiltered)
    without = {fault.text for kind in _KINDS for fault in _test_kind(rule, _counted(rule, unfiltered), folder, kind)}
    for fault in faults:
        yield fault if fault.text in without else fault._replace(silenced_by=filters)


def _with_placeholders(
    rule: Rule, rules: Sequence[Rule], directories: Sequence[Path], documents: Sequence[Document]
) -> list[Rule]:
    """Return the rule and those it counts with the placeholders of these directories."""
    counted = _counted(rule, rules)
    if _filters(rule, counted):  # each filter refuses a rule that is not there, and so needs all of them
        return [Rule(one) for one in compile_directories(directories)]
    placeholders = {name: values for one in directories for name, values in read_placeholders(one).items()}
    return [Rule(one) for one in compile_few(documents, {one.name for one in (rule, *counted)}, placeholders)]


def _named(rule: Rule, rules: Sequence[Rule]) -> Rule:
    return next((one for one in rules if one.name == rule.name), rule)  # a rule in Python is not compiled


def _counted(rule: Rule, rules: Sequence[Rule]) -> list[Rule]:
    """Return the rules that a correlation counts."""
    correlation = rule.compiled.correlation
    return [one for one in rules if correlation and one.name in correlation.rules]


def _filters(rule: Rule, counted: Sequence[Rule]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(where for one in (rule, *counted) for where in one.compiled.filters))


def _test_kind(rule: Rule, counted: Sequence[Rule], folder: Path, kind: str) -> Iterator[Fault]:
    wanted = kind == "match"
    ruleset = Ruleset([rule, *counted])
    files = [path for suffix in ("jsonl", "log") if (path := folder / f"{kind}.{suffix}").exists()]
    read = 0
    for path in files:
        try:
            lines = path.read_bytes().splitlines(keepends=True)
        except OSError as error:
            raise RuleError(f"{path}: {error.strerror}") from error
        for number, block, matched, records, trouble in _records(rule, ruleset, lines, is_one_log=bool(counted)):
            read += records
            where = f"{rule.name}: {path.name}, line {number}"
            if trouble:
                yield Fault(f"{where}: {trouble}")
            elif matched != (records if wanted else 0):
                yield Fault(f"{where}: the rule {'does not match' if wanted else 'matches'}", block, rule)
    if not read:
        yield Fault(f"{rule.name}: no fixture {kind}.jsonl or {kind}.log with a record in it")


def _records(
    rule: Rule, ruleset: Ruleset, lines: Sequence[bytes], *, is_one_log: bool
) -> Iterator[tuple[int, list[bytes], int, int, str]]:
    """Yield for each log the number of its last line, its lines, how many records match, how many it has, what failed.

    If a correlation raises an alert, all records of the log match.
    """
    for number, block in [(len(lines), list(lines))] if is_one_log else _blocks(rule, lines):
        trouble: list[str] = []
        detector = Detector(
            ruleset,
            source=rule.service,
            zone=UTC,
            on_rejected=partial(_note_rejected, trouble),
            on_rule_error=partial(_note_error, trouble),
        )
        for line in (*block[:1], *block[-1:]):
            detector.note_end(line)
        verdicts = [*detector.feed(block), *detector.flush()]
        records = detector.counts.audit + detector.counts.server
        matched = {verdict.event_key for verdict in verdicts if verdict.rule.name == rule.name}
        if records or trouble:
            matching = records if matched and is_one_log else len(matched)
            yield number, block, matching, records, trouble[0] if trouble else ""


def _note_rejected(trouble: list[str], line: Rejected) -> None:
    trouble.append(f"cannot be read: {line.reason}")


def _note_error(trouble: list[str], _name: str, error: Exception) -> None:
    trouble.append(f"the rule raised {type(error).__name__}: {error}")


def _blocks(rule: Rule, lines: Sequence[bytes]) -> Iterator[tuple[int, list[bytes]]]:
    """Yield the lines of each record: an audit entry has one line, a server-log message may have many."""
    block: list[bytes] = []
    for number, line in enumerate(lines, 1):
        goes_on = rule.service == "server" and line[:2] == b"  "
        if block and not goes_on:
            yield number - 1, block
            block = []
        block.append(line)
    if block:
        yield len(lines), block
