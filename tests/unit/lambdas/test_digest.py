"""digest: each minute the summaries that are due, and what is stored and not sent."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from tests.support.functions import Context, World, entry, kinesis, total, watching


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


def test_a_flood_under_many_names_is_one_message_a_minute_and_an_exact_count(aws: World) -> None:
    evaluate = aws.function("evaluate")
    for batch in range(5):
        lines = [entry(n, principal=f"p{n}") for n in range(batch * 20, batch * 20 + 20)]
        evaluate.handler(kinesis(aws.frame(*lines)), Context())
        aws.now += 10
    told = [message for message in aws.published() if message.tell == "first"]
    assert len(told) == 1
    aws.now += 10
    aws.digest()
    (summary,) = aws.published()
    assert (summary.tell, summary.merged_firsts) == ("summary", 99)
