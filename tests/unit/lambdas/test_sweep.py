"""sweep: archived segments and parked frames are evaluated again; a new alert is marked late."""

from __future__ import annotations

import gc
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from random import Random

import pytest
import zstandard
from botocore.exceptions import ClientError
from msgspec.structs import replace

from tests.support.dynamodb import make_client
from tests.support.functions import (
    ARCHIVE,
    AUDIT_TAG,
    BUCKET,
    PROCESS,
    SHARD,
    Context,
    World,
    entry,
    event_key,
    kinesis,
    object_created,
    total,
    watching,
)
from vaultwatch.alerts import Alert
from vaultwatch.archive.inventory import seen_on_s3
from vaultwatch.aws.keys import Fingerprint, Place, segment
from vaultwatch.detection import line_reader
from vaultwatch.detection.evaluator import Ruleset
from vaultwatch.frames import Frame, Records, encode
from vaultwatch.reading import records
from vaultwatch.rules.conditions import Exists
from vaultwatch.rules.pack import Rule


def bare(line: bytes) -> bytes:
    return line.removeprefix(AUDIT_TAG)


def lines(*entries: bytes) -> bytes:
    return b"".join(bare(line) + b"\n" for line in entries)


def at(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat()


@pytest.fixture
def alerts_in_memory() -> Iterator[Callable[[], int]]:
    """Count the alerts that are made in a test."""

    def counted() -> int:
        gc.collect()
        return sum(isinstance(one, Alert) for one in gc.get_objects())

    gc.freeze()  # a collection takes half a second with all that the tests have imported
    yield counted
    gc.unfreeze()


@pytest.fixture
def settled(aws: World) -> World:
    """Make the rules 200 days old, with digests in between."""
    aws.now -= 200 * 86400
    for _ in range(3):
        aws.digest()
        aws.now += 200 * 86400 / 3
    return aws


def test_an_alert_of_evaluate_is_not_notified_again(settled: World) -> None:
    settled.evaluate(settled.frame(entry(1)))
    settled.published()
    settled.sweep(ARCHIVE, settled.archive("1", lines(entry(1), entry(1, kind="request"))))
    assert settled.published() == []
    assert [alert.late for alert in settled.alerts().values()] == [False]


def test_each_segment_is_noted_with_its_digest_where_no_host_can_write(settled: World) -> None:
    body = zstandard.compress(lines(entry(1)))
    begin = datetime(2026, 11, 21, 7, tzinfo=UTC)
    key = segment("audit-file", "vault-1", 7, begin)
    make_client("s3").put_object(Bucket=ARCHIVE, Key=key, Body=body)
    for _ in range(2):
        settled.sweep(ARCHIVE, key)
    assert seen_on_s3(make_client("s3"), ARCHIVE) == {
        Place("audit-file", "vault-1", 7): frozenset([Fingerprint(hashlib.sha256(body).hexdigest(), begin)])
    }


def test_a_segment_that_cannot_be_read_is_noted_too(settled: World) -> None:
    key = segment("audit-file", "vault-1", 7, datetime(2026, 11, 21, 7, tzinfo=UTC))
    make_client("s3").put_object(Bucket=ARCHIVE, Key=key, Body=b"no zstd")
    settled.sweep(ARCHIVE, key)
    assert list(seen_on_s3(make_client("s3"), ARCHIVE)) == [Place("audit-file", "vault-1", 7)]


def test_an_alert_that_evaluate_missed_is_notified_and_marked_late(
    settled: World, capsys: pytest.CaptureFixture[str]
) -> None:
    settled.sweep(ARCHIVE, settled.archive("1", lines(entry(1))))
    (message,) = settled.published()
    assert (message.disposition, message.alerts[0].late, message.alerts[0].node) == ("first", True, "vault-1")
    assert total(capsys.readouterr().out, "LateAlerts") == 1
    settled.evaluate(settled.frame(entry(1)))
    assert settled.published() == []


def test_the_act_that_a_forged_entry_with_its_id_attributes_to_somebody_else_is_notified(settled: World) -> None:
    """The log server sees the id of a request first. The node's own segment has what Vault really wrote."""
    settled.evaluate(settled.frame(entry(5, principal="backup-job")))
    settled.sweep(ARCHIVE, settled.archive("1", lines(entry(5, principal="mallory"))))
    [forged, real] = [one.alerts[0] for one in settled.published()]
    assert (forged.principal, real.principal) == ("backup-job", "mallory")
    assert real.late


def test_an_alert_older_than_remembered_ones_is_only_in_a_summary(settled: World) -> None:
    old = [entry(n, principal=f"p{n}", time=at(settled.now - 91 * 86400)) for n in range(7)]
    settled.sweep(ARCHIVE, settled.archive("1", lines(*old)))
    assert {message.disposition for message in settled.published()} == {"suppressed"}
    assert len(settled.alerts()) == 7
    settled.now += 60
    settled.digest()
    (summary,) = settled.published()
    assert (summary.disposition, summary.merged_count) == ("summary", 7)


def test_an_alert_from_before_its_rule_was_in_force_is_only_in_a_summary(aws: World) -> None:
    aws.digest()
    before, since = entry(1, time=at(aws.now - 60)), entry(2, principal="bob", time=at(aws.now + 60))
    aws.now += 3600
    aws.sweep(ARCHIVE, aws.archive("1", lines(before, since)))
    assert sorted(message.disposition for message in aws.published()) == ["first", "suppressed"]


def test_an_alert_from_before_its_rule_was_changed_is_only_in_a_summary(settled: World) -> None:
    sweep = settled.function("sweep")
    (rule,) = (rule for rule in sweep.RULES.rules if rule.name == "audit_device_enabled")
    anything = Rule(replace(rule.compiled, condition=Exists("time", True)))
    rules = Ruleset(anything if known is rule else known for known in sweep.RULES.rules)
    settled.monkeypatch.setattr(sweep, "RULES", rules)
    sweep.handler(object_created(ARCHIVE, settled.archive("1", lines(entry(1, "kv/data/a")))), Context(900_000))
    assert [message.disposition for message in settled.published()] == ["suppressed"]
    since = entry(2, "kv/data/a", principal="bob", time=at(settled.now + 60))
    sweep.handler(object_created(ARCHIVE, settled.archive("2", lines(since))), Context(900_000))
    assert [message.disposition for message in settled.published()] == ["first"]


@pytest.mark.every_rule
def test_messages_of_a_server_log_have_the_ids_of_the_stream(settled: World) -> None:
    log = b"2026-11-21T07:59:58.000Z [ERROR] core: failed to unseal:\n  error=\n  | first cause\n"
    log += b"==> Vault shutdown triggered\n"
    tagged = [b"@prod/vault-1/server " + line for line in log.splitlines()]
    settled.evaluate(settled.frame(*tagged, source="server"))
    known = set(settled.alerts())
    assert len(known) == 2
    settled.sweep(ARCHIVE, settled.archive("1", log, source="server"))
    assert set(settled.alerts()) == known


def test_a_segment_larger_than_a_chunk_is_read_as_a_stream(settled: World) -> None:
    content = lines(*(entry(n, "kv/data/app", padding="x" * 2000) for n in range(2000)), entry(9999))
    settled.sweep(ARCHIVE, settled.archive("1", content))
    assert len(settled.alerts()) == 1


def test_a_truncated_segment_is_evaluated_up_to_its_end_and_counted(
    settled: World, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    key = settled.archive("1", b"")
    packed = zstandard.compress(lines(entry(1))) + zstandard.compress(lines(entry(2)))
    make_client("s3").put_object(Bucket=ARCHIVE, Key=key, Body=packed[:-4])
    capsys.readouterr()
    settled.sweep(ARCHIVE, key)
    assert len(settled.alerts()) == 1
    assert total(capsys.readouterr().out, "ParkedFrames") == 1
    assert f"{key} is not evaluated to its end: cut off: its last zstd frame is incomplete" in caplog.text
    make_client("s3").put_object(Bucket=ARCHIVE, Key=key, Body=packed)
    settled.sweep(ARCHIVE, key)
    assert len(settled.alerts()) == 2


def test_a_request_in_a_truncated_segment_raises_its_alert_without_a_response(settled: World) -> None:
    key = settled.archive("1", b"")
    packed = zstandard.compress(lines(entry(1, kind="request"))) + zstandard.compress(lines(entry(2)))
    make_client("s3").put_object(Bucket=ARCHIVE, Key=key, Body=packed[:-4])
    settled.sweep(ARCHIVE, key)
    assert [alert.outcome for alert in settled.alerts().values()] == ["unknown"]


@pytest.mark.parametrize("name", ["archive/no-segment", "archive/source=audit/node=/x"])
def test_an_object_of_the_archive_that_is_no_segment_is_counted_and_not_tried_again(
    settled: World, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    make_client("s3").put_object(Bucket=ARCHIVE, Key=name, Body=b"x")
    capsys.readouterr()
    settled.sweep(ARCHIVE, name)
    assert total(capsys.readouterr().out, "ParkedFrames") == 1


class TestARecordThatEndsTheProcess:
    @pytest.fixture
    def hostile(self, monkeypatch: pytest.MonkeyPatch) -> bytes:
        """Return a line whose reading ends the process."""
        real = records.read_audit_entry
        ends = lambda line, *more: os._exit(0) if b"hostile" in line else real(line, *more)  # noqa: E731
        monkeypatch.setattr(line_reader, "read_audit_entry", ends)
        return b"hostile"

    def test_is_kept_and_counted_as_rejected_and_all_others_are_evaluated(
        self, settled: World, capsys: pytest.CaptureFixture[str], hostile: bytes
    ) -> None:
        key = settled.archive("1", lines(entry(1), hostile, entry(2)))
        capsys.readouterr()
        settled.sweep(ARCHIVE, key)
        assert len(settled.alerts()) == 2
        [(name, kept)] = settled.objects("rejected/").items()
        assert name == f"rejected/swept/{key}.jsonl"
        row = json.loads(kept["Body"].read())
        assert (row["line"], row["node"]) == ("hostile", "vault-1")
        assert row["reason"] == "evaluating it: it exited with status 0"
        printed = capsys.readouterr().out
        assert (total(printed, "RejectedLines"), total(printed, "ParkedFrames")) == (1, 0)

    def test_keeps_no_alert_back_if_it_cannot_be_kept(self, settled: World, hostile: bytes) -> None:
        def judge(number: int, name: str, made: bool) -> None:
            if name == "S3.PutObject":
                raise ClientError({"Error": {"Code": "SlowDown"}}, "PutObject")

        key = settled.archive("1", lines(hostile, entry(1)))
        with watching(judge), pytest.raises(ClientError):
            settled.sweep(ARCHIVE, key)
        assert len(settled.published()) == 1

    def test_of_a_frame_is_excluded_too(self, settled: World, hostile: bytes) -> None:
        settled.evaluate_stored(settled.frame(entry(1), AUDIT_TAG + hostile, entry(2)))
        [key] = settled.objects("parked/")
        settled.sweep(BUCKET, key)
        assert len(settled.alerts()) == 2
        assert list(settled.objects("rejected/")) == [f"rejected/swept/{key}.jsonl"]


def test_a_line_that_only_looks_tagged_gets_the_tag_of_its_segment(settled: World) -> None:
    settled.sweep(ARCHIVE, settled.archive("1", b"@cee: " + lines(entry(1))))  # a device's `prefix`
    assert [(alert.node, alert.lane) for alert in settled.alerts().values()] == [("vault-1", "file")]


@pytest.mark.parametrize(("source", "node"), [("audit", "vault-2"), ("audit-file", "vault-1")])
def test_only_the_log_server_names_other_nodes(settled: World, source: str, node: str) -> None:
    forged = b"@prod/vault-2/file " + entry(1)
    settled.sweep(ARCHIVE, settled.archive("1", lines(forged), source))
    assert [alert.node for alert in settled.alerts().values()] == [node]


def test_a_segment_full_of_alerts_is_not_held_in_memory(settled: World, alerts_in_memory: Callable[[], int]) -> None:
    """Here 240 alerts in pieces of some 1 MiB; a segment of 64 MiB may hold a million."""
    random = Random(0)
    padded = [entry(number, principal=f"p{number}", padding=random.randbytes(10_000).hex()) for number in range(240)]
    key = settled.archive("1", lines(*padded))
    held = list[int]()

    def judge(number: int, name: str, made: bool) -> None:
        if name == "DynamoDB.TransactWriteItems" and made:
            held.append(alerts_in_memory())

    with watching(judge):
        settled.sweep(ARCHIVE, key)
    assert len(settled.alerts()) == 240
    assert max(held) < 200


class TestParked:
    def test_frames_are_evaluated_again(self, settled: World) -> None:
        settled.sweep(BUCKET, settled.park(settled.frame(entry(1))))
        assert [message.alerts[0].late for message in settled.published()] == [True]

    def test_frames_are_evaluated_as_the_stream_has_them_whatever_the_bucket_says(self, settled: World) -> None:
        settled.sweep(BUCKET, settled.park(settled.frame(entry(1)), body=settled.frame(entry(2))))
        assert {alert.event_key for alert in settled.alerts().values()} == {event_key(1)}

    def test_a_frame_that_nobody_put_on_the_stream_is_not_evaluated(
        self, settled: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        key = f"parked/dt=2026-11-21/{SHARD}-49590338271490256608559692538361571095921575989136588898.frame"
        make_client("s3").put_object(Bucket=BUCKET, Key=key, Body=settled.frame(entry(1)))
        settled.put(settled.frame(entry(2)))
        settled.sweep(BUCKET, key)
        assert "the stream has no record 4959033827149025660855969253836157109592157598913658" in caplog.text
        assert settled.alerts() == {}

    def test_an_object_that_names_no_record_is_not_evaluated(
        self, settled: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        make_client("s3").put_object(Bucket=BUCKET, Key="parked/x", Body=settled.frame(entry(1)))
        settled.sweep(BUCKET, "parked/x")
        assert "not the key of a parked frame: 'parked/x'" in caplog.text
        assert settled.alerts() == {}

    def test_lines_that_are_too_large_for_evaluate_are_evaluated_here(self, settled: World) -> None:
        content = lines(entry(1), entry(2, "kv/data/app", padding="x" * (33 * 1024 * 1024)))
        make_client("s3").put_object(Bucket=BUCKET, Key="oversize/x", Body=content)
        digest = hashlib.sha256(content).hexdigest()
        frame = settled.reference(BUCKET, "oversize/x", len(content), digest)
        settled.evaluate_stored(frame, memory_mib=256)
        [key] = settled.objects("parked/")
        assert settled.alerts() == {}
        settled.sweep(BUCKET, key)
        raised = {alert.rule for alert in settled.alerts().values()}
        assert raised == {"audit_device_enabled", "audit_entry_over_budget"}

    def test_a_frame_that_still_cannot_be_read_stays_parked_and_fails_nothing(
        self, settled: World, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert settled.sweep(BUCKET, settled.park(b"no frame")) == {"batchItemFailures": []}
        assert total(capsys.readouterr().out, "ParkedFrames") == 1


class TestDiscarded:
    def test_frames_are_evaluated_again(self, settled: World) -> None:
        settled.put(settled.frame(entry(1)))
        key = settled.discard(settled.frame(entry(2)), settled.frame(entry(3)))
        settled.put(settled.frame(entry(4)))
        settled.sweep(BUCKET, key)
        assert {alert.event_key for alert in settled.alerts().values()} == {event_key(2), event_key(3)}

    def test_frames_are_evaluated_as_the_stream_has_them_whatever_the_report_says(self, settled: World) -> None:
        settled.sweep(BUCKET, settled.discard(settled.frame(entry(1)), reported=kinesis(settled.frame(entry(2)))))
        assert {alert.event_key for alert in settled.alerts().values()} == {event_key(1)}

    def test_a_report_that_somebody_writes_over_the_one_of_lambda_hides_no_frame(self, settled: World) -> None:
        event = object_created(BUCKET, settled.discard(settled.frame(entry(1))))
        settled.discard(settled.frame(entry(2)))  # under the same key
        settled.function("sweep").handler(event, Context(900_000))
        assert {alert.event_key for alert in settled.alerts().values()} == {event_key(1)}

    @pytest.mark.parametrize("report", [b"", b"{}", b'{"payload": "{}"}', b"[" * 10**6, b'{"a":' + b"[" * 10**6])
    def test_an_object_that_is_no_report_is_counted_and_not_tried_again(
        self, settled: World, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, report: bytes
    ) -> None:
        make_client("s3").put_object(Bucket=BUCKET, Key="aws/lambda/x", Body=report)
        capsys.readouterr()
        settled.sweep(BUCKET, "aws/lambda/x")
        assert total(capsys.readouterr().out, "ParkedFrames") == 1
        assert "not a report on a discarded batch" in caplog.text


@pytest.mark.every_rule
def test_a_banner_that_begins_a_log_is_the_same_event_in_the_archive_as_on_the_stream(aws: World) -> None:
    banner = b"==> Vault shutdown triggered\n"
    now = datetime.fromtimestamp(aws.now, UTC)
    aws.evaluate(encode(Frame("server", "log-1", PROCESS, 0, now, now, Records(b"@prod/vault-1/server " + banner))))
    aws.sweep(ARCHIVE, aws.archive("00000001-20261121T072938", banner, source="server"))
    assert len(aws.alerts()) == 1
