"""Which hour a message names: a day before the schedule's, or the one that a person asks for."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from vaultwatch.errors import SettingError
from vaultwatch.reconcile.hours import hour_of


@pytest.mark.parametrize(
    ("message", "hour"),
    [
        ('{"time": "2026-11-22T07:59:59Z", "source": "aws.events"}', datetime(2026, 11, 21, 7, tzinfo=UTC)),
        ('{"time": "2026-03-01T00:00:00Z"}', datetime(2026, 2, 28, 0, tzinfo=UTC)),
        ('{"hour": "2026-11-21T07:30:00Z"}', datetime(2026, 11, 21, 7, tzinfo=UTC)),
        (
            '{"hour": "2026-11-21T01:30:00+05:30", "time": "2026-11-22T07:00:00Z"}',
            datetime(2026, 11, 20, 20, tzinfo=UTC),
        ),
    ],
)
def test_a_message_names_an_hour_in_utc(message: str, hour: datetime) -> None:
    assert hour_of(message) == hour


@pytest.mark.parametrize(
    "message", ["", "\ud800", "7", "{}", '{"time": 7}', '{"time": "0001-01-01T00:00:00Z"}', "[" * 5000]
)
def test_any_other_message_is_refused(message: str) -> None:
    with pytest.raises(SettingError, match="not the message of an hour"):
        hour_of(message)
