"""What a flood of alerts costs, calculated from what `bench.floods` measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from cost import prices as usd
from cost.model import DAYS, GIB, LANES, SHARD_BYTES_A_SECOND, Assumptions
from vaultwatch.dispatch.limits import NOTIFICATIONS_A_MINUTE

ALERTS_A_SECOND = 1_000
_AN_HOUR = ALERTS_A_SECOND * 3600
PARTITION_UNITS_A_SECOND = 1_000
"""Write units that one partition takes (DynamoDB developer guide, "Burst and adaptive capacity")."""
_FIREHOSE_BYTES = 5 * 1024


@dataclass(frozen=True)
class Flood:
    """What an alert of a flood takes on average: calls, units, and bytes in the table and in a line of the history.

    What `digest` takes is among the calls and units of both kinds. `partition_units` are write units of the busiest
    partition while alerts are stored.
    """

    calls: float
    write_units: float
    partition_units: float
    read_units: float
    stored_bytes: float
    line_bytes: float

    @classmethod
    def read(cls, measured: Mapping[str, Any], alerts: int) -> Flood:
        """Read what `bench.floods` measured with this number of alerts."""
        return cls(
            calls=(measured["calls"] + measured["digest_calls"]) / alerts,
            write_units=(measured["write_units"] + measured["digest_write_units"]) / alerts,
            partition_units=measured["partition_units"] / alerts,
            read_units=(measured["read_units"] + measured["digest_read_units"]) / alerts,
            stored_bytes=measured["stored_bytes"] / alerts,
            line_bytes=measured["history_bytes"] / measured["history_records"],
        )

    def an_hour(self, assumed: Assumptions) -> dict[str, float]:
        """Return the cost of an hour of 1,000 such alerts a second in USD, by service."""
        notified = NOTIFICATIONS_A_MINUTE * 60
        return {
            "DynamoDB: writes": _AN_HOUR * self.write_units * usd.WRITE.usd,
            "DynamoDB: reads": _AN_HOUR * self.read_units * usd.READ.usd,
            "Firehose": _AN_HOUR * _FIREHOSE_BYTES * ceil(self.line_bytes / _FIREHOSE_BYTES) / GIB * usd.FIREHOSE.usd,
            "SNS, e-mail": notified * (usd.PUBLISH.usd + usd.TO_FIREHOSE.usd + assumed.emails * usd.MAIL.usd),
        }

    def limit_a_second(self) -> float:
        """Return how many such alerts a second the busiest partition takes."""
        return PARTITION_UNITS_A_SECOND / self.partition_units

    def kept(self, days: float) -> float:
        """Return the cost in USD of keeping the alerts of such an hour in the table for some days."""
        return _AN_HOUR * self.stored_bytes / GIB * (usd.TABLE.usd + usd.RECOVERY.usd) * days / DAYS


def records_a_second(record_bytes: float) -> float:
    """Return how many records of a size, which do not compress, one shard takes in a second by both audit devices."""
    return SHARD_BYTES_A_SECOND / (record_bytes * LANES)
