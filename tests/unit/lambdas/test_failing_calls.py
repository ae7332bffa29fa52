"""Alerts first: whichever AWS call of a function fails, this is what still happens, and nothing is lost.

`ROWS` is the table, one row for each call that a function makes. Each call fails as if it were throttled, denied, or
not answered in time. The row says which alerts are nevertheless stored and published (or posted in Slack) by that very
invocation, and which metric shows the failure; a function that fails is retried, and has an alarm for its errors. When
the call works again, retries, `digest` and `sweep` bring every alert to its end.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from testbed.slack import SlackStandIn
from tests.support.dynamodb import make_client
from tests.support.functions import (
    ARCHIVE,
    AUDIT_TAG,
    BUCKET,
    Context,
    Judge,
    World,
    entry,
    kinesis,
    total,
    watching,
    world,
)
from tests.unit.lambdas.test_notify import Notify
from vaultwatch.aws.alerts_first import KEEPING_SECONDS
from vaultwatch.dispatch.notification import NOTIFIED
from vaultwatch.errors import VaultwatchError

FAULTS: dict[str, Callable[[str], Exception]] = {
    "throttled": lambda call: ClientError({"Error": {"Code": "ThrottlingException"}}, call),
    "denied": lambda call: ClientError({"Error": {"Code": "AccessDeniedException"}}, call),
    "timed out": lambda call: ReadTimeoutError(endpoint_url="https://aws"),
}
ROOT = Path(__file__).parents[3]
ERRORS = "Errors"  # AWS/Lambda's own metric: the function failed, and its event comes again


@dataclass(frozen=True)
class Row:
    """One call that fails, and what still happens.

    Attributes:
        scenario: The function that makes the call, and how it is set up.
        call: The call.
        shown_by: The metrics that count it.
        stored: Whose alerts are stored all the same.
        notified: Who is named all the same in what this invocation publishes or posts.
        after: The call only fails once this one has been made.
        times: How often it fails.
    """

    scenario: str
    call: str
    shown_by: tuple[str, ...]
    stored: str = ""
    notified: str = ""
    after: str = ""
    times: int = 1_000_000

    def __str__(self) -> str:
        return f"{self.scenario}: {self.call}" + (f" after {self.after}" if self.after else "")

    def judge(self, error: Callable[[str], Exception]) -> Judge:
        """Return what lets the call fail."""
        made, failed = set[str](), list[str]()

        def judge(number: int, name: str, is_made: bool) -> None:
            if is_made:
                made.add(name)
            elif name == self.call and len(failed) < self.times and (not self.after or self.after in made):
                failed.append(name)
                raise error(name)

        return judge


DYNAMODB_READ, DYNAMODB_WRITE = "DynamoDB.BatchGetItem", "DynamoDB.TransactWriteItems"
MARK_SENT, PUBLISH, QUERY = "DynamoDB.PutItem", "SNS.PublishBatch", "DynamoDB.Query"
KEEP = "Firehose.PutRecordBatch"
ROWS = [
    # alice is in a frame of her own, bob in lines that are in S3, carol beside a line that is rejected.
    Row("evaluate", "S3.GetObject", ("ParkedFrames",), stored="alice carol", notified="alice carol"),
    Row("evaluate", "S3.PutObject", (ERRORS,), stored="alice bob carol", notified="alice bob carol"),
    Row(
        "evaluate old frames", "S3.PutObject", ("UnkeptObjects",), stored="alice bob carol", notified="alice bob carol"
    ),
    Row("evaluate", DYNAMODB_READ, (ERRORS,)),
    Row("evaluate", DYNAMODB_WRITE, (ERRORS,)),
    Row("evaluate", PUBLISH, ("PublishFailures",), stored="alice bob carol"),
    Row("evaluate", KEEP, ("PublishFailures",), stored="alice bob carol", notified="alice bob carol"),
    Row("evaluate", MARK_SENT, (ERRORS,), stored="alice bob carol", notified="alice bob carol"),
    # 20 secrets that one identity has read, of which rules count 50: evaluate and sweep count on alone.
    Row("evaluate counting", "DynamoDB.UpdateItem", ("GroupsDropped",), stored="carol", notified="carol"),
    Row("sweep counting", "DynamoDB.UpdateItem", ("GroupsDropped",), stored="dave", notified="dave"),
    # dave is in an archived segment.
    Row("sweep", "S3.GetObject", (ERRORS,)),
    Row("sweep", DYNAMODB_READ, (ERRORS,)),
    Row("sweep", DYNAMODB_WRITE, (ERRORS,)),
    Row("sweep", PUBLISH, ("PublishFailures",), stored="dave"),
    Row("sweep", KEEP, ("PublishFailures",), stored="dave", notified="dave"),
    Row("sweep", "S3.PutObject", (ERRORS,), stored="dave", notified="dave"),
    Row("sweep", MARK_SENT, (ERRORS,), stored="dave", notified="dave"),
    # judy is in a batch that Lambda discarded, and bob in lines that are in S3.
    Row("sweep discarded", "S3.GetObject", (ERRORS,), stored="judy", notified="judy", after="S3.GetObject"),
    Row("sweep discarded", "Kinesis.GetShardIterator", (ERRORS,)),
    Row("sweep discarded", "Kinesis.GetRecords", (ERRORS,)),
    # erin's notification is unsent, and mallory's, which SNS refuses; frank's suppression window ends.
    Row("digest", QUERY, (ERRORS,)),
    Row("digest", QUERY, (ERRORS,), notified="erin", times=1),
    Row("digest", DYNAMODB_READ, (ERRORS,)),
    Row("digest", DYNAMODB_READ, (ERRORS,), notified="erin", times=1),
    Row("digest", DYNAMODB_WRITE, (ERRORS,), notified="erin"),
    Row("digest", "DynamoDB.TransactGetItems", (ERRORS,), notified="erin"),
    Row("digest", PUBLISH, ("PublishFailures", "UnsentNotifications")),
    Row("digest", KEEP, ("PublishFailures", "UnsentNotifications"), notified="erin frank"),
    Row("digest", MARK_SENT, (ERRORS,), notified="erin frank"),
    Row("digest", DYNAMODB_WRITE, (ERRORS, "RefusedNotifications"), notified="erin frank", after=MARK_SENT),
    # grace and heidi are in the queue.
    Row("notify", "Secrets Manager.GetSecretValue", ("FailedNotifications",)),
    Row("notify", DYNAMODB_READ, (), notified="grace heidi"),
    Row("notify", "DynamoDB.PutItem", (), notified="grace heidi"),
    Row("notify with a bot token", DYNAMODB_READ, (), notified="grace heidi"),
    Row("notify with a bot token", DYNAMODB_WRITE, (), notified="grace heidi"),
    Row("notify without slack", "SQS.ChangeMessageVisibility", ("FailedNotifications",)),
]
SERVICES = ("dynamodb", "firehose", "kinesis", "s3", "secretsmanager", "sns", "sqs")
OTHERS = {"SNS.Publish": "of watch, whose sinks fail in tests/faults/test_watch_sinks.py"}
NOT_OF_ALERTS = {"sign.py"}  # which certifies hosts: test_sign.py
READS = (ROOT / "tests/data/recordings/openbao-2.6.2/mass-read/audit.jsonl").read_bytes().splitlines()[:60]
NAMES = ["alice", "bob", "carol", "dave", "erin", "frank", "mallory", "grace", "heidi", "judy"]


@dataclass
class Scenario:
    """A function about to be invoked.

    Attributes:
        invoke: Invokes it on its event, the same one each time.
        people: Who must have been named to people in the end.
        named: Returns who was named to people since the last call.
        recover: What follows once the call works again.
    """

    invoke: Callable[[], Any]
    people: str
    named: Callable[[], set[str]]
    recover: Sequence[Callable[[], Any]] = field(default_factory=tuple)


def names_in(*texts: object) -> set[str]:
    """Return whose names are in these."""
    return {name for name in NAMES for text in texts if name in str(text)}


def bob_in_s3(aws: World) -> bytes:
    """A frame whose lines are in S3."""
    lines, key = entry(2, principal="bob") + b"\n", "oversize/dt=2026-11-21/lines"
    make_client("s3").put_object(Bucket=BUCKET, Key=key, Body=lines)
    return aws.reference(BUCKET, key, len(lines), hashlib.sha256(lines).hexdigest())


def evaluate(aws: World) -> Scenario:
    frames = [
        aws.frame(entry(1, principal="alice")),
        bob_in_s3(aws),
        aws.frame(entry(3, principal="carol"), entry(4, principal="carol"), AUDIT_TAG + b'{"broken'),
        b"no frame",
    ]

    def sweep_parked() -> None:
        for parked in aws.objects("parked/"):
            aws.sweep(BUCKET, parked)

    event = kinesis(*frames, numbers=aws.put(*frames))
    handler = aws.function("evaluate").handler
    return Scenario(partial(handler, event, Context()), "alice bob carol", named_on_topic(aws), [sweep_parked])


def make_rules_live(aws: World) -> None:
    """Let `digest` store that the rules have been live for an hour: people are not notified of what is older."""
    aws.now -= 3600
    aws.digest()
    aws.now += 3600


def sweep(aws: World) -> Scenario:
    make_rules_live(aws)
    key = aws.archive("00000002-20261121T075958", entry(1, principal="dave") + b"\n" + entry(2, principal="dave"))
    return Scenario(partial(aws.sweep, ARCHIVE, key), "dave", named_on_topic(aws))


def evaluate_counting(aws: World) -> Scenario:
    event = kinesis(aws.frame(entry(1, principal="carol"), *(AUDIT_TAG + line for line in READS)))
    return Scenario(partial(aws.function("evaluate").handler, event, Context()), "carol", named_on_topic(aws))


def sweep_counting(aws: World) -> Scenario:
    make_rules_live(aws)
    key = aws.archive("00000002-20261121T075958", b"\n".join([entry(1, principal="dave"), *READS]))
    return Scenario(partial(aws.sweep, ARCHIVE, key), "dave", named_on_topic(aws))


def evaluate_old_frames(aws: World) -> Scenario:
    scenario = evaluate(aws)
    aws.now += KEEPING_SECONDS
    return scenario


def sweep_discarded(aws: World) -> Scenario:
    make_rules_live(aws)
    key = aws.discard(aws.frame(entry(1, principal="judy")), bob_in_s3(aws))
    return Scenario(partial(aws.sweep, BUCKET, key), "judy bob", named_on_topic(aws))


def digest(aws: World) -> Scenario:
    aws.evaluate(aws.frame(*(entry(number, principal="frank") for number in range(6))))
    aws.now += 3500
    with watching(unavailable("SNS", "Firehose")):
        aws.evaluate(aws.frame(*(entry(7 + n, principal=name) for n, name in enumerate(("erin", "mallory", "erin")))))
    aws.now += 101
    aws.published()
    function = aws.function("digest")
    publish, refused = function.SNS.publish_batch, {"mallory", "texts of this alert are left out"}

    def picky(**given: Any) -> Any:
        if any(name in one["Message"] for one in given["PublishBatchRequestEntries"] for name in refused):
            raise ClientError({"Error": {"Code": "InvalidParameter"}}, "PublishBatch")
        return publish(**given)

    function.SNS.publish_batch = picky
    return Scenario(
        partial(function.handler, {}, Context(55_000)), "erin frank mallory", named_on_topic(aws), [refused.clear]
    )


def notify(aws: World, slack: SlackStandIn) -> Scenario:
    for number, name in enumerate(("grace", "heidi")):
        aws.evaluate(aws.frame(entry(number, principal=name)))
        aws.now += 60
    bodies = aws.queued()
    function = Notify(aws, slack)

    def named() -> set[str]:
        found = names_in(*slack.messages)
        slack.messages.clear()
        return found

    return Scenario(partial(function, *bodies), "grace heidi", named)


def notify_with_a_bot_token(aws: World, slack: SlackStandIn) -> Scenario:
    aws.monkeypatch.setenv("SLACK_CHANNEL", slack.channel)
    scenario = notify(aws, slack)
    make_client("secretsmanager").put_secret_value(SecretId=aws.secret, SecretString=slack.token)
    return scenario


def notify_without_slack(aws: World, slack: SlackStandIn) -> Scenario:
    slack.behave("500")
    scenario = notify(aws, slack)
    del sys.modules["lambdas.notify"].SQS.change_message_visibility  # the client's own
    scenario.recover = [partial(slack.behave, "ok")]
    return scenario


def named_on_topic(aws: World) -> Callable[[], set[str]]:
    """Who is named in the notifications for people since the last call."""
    return lambda: names_in(*(one for one in aws.published() if one.disposition in NOTIFIED))


def unavailable(*services: str) -> Judge:
    def judge(number: int, name: str, made: bool) -> None:
        if name.startswith(services):
            raise FAULTS["timed out"](name)

    return judge


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with world(monkeypatch, few=True) as made:
        yield made


@pytest.fixture
def scenarios(aws: World) -> Iterator[dict[str, Callable[[], Scenario]]]:
    """Every scenario by its name, to be set up."""
    with SlackStandIn(interval_seconds=0) as slack:
        alone = (evaluate, evaluate_counting, evaluate_old_frames, sweep, sweep_counting, sweep_discarded, digest)
        found = {function.__name__: partial(function, aws) for function in alone}
        for function in (notify, notify_with_a_bot_token, notify_without_slack):
            found[function.__name__] = partial(function, aws, slack)
        yield {name.replace("_", " "): made for name, made in found.items()}


Scenarios = dict[str, Callable[[], Scenario]]


def each_call_in_each_way() -> list[Any]:
    """Return each row with each fault, of which all but one, in turn, are long."""
    return [
        pytest.param(
            row, fault, marks=[] if position == number % len(FAULTS) else [pytest.mark.long], id=f"{row}-{fault}"
        )
        for number, row in enumerate(ROWS)
        for position, fault in enumerate(FAULTS)
    ]


@pytest.mark.parametrize(("row", "fault"), each_call_in_each_way())
def test_while_a_call_fails(
    aws: World, scenarios: Scenarios, capsys: pytest.CaptureFixture[str], row: Row, fault: str
) -> None:
    scenario = scenarios[row.scenario]()
    before = set(aws.alerts())
    capsys.readouterr()
    with watching(row.judge(FAULTS[fault])):
        failed = _fails(scenario.invoke)
    printed = capsys.readouterr().out

    stored = names_in(*(alert.summary for id_, alert in aws.alerts().items() if id_ not in before))
    assert stored == names_in(row.stored)
    named = scenario.named()
    assert named == names_in(row.notified)
    assert failed == (ERRORS in row.shown_by)
    assert all(total(printed, metric) > 0 for metric in row.shown_by if metric != ERRORS)

    # The call works again: a function that failed is retried, and everything else takes its way.
    for step in (*scenario.recover, scenario.invoke):
        step()
    for _ in range(3):
        aws.now += 61
        aws.digest()
    named |= scenario.named()
    assert named == names_in(scenario.people)
    assert names_in(scenario.people) <= names_in(*(alert.summary for alert in aws.alerts().values()))
    assert aws.unsent() == 0


@pytest.mark.parametrize("name", sorted({row.scenario for row in ROWS}))
def test_every_call_has_its_row(scenarios: Scenarios, name: str) -> None:
    """A new call without a row fails here: write down what still happens while it fails."""
    scenario = scenarios[name]()
    with watching() as calls:
        scenario.invoke()
    family = name.partition(" ")[0]
    assert set(calls.names) <= {row.call for row in ROWS if row.scenario.partition(" ")[0] == family}
    assert set(calls.names) >= {row.call for row in ROWS if row.scenario == name}


def test_no_call_in_the_code_is_missing_from_the_table() -> None:
    """Even one that no scenario makes: every method of a client of AWS that the functions' code names."""
    rooms = ("lambdas", "vaultwatch/aws", "vaultwatch/notify", "vaultwatch/store/dynamodb")
    files = [file for room in rooms for file in (ROOT / room).rglob("*.py") if file.name not in NOT_OF_ALERTS]
    named = {
        one.attr for file in files for one in ast.walk(ast.parse(file.read_text())) if isinstance(one, ast.Attribute)
    }
    clients = [make_client(service) for service in SERVICES]
    methods = {
        method: f"{client.meta.service_model.service_id}.{operation}"
        for client in clients
        for method, operation in client.meta.method_to_api_mapping.items()
    }
    assert {methods[name] for name in named & methods.keys()} - set(OTHERS) == {row.call for row in ROWS}


def _fails(invoke: Callable[[], Any]) -> bool:
    try:
        invoke()
    except (ClientError, ReadTimeoutError, VaultwatchError):
        return True
    return False
