"""Each minute: ends quiet periods and tells what they counted; sends again what is stored and not sent."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import msgspec

from lambdas import _metrics
from lambdas._environment import load_rules, make_client, read_environment
from lambdas._telling import SINK, Teller, open_store

UNSENT_AFTER_SECONDS = 60.0  # younger ones are evaluate's, which may be sending them at this moment
_SPARE_SECONDS = 30.0  # for what else there is to do when quiet periods end; Lambda gives 55 in all
_PAGE = 100
_LONGEST_PAUSE_SECONDS = 3600.0


class Environment(msgspec.Struct, frozen=True):
    """Variables of this function."""

    alert_memory_days: int
    table_name: str
    topic_arn: str


ENVIRONMENT = read_environment(Environment)
RULES = {rule.name: rule.digest for rule in load_rules()}
SNS = make_client("sns")
STORE = partial(open_store, make_client("dynamodb"), ENVIRONMENT.table_name, ENVIRONMENT.alert_memory_days)


def handler(event: dict[str, Any], context: Any) -> dict[str, int]:
    """Do what is due; what this minute cannot do, the next does."""
    now = time.time()
    teller = Teller(STORE, SNS, ENVIRONMENT.topic_arn, context)
    STORE().live_since(RULES, now)
    teller.publish(STORE().settle(now, lambda: context.get_remaining_time_in_millis() > _SPARE_SECONDS * 1000))
    _send_what_was_left(teller, now)
    teller.report()
    return {"sent": teller.publisher.sent}


def _send_what_was_left(teller: Teller, now: float) -> None:
    publisher, left = teller.publisher, 0
    while publisher.goes_on and (page := STORE().unsent(SINK, now, limit=_PAGE, age_seconds=UNSENT_AFTER_SECONDS)):
        left += len(page)
        already = len(publisher.refused)
        publisher.publish([unsent.message for unsent in page])
        attempts = {unsent.message.id: unsent.attempts for unsent in page}
        for message in publisher.refused[already:]:
            pause = min(60.0 * 2.0 ** min(attempts[message.id], 10), _LONGEST_PAUSE_SECONDS)
            STORE().put_off(message.id, SINK, now + pause)
    _metrics.count({"UnsentMessages": left})
