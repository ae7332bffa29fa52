"""notify: sends batches of an SQS event source to Slack, and reports what Slack did not accept as failed."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from functools import partial

import pytest
from msgspec.structs import replace

from testbed.slack import SlackStandIn
from tests.support.dynamodb import SEAL_KEY, make_client
from tests.support.functions import Context, Killed, World, entry, queue_record, total, watching
from vaultwatch.notify.machine import decode_notification, sealed_json
from vaultwatch.notify.slack.bot import SlackBot
from vaultwatch.notify.slack.webhook import SlackWebhook
from vaultwatch.seals import Seal


@pytest.fixture
def slack() -> Iterator[SlackStandIn]:
    with SlackStandIn(interval_seconds=0) as slack:
        yield slack


class Notify:
    """The function, and the events it is called with."""

    def __init__(self, aws: World, slack: SlackStandIn) -> None:
        make_client("secretsmanager").put_secret_value(SecretId=aws.secret, SecretString=slack.webhook_url)
        self.aws = aws
        self.slack = slack
        self.hidden: list[tuple[str, int]] = []
        self.start()

    def start(self) -> None:
        """Start the function as in a new process."""
        self.module = self.aws.function("notify")
        bot = partial(SlackBot, interval_seconds=0, api_url=self.slack.api_url)
        self.aws.monkeypatch.setattr(self.module, "SlackWebhook", partial(SlackWebhook, interval_seconds=0))
        self.aws.monkeypatch.setattr(self.module, "SlackBot", bot)
        self.module.SQS.change_message_visibility = self.hide

    def hide(self, *, QueueUrl: str, ReceiptHandle: str, VisibilityTimeout: int) -> None:  # noqa: N803
        assert QueueUrl.endswith("/123456789012/slack")
        self.hidden.append((ReceiptHandle, VisibilityTimeout))

    def __call__(self, *bodies: str, receives: int = 1) -> list[str]:
        """Return which messages it reports as failed."""
        records = [queue_record(body, number, receives) for number, body in enumerate(bodies)]
        answer = self.module.handler({"Records": records}, Context(60_000))
        return [failed["itemIdentifier"] for failed in answer["batchItemFailures"]]


@pytest.fixture
def notify(aws: World, slack: SlackStandIn) -> Notify:
    return Notify(aws, slack)


@pytest.fixture
def bodies(aws: World) -> list[str]:
    """Three notifications as the topic delivers them."""
    for number in range(3):
        aws.evaluate(aws.frame(entry(number, principal=f"p{number}")))
        aws.now += 60
    return aws.queued()


def test_each_notification_is_one_post(notify: Notify, slack: SlackStandIn, bodies: list[str]) -> None:
    assert notify(*bodies) == []
    assert slack.accepted == 3


def test_what_somebody_else_publishes_is_dropped_and_counted_and_the_real_one_of_that_name_is_posted(
    notify: Notify, slack: SlackStandIn, bodies: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The credential of a function that publishes is enough to read the stream, and to compute what comes."""
    forged = bodies[0].replace("p0", "mallory")
    capsys.readouterr()
    assert notify(forged, json.dumps({"Message": forged}), bodies[0]) == []
    assert slack.accepted == 1
    assert "mallory" not in str(slack.messages)
    assert total(capsys.readouterr().out, "ForeignMessages") == 2


def test_notifications_that_slack_does_not_accept_return_and_stay_hidden_longer_each_time(
    notify: Notify, slack: SlackStandIn, bodies: list[str]
) -> None:
    slack.behave("500")
    assert notify(*bodies, receives=2) == ["message-0", "message-1", "message-2"]
    assert notify.hidden == [("handle-0", 121), ("handle-1", 61), ("handle-2", 61)]


def test_a_restarted_function_sends_nothing_again(notify: Notify, slack: SlackStandIn, bodies: list[str]) -> None:
    notify(bodies[0], bodies[0])
    notify.start()
    assert notify(*bodies) == []
    assert slack.accepted == 3


def test_a_webhook_that_was_replaced_is_read_again(
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
    output = capsys.readouterr()
    path = slack.webhook_url.rpartition("/")[2]
    assert path not in output.out + output.err + caplog.text


def test_a_kill_between_acceptance_and_its_record_sends_twice_and_loses_nothing(
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


class TestWithABotToken:
    @pytest.fixture
    def notify(self, aws: World, slack: SlackStandIn) -> Notify:
        aws.monkeypatch.setenv("SLACK_CHANNEL", slack.channel)
        notify = Notify(aws, slack)
        make_client("secretsmanager").put_secret_value(SecretId=aws.secret, SecretString=slack.token)
        return notify

    def test_a_group_is_one_message_whichever_process_continues_it(
        self, notify: Notify, slack: SlackStandIn, bodies: list[str]
    ) -> None:
        first, second, other = (
            sealed_json(replace(decode_notification(body.encode()), group=group), 100_000, Seal(SEAL_KEY)).decode()
            for body, group in zip(bodies, ("a" * 32, "a" * 32, "b" * 32), strict=True)
        )
        assert notify(first, other) == []
        notify.start()
        assert notify(second) == []
        assert [post.thread_ts for post in slack.messages] == ["", "", slack.messages[0].ts]
        assert slack.updated == 1

    def test_a_revoked_token_loses_nothing_and_is_read_again(
        self, notify: Notify, slack: SlackStandIn, bodies: list[str], aws: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        secrets = make_client("secretsmanager")
        for wrong in ("xoxb-revoked-SECRET", slack.webhook_url):
            secrets.put_secret_value(SecretId=aws.secret, SecretString=wrong)
            assert notify(bodies[0]) == ["message-0"]
        assert "Slack answered 200 invalid_auth" in caplog.text
        assert "SECRET" not in caplog.text
        secrets.put_secret_value(SecretId=aws.secret, SecretString=slack.token)
        assert notify(bodies[0]) == []
        assert slack.accepted == 1
