"""Check the settings of `watch` before it reads its input."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from vaultwatch.audience import EVERYBODY
from vaultwatch.errors import VaultwatchError
from vaultwatch.handler.checks import (
    Problem,
    lines_file_problems,
    log_file_problems,
    metrics_notes,
    replaced_file_problems,
    shared_file_problems,
    source_problems,
    state_problems,
)
from vaultwatch.outputs import STATS
from vaultwatch.rules.differences import differences
from vaultwatch.rules.facts import Level
from vaultwatch.rules.pack import shipped_rules
from vaultwatch.watch.options import WatchOptions


def problems(options: WatchOptions) -> list[Problem]:
    """Return everything that is wrong with the settings."""
    return list(source_problems(options.source)) or [*_values(options), *_files(options)]


def _values(options: WatchOptions) -> Iterator[Problem]:
    sinks = [partial(make, Level.LOW, EVERYBODY) for make in options.makers]
    of_command_line: list[Callable[[], object]] = [options.load_zone, lambda: options.minimum_level]
    try:
        if not options.load_rules():
            yield Problem("--rules: there is no rule")
    except VaultwatchError as error:
        yield Problem(f"--rules: {error}")
    checks: list[Callable[[], object]] = [*of_command_line, *sinks]
    for check in checks:
        try:
            check()
        except VaultwatchError as error:
            yield Problem(str(error), is_of_command_line=check in of_command_line)


def _files(options: WatchOptions) -> Iterator[Problem]:
    wrong = list(state_problems(options.state_directory, options.lock_file))
    yield from wrong
    if not wrong:
        for path in (options.store_file, options.threads_file, options.journal_file):
            if path.exists():
                yield from lines_file_problems("--state", path)
    for option in ("alert_log", "rejected"):
        path = getattr(options, option)
        if path is not None:
            yield from lines_file_problems(f"--{option.replace('_', '-')}", path)
    if options.stats is not None:
        yield from replaced_file_problems("--stats", options.stats, STATS)
    yield from log_file_problems(options.log_file)
    yield from shared_file_problems(_named_files(options))


def _named_files(options: WatchOptions) -> Iterator[tuple[str, Path | None]]:
    for path in (options.store_file, options.threads_file, options.journal_file, options.lock_file):
        yield "--state", path
    for option in ("slack_webhook_file", "slack_token_file", "alert_log", "rejected", "stats", "metrics", "log_file"):
        yield f"--{option.replace('_', '-')}", getattr(options, option)


def facts(options: WatchOptions) -> Iterator[str]:
    """Yield what settings without problems do, one line for each.

    Raises:
        VaultwatchError: A setting cannot be used.
    """
    rules = [rule for rule in options.load_rules() if rule.service == options.source]
    yield f"{len(rules)} rules evaluate the {options.source} log"
    yield f"alerts are stored in {options.store_file}"
    names = [sink.name for sink in options.sinks()]
    yield f"alerts of level {options.minimum_level} and above go to: {', '.join(names) or 'nobody'}"
    yield f"rejected lines are kept in {options.rejected}" if options.rejected else "rejected lines are only counted"
    lacks_metrics = any(metrics_notes(options.metrics, "watch"))
    yield "all other settings can be used" if lacks_metrics else "all settings can be used"


def notes(options: WatchOptions) -> list[str]:
    """Return what the operator should know about settings that can be used."""
    metrics = metrics_notes(options.metrics, "watch")
    return [*_rule_notes(options), *_sink_notes(options), *_old_store_notes(options), *metrics]


def _rule_notes(options: WatchOptions) -> Iterator[str]:
    try:
        rules = options.load_rules()
    except VaultwatchError:
        return  # one of the problems
    for text in differences(rules, shipped_rules()):
        yield f"--rules: {text}"


def _sink_notes(options: WatchOptions) -> Iterator[str]:
    if not options.has_sink and not options.terminal:
        yield "neither --alert-log nor Slack nor SNS is set: alerts are stored, and nobody is notified"


def _old_store_notes(options: WatchOptions) -> Iterator[str]:
    old = options.old_store_file
    if old.exists():
        yield f"{old}: was written by an earlier version and is not used; what it had not sent yet stays there"
