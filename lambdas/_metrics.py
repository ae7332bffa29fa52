"""What functions count, in CloudWatch's embedded metric format. Dimensions are names of ours, or of hosts."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping

from aws_lambda_powertools.metrics import EphemeralMetrics

from vaultwatch.alerts import Alert
from vaultwatch.evaluation import Findings
from vaultwatch.events import parse_time

_MAX_VALUES = 99  # the hundredth makes Powertools flush by itself
_MAX_ORIGINS = 200


def count(values: Mapping[str, float], **dimensions: str) -> None:
    """Report counts under these dimensions (and `service`, the function)."""
    _report({name: [value] for name, value in values.items()}, "Count", dimensions)


def report_findings(findings: Findings) -> None:
    """What a batch came to, but for its alerts."""
    totals = {"Frames": findings.frames, "Records": findings.records, "RejectedRecords": findings.rejected}
    count({**totals, "ParkedFrames": len(findings.poison)})
    for rule, errors in findings.rule_errors.items():
        count({"RuleErrors": errors}, rule=rule)
    for origin, lines in findings.received.most_common(_MAX_ORIGINS):
        count({"ReceivedLines": lines}, **_origin(origin))
    if findings.oldest is not None:
        _report({"FrameAge": [max(0.0, time.time() - findings.oldest.timestamp())]}, "Seconds", {})
    shipped = [counter for heartbeat in findings.heartbeats.values() for counter in heartbeat.counters]
    for row in shipped[:_MAX_ORIGINS]:
        # Cumulative since the start of the handler: its rate is what to hold against ReceivedLines.
        sizes = {"ShippedLines": float(row.lines), "ShippedBytes": float(row.bytes)}
        count(sizes, **_origin(f"{row.cluster}/{row.node}/{row.lane}"))


def report_alerts(alerts: Iterable[Alert], now: float) -> None:
    """New alerts: by level, those found late, and the seconds from a record's own time to the decision."""
    alerts = list(alerts)
    for level, number in Counter(alert.level.value for alert in alerts).items():
        count({"Alerts": number}, level=level)
    if late := sum(alert.late for alert in alerts):
        count({"LateAlerts": late})
    moments = [moment for alert in alerts if not alert.late and (moment := parse_time(alert.time))]
    ages = [max(0.0, now - moment.timestamp()) for moment in moments]
    if ages:
        _report({"AlertLatency": ages[:_MAX_VALUES]}, "Seconds", {})


def _origin(text: str) -> dict[str, str]:
    cluster, node, lane = text.split("/")
    return {"cluster": cluster or "-", "node": node or "-", "lane": lane or "-"}


def _report(values: Mapping[str, list[float]], unit: str, dimensions: Mapping[str, str]) -> None:
    metrics = EphemeralMetrics()
    for name, numbers in values.items():
        for number in numbers:
            metrics.add_metric(name=name, unit=unit, value=number)
    for name, value in dimensions.items():
        metrics.add_dimension(name=name, value=value)
    metrics.flush_metrics()
