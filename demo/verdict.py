"""What the demo found: the table at its end, and what went wrong."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from demo.alert_tail import Seen
from testbed.log_server import SERVICES
from testbed.session import Expected, Sent
from testbed.slack import SlackStandIn
from vaultwatch.alerts import Alert
from vaultwatch.rules.facts import Level, Service

_ALERT_FACT = re.compile(r"^alert +([0-9a-f]{32})$", re.MULTILINE)
LOGS = {"audit": "audit", "server": "server log"}


@dataclass(frozen=True)
class Findings:
    """Everything there is to judge: `archived` are the lines in the archive files, `figures` the handlers' own."""

    sent: Sent
    expected: Expected
    archived: Mapping[Service, Sequence[bytes]]
    figures: Mapping[Service, Mapping[str, Any]]
    seen: Mapping[str, Seen]
    in_slack: Sequence[str]
    slack_messages: int = 0
    killed: int = 0
    troubles: Sequence[str] = field(default_factory=tuple)

    def lost(self, service: Service) -> int:
        """Lines that are not in the archive file, and records that were not evaluated."""
        key = self.sent.known_by
        lines = Counter(map(key, self.sent.lines[service])) - Counter(map(key, self.archived[service]))
        records = self.expected.counts[service][service] - int(self.figures[service][service])
        return lines.total() + max(0, records)

    @property
    def seconds(self) -> list[float]:
        """From line to alert, in order of size."""
        moments = ((self.sent.moment(seen.alert), seen.at) for seen in self.seen.values())
        return sorted(at - moment for moment, at in moments if moment is not None)


def alerts_in_post(blocks: Iterable[Mapping[str, Any]]) -> list[str]:
    """The ids of the alerts that a Slack message tells, from what a reader sees."""
    return [found for text in _texts(list(blocks)) for found in _ALERT_FACT.findall(text)]


def alerts_in_slack(slack: SlackStandIn) -> list[str]:
    """The ids of the alerts that Slack was told of, in order."""
    return [id_ for post in list(slack.messages) for id_ in alerts_in_post(post.blocks)]


def told_first(alerts: Iterable[Alert]) -> set[str]:
    """The first alert of each rule: it is told at once, whatever comes after it."""
    first: dict[str, str] = {}
    for alert in alerts:
        first.setdefault(alert.rule, alert.id)
    return set(first.values())


def problems(found: Findings) -> Iterator[str]:
    """What went wrong, a line each; nothing when all is well."""
    yield from found.troubles
    if found.killed:
        yield f"{found.killed} handlers did not end and were killed"
    for service in SERVICES:
        yield from _problems_of(service, found)
    missing = [alert for id_, alert in found.expected.alerts.items() if id_ not in found.seen]
    yield from (f"missing: alert {alert.id} of {alert.rule}, which `vaultwatch check` finds" for alert in missing)
    extra = [seen.alert for id_, seen in found.seen.items() if id_ not in found.expected.alerts]
    yield from (
        f"unexpected: alert {alert.id} of {alert.rule}, which `vaultwatch check` does not find" for alert in extra
    )
    untold = told_first(seen.alert for seen in found.seen.values()) - set(found.in_slack)
    yield from (f"not told: alert {id_} of {found.seen[id_].alert.rule} did not reach Slack" for id_ in sorted(untold))
    strange = set(found.in_slack) - set(found.seen)
    yield from (f"Slack was told of alert {id_}, which is in no alert log" for id_ in sorted(strange))
    untimed = len(found.seen) - len(found.seconds)
    if untimed:
        yield f"{untimed} alerts belong to no line that was sent"


def _problems_of(service: Service, found: Findings) -> Iterator[str]:
    name = LOGS[service]
    if lost := found.lost(service):
        yield f"{name}: {lost:,} lines or records lost"
    if len(found.archived[service]) != len(found.sent.lines[service]):
        yield f"{name}: {len(found.sent.lines[service]):,} lines sent, {len(found.archived[service]):,} archived"
    for what in (service, "rejected"):
        evaluated, expected = found.figures[service][what], found.expected.counts[service][what]
        if evaluated != expected:
            yield f"{name}: {evaluated:,} {what} records evaluated, `vaultwatch check` reads {expected:,}"
    if not found.figures[service].get("ended"):
        yield f"{name}: the handler did not come to its end"
    if errors := found.figures[service].get("rule_errors"):
        yield f"{name}: rules raised: {', '.join(sorted(errors))}"


def table(found: Findings) -> Iterator[str]:
    """The figures, a line each."""
    sent, figures = found.sent.lines, found.figures
    rows: list[tuple[str, list[int]]] = [
        ("lines sent", [len(sent[service]) for service in SERVICES]),
        ("lines in the archive file", [len(found.archived[service]) for service in SERVICES]),
        ("records in them", [found.expected.counts[service][service] for service in SERVICES]),
        ("records evaluated", [figures[service][service] for service in SERVICES]),
        ("lines rejected", [figures[service]["rejected"] for service in SERVICES]),
        ("lost", [found.lost(service) for service in SERVICES]),
    ]
    yield f"{'':28}{'audit':>12}{'server log':>12}"
    for name, (audit, server) in rows:
        yield f"{name:28}{audit:>12,}{server:>12,}"
    levels: dict[Service, Counter[Level]] = {service: Counter() for service in SERVICES}
    for seen in found.seen.values():
        levels[seen.alert.service][seen.alert.level] += 1
    for level in reversed(Level):
        if any(levels[service][level] for service in SERVICES):
            yield f"{'alerts, ' + level:28}" + "".join(f"{levels[service][level]:>12,}" for service in SERVICES)
    yield ""
    yield _slack_line(found)
    yield time_line(found.seconds)


def _slack_line(found: Findings) -> str:
    told = len(set(found.in_slack) & set(found.seen))
    counted = len(found.seen) - told
    later = f"; {counted} more of the same are counted for a later summary" if counted else ""
    return f"told in Slack: {told} alerts in {found.slack_messages} messages{later}"


def time_line(seconds: Sequence[float], name: str = "from a line to its alert") -> str:
    """Median and 99th percentile of what is in order of size."""
    if not seconds:
        return "no alerts"
    median, late = _percentile(seconds, 50), _percentile(seconds, 99)
    waited = sum(one >= 4.5 for one in seconds)
    note = f" ({waited} waited 5 s for a response that did not come)" if waited else ""
    return f"{name}: median {median * 1000:,.0f} ms, 99th percentile {late * 1000:,.0f} ms{note}"


def _percentile(ordered: Sequence[float], percent: float) -> float:
    """Nearest rank."""
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
