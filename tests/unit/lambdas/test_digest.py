"""digest: each minute the summaries that are due, and what is stored and not sent."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from tests.support.functions import AUDIT_TAG, Context, World, entry, kinesis, total, watching
from vaultwatch.alerts import alert_id
from vaultwatch.delivery.messages import decode_message
from vaultwatch.store import TOLD, Message, dynamodb


def sns_is_away(number: int, name: str, made: bool) -> None:
    if name.startswith("SNS"):
        raise EndpointConnectionError(endpoint_url="https://sns")


def left_unsent(aws: World, *frames: bytes) -> None:
    """Alerts that evaluate stored and could not publish."""
    with watching(sns_is_away):
        aws.evaluate(*frames)


def test_a_summary_is_published_in_the_minute_in_which_it_is_due(aws: World) -> None:
    aws.evaluate(aws.frame(*(entry(number) for number in range(5))))
    assert sorted(message.tell for message in aws.published()) == ["first", "quiet", "quiet", "quiet", "quiet"]
    aws.now += 3600
    aws.digest()
    (summary,) = aws.published()
    assert (summary.tell, summary.merged_count) == ("summary", 4)
    aws.digest()
    assert aws.published() == []


def test_what_is_stored_and_not_sent_is_sent_when_it_is_a_minute_old(aws: World) -> None:
    left_unsent(aws, aws.frame(entry(1)))
    aws.now += 59
    aws.digest()
    assert aws.published() == []
    aws.now += 1
    assert aws.digest() == {"sent": 1}
    assert [message.tell for message in aws.published()] == ["first"]
    aws.digest()
    assert (aws.published(), aws.unsent()) == ([], 0)


def test_what_people_are_told_goes_before_what_is_only_counted(aws: World) -> None:
    left_unsent(aws, aws.frame(*(entry(number) for number in range(150))))
    aws.now += 60
    digest = aws.function("digest")
    sent: list[str] = []
    publish = digest.SNS.publish_batch

    def listening(**given: object) -> object:
        entries = given["PublishBatchRequestEntries"]
        sent.extend(one["MessageAttributes"]["tell"]["StringValue"] for one in entries)  # type: ignore[attr-defined]
        return publish(**given)

    digest.SNS.publish_batch = listening
    digest.handler({}, Context())
    assert (sent[0], len(sent), set(sent[1:])) == ("first", 150, {"quiet"})


def test_a_message_that_the_topic_refuses_is_put_off_and_keeps_back_no_other(aws: World) -> None:
    left_unsent(aws, aws.frame(entry(1), entry(2, "auth/token/create-orphan"), entry(3, principal="bob")))
    digest = aws.function("digest")
    publish = digest.SNS.publish_batch

    def picky(**given: object) -> object:
        if any("alice" in one["Message"] for one in given["PublishBatchRequestEntries"]):  # type: ignore[attr-defined]
            raise ClientError({"Error": {"Code": "InvalidParameter"}}, "PublishBatch")
        return publish(**given)

    digest.SNS.publish_batch = picky
    aws.now += 60
    digest.handler({}, Context())
    told = aws.published()
    assert told
    assert all("alice" not in str(message) for message in told)
    assert aws.unsent() == 1
    digest.SNS.publish_batch = publish
    digest.handler({}, Context())
    assert aws.published() == []
    aws.now += 60
    digest.handler({}, Context())
    assert (len(aws.published()), aws.unsent()) == (1, 0)


def test_a_topic_that_is_away_is_asked_once_a_minute(aws: World, capsys: pytest.CaptureFixture[str]) -> None:
    left_unsent(aws, aws.frame(*(entry(number) for number in range(25))))
    aws.now += 60
    with watching(sns_is_away) as calls:
        aws.digest()
    assert calls.names.count("SNS.PublishBatch") == 1
    assert aws.unsent() == 25
    assert total(capsys.readouterr().out, "PublishFailures") == 2


def test_when_time_runs_out_the_next_minute_goes_on(aws: World) -> None:
    left_unsent(aws, aws.frame(entry(1)))
    aws.now += 60
    aws.function("digest").handler({}, Context(10_000))
    assert aws.unsent() == 1


class Topic:
    """Takes what functions publish; moto's own hands it to a queue that grows slower with each message."""

    def __init__(self, aws: World, *functions: str) -> None:
        self.told: list[tuple[float, Message]] = []
        self._aws = aws
        self.handlers = [self._function(name) for name in functions]

    def _function(self, name: str) -> Any:
        module = self._aws.function(name)
        module.SNS.publish_batch = self._take
        return module.handler

    def _take(self, **given: Any) -> dict[str, Any]:
        entries = given["PublishBatchRequestEntries"]
        assert len(entries) <= 10
        assert sum(len(str(one)) for one in entries) < 256 * 1024
        found = [decode_message(json.loads(one["Message"])["sqs"].encode()) for one in entries]
        self.told += [(self._aws.now, message) for message in found]
        return {"Successful": [{"Id": one["Id"]} for one in entries]}

    def to_people(self) -> list[tuple[float, Message]]:
        """What they were told, and when."""
        return [(at, message) for at, message in self.told if message.tell in TOLD]


def test_a_flood_of_10_000_under_10_000_names_is_one_message_a_minute_and_an_exact_count(aws: World) -> None:
    topic = Topic(aws, "evaluate", "digest")
    evaluate, digest = topic.handlers
    begun = aws.now
    events = [entry(number, principal=f"p{number}") for number in range(10_000)]
    frames = [aws.frame(*events[at : at + 500]) for at in range(0, len(events), 500)]
    for at in range(0, len(frames), 4):
        evaluate(kinesis(*frames[max(0, at - 1) : at + 4]), Context())  # the last frame of the batch before comes again
        aws.now += 10
    aws.now = begun + 60
    digest({}, Context())
    (first_at, first), (summary_at, summary) = topic.to_people()
    assert (first.tell, first_at, summary.tell, summary_at) == ("first", begun, "summary", begun + 60)
    assert (summary.merged_firsts, summary.merged_followed) == (9_999, 0)
    published = [alert.id for _, message in topic.told for alert in message.alerts]
    assert len(published) == len(events)
    assert set(published) == {
        alert_id("audit_policy_written", json.loads(line[len(AUDIT_TAG) :])["request"]["id"]) for line in events
    }
    assert aws.unsent() == 0


def test_a_flood_of_quiet_periods_that_end_keeps_back_no_summary_of_another_rule(aws: World) -> None:
    aws.evaluate(aws.frame(*(entry(number, principal=f"p{number % 300}") for number in range(330))))
    aws.now += 60
    aws.digest()
    aws.now += 2940
    aws.evaluate(aws.frame(*(entry(number, "sys/seal", principal=f"p{number}") for number in (400, 401))))
    aws.published()
    aws.now += 600
    context = Context(55_000)

    def slow(*given: Any) -> None:
        context.left_ms -= 13_000
        close_periods(*given)

    close_periods = dynamodb._close_periods
    aws.monkeypatch.setattr(dynamodb, "_close_periods", slow)
    digest = aws.function("digest")
    digest.handler({}, context)
    told = aws.published()
    assert "audit_seal_requested" in {message.rule for message in told}
    for _ in range(2):
        context.left_ms = 55_000
        aws.now += 60
        digest.handler({}, context)
    assert sum(message.merged_followed for message in (*told, *aws.published())) == 30


def test_what_followed_in_1_000_quiet_periods_is_one_message_when_they_end(aws: World) -> None:
    topic = Topic(aws, "evaluate", "digest")
    evaluate, digest = topic.handlers
    names = [f"p{number}" for number in range(1_000)]
    events = [entry(number, principal=name) for number, name in enumerate([*names, *names[:300], *names[:50]])]
    evaluate(kinesis(aws.frame(*events)), Context())
    for _ in range(2):
        aws.now += 60
        digest({}, Context())
    assert [message.merged_count for _, message in topic.to_people()] == [0, 999]
    aws.now += 3600
    digest({}, Context())
    last = topic.to_people()[2:]
    assert [(message.tell, message.merged_firsts, message.merged_followed) for _, message in last] == [
        ("summary", 0, 350)
    ]
