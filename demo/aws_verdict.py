"""What the demo found on the local AWS: the table at its end, and what went wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from demo.alert_tail import Seen
from demo.stream import Shipped
from demo.verdict import LOGS, time_line
from testbed.log_server import SERVICES
from testbed.session import Expected, Sent
from vaultwatch.alerts import Alert
from vaultwatch.dispatch.groups import is_told
from vaultwatch.dispatch.notification import NOTIFIED, Notification
from vaultwatch.rules.facts import Level, Service

LANES: Mapping[Service, str] = {"audit": "socket", "server": "server"}


@dataclass(frozen=True)
class Evaluated:
    """What `evaluate` said of itself: lines by lane, records, and lines rejected."""

    lines: Counter[str]
    records: int
    rejected: int


@dataclass(frozen=True)
class AwsFindings:
    """Everything there is to judge.

    `missed` is what `vaultwatch check` finds on lines that only the archive has, `archived` the lines read again from
    S3, `stored` the alerts of the table, `seen` when each came there, `published` all that the topic passed on,
    `receipts` the ids of the messages that Slack has had, `in_slack` the ids of the alerts that it shows.
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
    receipts: frozenset[str]
    in_slack: Sequence[str]
    slack_messages: int = 0
    mails: int = 0
    invocations: int = 0
    troubles: Sequence[str] = field(default_factory=tuple)

    def lost(self, service: Service) -> int:
        """Lines that are not in the archive, and lines that were not evaluated."""
        key = self.sent.known_by
        lines = Counter(map(key, self.sent.lines[service])) - Counter(map(key, self.archived[service]))
        return lines.total() + max(0, len(self.sent.lines[service]) - self.evaluated.lines[LANES[service]])

    @property
    def seconds(self) -> list[float]:
        """From line to stored alert, the fast way, in order of size."""
        fast = [seen for seen in self.seen.values() if not seen.alert.late]
        moments = [(self.sent.moment(seen.alert), seen.at) for seen in fast]
        return sorted(at - moment for moment, at in moments if moment is not None)

    @property
    def told(self) -> list[Notification]:
        """What people were to be told."""
        return [one for one in self.published if one.disposition in NOTIFIED and one.level.rank >= Level.LOW.rank]


def read_metrics(log: str) -> Evaluated:
    """Add up what a function's log holds in CloudWatch's embedded metric format."""
    lines: Counter[str] = Counter()
    totals: Counter[str] = Counter()
    for line in log.splitlines():
        if line.startswith('{"_aws"') or '"_aws":' in line:
            row: dict[str, Any] = msgspec.json.decode(line)
            if "lane" in row and "ReceivedLines" in row:
                lines[row["lane"]] += int(sum(row["ReceivedLines"]))
            for name in ("Records", "RejectedRecords"):
                totals[name] += int(sum(row.get(name, ())))
    return Evaluated(lines, totals["Records"], totals["RejectedRecords"])


def problems(found: AwsFindings) -> Iterator[str]:
    """What went wrong, a line each; nothing when all is well."""
    yield from found.troubles
    for service in SERVICES:
        yield from _lines_wrong(service, found)
    yield from _records_wrong(found)
    yield from _alerts_wrong(found)
    yield from _told_wrong(found)


def _lines_wrong(service: Service, found: AwsFindings) -> Iterator[str]:
    name, sent = LOGS[service], len(found.sent.lines[service])
    if lost := found.lost(service):
        yield f"{name}: {lost:,} lines lost"
    counts = {
        "put on the stream": found.shipped[service].lines,
        "evaluated": found.evaluated.lines[LANES[service]],
        "archived": len(found.archived[service]),
    }
    yield from (f"{name}: {sent:,} lines sent, {count:,} {what}" for what, count in counts.items() if count != sent)


def _records_wrong(found: AwsFindings) -> Iterator[str]:
    counts = found.expected.counts
    pairs = {
        "evaluated": (found.evaluated.records, sum(counts[service][service] for service in SERVICES)),
        "rejected": (found.evaluated.rejected, sum(counts[service]["rejected"] for service in SERVICES)),
    }
    for what, (ours, checked) in pairs.items():
        if ours != checked:
            yield f"{ours:,} records {what}, `vaultwatch check` reads {checked:,}"


def _alerts_wrong(found: AwsFindings) -> Iterator[str]:
    fast, late = found.expected.alerts, found.missed.alerts
    known = {**late, **fast}
    for id_ in known.keys() - found.stored.keys():
        yield f"missing: alert {id_} of {known[id_].rule}, which `vaultwatch check` finds"
    for id_ in found.stored.keys() - known.keys():
        yield f"unexpected: alert {id_} of {found.stored[id_].rule}, which `vaultwatch check` does not find"
    for id_, alert in found.stored.items():
        if id_ in known and alert.late != (id_ not in fast):
            yield f"alert {id_} of {alert.rule} is marked {'late' if alert.late else 'as found in time'}"
    if unheard := found.stored.keys() - found.seen.keys():
        yield f"{len(unheard)} alerts are in the table, and no transaction put them there"
    untimed = sum(not seen.alert.late for seen in found.seen.values()) - len(found.seconds)
    if untimed:
        yield f"{untimed} alerts belong to no line that was sent"


def _told_wrong(found: AwsFindings) -> Iterator[str]:
    carried = Counter(alert.id for message in found.published for alert in message.alerts)
    for id_ in found.stored.keys() - carried.keys():
        yield f"not published: alert {id_} of {found.stored[id_].rule}"
    yield from (f"published {times} times: alert {id_}" for id_, times in carried.items() if times > 1)
    told = found.told
    yield from (f"not told: message {one.id} of {one.rule}" for one in told if one.id not in found.receipts)
    firsts = {alert.id: alert for one in told if one.disposition == "first" for alert in one.alerts}
    for id_ in firsts.keys() - set(found.in_slack):
        yield f"not told: alert {id_} of {firsts[id_].rule} did not reach Slack"
    yield from (f"Slack was told of alert {id_}, which is not stored" for id_ in {*found.in_slack} - {*found.stored})
    counted, worthy = len(firsts) + _counted(found), sum(map(is_told, found.stored.values()))
    if counted != worthy:
        yield f"{worthy} alerts are for people, who were told of {counted}"
    if found.missed.alerts and not any(alert.late for alert in firsts.values()):
        yield "no late alert was told"


def _counted(found: AwsFindings) -> int:
    """Alerts that people only saw counted."""
    return sum(message.merged_count for message in found.told)


def table(found: AwsFindings) -> Iterator[str]:
    """The figures, a line each."""
    sent, shipped = found.sent.lines, found.shipped
    rows: list[tuple[str, list[int]]] = [
        ("lines sent", [len(sent[service]) for service in SERVICES]),
        ("frames on the stream", [shipped[service].frames for service in SERVICES]),
        ("raw bytes", [shipped[service].raw_bytes for service in SERVICES]),
        ("bytes on the stream", [shipped[service].bytes for service in SERVICES]),
        ("lines evaluated", [found.evaluated.lines[LANES[service]] for service in SERVICES]),
        ("lines archived in S3", [len(found.archived[service]) for service in SERVICES]),
        ("lost", [found.lost(service) for service in SERVICES]),
        *_alert_rows(found),
    ]
    yield f"{'':28}{'audit':>12}{'server log':>12}"
    for name, (audit, server) in rows:
        yield f"{name:28}{audit:>12,}{server:>12,}"
    yield ""
    yield _stream_line(found)
    yield _told_line(found)
    yield time_line(found.seconds, "from a line to its stored alert")


def _alert_rows(found: AwsFindings) -> Iterator[tuple[str, list[int]]]:
    alerts = found.stored.values()

    def count(late: bool) -> list[int]:
        return [sum(alert.late == late and alert.service == service for alert in alerts) for service in SERVICES]

    for level in reversed(Level):
        numbers = [sum(a.level is level and a.service == service for a in alerts) for service in SERVICES]
        if any(numbers):
            yield f"alerts, {level}", numbers
    yield "alerts found the fast way", count(late=False)
    yield "alerts found late", count(late=True)


def _stream_line(found: AwsFindings) -> str:
    raw = sum(row.raw_bytes for row in found.shipped.values())
    packed = sum(row.bytes for row in found.shipped.values())
    share = f"{raw / packed:.1f} times smaller on the stream than raw" if packed else "nothing on the stream"
    return f"{found.evaluated.records:,} records evaluated; {share}; functions ran {found.invocations:,} times"


def _told_line(found: AwsFindings) -> str:
    told = len(set(found.in_slack) & set(found.stored))
    counted = _counted(found)
    more = f"; {counted} more of the same counted in summaries" if counted else ""
    return f"told in Slack: {told} alerts in {found.slack_messages} messages{more}; {found.mails} e-mails"
