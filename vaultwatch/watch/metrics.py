"""The metrics of `watch`, for `--metrics FILE`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

from vaultwatch.exposition import Family, Sample, single
from vaultwatch.handler.metrics_file import families_of_lines
from vaultwatch.notify.sender import Sender
from vaultwatch.rules.facts import Level
from vaultwatch.store.sqlite import SqliteStore
from vaultwatch.watch.evaluation import Evaluation
from vaultwatch.watch.recording import Recorder


def families(evaluation: Evaluation, recorder: Recorder, sender: Sender, store: SqliteStore) -> Iterator[Family]:
    """Yield everything that a person wants to be alarmed about.

    Raises:
        StoreError: The store cannot say what is unsent.
    """
    yield from families_of_lines(evaluation.received)
    yield from _of_records(evaluation)
    alerts = "Alerts that were new, by level."
    by_level = {level.value: recorder.new_alerts[level.value] for level in Level}
    yield _counter("vaultwatch_alerts_total", alerts, "level", by_level)
    yield from _of_notifications(sender, store)


def _of_records(evaluation: Evaluation) -> Iterator[Family]:
    counts = evaluation.counts
    records = "Records evaluated: audit entries and server-log messages."
    of_type: dict[str, float] = {"audit": counts.audit, "server": counts.server}
    yield _counter("vaultwatch_records_total", records, "type", of_type)
    rejected = "Lines that could not be parsed."
    yield single("vaultwatch_rejected_lines_total", "counter", rejected, counts.rejected)
    partial = "Records over their budget, of which only a part was decoded."
    yield single("vaultwatch_partial_records_total", "counter", partial, counts.partial)
    undecided = "Rules that could not be decided on such a record."
    yield single("vaultwatch_undecided_rules_total", "counter", undecided, counts.undecided.total())
    dropped = "Counts of rules that count, given up because there were too many groups."
    yield single("vaultwatch_groups_dropped_total", "counter", dropped, counts.groups_dropped)
    undated = "Matches that no rule counted, because their records have no time that can be read."
    yield single("vaultwatch_undated_matches_total", "counter", undated, counts.undated)
    future = "Matches that no rule counted, because their times are more than an hour ahead."
    yield single("vaultwatch_future_matches_total", "counter", future, counts.future)
    errors = "Exceptions that rules raised."
    yield single("vaultwatch_rule_errors_total", "counter", errors, counts.rule_errors.total())
    by_rule = "The same exceptions by rule."
    yield _counter("vaultwatch_rule_errors_by_rule_total", by_rule, "rule", dict(counts.rule_errors))


def _of_notifications(sender: Sender, store: SqliteStore) -> Iterator[Family]:
    done = sender.counts()
    sent = {sink: counts.sent for sink, counts in done.items()}
    yield _counter("vaultwatch_notifications_sent_total", "Notifications that the sink accepted.", "sink", sent)
    failed = {sink: counts.failed for sink, counts in done.items()}
    last = {sink: counts.last_sent for sink, counts in done.items() if counts.last_sent}
    accepted = "When the sink accepted the last of them."
    yield Family("vaultwatch_last_notification_timestamp_seconds", "gauge", accepted, _samples("sink", last))
    attempts = "Attempts at which the sink did not accept a notification; it is sent again."
    yield _counter("vaultwatch_notification_failures_total", attempts, "sink", failed)
    backlog = store.backlog()
    waiting = {sink: backlog[sink].notifications if sink in backlog else 0 for sink in [*done, *backlog]}
    unsent = "Notifications that the sink has not accepted yet."
    yield Family("vaultwatch_notifications_unsent", "gauge", unsent, _samples("sink", waiting))
    now = time.time()
    ages = {sink: max(0.0, now - backlog[sink].oldest) if sink in backlog else 0 for sink in waiting}
    age = "How long the oldest of them has waited; 0 if there is none."
    yield Family("vaultwatch_notifications_unsent_age_seconds", "gauge", age, _samples("sink", ages))


def _counter(name: str, text: str, label: str, values: Mapping[str, float]) -> Family:
    return Family(name, "counter", text, _samples(label, values))


def _samples(label: str, values: Mapping[str, float]) -> list[Sample]:
    return [({label: value}, number) for value, number in values.items()]
