"""Judges each change of the alerts table, reports those that Vaultwatch has not made, and undoes them.

The table's stream invokes it within a second. Whoever has the credential of another function can write to the table,
but neither to this function nor to the stream. A change is judged by its record alone, so a record that comes again is
reported again. One that cannot be read is counted, and holds back no other; a row that cannot be restored now is tried
again with its record.
"""

from __future__ import annotations

import logging
import time
from functools import cache
from typing import Any

import msgspec

from lambdas._environment import read_environment, seconds_left
from vaultwatch.aws import metrics
from vaultwatch.aws.clients import make_client
from vaultwatch.seals import Seal, SecretKey
from vaultwatch.store.dynamodb.changes import judge_all
from vaultwatch.store.dynamodb.restoring import restore
from vaultwatch.store.dynamodb.table import Table

_SPARE_SECONDS = 20.0
_log = logging.getLogger(__name__)


class Environment(msgspec.Struct, frozen=True):
    """Variables of this function."""

    row_seal_key: SecretKey
    table_name: str


ENVIRONMENT = read_environment(Environment)
SEAL = Seal(ENVIRONMENT.row_seal_key)


@cache
def open_table() -> Table:
    """Open the table; called when there is a row to restore."""
    return Table(make_client("dynamodb"), ENVIRONMENT.table_name, SEAL)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Judge one batch of a DynamoDB event source."""
    found = judge_all(SEAL, event["Records"])
    left = seconds_left(context)
    if found.judgements:
        done = restore(open_table(), SEAL, found.judgements, time.time(), lambda: left() > _SPARE_SECONDS)
        found = msgspec.structs.replace(found, judgements=done)
    for line in found.lines():
        _log.error("%s", line)
    metrics.write({metrics.ALTERED_ROWS: len(found.judgements), metrics.UNREADABLE_CHANGES: len(found.unreadable)})
    waiting = [one.number for one in found.judgements if one.became == "not restored yet"]
    return {"batchItemFailures": [{"itemIdentifier": number} for number in waiting[:1]]}
