"""Publishes, each minute, the summaries that are due and the notifications that were not published before.

It also raises the alerts on events that are due and have not come.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import msgspec

from lambdas._environment import load_rules, make_audience, read_environment, seconds_left
from vaultwatch.aws.clients import make_client
from vaultwatch.aws.first_seen import open_expectations
from vaultwatch.aws.publishing import HISTORY, TOPIC, AlertPublisher, History, Topic, open_store
from vaultwatch.seals import Seal, SecretKey
from vaultwatch.store import StoreError
from vaultwatch.store.absences import Absences


class Environment(msgspec.Struct, frozen=True):
    """Variables of this function."""

    alert_memory_days: int
    archive_bucket_name: str
    history_stream_name: str
    mail_key: SecretKey
    row_seal_key: SecretKey
    table_name: str
    timezone: str
    topic_arn: str


ENVIRONMENT = read_environment(Environment)
RULES = load_rules()
DIGESTS = {rule.name: rule.digest for rule in RULES}
SNS = make_client("sns")
AUDIENCE = make_audience(ENVIRONMENT.timezone, ENVIRONMENT.archive_bucket_name)
HISTORY_STREAM = History(cache(partial(make_client, "firehose")), ENVIRONMENT.history_stream_name)
DYNAMODB = make_client("dynamodb")
SEAL = Seal(ENVIRONMENT.row_seal_key)
ALERTS_TOPIC = Topic(SNS, ENVIRONMENT.topic_arn, SEAL, ENVIRONMENT.mail_key)
TABLE = (DYNAMODB, ENVIRONMENT.table_name, SEAL)
STORE = partial(open_store, *TABLE, ENVIRONMENT.alert_memory_days)
ABSENCES = Absences(RULES, partial(open_expectations, *TABLE))


def handler(event: dict[str, Any], context: Any) -> dict[str, int]:
    """Publish what is due, as far as time allows; the next run, a minute later, publishes the rest."""
    now = time.time()
    publisher = AlertPublisher(STORE, ALERTS_TOPIC, HISTORY_STREAM, seconds_left(context), AUDIENCE)
    steps: list[Callable[[float], object]] = [
        publisher.publish_due,
        partial(publisher.publish_unsent, TOPIC),
        partial(publisher.publish_unsent, HISTORY),
        partial(STORE().live_since, DIGESTS),
        partial(_publish_absences, publisher),
    ]
    failures = [failure for step in steps if (failure := _failure(step, now))]
    publisher.write_metrics()
    if failures:
        raise failures[0]
    return {"sent": publisher.published_count}


def _publish_absences(publisher: AlertPublisher, now: float) -> None:
    for overdue in ABSENCES.overdue(now):
        publisher.add([overdue.alert])
        ABSENCES.settle(overdue, now)


def _failure(step: Callable[[float], object], now: float) -> StoreError | None:
    """Take one step, and return why the store could not do it: that must not keep back the notifications of another."""
    try:
        step(now)
    except StoreError as error:
        return error
    return None
