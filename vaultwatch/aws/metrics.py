"""The metrics of the functions, in CloudWatch's embedded metric format.

Each is declared here once, and the alarms are built from the declarations: no alarm watches a metric that nobody
writes. CloudWatch knows a metric by its name and all of its dimensions, and charges for each combination of their
values; the values are names of ours or of hosts.
"""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from vaultwatch.reading.identity import parse_time
from vaultwatch.reading.records import Origin

if TYPE_CHECKING:
    from vaultwatch.alerts import Alert
    from vaultwatch.batches import Findings

NAMESPACE = "Vaultwatch"
NAMESPACE_OF_HOSTS = "Vaultwatch/Hosts"
"""The namespace of what hosts write: a host may write no metric of a function, such as a heartbeat."""
HOST_READY = "HostReady"
"""Each host writes it once a minute while it is ready, with its deployment and its name (`vaultwatch host ready`)."""
HOST_DISK_USED = "HostDiskUsed"
"""How much of its fullest disk a host uses, in percent; written with the one before, also while it is not ready."""
HOST_DROPPED_LINES = "HostDroppedLines"
"""How many lines syslog-ng on a host has dropped since it started."""
HOST_QUEUED_LINES = "HostQueuedLines"
"""How many lines wait in the queues of syslog-ng on a host, in memory and on its disk."""
HOST_CLOCK_ERROR = "HostClockError"
"""By how many seconds the clock of a host may be wrong, as chrony estimates it."""
HOST_MEMORY_USED = "HostMemoryUsed"
"""How much of its memory a host uses, in percent; it has no swap."""
HOST_FILES_WAITING = "HostFilesWaiting"
"""How many rotated files of a host S3 does not have."""
VAULT_SEALED = "VaultSealed"
"""1 while Vault on a node is sealed, otherwise 0."""
VAULT_AUDIT_FAILURES = "VaultAuditFailures"
"""How many entries no audit device of a node took since the last report: Vault has refused these requests."""
VAULT_LEADERSHIP_LOST = "VaultLeadershipLost"
"""How often a node has lost the leadership of its cluster since the last report."""
VAULT_AUDIT_SECONDS = "VaultAuditSeconds"
"""How long requests waited on average until the audit devices had an entry, since the last report."""
VAULT_LEASES = "VaultLeases"
"""How many leases the active node keeps; each service token has one."""
VAULT_SNAPSHOTS = "VaultSnapshots"
"""How many snapshots of the cluster S3 has taken (`vaultwatch host snapshot`)."""
VAULT_ACTIVE_NODE = "VaultActiveNode"
"""The active node of a cluster writes it, with its deployment only: without it, no node is active."""
_DEPLOYMENT = "DEPLOYMENT"
_MAX_ORIGINS = 200
_MAX_AGES = 99  # at the hundredth value, Powertools writes the metric by itself
# CloudWatch drops dimensions with other values, and with values that begin with a colon.
_DIMENSION_VALUE = re.compile(r"[\w.*-][\w.:*-]{0,254}", re.ASCII)


class Metric(NamedTuple):
    """One metric: the functions that write it, and its dimensions besides those of `dimensions_of`."""

    name: str
    unit: Literal["Bytes", "Count", "Seconds"]
    functions: tuple[str, ...]
    dimensions: tuple[str, ...] = ()


def dimensions_of(function: str, deployment: str) -> dict[str, str]:
    """Return the dimensions of every metric of a function: two deployments in one account do not mix."""
    return {"service": function, "deployment": deployment}


def variables(function: str, deployment: str) -> dict[str, str]:
    """Return the environment variables with which a function writes its metrics."""
    return {
        "POWERTOOLS_METRICS_NAMESPACE": NAMESPACE,
        "POWERTOOLS_SERVICE_NAME": function,
        _DEPLOYMENT: deployment,
    }


_EVALUATING = ("evaluate", "sweep")
_PUBLISHING = ("evaluate", "sweep", "digest")
_ORIGIN = ("cluster", "node", "lane")

FRAMES = Metric("Frames", "Count", _EVALUATING)
RECORDS = Metric("Records", "Count", _EVALUATING)
REJECTED_LINES = Metric("RejectedLines", "Count", _EVALUATING)
# Records over their budget, and how often a rule could not be decided on one: each has raised an alert.
PARTIAL_RECORDS = Metric("PartialRecords", "Count", _EVALUATING)
UNDECIDED_RULES = Metric("UndecidedRules", "Count", _EVALUATING)
# Counts of rules that count, given up or not shared with other functions, because there were too many groups.
GROUPS_DROPPED = Metric("GroupsDropped", "Count", _EVALUATING)
PARKED_FRAMES = Metric("ParkedFrames", "Count", _EVALUATING)
RULE_ERRORS = Metric("RuleErrors", "Count", _EVALUATING)
# The same by rule: an alarm reads one set of dimensions, and a deployment has any number of rules.
RULE_ERRORS_BY_RULE = Metric("RuleErrorsByRule", "Count", _EVALUATING, ("rule",))
# Each handler sends one a minute, even without lines, so that a silent handler is noticed.
HEARTBEATS = Metric("Heartbeats", "Count", _EVALUATING, ("source",))
# Entries of the canary, which the active node makes each minute: each lane has to bring them.
CANARIES = Metric("CanaryEntries", "Count", _EVALUATING, ("lane",))
# Rejected lines and unreadable frames that the alerts bucket did not take.
UNKEPT_OBJECTS = Metric("UnkeptObjects", "Count", ("evaluate",))
FRAME_AGE = Metric("FrameAge", "Seconds", _EVALUATING)
RECEIVED_LINES = Metric("ReceivedLines", "Count", _EVALUATING, _ORIGIN)
# What a handler sent since its start: compare the rate with that of `ReceivedLines`.
SHIPPED_LINES = Metric("ShippedLines", "Count", _EVALUATING, _ORIGIN)
SHIPPED_BYTES = Metric("ShippedBytes", "Bytes", _EVALUATING, _ORIGIN)

ALERTS = Metric("Alerts", "Count", _EVALUATING, ("level",))
LATE_ALERTS = Metric("LateAlerts", "Count", ("sweep",))
ALERT_LATENCY = Metric("AlertLatency", "Seconds", ("evaluate",))

# Alerts whose texts raised an exception while they were stored or published: people get them without these texts.
FAILED_ALERTS = Metric("FailedAlerts", "Count", _PUBLISHING)
# Rows of the table that Vaultwatch did not write, and ignores: somebody else did.
FOREIGN_ROWS = Metric("ForeignRows", "Count", _PUBLISHING)
# Changes of the table that Vaultwatch has not made, and records of its stream that cannot be read.
PUBLISHED_NOTIFICATIONS = Metric("PublishedNotifications", "Count", _PUBLISHING)
REFUSED_NOTIFICATIONS = Metric("RefusedNotifications", "Count", _PUBLISHING)
PUBLISH_FAILURES = Metric("PublishFailures", "Count", _PUBLISHING)
UNSENT_NOTIFICATIONS = Metric("UnsentNotifications", "Count", ("digest",))

SENT_NOTIFICATIONS = Metric("SentNotifications", "Count", ("notify",), ("sink",))
FAILED_NOTIFICATIONS = Metric("FailedNotifications", "Count", ("notify",), ("sink",))
# Messages of the queue that Vaultwatch has not published, and drops: somebody else may publish to the topic.
FOREIGN_MESSAGES = Metric("ForeignMessages", "Count", ("notify",), ("sink",))

# Of the certificate that a host uses, and of the authority's own, in days.
CERTIFICATE_DAYS_LEFT = Metric("CertificateDaysLeft", "Count", ("sign",), ("host",))
AUTHORITY_DAYS_LEFT = Metric("AuthorityDaysLeft", "Count", ("sign",))
REFUSED_REQUESTS = Metric("RefusedRequests", "Count", ("sign",))

# Of the two copies of an hour: whether they were compared to their end, what is missing in one, and what differs. In a
# silent span a copy has no entry, so each entry of the other one is also missing.
RECONCILED_HOURS = Metric("ReconciledHours", "Count", ("reconcile",))
UNRECONCILED_HOURS = Metric("UnreconciledHours", "Count", ("reconcile",))
MISSING_ENTRIES = Metric("MissingEntries", "Count", ("reconcile",), ("lane",))
DIFFERING_ENTRIES = Metric("DifferingEntries", "Count", ("reconcile",))
SILENT_SPANS = Metric("SilentSpans", "Count", ("reconcile",))


class NewAlerts(msgspec.Struct):
    """The new alerts of one invocation, counted as they come: a segment may raise a million.

    `ages` are the seconds from a record's own time to its alert, for the first alerts that were not late.
    """

    by_level: Counter[str] = msgspec.field(default_factory=Counter)
    late: int = 0
    ages: list[float] = []

    def add(self, alert: Alert, now: float) -> None:
        """Count one alert."""
        self.by_level[alert.level.value] += 1
        self.late += alert.late
        if not alert.late and len(self.ages) < _MAX_AGES and (moment := parse_time(alert.time)):
            self.ages.append(max(0.0, now - moment.timestamp()))


class Origins:
    """Where the lines came from that this process has reported: at most `limit` clusters, nodes and lanes.

    All others are reported as `*`: a forged tag or heartbeat must not create metrics without end.
    """

    def __init__(self, limit: int = _MAX_ORIGINS) -> None:
        self._limit = limit
        self._known: set[Origin] = set()

    def reported(self, origin: Origin) -> Origin:
        """Return the names under which the lines of an origin are counted."""
        named = Origin(origin.cluster or "-", origin.node or "-", origin.lane or "-")
        if named not in self._known:
            if len(self._known) >= self._limit or not all(map(_DIMENSION_VALUE.fullmatch, _names(named).values())):
                return _OTHERS
            self._known.add(named)
        return named


def _names(origin: Origin) -> dict[str, str]:
    """Return the dimensions of an origin."""
    return {"cluster": origin.cluster, "node": origin.node, "lane": origin.lane}


_OTHERS = Origin("*", "*", "*")
_ORIGINS = Origins()


def write(values: Mapping[Metric, float | Sequence[float]], **dimensions: str) -> None:
    """Write metrics that share their dimensions, as one line of the function's log."""
    from aws_lambda_powertools.metrics import (
        EphemeralMetrics,
    )  # imported here: it takes 30 ms, which must not delay the alerts of a cold start

    line = EphemeralMetrics()
    line.add_dimension(name="deployment", value=os.environ[_DEPLOYMENT])
    for metric, value in values.items():
        for number in value if isinstance(value, Sequence) else [value]:
            line.add_metric(name=metric.name, unit=metric.unit, value=number)
    for name, text in dimensions.items():
        line.add_dimension(name=name, value=text)
    line.flush_metrics()


def write_findings(findings: Findings, origins: Origins = _ORIGINS) -> None:
    """Write what a batch contained, except for its alerts."""
    lines = {FRAMES: findings.frames, RECORDS: findings.records, REJECTED_LINES: findings.rejected}
    lost = {PARKED_FRAMES: len(findings.unreadable), RULE_ERRORS: findings.rule_errors.total()}
    over_budget = {
        PARTIAL_RECORDS: findings.partial,
        UNDECIDED_RULES: findings.undecided,
        GROUPS_DROPPED: findings.groups_dropped,
    }
    write({**lines, **lost, **over_budget})
    for rule, errors in findings.rule_errors.items():
        write({RULE_ERRORS_BY_RULE: errors}, rule=rule)
    for source, beats in findings.beats.items():
        write({HEARTBEATS: beats}, source=source)
    for lane, entries in findings.canaries.items():
        write({CANARIES: entries}, lane=lane)
    if findings.oldest is not None:
        write({FRAME_AGE: max(0.0, time.time() - findings.oldest.timestamp())})
    _write_received(findings, origins)
    _write_shipped(findings, origins)


def _write_received(findings: Findings, origins: Origins) -> None:
    received: Counter[Origin] = Counter()
    for origin, lines in findings.received.items():
        received[origins.reported(origin)] += lines
    for origin, lines in received.items():
        write({RECEIVED_LINES: lines}, **_names(origin))


def _write_shipped(findings: Findings, origins: Origins) -> None:
    shipped: dict[Origin, Counter[Metric]] = {}
    for row in (row for heartbeat in findings.heartbeats.values() for row in heartbeat.counters):
        origin = origins.reported(Origin(row.cluster, row.node, row.lane))
        shipped.setdefault(origin, Counter()).update({SHIPPED_LINES: row.lines, SHIPPED_BYTES: row.bytes})
    for origin, sums in shipped.items():
        write(sums, **_names(origin))


def write_new_alerts(alerts: NewAlerts) -> None:
    """Write how many alerts were new, how many of them late, and how old their records were."""
    for level, number in alerts.by_level.items():
        write({ALERTS: number}, level=level)
    if alerts.late:
        write({LATE_ALERTS: alerts.late})
    if alerts.ages:
        write({ALERT_LATENCY: alerts.ages})
