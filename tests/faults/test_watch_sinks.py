"""Slack and SNS unavailable, slow or refusing: reading continues, and a restart sends what they have not received."""

from __future__ import annotations

import json
import sqlite3
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from testbed.slack import Behaviour, SlackStandIn
from tests.support.handlers import unread
from tests.support.waiting import HUNG_SECONDS, eventually
from tests.support.watching import FAST, Watching, alerts_in, entry, harmless, numbers, options, start, unsent
from vaultwatch.watch.options import Pace, WatchOptions
from vaultwatch.watch.slack_options import WEBHOOK_VARIABLE

NOT_WAITING = replace(FAST, drain_seconds=0.0)
MANY = b"".join(map(harmless, range(10_000, 15_000)))


@pytest.fixture
def slack() -> Iterator[SlackStandIn]:
    with SlackStandIn(interval_seconds=0) as slack:
        yield slack


@pytest.fixture
def watched(slack: SlackStandIn, tmp_path: Path) -> WatchOptions:
    return options(tmp_path, environment={WEBHOOK_VARIABLE: slack.webhook_url})


@pytest.mark.parametrize("behaviour", ["500", "429", "404", "hang", "refuse"])
def test_a_slack_that_does_not_accept_messages_delays_only_itself(
    slack: SlackStandIn, watched: WatchOptions, behaviour: Behaviour
) -> None:
    slack.behave(behaviour)
    with Watching(replace(watched, pace=NOT_WAITING)) as watching:
        watching.write(entry(1))
        slack.wait_for_turned_away(1)
        watching.write(MANY + entry(2, "sys/step-down", kind="request"))
        watching.wait_for_alerts(2)
        watching.wait_until_read()
        assert slack.accepted == 0
    assert unsent(watched, "slack") == 2
    slack.behave("ok")
    with Watching(watched):
        slack.wait_for(2)
    assert unsent(watched, "slack") == 0
    assert watched.alert_log is not None
    assert numbers(alerts_in(watched.alert_log)) == [1, 2]


def test_a_slack_that_recovers_receives_everything_in_the_same_run(slack: SlackStandIn, watched: WatchOptions) -> None:
    slack.behave("500")
    with Watching(watched) as watching:
        watching.write(entry(1))
        slack.wait_for_turned_away(2)
        slack.behave("ok")
        slack.wait_for(1)


def test_a_closed_port_is_the_same(tmp_path: Path) -> None:
    with SlackStandIn() as gone:
        url = gone.webhook_url
    unreachable = options(tmp_path, environment={WEBHOOK_VARIABLE: url})
    with Watching(unreachable) as watching:
        watching.write(entry(1) + MANY)
        watching.wait_for_log("Slack could not be reached")
        watching.wait_until_read()
    assert unsent(unreachable, "slack") == 1
    assert "SECRET" not in Path(str(unreachable.log_file)).read_text()
    assert url.rpartition("/")[2] not in Path(str(unreachable.log_file)).read_text()


def test_queued_notifications_are_sent_before_the_exit(slack: SlackStandIn, watched: WatchOptions) -> None:
    paths = ["sys/seal", "sys/step-down", "sys/policies/acl/x"]
    with Watching(watched) as watching:
        watching.write(b"".join(entry(number, path) for number, path in enumerate(paths)))
    assert slack.accepted == 3
    assert "exiting: all notifications are sent" in Path(str(watched.log_file)).read_text()


def test_a_flood_is_fifteen_notifications_and_one_exact_count(slack: SlackStandIn, watched: WatchOptions) -> None:
    """10,000 principals in one burst: fifteen notifications a minute; the rest is counted, to the last."""
    flood = b"".join(entry(number, principal=f"p{number}") for number in range(10_000))
    only_slack = replace(watched, alert_log=None, stats=watched.state_directory.parent / "stats")
    process = start(only_slack)
    try:
        assert process.stdin is not None
        process.stdin.write(flood[: len(flood) // 10])
        before = resident_mebibytes(process.pid)
        process.stdin.write(flood[len(flood) // 10 :])
        eventually(lambda: not unread(process.stdin.fileno()))  # type: ignore[union-attr]
        assert resident_mebibytes(process.pid) < before + 40
        process.stdin.close()
        assert process.wait(HUNG_SECONDS) == 0
    finally:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()
    stats = only_slack.stats
    assert stats is not None
    assert json.loads(stats.read_bytes())["alerts"] == 10_000
    assert 15 <= slack.accepted <= 32, "fifteen and a summary, and as many again if the burst took a minute"
    assert counted(only_slack) == 10_000 - slack.accepted


def counted(options: WatchOptions) -> int:
    """Return how many alerts wait to be counted in a notification."""
    with closing(sqlite3.connect(options.store_file)) as db:
        bodies = db.execute("SELECT body FROM held").fetchall() + db.execute("SELECT body FROM window").fetchall()
    rows = [json.loads(body) for (body,) in bodies]
    return sum(row["count"] if "count" in row else (row["tally"] or [0, 0, 0])[2] for row in rows)


def resident_mebibytes(pid: int) -> float:
    """Return the resident memory of the process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def test_memory_stays_constant_over_two_hundred_thousand_lines_and_one_of_64_mebibytes(tmp_path: Path) -> None:
    watched = options(tmp_path, rejected=tmp_path / "rejected", stats=tmp_path / "stats")
    block = b"".join(map(harmless, range(2000)))
    process = start(watched)
    try:
        assert process.stdin is not None
        for _ in range(10):
            process.stdin.write(block)
        before = resident_mebibytes(process.pid)
        for _ in range(90):
            process.stdin.write(block)
        assert resident_mebibytes(process.pid) < before + 20
        process.stdin.write(b"\0" * (64 * 2**20) + b"\n" + entry(1))
        process.stdin.close()
        assert process.wait(HUNG_SECONDS) == 0
    finally:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()
    assert watched.stats is not None
    figures = json.loads(watched.stats.read_bytes())
    over_budget = 1  # the line of NUL, although it is rejected
    assert (figures["audit"], figures["rejected"], figures["alerts"]) == (200_001, 1, 1 + over_budget)
    assert (tmp_path / "rejected").stat().st_size > 64 * 2**20


class TestSns:
    @pytest.fixture
    def server(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
        server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
        server.start()
        _, port = server.get_host_and_port()
        url = f"http://127.0.0.1:{port}"
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        yield url
        with urllib.request.urlopen(urllib.request.Request(f"{url}/moto-api/reset", method="POST")):
            pass
        server.stop()

    @pytest.mark.usefixtures("server")
    def test_notifications_that_it_could_not_receive_are_sent_after_a_restart(self, tmp_path: Path) -> None:
        with closing(boto3.client("sns")) as sns, closing(boto3.client("sqs")) as sqs:
            queue = sqs.create_queue(QueueName="q")["QueueUrl"]
            arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
            watched = options(tmp_path, sns_topic=arn.replace(":sqs:", ":sns:").replace(":q", ":later"))
            with Watching(watched) as watching:
                watching.write(entry(1) + MANY)
                watching.wait_for_log("SNS answered NotFound")
                watching.wait_until_read()
            topic = sns.create_topic(Name="later")["TopicArn"]
            sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
            with Watching(watched):
                eventually(lambda: sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]["ApproximateNumberOfMessages"] == "1")  # fmt: skip  # noqa: E501
            (message,) = sqs.receive_message(QueueUrl=queue)["Messages"]
        body = json.loads(message["Body"])
        assert "audit_device_enabled" in body["Message"]
        assert body["MessageAttributes"]["disposition"]["Value"] == "first"


class TestLatency:
    def test_the_alert_on_a_response_is_in_the_alert_log_without_delay(self, watched: WatchOptions) -> None:
        never = dict.fromkeys(asdict(FAST), 3600.0) | {"drain_seconds": FAST.drain_seconds}
        with Watching(replace(watched, pace=Pace(**never))) as watching:
            watching.write(harmless(0))
            watching.wait_until_read()
            watching.write(entry(1))
            watching.wait_for_alerts(1)

    def test_with_a_slack_that_hangs_the_exit_takes_no_longer_than_the_drain(
        self, slack: SlackStandIn, watched: WatchOptions
    ) -> None:
        slack.behave("hang")
        with Watching(replace(watched, pace=replace(FAST, drain_seconds=0.2))) as watching:
            watching.write(entry(1))
            slack.wait_for_turned_away(1)
            watching.end()
            watching.wait()
            assert "sending to slack" in {thread.name for thread in threading.enumerate()}, (
                "the handler waited for Slack"
            )
