"""Judges each change of the alerts table, and reports those that Vaultwatch has not made.

The table's stream invokes it within a second. Whoever has the credential of another function can write to the table,
but neither to this function nor to the stream; and this one can write to neither. A change is judged by its record
alone, so a record that comes again is reported again, and nothing else depends on it. One that cannot be read is
counted, and holds back no other.
"""

from __future__ import annotations

import logging
from typing import Any

import msgspec

from lambdas._environment import read_environment
from vaultwatch.aws import metrics
from vaultwatch.seals import Seal, SecretKey
from vaultwatch.store.dynamodb.changes import judge_all

_log = logging.getLogger(__name__)


class Environment(msgspec.Struct, frozen=True):
    """Variables of this function."""

    row_seal_key: SecretKey


SEAL = Seal(read_environment(Environment).row_seal_key)


def handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """Judge one batch of a DynamoDB event source."""
    found = judge_all(SEAL, event["Records"])
    for line in found.lines():
        _log.error("%s", line)
    metrics.write({metrics.ALTERED_ROWS: len(found.judgements), metrics.UNREADABLE_CHANGES: len(found.unreadable)})
    return {"batchItemFailures": []}
