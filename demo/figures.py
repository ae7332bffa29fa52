"""The figures that both modes of the demo show."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from demo.alert_tail import Seen
from testbed.session import Sent
from testbed.slack import SlackStandIn
from vaultwatch.rules.facts import Service

LOGS = {"audit": "audit", "server": "server log"}
_ALERT_FACT = re.compile(r"^alert +([0-9a-f]{32})$", re.MULTILINE)
_COUNTED_FACT = re.compile(r"^ +rule \w+, alert ([0-9a-f]{32})$", re.MULTILINE)
_WAITED_SECONDS = 4.5


def alerts_in_post(blocks: Iterable[Mapping[str, Any]]) -> list[str]:
    """Find the ids of the alerts in the visible text of a Slack message.

    Args:
        blocks: The blocks of the message.

    Returns:
        The ids, in order.
    """
    return [found for text in _texts(list(blocks)) for found in _ALERT_FACT.findall(text)]


def alerts_in_slack(slack: SlackStandIn) -> list[str]:
    """Return the ids of the alerts that Slack shows, in order."""
    return [id_ for post in list(slack.messages) for id_ in alerts_in_post(post.blocks)]


def counted_in_slack(slack: SlackStandIn) -> list[str]:
    """Return the ids of the alerts that summaries in Slack name, one of each group that they count, in order."""
    texts = (text for post in list(slack.messages) for text in _texts(list(post.blocks)))
    return [found for text in texts for found in _COUNTED_FACT.findall(text)]


def lost_lines(sent: Sent, service: Service, archived: Sequence[bytes]) -> int:
    """Count the lines that were sent and are not in the archive."""
    key = sent.identify
    return (Counter(map(key, sent.lines[service])) - Counter(map(key, archived))).total()


def latencies(sent: Sent, seen: Iterable[Seen]) -> list[float]:
    """Return the seconds from each line to its alert, in ascending order; alerts of unknown lines are left out."""
    moments = ((sent.moment(one.alert), one.at) for one in seen)
    return sorted(at - moment for moment, at in moments if moment is not None)


def rows(figures: Mapping[str, Sequence[int]]) -> Iterator[str]:
    """Yield the head of the table and one line per figure: its name, and its value for each log."""
    yield f"{'':28}{'audit':>12}{'server log':>12}"
    for name, values in figures.items():
        yield f"{name:28}" + "".join(f"{value:>12,}" for value in values)


def latency_line(seconds: Sequence[float]) -> str:
    """Return the median and the 99th percentile of latencies in ascending order, as one line."""
    if not seconds:
        return "alert latency: no alerts"
    median, late = _percentile(seconds, 50), _percentile(seconds, 99)
    waited = sum(one >= _WAITED_SECONDS for one in seconds)
    note = f" ({waited} waited 5 s for a response that was never logged)" if waited else ""
    return f"alert latency: median {median * 1000:,.0f} ms, 99th percentile {late * 1000:,.0f} ms{note}"


def _percentile(ordered: Sequence[float], percent: float) -> float:
    """Return a percentile by the nearest-rank method."""
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
