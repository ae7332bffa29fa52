"""What was new in one invocation, as counts."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from vaultwatch.reading.identity import parse_time

if TYPE_CHECKING:
    from vaultwatch.alerts import Alert

_MOST_AGES = 99  # of a metric: the hundredth value makes Powertools flush by itself


class News(msgspec.Struct):
    """New alerts, counted as they come: a segment may hold a million.

    `ages` are seconds from a record's own time to the decision, of the first ones that were not found late.
    """

    by_level: Counter[str] = msgspec.field(default_factory=Counter)
    late: int = 0
    ages: list[float] = []

    def add(self, alert: Alert, now: float) -> None:
        """Count one alert."""
        self.by_level[alert.level.value] += 1
        self.late += alert.late
        if not alert.late and len(self.ages) < _MOST_AGES and (moment := parse_time(alert.time)):
            self.ages.append(max(0.0, now - moment.timestamp()))
