"""What functions count, in CloudWatch's embedded metric format. Dimensions are names of ours, or of hosts."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Mapping

from aws_lambda_powertools.metrics import EphemeralMetrics

from lambdas._news import News
from vaultwatch.batches import Findings

_MAX_ORIGINS = 200
_NAME = re.compile(r"[\w.*-][\w.:*-]{0,254}", re.ASCII)  # CloudWatch drops others, and what begins with a colon
_OTHERS = ("*", "*", "*")
_origins: set[tuple[str, str, str]] = set()
"""Which this process has reported; each is a metric of its own, to be paid for, so all others share one."""


def count(values: Mapping[str, float], **dimensions: str) -> None:
    """Report counts under these dimensions (and `service`, the function)."""
    _report({name: [value] for name, value in values.items()}, "Count", dimensions)


def report_findings(findings: Findings) -> None:
    """What a batch came to, but for its alerts."""
    totals = {"Frames": findings.frames, "Records": findings.records, "RejectedRecords": findings.rejected}
    count({**totals, "ParkedFrames": len(findings.unreadable)})
    for rule, errors in findings.rule_errors.items():
        count({"RuleErrors": errors}, rule=rule)
    received: Counter[tuple[str, str, str]] = Counter()
    for origin, lines in findings.received.items():
        received[_origin(*origin.split("/"))] += lines
    for names, lines in received.items():
        count({"ReceivedLines": lines}, **_dimensions(names))
    if findings.oldest is not None:
        _report({"FrameAge": [max(0.0, time.time() - findings.oldest.timestamp())]}, "Seconds", {})
    shipped: dict[tuple[str, str, str], Counter[str]] = {}
    for row in (row for heartbeat in findings.heartbeats.values() for row in heartbeat.counters):
        sizes = {"ShippedLines": row.lines, "ShippedBytes": row.bytes}
        shipped.setdefault(_origin(row.cluster, row.node, row.lane), Counter()).update(sizes)
    for names, sums in shipped.items():
        # Cumulative since the start of the handler: its rate is what to hold against ReceivedLines.
        count({name: float(value) for name, value in sums.items()}, **_dimensions(names))


def report_news(news: News) -> None:
    """New alerts: by level, those found late, and how old their records were."""
    for level, number in news.by_level.items():
        count({"Alerts": number}, level=level)
    if news.late:
        count({"LateAlerts": news.late})
    if news.ages:
        _report({"AlertLatency": news.ages}, "Seconds", {})


def _origin(cluster: str, node: str, lane: str) -> tuple[str, str, str]:
    """Under which names to count what came from there."""
    names = (cluster or "-", node or "-", lane or "-")
    if names not in _origins:
        if len(_origins) >= _MAX_ORIGINS or not all(map(_NAME.fullmatch, names)):
            return _OTHERS
        _origins.add(names)
    return names


def _dimensions(names: tuple[str, str, str]) -> dict[str, str]:
    return dict(zip(("cluster", "node", "lane"), names, strict=True))


def _report(values: Mapping[str, list[float]], unit: str, dimensions: Mapping[str, str]) -> None:
    metrics = EphemeralMetrics()
    for name, numbers in values.items():
        for number in numbers:
            metrics.add_metric(name=name, unit=unit, value=number)
    for name, value in dimensions.items():
        metrics.add_dimension(name=name, value=value)
    metrics.flush_metrics()
