"""digest: publishes the summaries that are due each minute, and notifications that were not published before."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from tests.support.functions import Context, Topic, World, entry, kinesis, total, watching
from vaultwatch.dispatch.limits import GROUPS_OF_A_RULE
from vaultwatch.store import StoreError
from vaultwatch.store.dynamodb import adapter as dynamodb
from vaultwatch.store.dynamodb.settling import move_to_rules


def sns_and_firehose_are_unavailable(number: int, name: str, made: bool) -> None:
    if name.startswith(("SNS", "Firehose")):
        raise EndpointConnectionError(endpoint_url="https://aws")


def stored_unpublished(aws: World, *frames: bytes) -> None:
    """Store alerts whose notifications evaluate could not publish."""
    with watching(sns_and_firehose_are_unavailable):
        aws.evaluate(*frames)


def test_a_summary_is_published_in_the_minute_in_which_it_is_due(aws: World) -> None:
    aws.evaluate(aws.frame(*(entry(number) for number in range(6))))
    assert sorted(message.disposition for message in aws.published()) == ["first", *["suppressed"] * 5]
    aws.now += 3600
    aws.digest()
    (summary,) = aws.published()
    assert (summary.disposition, summary.merged_count) == ("summary", 5)
    aws.digest()
    assert aws.published() == []


def test_what_is_stored_and_not_published_is_published_after_a_minute(aws: World) -> None:
    stored_unpublished(aws, aws.frame(entry(1)))
    aws.now += 59
    aws.digest()
    assert aws.published() == []
    aws.now += 1
    assert aws.digest() == {"sent": 1}
    assert [message.disposition for message in aws.published()] == ["first"]
    aws.digest()
    assert (aws.published(), aws.unsent()) == ([], 0)


def test_notifications_for_people_are_published_before_suppressed_ones(aws: World) -> None:
    stored_unpublished(aws, aws.frame(*(entry(number) for number in range(150))))
    aws.now += 60
    with watching() as calls:
        aws.digest()
    published = [name for name in calls.names if name in ("SNS.PublishBatch", "Firehose.PutRecordBatch")]
    assert (published[0], set(published[1:])) == ("SNS.PublishBatch", {"Firehose.PutRecordBatch"})
    assert Counter(one.disposition for one in aws.published()) == {"first": 1, "suppressed": 149}


def test_what_firehose_did_not_accept_is_put_again_and_keeps_back_nothing_for_people(aws: World) -> None:
    def judge(number: int, name: str, made: bool) -> None:
        if name.startswith("Firehose"):
            raise EndpointConnectionError(endpoint_url="https://firehose")

    with watching(judge):
        aws.evaluate(aws.frame(*(entry(number) for number in range(8))))
        assert [one.disposition for one in aws.published()] == ["first"]
        aws.now += 60
        aws.digest()
    assert aws.published() == []
    aws.digest()
    assert ([one.disposition for one in aws.published()], aws.unsent()) == (["suppressed"] * 7, 0)


def test_a_notification_that_sns_refuses_is_postponed_and_delays_no_other(aws: World) -> None:
    stored_unpublished(aws, aws.frame(entry(1), entry(2, "auth/token/create-orphan"), entry(3, principal="bob")))
    digest = aws.function("digest")
    publish = digest.SNS.publish_batch

    def picky(**given: object) -> object:
        texts = [one["Message"] for one in given["PublishBatchRequestEntries"]]  # type: ignore[attr-defined]
        if any("alice" in text or "texts of this alert are left out" in text for text in texts):
            raise ClientError({"Error": {"Code": "InvalidParameter"}}, "PublishBatch")
        return publish(**given)

    digest.SNS.publish_batch = picky
    aws.now += 60
    digest.handler({}, Context())
    published = aws.published()
    assert published
    assert all("alice" not in str(message) for message in published)
    assert aws.unsent() == 1
    digest.SNS.publish_batch = publish
    digest.handler({}, Context())
    assert aws.published() == []
    aws.now += 60
    digest.handler({}, Context())
    assert (len(aws.published()), aws.unsent()) == (1, 0)


def test_an_unavailable_topic_is_called_once_a_minute(aws: World, capsys: pytest.CaptureFixture[str]) -> None:
    stored_unpublished(aws, aws.frame(*(entry(number) for number in range(25))))
    aws.now += 60
    with watching(sns_and_firehose_are_unavailable) as calls:
        aws.digest()
    assert calls.names.count("SNS.PublishBatch") == 1
    assert aws.unsent() == 25
    assert total(capsys.readouterr().out, "PublishFailures") == 2


def test_when_time_runs_out_the_next_run_continues(aws: World) -> None:
    stored_unpublished(aws, aws.frame(entry(1)))
    aws.now += 60
    aws.function("digest").handler({}, Context(10_000))
    assert aws.unsent() == 1


def test_a_flood_of_windows_that_end_delays_no_summary_of_another_rule(aws: World) -> None:
    for begin in range(0, 330, GROUPS_OF_A_RULE):
        numbers = range(begin, min(330, begin + GROUPS_OF_A_RULE))
        aws.evaluate(aws.frame(*(entry(number, principal=f"p{number % 300}") for number in numbers)))
    aws.now += 60
    aws.digest()
    aws.now += 2940
    for number, error in ((400, ""), (401, "permission denied")):
        aws.evaluate(aws.frame(entry(number, "sys/seal", error=error)))
    aws.published()
    aws.now += 600
    context = Context(55_000)

    def slow(*given: Any) -> None:
        context.left_ms -= 13_000
        move_to_rules(*given)

    aws.monkeypatch.setattr(dynamodb, "move_to_rules", slow)
    digest = aws.function("digest")
    digest.handler({}, context)
    published = aws.published()
    assert "audit_seal_requested" in {message.rule for message in published}
    assert sum(message.merged_count for message in published) == 1


def test_what_cannot_be_marked_as_sent_is_published_again_at_growing_intervals(aws: World) -> None:
    def marks_are_denied(number: int, name: str, made: bool) -> None:
        if name == "DynamoDB.PutItem":
            raise ClientError({"Error": {"Code": "AccessDeniedException"}}, "PutItem")

    stored_unpublished(aws, aws.frame(*(entry(number, principal=f"p{number}") for number in range(3))))
    digest, times = aws.function("digest"), Counter[str]()
    with watching(marks_are_denied):
        for _ in range(60):
            aws.now += 60
            with suppress(StoreError):
                digest.handler({}, Context(55_000))
            times.update(one.id for one in aws.published() if one.disposition == "first")
    assert sorted(times.values()) == [6, 6, 6]
    aws.now += 3600
    aws.digest()
    assert aws.unsent() == 0


def test_1_000_names_give_fifteen_notifications_and_one_count_of_the_others(aws: World) -> None:
    topic = Topic()
    evaluate, digest = (topic.behind(aws, name) for name in ("evaluate", "digest"))
    names = [f"p{number}" for number in range(1_000)]
    events = [entry(number, principal=name) for number, name in enumerate([*names, *names[:300], *names[:50]])]
    evaluate(kinesis(aws.frame(*events)), Context())
    for _ in range(2):
        aws.now += 60
        digest({}, Context())
    assert [one.merged_count for one in topic.for_people()] == [*[0] * 15, 985 + 250]
    aws.now += 3600
    digest({}, Context())
    assert len(topic.for_people()) == 16, "a repeat or two of a group is no summary"
