"""Evaluates the alarms of the templates on the metrics in the functions' logs (CloudWatch's embedded metric format).

Metrics of AWS services do not exist here: an alarm on one of them never fires.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from testbed.aws.template import Template, UnsupportedTemplateError

_MetricKey = tuple[str, str, frozenset[tuple[str, str]]]


class _Value(NamedTuple):
    seconds: float
    value: float


def fired_alarms(templates: Iterable[Template], logs: Iterable[str], since: float, until: float) -> set[str]:
    """Return the names of the alarms on metrics of ours that were in alarm at any time.

    Args:
        templates: The templates that define the alarms.
        logs: The logs of the functions.
        since: When the metrics began, in seconds since the epoch; where data is missing, periods count from then.
        until: When they ended.

    Raises:
        UnsupportedTemplateError: An alarm has an operator or a statistic that is not supported.
    """
    written: dict[_MetricKey, list[_Value]] = defaultdict(list)
    for key, value in (found for log in logs for found in _values(log)):
        written[key].append(value)
    return {
        alarm["AlarmName"]
        for alarm in _alarms(templates)
        if not alarm["Namespace"].startswith("AWS/") and _fires(alarm, written[_watched(alarm)], since, until)
    }


def _alarms(templates: Iterable[Template]) -> Iterator[Mapping[str, Any]]:
    for template in templates:
        for resource in template["Resources"].values():
            if resource["Type"] == "AWS::CloudWatch::Alarm":
                yield resource["Properties"]


def _watched(alarm: Mapping[str, Any]) -> _MetricKey:
    dimensions = frozenset((one["Name"], one["Value"]) for one in alarm["Dimensions"])
    return alarm["Namespace"], alarm["MetricName"], dimensions


def _values(log: str) -> Iterator[tuple[_MetricKey, _Value]]:
    for line in log.splitlines():
        if '"_aws":' not in line:
            continue
        row = json.loads(line)
        seconds = row["_aws"]["Timestamp"] / 1000
        for directive in row["_aws"]["CloudWatchMetrics"]:
            for names in directive["Dimensions"]:
                dimensions = frozenset((name, row[name]) for name in names)
                for metric in directive["Metrics"]:
                    key = directive["Namespace"], metric["Name"], dimensions
                    yield from ((key, _Value(seconds, value)) for value in row[metric["Name"]])


def _fires(alarm: Mapping[str, Any], values: Iterable[_Value], since: float, until: float) -> bool:
    period = alarm["Period"]
    by_period: dict[int, list[float]] = defaultdict(list)
    for one in values:
        by_period[int((one.seconds - since) // period)].append(one.value)
    figures = {number: _figure(alarm, found) for number, found in by_period.items()}
    match alarm["ComparisonOperator"], alarm["TreatMissingData"]:
        case "GreaterThanThreshold", "notBreaching":
            breaching = [number for number, figure in figures.items() if figure > alarm["Threshold"]]
        case "LessThanThreshold", "breaching":
            whole = range(int((until - since) // period))
            breaching = [number for number in whole if figures.get(number, -math.inf) < alarm["Threshold"]]
        case other:
            raise UnsupportedTemplateError(f"{alarm['AlarmName']}: {other} is not supported")
    periods, needed = alarm["EvaluationPeriods"], alarm.get("DatapointsToAlarm", alarm["EvaluationPeriods"])
    return any(sum(first <= number < first + periods for number in breaching) >= needed for first in breaching)


def _figure(alarm: Mapping[str, Any], values: list[float]) -> float:
    match alarm["Statistic"]:
        case "Sum":
            return sum(values)
        case "Minimum":
            return min(values)
        case other:
            raise UnsupportedTemplateError(f"{alarm['AlarmName']}: the statistic {other} is not supported")
