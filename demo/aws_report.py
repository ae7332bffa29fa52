"""The report on a run in mode aws: its table and its problems."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from demo.alert_tail import Seen
from demo.figures import LOGS, latencies, latency_line, lost_lines, rows
from demo.stream import Shipped
from testbed.log_server import SERVICES
from testbed.session import Expected, Sent
from vaultwatch.alerts import Alert
from vaultwatch.dispatch.groups import is_notified, is_urgent
from vaultwatch.dispatch.notification import NOTIFIED, Notification
from vaultwatch.rules.facts import Level, Service

LANES: Mapping[Service, str] = {"audit": "socket", "server": "server"}


@dataclass(frozen=True)
class Evaluated:
    """The counts of `evaluate`: lines by lane, records, and rejected lines."""

    lines: Counter[str]
    records: int
    rejected: int


@dataclass(frozen=True)
class AwsFindings:
    """The results of a run.

    Attributes:
        sent: The lines that were sent.
        expected: The alerts that `vaultwatch check` finds in them.
        missed: The alerts that `vaultwatch check` finds in the lines that only the archive has.
        shipped: The lines and bytes on the stream.
        evaluated: The counts of the function evaluate.
        archived: The lines read again from S3.
        stored: The alerts of the table, by id.
        seen: When each alert was stored, by id.
        published: Every notification of the topic.
        delivered: The ids of the notifications that Slack accepted, by the table.
        in_slack: The ids of the alerts that Slack shows.
        notifications: How many notifications Slack accepted.
        emails: How many e-mails were sent.
        invocations: How often functions ran.
        problems: Problems noticed during the run.
    """

    sent: Sent
    expected: Expected
    missed: Expected
    shipped: Mapping[Service, Shipped]
    evaluated: Evaluated
    archived: Mapping[Service, Sequence[bytes]]
    stored: Mapping[str, Alert]
    seen: Mapping[str, Seen]
    published: Sequence[Notification]
    delivered: frozenset[str]
    in_slack: Sequence[str]
    notifications: int = 0
    emails: int = 0
    invocations: int = 0
    problems: Sequence[str] = field(default_factory=tuple)

    def lost(self, service: Service) -> int:
        """Count the lines missing from the archive, and the lines not evaluated."""
        unevaluated = max(0, len(self.sent.lines[service]) - self.evaluated_lines(service))
        return lost_lines(self.sent, service, self.archived[service]) + unevaluated

    def evaluated_lines(self, service: Service) -> int:
        """Count the lines that evaluate received, without the marks of syslog-ng."""
        return self.evaluated.lines[LANES[service]] - self.shipped[service].marks

    @property
    def latencies(self) -> list[float]:
        """The seconds from a line to its stored alert, in ascending order, without delayed alerts."""
        return latencies(self.sent, (seen for seen in self.seen.values() if not seen.alert.late))

    @property
    def for_people(self) -> list[Notification]:
        """The notifications that people should have got."""
        return [one for one in self.published if one.disposition in NOTIFIED and one.level.rank >= Level.LOW.rank]

    @property
    def merged_count(self) -> int:
        """How many alerts are only part of a count in a notification."""
        return sum(notification.merged_count for notification in self.for_people)


def read_metrics(log: str) -> Evaluated:
    """Add up the metrics that a function wrote to its log, in CloudWatch's embedded metric format.

    Args:
        log: The text of the log.

    Returns:
        The sums.
    """
    lines: Counter[str] = Counter()
    totals: Counter[str] = Counter()
    for line in log.splitlines():
        if line.startswith('{"_aws"') or '"_aws":' in line:
            row: dict[str, Any] = msgspec.json.decode(line)
            if "lane" in row and "ReceivedLines" in row:
                lines[row["lane"]] += int(sum(row["ReceivedLines"]))
            for name in ("Records", "RejectedLines"):
                totals[name] += int(sum(row.get(name, ())))
    return Evaluated(lines, totals["Records"], totals["RejectedLines"])


def problems(found: AwsFindings) -> Iterator[str]:
    """Yield what is wrong, one line each; nothing if all is well."""
    yield from found.problems
    for service in SERVICES:
        yield from _line_problems(service, found)
    yield from _record_problems(found)
    yield from _alert_problems(found)
    yield from _publication_problems(found)
    yield from _notification_problems(found)


def _line_problems(service: Service, found: AwsFindings) -> Iterator[str]:
    name, sent = LOGS[service], len(found.sent.lines[service])
    if lost := found.lost(service):
        yield f"{name}: {lost:,} lines lost"
    counts = {
        "put on the stream": found.shipped[service].lines,
        "evaluated": found.evaluated_lines(service),
        "archived": len(found.archived[service]),
    }
    yield from (f"{name}: {sent:,} lines sent, {count:,} {what}" for what, count in counts.items() if count != sent)


def _record_problems(found: AwsFindings) -> Iterator[str]:
    counts = found.expected.counts
    pairs = {
        "evaluated": (found.evaluated.records, sum(counts[service][service] for service in SERVICES)),
        "rejected": (found.evaluated.rejected, sum(counts[service]["rejected"] for service in SERVICES)),
    }
    for what, (ours, checked) in pairs.items():
        if ours != checked:
            yield f"{ours:,} records {what}, `vaultwatch check` reads {checked:,}"


def _alert_problems(found: AwsFindings) -> Iterator[str]:
    in_time, late = found.expected.alerts, found.missed.alerts
    known = {**late, **in_time}
    for id_ in known.keys() - found.stored.keys():
        yield f"missing: alert {id_} of {known[id_].rule}, which `vaultwatch check` finds"
    for id_ in found.stored.keys() - known.keys():
        yield f"unexpected: alert {id_} of {found.stored[id_].rule}, which `vaultwatch check` does not find"
    for id_, alert in found.stored.items():
        if id_ in known and alert.late != (id_ not in in_time):
            yield f"alert {id_} of {alert.rule} is marked as {'delayed' if alert.late else 'found in real time'}"
    if unseen := found.stored.keys() - found.seen.keys():
        yield f"{len(unseen)} alerts are in the table without a transaction that stored them"
    if unmatched := sum(not seen.alert.late for seen in found.seen.values()) - len(found.latencies):
        yield f"{unmatched} alerts match no line that was sent"


def _publication_problems(found: AwsFindings) -> Iterator[str]:
    published = Counter(alert.id for notification in found.published for alert in notification.alerts)
    for id_ in found.stored.keys() - published.keys():
        yield f"not published: alert {id_} of {found.stored[id_].rule}"
    yield from (f"published {times} times: alert {id_}" for id_, times in published.items() if times > 1)


def _notification_problems(found: AwsFindings) -> Iterator[str]:
    for one in found.for_people:
        if one.id not in found.delivered:
            yield f"not notified: notification {one.id} of {one.rule} did not reach Slack"
    firsts = {alert.id: alert for one in found.for_people if one.disposition == "first" for alert in one.alerts}
    shown = {one.rule for id_, one in found.stored.items() if id_ in found.in_slack}
    urgent = {
        id_: one
        for id_, one in found.stored.items()
        if is_urgent(one) and one.service == "audit" and shown.isdisjoint(one.same_as)
    }
    for id_, alert in (firsts | urgent).items():
        if id_ not in found.in_slack:
            yield f"not notified: alert {id_} of {alert.rule} did not reach Slack"
    yield from (f"Slack shows alert {id_}, which is not stored" for id_ in {*found.in_slack} - {*found.stored})
    notified, eligible = len(firsts) + found.merged_count, sum(map(is_notified, found.stored.values()))
    if notified > eligible:  # fewer are right: a single repeat makes no notification
        yield f"notifications show or count {notified} alerts, and {eligible} are for people"
    counted = [alert for one in found.for_people for merged in one.merged for alert in merged.alerts]
    if found.missed.alerts and not any(alert.late for alert in (*firsts.values(), *counted)):
        yield "not notified: no delayed alert reached Slack"


def table(found: AwsFindings) -> Iterator[str]:
    """Yield the lines of the table."""
    sent, shipped = found.sent.lines, found.shipped
    yield from rows(
        {
            "lines sent": [len(sent[service]) for service in SERVICES],
            "frames on the stream": [shipped[service].frames for service in SERVICES],
            "bytes before compression": [shipped[service].raw_bytes for service in SERVICES],
            "bytes on the stream": [shipped[service].bytes for service in SERVICES],
            "lines evaluated": [found.evaluated_lines(service) for service in SERVICES],
            "lines archived in S3": [len(found.archived[service]) for service in SERVICES],
            "lost": [found.lost(service) for service in SERVICES],
            **_alert_rows(found),
        }
    )
    yield ""
    yield _stream_line(found)
    yield latency_line(found.latencies)
    yield _notification_line(found)


def _alert_rows(found: AwsFindings) -> dict[str, list[int]]:
    alerts = found.stored.values()
    by_level = Counter((alert.level, alert.service) for alert in alerts)
    by_time = Counter((alert.late, alert.service) for alert in alerts)
    levels = {f"alerts, {level}": [by_level[level, service] for service in SERVICES] for level in reversed(Level)}
    return {
        **{name: numbers for name, numbers in levels.items() if any(numbers)},
        "alerts found in real time": [by_time[False, service] for service in SERVICES],
        "alerts found in the archive": [by_time[True, service] for service in SERVICES],
    }


def _stream_line(found: AwsFindings) -> str:
    raw = sum(row.raw_bytes for row in found.shipped.values())
    packed = sum(row.bytes for row in found.shipped.values())
    share = f"compressed {raw / packed:.1f} times for the stream" if packed else "nothing on the stream"
    return f"{found.evaluated.records:,} records evaluated; {share}; {found.invocations:,} function invocations"


def _notification_line(found: AwsFindings) -> str:
    shown = len(set(found.in_slack) & set(found.stored))
    repeats = f" and counting {found.merged_count} repeats" if found.merged_count else ""
    return f"notifications in Slack: {found.notifications}, showing {shown} alerts{repeats}; e-mails: {found.emails}"
