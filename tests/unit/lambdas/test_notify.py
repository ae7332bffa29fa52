"""notify: from the queue into Slack, each message once as far as that can be known, and none lost."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from botocore.exceptions import ClientError

from testbed.slack import SlackStandIn
from tests.support.dynamodb import make_client
from tests.support.functions import Context, Killed, World, entry, queue_record, watching
from vaultwatch.notify.slack.webhook import SlackWebhook


@pytest.fixture
def slack() -> Iterator[SlackStandIn]:
    with SlackStandIn(interval_seconds=0) as slack:
        yield slack


class Notify:
    """The function, and the queue messages it is given."""

    def __init__(self, aws: World, slack: SlackStandIn) -> None:
        make_client("secretsmanager").put_secret_value(SecretId=aws.secret, SecretString=slack.webhook_url)
        self.aws = aws
        self.slept: list[float] = []
        self.hidden: list[tuple[str, int]] = []
        self.start()

    def start(self) -> None:
        self.module = self.aws.function("notify")
        self.aws.monkeypatch.setattr(self.module, "SlackWebhook", partial(SlackWebhook, interval_seconds=0))
        self.module.SQS.change_message_visibility = self.hide

    def hide(self, *, QueueUrl: str, ReceiptHandle: str, VisibilityTimeout: int) -> None:  # noqa: N803
        assert QueueUrl.endswith("/123456789012/slack")
        self.hidden.append((ReceiptHandle, VisibilityTimeout))

    def sleep(self, context: Context, seconds: float) -> None:
        self.slept.append(seconds)
        context.left_ms -= int(seconds * 1000)

    def __call__(self, *bodies: str, receives: int = 1, left_ms: int = 60_000) -> list[str]:
        """Run it; which messages it gave back."""
        records = [queue_record(body, number, receives) for number, body in enumerate(bodies)]
        context = Context(left_ms)
        self.aws.monkeypatch.setattr(self.module.time, "sleep", partial(self.sleep, context))
        answer = self.module.handler({"Records": records}, context)
        return [failed["itemIdentifier"] for failed in answer["batchItemFailures"]]


@pytest.fixture
def notify(aws: World, slack: SlackStandIn) -> Notify:
    return Notify(aws, slack)


@pytest.fixture
def bodies(aws: World) -> list[str]:
    """Three messages as the topic delivers them."""
    for number in range(3):
        aws.evaluate(aws.frame(entry(number, principal=f"p{number}")))
        aws.now += 60
    return aws.queued()


def test_each_message_is_one_post(notify: Notify, slack: SlackStandIn, bodies: list[str]) -> None:
    assert notify(*bodies) == []
    assert slack.accepted == 3


def test_the_envelope_of_sns_is_opened(notify: Notify, slack: SlackStandIn, bodies: list[str]) -> None:
    assert notify(json.dumps({"Type": "Notification", "Message": bodies[0]})) == []
    assert slack.accepted == 1


def test_what_was_told_is_not_told_again(notify: Notify, slack: SlackStandIn, bodies: list[str]) -> None:
    notify(bodies[0], bodies[0])
    notify.start()
    assert notify(*bodies) == []
    assert slack.accepted == 3


def test_without_its_table_it_tells_rather_twice_than_not(
    notify: Notify, slack: SlackStandIn, bodies: list[str]
) -> None:
    def judge(number: int, name: str, made: bool) -> None:
        if name.startswith("DynamoDB"):
            raise ClientError({"Error": {"Code": "InternalServerError"}}, "x")

    with watching(judge):
        assert notify(bodies[0]) == []
        assert notify(bodies[0]) == []
    assert slack.accepted == 2


def test_it_waits_as_long_as_slack_asks(notify: Notify, slack: SlackStandIn, bodies: list[str]) -> None:
    slack.behave("429", times=2)
    assert notify(*bodies) == []
    assert (notify.slept, slack.accepted) == ([1.0, 1.0], 3)


def test_when_there_is_no_time_to_wait_the_queue_does(notify: Notify, slack: SlackStandIn, bodies: list[str]) -> None:
    slack.behave("429", times=1)
    assert notify(*bodies, left_ms=15_500) == ["message-0", "message-1", "message-2"]
    assert notify.hidden == [("handle-0", 2), ("handle-1", 2), ("handle-2", 2)]
    assert notify(*bodies) == []


@pytest.mark.parametrize("left_ms", [15_500, 17_500])  # no time to wait, or time to wait in vain
def test_a_slack_that_is_busy_for_a_day_uses_up_no_message_s_receives(
    notify: Notify, slack: SlackStandIn, bodies: list[str], left_ms: int
) -> None:
    slack.behave("429")
    pauses = []
    for receives in range(1, 401):
        notify.hidden.clear()
        assert notify(bodies[0], receives=receives, left_ms=left_ms) == ["message-0"]
        pauses.append(notify.hidden[0][1])
    assert pauses[:3] == [2, 3, 5]
    assert sum(pauses) > 86_400


@pytest.mark.parametrize(("receives", "seconds"), [(1, 31), (2, 61), (5, 361), (200, 361)])
def test_when_slack_fails_the_rest_comes_back_later_and_later(
    notify: Notify, slack: SlackStandIn, bodies: list[str], receives: int, seconds: int
) -> None:
    slack.behave("500")
    assert notify(*bodies, receives=receives) == ["message-0", "message-1", "message-2"]
    assert {hidden for _, hidden in notify.hidden} == {seconds}
    assert slack.turned_away == 1


def test_what_slack_refuses_keeps_back_no_other_message(notify: Notify, slack: SlackStandIn, bodies: list[str]) -> None:
    slack.behave("invalid_blocks", times=1)
    assert notify(*bodies) == ["message-0"]
    assert slack.accepted == 2


def test_what_is_no_message_goes_to_the_dead_letters_alone(
    notify: Notify, slack: SlackStandIn, bodies: list[str]
) -> None:
    deep = "[" * 100_000 + "]" * 100_000
    odd = ("no json", "[1]", '{"Message": "x"}', deep, json.dumps({"Message": '{"merged":' + deep}))
    assert notify(*odd, bodies[0]) == [f"message-{number}" for number in range(5)]
    assert slack.accepted == 1


def test_a_webhook_that_is_replaced_is_read_anew(
    notify: Notify, slack: SlackStandIn, bodies: list[str], aws: World
) -> None:
    secrets = make_client("secretsmanager")
    for wrong in (slack.webhook_url + "old", "no URL"):
        secrets.put_secret_value(SecretId=aws.secret, SecretString=wrong)
        assert notify(*bodies[:2]) == ["message-0", "message-1"]
        assert {seconds for _, seconds in notify.hidden} == {31}
    secrets.put_secret_value(SecretId=aws.secret, SecretString=slack.webhook_url)
    assert notify(bodies[0]) == []


def test_the_secret_is_read_once_and_when_it_is_needed(notify: Notify, bodies: list[str]) -> None:
    with watching() as calls:
        notify.start()
        assert "Secrets Manager.GetSecretValue" not in calls.names
        notify(bodies[0])
        notify(bodies[1])
    assert calls.names.count("Secrets Manager.GetSecretValue") == 1


def test_the_webhook_is_in_no_log(
    notify: Notify,
    slack: SlackStandIn,
    bodies: list[str],
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    for behaviour in ("404", "500", "refuse", "ok"):
        slack.behave(behaviour)
        notify(*bodies)
    said: Any = capsys.readouterr()
    path = slack.webhook_url.rpartition("/")[2]
    assert path not in said.out + said.err + caplog.text


def test_a_kill_between_slack_and_its_receipt_tells_twice_and_loses_nothing(
    notify: Notify, slack: SlackStandIn, bodies: list[str]
) -> None:
    def judge(number: int, name: str, made: bool) -> None:
        if name == "DynamoDB.PutItem":
            raise Killed

    with watching(judge), pytest.raises(Killed):
        notify(*bodies)
    notify.start()
    assert notify(*bodies) == []
    assert slack.accepted == 4
