"""From frames to notifications, through everything that the templates deploy."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zstandard

from testbed.aws import Call
from testbed.deployment import Deployment, deploy
from testbed.recorded import tagged
from tests.unit.lambdas.test_failing_calls import ROWS
from vaultwatch.alerts import alert_of
from vaultwatch.aws.keys import segment
from vaultwatch.detection.detector import Detector
from vaultwatch.frames import Heartbeat, Reference
from vaultwatch.rules.compiling.collection import compile_with_values
from vaultwatch.rules.pack import decode_pack, encode_pack, shipped_rules

NO_HEARTBEATS = {"vaultwatch-audit-heartbeats-missing", "vaultwatch-server-heartbeats-missing"}
# What event source mappings call with the role of their function.
BY_AWS = {
    *("kinesis.describestreamsummary", "kinesis.listshards", "sqs.receivemessage", "sqs.deletemessage"),
    *("sqs.deletemessagebatch", "sqs.getqueueattributes", "s3.headbucket"),
}
# Permissions that no call in these tests needs, each with its reason.
NOT_SEEN_HERE = {
    "*: WriteLogs: *": "the Lambda runtime, and Firehose, write their logs with the role",
    "*: Trace: *": "Lambda's X-Ray daemon sends the segments",
    "SweepFunctionRole*: SeeMissingObjects: *": "S3 denies access to missing objects otherwise",
    "SweepFunctionRole*: WriteExcluded: *": "only a record that ends a process needs it: test_hostile_frames.py",
    "SweepFunctionRole*: WriteFailed: *": "only an alert that raises needs it: test_failing_alerts.py",
    "SlackFunctionRole*: *Messages: * on *SlackOtherQueue*": "only a message with another key: test_forged_messages.py",
    "ReconciliationFunctionRole*: ReadCopies: *": "only an hour that both copies have passed: the test of a day later",
    "ReconciliationFunctionRole*: DecryptObjects: *": "as above",
    "ReconciliationFunctionRole*: ReceiveMessages: sqs:DeleteMessage on *": "as above",
    "EvaluationFunctionRole*: ReadStream: kinesis:DescribeStream on *": "the Lambda guide asks for it",
    "EvaluationFunctionRole*: StoreAlerts: dynamodb:PutItem on * for added#*": "in a crowd of writers, as in sweep",
    "DigestFunctionRole*: * for family#*": "no shipped rule that expects an event has others on the same fact",
    "HistoryRole*: WriteAlerts: s3:AbortMultipartUpload on *": "Firehose, when a large object fails",
    "HistoryRole*: WriteAlerts: s3:GetObject on *": "Firehose, as its guide asks",
    "HistoryRole*: FindBucket: *": "Firehose, as its guide asks",
    "HistoryRole*: DecryptObjects: *": "Firehose, for the parts of a large object",
}


@pytest.fixture(scope="module")
def expecting(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of a deployment whose placeholder names a backup job, so that its snapshots are expected."""
    copied = tmp_path_factory.mktemp("expecting") / bundle.name
    shutil.copytree(bundle, copied, copy_function=os.link)
    pack = copied / "vaultwatch/rules/pack.json"
    values = msgspec.yaml.decode((FIXTURES / MISSING / "placeholders.yaml").read_bytes())
    names = ["audit_backup_snapshot_taken", "audit_snapshot_taken"]
    filled = compile_with_values(FIXTURES.parent, names, values)
    rules = [filled.get(rule.name, rule.compiled) for rule in decode_pack(pack.read_bytes())]
    pack.unlink()  # a link to that of the other tests
    pack.write_bytes(encode_pack(rules))
    return copied


@pytest.fixture
def deployment(deployed_templates: dict[str, Any], expecting: Path) -> Iterator[Deployment]:
    with deploy(deployed_templates, expecting) as deployment:
        yield deployment


RECORDINGS = Path(__file__).parents[1] / "data/recordings"
FIXTURES = Path(__file__).parents[2] / "rules/fixtures"
READS = FIXTURES / "audit_secrets_read_in_bulk/match.jsonl"
MISSING = "audit_backup_snapshot_missing"
SNAPSHOTS = [b"@prod/n/file " + line for line in (FIXTURES / MISSING / "match.jsonl").read_bytes().splitlines(True)]
COUNTING = {rule.name for rule in shipped_rules() if rule.compiled.correlation}


def detected(*logs: list[bytes]) -> set[str]:
    """Return the ids of the alerts that these logs raise, without any AWS; no counts, which depend on the batches."""
    detector = Detector(shipped_rules())
    found = [verdict for lines in logs for verdict in detector.feed(lines)]
    return {alert_of(verdict).id for verdict in [*found, *detector.flush()] if not verdict.counted}


@pytest.mark.parametrize("product", ["vault-1.14.2", pytest.param("openbao-2.6.2", marks=pytest.mark.long)])
def test_recordings_raise_the_alerts_that_check_finds(deployment: Deployment, product: str) -> None:
    aws, audit = deployment.aws, tagged(product, "audit")
    # In one frame: a message without a time takes that of the message before it in its frame.
    server = [line for lines in tagged(product, "server") for line in lines]
    deployment.ship(*audit)
    deployment.ship(server, source="server")
    expected = detected(*audit) | detected(server)
    aws.run_until_idle()
    aws.tick(301)  # Firehose's interval, and the suppression window of critical alerts

    stored, published = deployment.alert_ids(), deployment.published()
    assert not aws.failures
    assert not aws.deliveries.failures
    counted = {alert.id for one in published for alert in one.alerts if alert.rule in COUNTING}
    assert set(stored) - counted == expected
    assert len(stored) == len(set(stored))
    assert sorted(alert.id for one in published for alert in one.alerts) == sorted(stored)
    assert aws.fired_alarms() == NO_HEARTBEATS
    firsts = sum(one.disposition == "first" for one in published)
    assert 0 < firsts < deployment.slack.accepted == len(aws.mails)  # the rest are summaries


def test_failures_are_kept_and_retried_and_no_role_allows_more_than_that_needs(
    deployment: Deployment,
) -> None:
    aws, audit = deployment.aws, tagged("vault-1.14.2", "audit")
    lines = audit[1]

    # sweep and digest meet another writer at first, and sweep does not change what a rule holds for a minute.
    crowded: set[str] = set()

    def meet(call: Call) -> str:
        is_first = (call.operation, call.role in crowded, "Evaluation" in call.role) == (
            "TransactWriteItems",
            False,
            False,
        )
        crowded.update([call.role] if is_first else [])
        return "ConditionalCheckFailedException" if is_first else ""

    aws.endpoint.fault = meet

    # An unreadable frame among good ones is parked, the others are evaluated. A line that is no audit entry is kept.
    unreadable = deployment.frame(lines)[:-1] + b"?"
    deployment.put(*(deployment.frame([line]) for line in lines[:98]), unreadable, deployment.frame(lines[98:]))
    deployment.ship([b'@prod/n/file {"type": 7}\n'])
    aws.run_until_idle()
    assert set(deployment.alert_ids()) == detected(lines)
    assert list(deployment.objects("parked/").values()) == [unreadable]
    assert [b"type" in body for body in deployment.objects("rejected/").values()] == [True]

    # Lines too large for a record are in S3, from where evaluate reads them.
    deployment.ship(put_oversize(deployment, b"".join(audit[6])))
    aws.run_until_idle()

    # What only the archive has, sweep stores, and marks it late.
    unsent = [with_time(line, aws.now()) for line in audit[8]]
    archive(deployment, unsent, number=1)
    aws.run_until_idle()
    swept = detected(unsent)
    known = detected(lines, audit[6]) | swept

    # Repeated errors become a summary; alerts of several rules on one fact are sighted.
    server = [line for index in (5, 9) for line in tagged("vault-1.14.2", "server")[index]]
    deployment.ship(server, source="server")
    aws.run_until_idle()
    known |= detected(server)
    assert set(deployment.alert_ids()) == known

    # An archived segment with the same lines notifies of nothing again; what the stream missed is marked late.
    messages = deployment.slack.accepted
    archive(deployment, lines, number=2)
    aws.run_until_idle()
    assert set(deployment.alert_ids()) == known
    assert deployment.slack.accepted == messages
    missed = [with_time(line, aws.now()) for line in audit[7]]
    archive(deployment, missed, number=3)
    aws.run_until_idle()
    late = detected(missed) - known
    assert late
    assert set(deployment.alert_ids()) == known | late

    # Frames that evaluate could not store for a day are discarded, and swept, with lines that are in S3.
    def no_table(call: Call) -> str:
        return "ServiceUnavailable" if "Evaluation" in call.role and call.service == "dynamodb" else ""

    aws.endpoint.fault = no_table
    deployment.ship(put_oversize(deployment, b"".join(audit[11])))
    aws.run_until_idle()
    assert aws.failures
    aws.tick(86_401)
    discarded = detected(audit[11]) - known - late
    assert discarded
    assert set(deployment.alert_ids()) == known | late | discarded

    # Alerts stay in the store while SNS and Firehose are unavailable, longer if SNS refuses one; an unavailable Slack
    # only delays.
    refusals = {"EvaluationFunctionRole": "ServiceUnavailable", "DigestFunctionRole": "InvalidParameter"}
    publishing = ("PublishBatch", "PutRecordBatch")
    aws.endpoint.fault = lambda call: refusals.get(call.role[:-8], "") if call.operation in publishing else ""
    again = [line.replace(b'"request":{"id":"', b'"request":{"id":"again-') for line in audit[14]]
    deployment.ship(audit[14], again)  # the second time they are suppressed
    aws.run_until_idle()
    aws.tick(61)
    aws.endpoint.fault = lambda call: ""
    deployment.slack.behave("500", 2)
    for seconds in (121, 3600, 361, 86_401):  # after a day, digest records again which rules are live
        aws.tick(seconds)

    # evaluate and sweep share a count that comes near its threshold.
    reads = [b"@prod/n/file " + line for line in READS.read_bytes().splitlines(keepends=True)]
    deployment.ship(reads[:20])
    archive(deployment, reads[20:40], number=4)
    aws.run_until_idle()

    # A snapshot comes every day: evaluate and sweep note the latest ones, and digest raises the alert when none comes.
    deployment.ship([with_time(SNAPSHOTS[0], aws.now())])
    aws.run_until_idle()
    archive(deployment, [with_time(SNAPSHOTS[1], aws.now() + 60)], number=5, copy=True)
    aws.run_until_idle()
    aws.tick(26 * 3600)
    assert MISSING not in {alert.rule for alert in deployment.alerts()}
    aws.tick(121)
    assert [alert.rule for alert in deployment.alerts()].count(MISSING) == 1
    aws.tick(301)

    alerts = [alert for one in deployment.published() for alert in one.alerts]
    assert sorted(alert.id for alert in alerts) == sorted(deployment.alert_ids())
    assert {alert.id for alert in alerts if alert.late} == swept | late | discarded
    assert not aws.deliveries.failures
    assert deployment.slack.accepted == len(aws.mails)
    assert aws.unneeded_permissions(NOT_SEEN_HERE) == []
    alerting = [
        call for call in aws.endpoint.calls if "FunctionRole" in call.role and "Reconciliation" not in call.role
    ]
    calls = {f"{call.service}.{call.operation}".lower() for call in alerting}
    assert calls - BY_AWS <= {row.call.replace(" ", "").lower() for row in ROWS}, "what happens while a call fails?"
    assert aws.fired_alarms() == NO_HEARTBEATS | {
        "vaultwatch-evaluate-parked-frames",
        "vaultwatch-evaluate-publish-failures",
        "vaultwatch-evaluate-rejected-lines",
        "vaultwatch-digest-publish-failures",
        "vaultwatch-digest-refused-notifications",
        "vaultwatch-reconcile-stopped",  # a day is left out
        "vaultwatch-sweep-late-alerts",
        "vaultwatch-sweep-parked-frames",
    }


def test_health_fires_no_alarm_and_five_minutes_without_a_heartbeat_fire_one_for_each_log(
    deployment: Deployment,
) -> None:
    aws = deployment.aws
    for minute in range(7):
        deployment.ship(Heartbeat(()))
        deployment.ship(Heartbeat(()), source="server")
        deployment.ship(tagged("vault-1.14.2", "audit")[minute])
        aws.tick(60)
    assert aws.fired_alarms() == set()
    for _ in range(2):
        aws.tick(300)
    assert aws.fired_alarms() == NO_HEARTBEATS


def test_a_day_later_both_copies_of_an_hour_are_compared(deployment: Deployment) -> None:
    aws = deployment.aws
    hour = datetime.fromtimestamp(aws.now() + 3600 - 86_400, UTC).replace(minute=0, second=0, microsecond=0)
    for source, node, name in (("audit", "log-server", "audit-socket"), ("audit-file", "vault-1", "audit")):
        lines = (RECORDINGS / f"openbao-2.6.2/audit-socket-down/{name}.jsonl").read_bytes().splitlines(keepends=True)
        for number, first, some in ((1, hour, lines), (2, hour + timedelta(hours=1), lines[:1])):
            body = zstandard.compress(b"".join(with_time(line, first.timestamp()) for line in some))
            key = segment(source, node, number, first)
            aws.client("s3").put_object(Bucket=deployment.bucket("Archive"), Key=key, Body=body)
    for _ in range(2):  # the first may still be the hour before
        aws.tick(3600)
    assert not aws.failures
    assert '"missing_left": {"count": 28,' in aws.log("reconcile.handler")
    assert aws.fired_alarms() == NO_HEARTBEATS | {"vaultwatch-reconcile-socket-lacks-entries"}


def put_oversize(deployment: Deployment, lines: bytes) -> Reference:
    """Put lines where `vaultwatch ship` puts oversize ones, and return a reference to them."""
    digest, bucket = sha256(lines).hexdigest(), deployment.bucket("Alerts")
    key = f"oversize/dt=2026-11-21/{digest}"
    deployment.aws.client("s3").put_object(Bucket=bucket, Key=key, Body=lines)
    return Reference(bucket, key, len(lines), lines.count(b"\n"), digest)


def with_time(line: bytes, seconds: float) -> bytes:
    """Return an audit entry with another time."""
    moment = datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
    return re.sub(rb'"time":"[^"]+"', f'"time":"{moment}"'.encode(), line, count=1)


def archive(deployment: Deployment, lines: list[bytes], *, number: int, copy: bool = False) -> None:
    """Archive lines as a segment of a node's own file, without their tags, or of the copy of the log server."""
    body = zstandard.compress(b"".join(line if copy else line.partition(b" ")[2] for line in lines))
    source = "source=audit/node=log-1" if copy else "source=audit-file/node=n"
    key = f"archive/{source}/dt=2026-11-21/hour=09/{number:08}-20261121T090000.zst"
    deployment.aws.client("s3").put_object(Bucket=deployment.bucket("Archive"), Key=key, Body=body)
