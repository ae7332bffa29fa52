"""The report on a run in mode watch: its table and its problems."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from demo.alert_tail import Seen
from demo.figures import LOGS, latencies, latency_line, lost_lines, rows
from testbed.log_server import SERVICES
from testbed.session import Expected, Sent
from vaultwatch.alerts import Alert
from vaultwatch.dispatch.groups import is_urgent
from vaultwatch.rules.facts import Level, Service


@dataclass(frozen=True)
class Findings:
    """The results of a run.

    Attributes:
        sent: The lines that were sent.
        expected: The alerts that `vaultwatch check` finds in them.
        archived: The lines of the archive files.
        stats: The counters of the handlers.
        seen: The alerts of the alert logs, by id.
        in_slack: The ids of the alerts that Slack shows.
        in_summaries: The ids of the alerts that summaries in Slack name.
        notifications: How many notifications Slack accepted.
        killed: How many handlers had to be killed.
        problems: Problems noticed during the run.
    """

    sent: Sent
    expected: Expected
    archived: Mapping[Service, Sequence[bytes]]
    stats: Mapping[Service, Mapping[str, Any]]
    seen: Mapping[str, Seen]
    in_slack: Sequence[str]
    notifications: int = 0
    killed: int = 0
    problems: Sequence[str] = field(default_factory=tuple)
    in_summaries: Sequence[str] = field(default_factory=tuple)

    def lost(self, service: Service) -> int:
        """Count the lines missing from the archive file, and the records not evaluated."""
        records = self.expected.counts[service][service] - int(self.stats[service][service])
        return lost_lines(self.sent, service, self.archived[service]) + max(0, records)

    @property
    def latencies(self) -> list[float]:
        """The seconds from a line to its alert, in ascending order."""
        return latencies(self.sent, self.seen.values())


def not_notified(alerts: Sequence[Alert], shown: Collection[str], counted: Collection[str] = ()) -> list[Alert]:
    """Find the alerts that should have been notified by now, and were not.

    Those are the first of each rule, and every critical act in the audit log that was not denied. An alert of another
    rule on the same fact counts for one of them. When there are more than a minute may bring, the first of a rule is in
    a summary.

    Args:
        alerts: All alerts, in order.
        shown: The ids of the alerts that Slack shows.
        counted: The ids of the alerts that summaries in Slack name.

    Returns:
        The alerts that are missing there.
    """
    first: dict[str, Alert] = {}
    for alert in alerts:
        urgent = is_urgent(alert) and alert.service == "audit"
        first.setdefault(alert.id if urgent else f"first of {alert.rule}", alert)
    rules_shown = {alert.rule for alert in alerts if alert.id in shown}
    summarized = {f"first of {alert.rule}" for alert in alerts if alert.id in counted}
    missing = [alert for key, alert in first.items() if key not in summarized and alert.id not in {*shown, *counted}]
    return [alert for alert in missing if rules_shown.isdisjoint(alert.same_as)]


def problems(found: Findings) -> Iterator[str]:
    """Yield what is wrong, one line each; nothing if all is well."""
    yield from found.problems
    if found.killed:
        yield f"{found.killed} handlers did not end and were killed"
    for service in SERVICES:
        yield from _problems_of(service, found)
    yield from _alert_problems(found)
    yield from _notification_problems(found)


def _problems_of(service: Service, found: Findings) -> Iterator[str]:
    name, stats = LOGS[service], found.stats[service]
    if lost := found.lost(service):
        yield f"{name}: {lost:,} lines or records lost"
    if len(found.archived[service]) != len(found.sent.lines[service]):
        yield f"{name}: {len(found.sent.lines[service]):,} lines sent, {len(found.archived[service]):,} archived"
    for what in (service, "rejected"):
        evaluated, expected = stats[what], found.expected.counts[service][what]
        if evaluated != expected:
            yield f"{name}: {evaluated:,} {what} records evaluated, `vaultwatch check` reads {expected:,}"
    if not stats.get("ended"):
        yield f"{name}: the handler did not drain its input"
    if errors := stats.get("rule_errors"):
        yield f"{name}: these rules raised exceptions: {', '.join(sorted(errors))}"


def _alert_problems(found: Findings) -> Iterator[str]:
    expected = found.expected.alerts
    for id_ in expected.keys() - found.seen.keys():
        yield f"missing: alert {id_} of {expected[id_].rule}, which `vaultwatch check` finds"
    for id_ in found.seen.keys() - expected.keys():
        yield f"unexpected: alert {id_} of {found.seen[id_].alert.rule}, which `vaultwatch check` does not find"
    if unmatched := len(found.seen) - len(found.latencies):
        yield f"{unmatched} alerts match no line that was sent"


def _notification_problems(found: Findings) -> Iterator[str]:
    missed = not_notified([seen.alert for seen in found.seen.values()], found.in_slack, found.in_summaries)
    yield from (f"not notified: alert {alert.id} of {alert.rule} did not reach Slack" for alert in missed)
    unknown = set(found.in_slack) - set(found.seen)
    yield from (f"Slack shows alert {id_}, which is in no alert log" for id_ in sorted(unknown))


def table(found: Findings) -> Iterator[str]:
    """Yield the lines of the table."""
    sent, stats = found.sent.lines, found.stats
    yield from rows(
        {
            "lines sent": [len(sent[service]) for service in SERVICES],
            "lines in the archive file": [len(found.archived[service]) for service in SERVICES],
            "records in them": [found.expected.counts[service][service] for service in SERVICES],
            "records evaluated": [stats[service][service] for service in SERVICES],
            "lines rejected": [stats[service]["rejected"] for service in SERVICES],
            "lost": [found.lost(service) for service in SERVICES],
            **_alerts_by_level(found),
        }
    )
    yield ""
    yield _slack_line(found)
    yield latency_line(found.latencies)


def _alerts_by_level(found: Findings) -> dict[str, list[int]]:
    counts = Counter((seen.alert.level, seen.alert.service) for seen in found.seen.values())
    by_level = {level: [counts[level, service] for service in SERVICES] for level in reversed(Level)}
    return {f"alerts, {level}": numbers for level, numbers in by_level.items() if any(numbers)}


def _slack_line(found: Findings) -> str:
    shown = len(set(found.in_slack) & set(found.seen))
    repeats = len(found.seen) - shown
    later = f"; {repeats} repeats are counted until their suppression windows end" if repeats else ""
    return f"notifications in Slack: {found.notifications}, showing {shown} alerts{later}"
