"""evaluate: stores and publishes the alerts of a batch of frames; no frame stops the others."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any, cast
from unittest import mock

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from tests.support.dynamodb import MAIL_KEY, make_client
from tests.support.faults import raise_on
from tests.support.functions import (
    AUDIT_TAG,
    BUCKET,
    SERVER_TAG,
    SOCKET_TAG,
    Context,
    World,
    entry,
    kinesis,
    sealed,
    total,
    watching,
)
from vaultwatch import alerts
from vaultwatch.alerts import alert_of
from vaultwatch.aws.alerts_bucket import AlertsBucket
from vaultwatch.aws.alerts_first import KEEPING_SECONDS, PromptFetch
from vaultwatch.batches import EncodedFrame, Evaluation
from vaultwatch.detection import line_reader
from vaultwatch.detection.detector import Detector
from vaultwatch.detection.evaluator import Ruleset
from vaultwatch.errors import BucketError, FrameError
from vaultwatch.frames import Counter, Heartbeat, Reference
from vaultwatch.reading.records import read_audit_entry
from vaultwatch.rules.conditions import Exists
from vaultwatch.rules.facts import Level
from vaultwatch.rules.pack import CompiledRule, Rule, shipped_rules
from vaultwatch.store import StoreError

RECORDINGS = Path(__file__).parents[2] / "data" / "recordings"
ALL_DONE: dict[str, list[Any]] = {"batchItemFailures": []}


def test_an_alert_is_stored_and_published_and_marked_as_sent(aws: World) -> None:
    assert aws.evaluate(aws.frame(entry(1))) == ALL_DONE
    (alert,) = aws.alerts().values()
    assert (alert.rule, alert.cluster, alert.node, alert.lane) == ("audit_device_enabled", "prod", "vault-1", "file")
    (message,) = aws.published()
    assert (message.disposition, message.alerts) == ("first", (alert,))
    assert aws.unsent() == 0


def test_what_is_published_has_a_text_for_people_and_attributes_for_filters(aws: World) -> None:
    with watching() as calls:
        evaluate = aws.function("evaluate")
        with mock.patch.object(evaluate.SNS, "publish_batch", wraps=evaluate.SNS.publish_batch) as publish:
            evaluate.handler(kinesis(aws.frame(entry(1))), Context())
    assert calls.names == ["DynamoDB.BatchGetItem", "DynamoDB.TransactWriteItems", "SNS.PublishBatch",
                           "DynamoDB.PutItem"]  # fmt: skip
    [one] = publish.call_args.kwargs["PublishBatchRequestEntries"]
    attributes = {name: value["StringValue"] for name, value in one["MessageAttributes"].items()}
    assert attributes == {
        "disposition": "first",
        "level": "medium",
        "rule": "audit_device_enabled",
        "service": "audit",
        "cluster": "prod",
        "mail_key": MAIL_KEY,
    }
    bodies = json.loads(one["Message"])
    assert "alice" in bodies["email"]
    assert json.loads(bodies["sqs"])["disposition"] == "first"


def test_a_batch_without_alerts_makes_no_call(aws: World) -> None:
    evaluate = aws.function("evaluate")
    with watching() as calls:
        evaluate.handler(kinesis(aws.frame(entry(1, "kv/data/app"))), Context())
    assert calls.names == []


def test_both_lanes_of_an_event_are_one_alert(aws: World) -> None:
    line = entry(1).removeprefix(AUDIT_TAG)
    aws.evaluate(aws.frame(SOCKET_TAG + line))
    aws.evaluate(aws.frame(AUDIT_TAG + line), aws.frame(SOCKET_TAG + line))
    assert len(aws.alerts()) == 1
    assert len(aws.published()) == 1


def test_a_request_waits_for_its_response_to_the_end_of_the_batch_whatever_the_order(aws: World) -> None:
    # The response alone raises nothing here, so that only the request that waited for it can.
    request, response = entry(1, kind="request"), entry(1, "", kind="response", error="permission denied")
    late = aws.frame(response, sequence=8)
    aws.evaluate(late, aws.frame(entry(2, "kv/data/app"), sequence=7), aws.frame(request, sequence=6))
    assert [alert.outcome for alert in aws.alerts().values()] == ["failed"]


def test_a_response_in_a_later_batch_completes_the_alert_without_a_second_notification(aws: World) -> None:
    aws.evaluate(aws.frame(entry(1, kind="request")))
    assert [alert.outcome for alert in aws.alerts().values()] == ["unknown"]
    aws.evaluate(aws.frame(entry(1, kind="response", error="permission denied")))
    assert [alert.outcome for alert in aws.alerts().values()] == ["failed"]
    assert len(aws.published()) == 1


@pytest.mark.every_rule
def test_the_lines_of_a_server_log_message_are_joined(aws: World) -> None:
    lines = [
        b"2026-11-21T07:59:58.000Z [ERROR] core: failed to unseal:",
        b"  error=",
        b"  | first cause",
        b"  | second cause",
    ]
    aws.evaluate(aws.frame(*(SERVER_TAG + line for line in lines), source="server"))
    (alert,) = aws.alerts().values()
    assert "second cause" in alert.summary


@pytest.mark.every_rule
def test_banners_without_a_time_are_different_events_in_every_frame_and_the_same_on_redelivery(
    aws: World,
) -> None:
    banner = SERVER_TAG + b"==> Vault shutdown triggered"
    times = ("2026-11-21T07:29:38Z", "2026-11-22T07:29:38Z")
    first, second = (aws.frame(banner, source="server", before={"vault-1": (time, 0)}) for time in times)
    for _ in range(2):
        aws.evaluate(first)
        aws.evaluate(second)
    assert len(aws.alerts()) == 2


class TestWhatCannotBeRead:
    @pytest.mark.parametrize("place", [0, 50, 99])
    def test_an_unreadable_frame_is_parked_with_its_reason_and_the_other_99_are_evaluated(
        self, aws: World, place: int
    ) -> None:
        batch = [aws.frame(entry(number, principal=f"p{number}")) for number in range(100)]
        batch[place] = batch[place][:-1] + bytes([batch[place][-1] ^ 1])
        assert aws.evaluate(*batch) == ALL_DONE
        assert len(aws.alerts()) == 99
        [(key, parked)] = aws.objects("parked/").items()
        assert key.endswith(".frame")
        assert parked["Body"].read() == batch[place]
        assert "CRC-32 differs" in parked["Metadata"]["reason"]

    def test_an_unreadable_frame_is_counted(self, aws: World, capsys: pytest.CaptureFixture[str]) -> None:
        aws.evaluate(b"no frame", aws.frame(entry(1)))
        assert total(capsys.readouterr().out, "ParkedFrames") == 1

    def test_rejected_lines_are_kept_with_their_reasons_and_counted(
        self, aws: World, capsys: pytest.CaptureFixture[str]
    ) -> None:
        aws.evaluate(aws.frame(AUDIT_TAG + b'{"broken', entry(1), AUDIT_TAG + b'{"latin": "\xe9"}'))
        [(key, kept)] = aws.objects("rejected/").items()
        assert key.startswith("rejected/dt=2026-11-21/")
        first, second = map(json.loads, kept["Body"].read().splitlines())
        assert (first["line"], first["node"], first["lane"]) == ('{"broken', "vault-1", "file")
        assert "JSON" in first["reason"]
        assert second["line_base64"]
        assert len(aws.alerts()) == 1
        assert total(capsys.readouterr().out, "RejectedLines") == 2

    def test_only_the_line_that_makes_the_reader_raise_is_rejected(
        self, aws: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        evaluate = aws.function("evaluate")
        raise_on(monkeypatch, line_reader, "read_audit_entry", "injected", RecursionError)
        frame = aws.frame(entry(1), AUDIT_TAG + b"injected", entry(2, principal="bob"))
        assert evaluate.handler(kinesis(frame), Context()) == ALL_DONE
        assert len(aws.alerts()) == 2
        [kept] = aws.objects("rejected/").values()
        assert b"RecursionError" in kept["Body"].read()

    def test_a_rule_that_raises_is_counted_by_name_and_does_not_affect_others(
        self, aws: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def raises(view: Any) -> bool:
            raise ZeroDivisionError

        evaluate = aws.function("evaluate")
        facts = {"title": "Odd", "level": Level.LOW, "service": "audit", "condition": Exists("time", True)}
        odd = Rule(CompiledRule(name="audit_odd", **facts), matches=raises)  # type: ignore[arg-type]
        monkeypatch.setattr(evaluate, "RULES", Ruleset([*evaluate.RULES.rules, odd]))
        evaluate.handler(kinesis(aws.frame(entry(1))), Context())
        assert len(aws.alerts()) == 1
        assert total(capsys.readouterr().out, "RuleErrorsByRule", rule="audit_odd") == 1

    def test_a_match_that_cannot_be_described_raises_a_bare_alert_and_fails_no_frame(
        self, aws: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        evaluate = aws.function("evaluate")
        raise_on(monkeypatch, alerts, "sentence", "mallory")
        frame = aws.frame(entry(1), entry(2, principal="mallory"), entry(3, principal="bob"))
        assert evaluate.handler(kinesis(frame), Context()) == ALL_DONE
        found = list(aws.alerts().values())
        assert sorted("describing it failed" in alert.summary for alert in found) == [False, False, True]
        assert total(capsys.readouterr().out, "RuleErrorsByRule", rule=found[0].rule) == 1

    def test_a_frame_with_a_long_reason_is_parked_within_the_limits_of_s3_metadata(self, aws: World) -> None:
        header = {"version": 1, "content": {"kind": "\N{GRINNING FACE}" * 400}}
        assert aws.evaluate(sealed(header), aws.frame(entry(1))) == ALL_DONE
        assert len(aws.alerts()) == 1
        [parked] = aws.objects("parked/").values()
        assert len(parked["Metadata"]["reason"]) <= 1024  # of 2 KB for all of an object's metadata

    @pytest.mark.parametrize(
        ("act", "reason"), [(os._exit, "exited with status 0"), (lambda status: b"x" * 10**10, "out of memory")]
    )
    def test_a_frame_that_ends_the_process_is_parked_and_the_others_are_evaluated(
        self, aws: World, monkeypatch: pytest.MonkeyPatch, act: Any, reason: str
    ) -> None:
        ends = lambda line, *more: act(0) if b"hostile" in line else read_audit_entry(line, *more)  # noqa: E731
        evaluate = aws.function("evaluate")
        monkeypatch.setattr(line_reader, "read_audit_entry", ends)
        frames = [aws.frame(entry(1)), aws.frame(AUDIT_TAG + b"hostile"), aws.frame(entry(2))]
        assert evaluate.handler(kinesis(*frames), Context()) == ALL_DONE
        assert len(aws.alerts()) == 2
        [parked] = aws.objects("parked/").values()
        assert parked["Body"].read() == frames[1]
        assert reason in parked["Metadata"]["reason"]

    def test_broken_base64_is_parked_too(self, aws: World) -> None:
        event = kinesis(aws.frame(entry(1)), b"x")
        event["Records"][1]["kinesis"]["data"] = "abcde"
        assert aws.function("evaluate").handler(event, Context()) == ALL_DONE
        assert len(aws.alerts()) == 1
        assert len(aws.objects("parked/")) == 1


class FakeBucket:
    """A bucket in which every object has the same lines."""

    def fetch_lines(self, _: Reference) -> bytes:
        return b"lines\n"


class TestLinesTooLargeForAFrame:
    KEY = "oversize/dt=2026-11-21/abc"

    def put(self, key: str, lines: bytes) -> tuple[int, str]:
        make_client("s3").put_object(Bucket=BUCKET, Key=key, Body=lines)
        return len(lines), hashlib.sha256(lines).hexdigest()

    def test_are_fetched_and_evaluated(self, aws: World) -> None:
        size, digest = self.put(self.KEY, entry(1) + b"\n")
        aws.evaluate(aws.reference(BUCKET, self.KEY, size, digest))
        assert len(aws.alerts()) == 1
        assert aws.objects("parked/") == {}

    @pytest.mark.parametrize(
        ("bucket", "key", "size", "digest", "reason"),
        [
            ("another-bucket", KEY, None, None, "points outside the bucket and folder"),
            (BUCKET, "alerts/2026", None, None, "points outside the bucket and folder"),
            (BUCKET, "oversize/../alerts/2026", None, None, "points outside the bucket and folder"),
            (BUCKET, "oversize/\0", None, None, "points outside the bucket and folder"),
            (BUCKET, "oversize/" + "a" * 1100, None, None, "points outside the bucket and folder"),
            ("", "abc", None, None, "on the log server"),
            (BUCKET, "oversize/gone", None, None, "does not exist"),
            (BUCKET, KEY, 1, None, "other lines"),
            (BUCKET, KEY, None, "0" * 64, "other lines"),
            (BUCKET, KEY, 129 * 1024 * 1024, None, "left to a function with more memory"),
        ],
    )
    def test_outside_our_folder_or_changed_are_parked(
        self, aws: World, bucket: str, key: str, size: int | None, digest: str | None, reason: str
    ) -> None:
        whole, sha256 = self.put(self.KEY, entry(1) + b"\n")
        frame = aws.reference(bucket, key, size or whole, digest or sha256)
        assert aws.evaluate(frame, aws.frame(entry(2))) == ALL_DONE
        assert len(aws.alerts()) == 1
        [parked] = aws.objects("parked/").values()
        assert reason in parked["Metadata"]["reason"]
        assert parked["Body"].read() == frame

    def test_are_left_to_sweep_when_they_are_more_than_one_invocation_has_room_for(self, aws: World) -> None:
        size, digest = self.put(self.KEY, entry(1) + b"\n")
        some = aws.reference(BUCKET, self.KEY, size, digest)
        others = aws.reference(BUCKET, "oversize/others", 128 * 1024 * 1024 - size + 1, "0" * 64)
        assert aws.evaluate(some, others, aws.frame(entry(2))) == ALL_DONE
        assert len(aws.alerts()) == 2
        [parked] = aws.objects("parked/").values()
        assert parked["Body"].read() == others
        assert "left to a function with more memory and time" in parked["Metadata"]["reason"]

    def test_are_fetched_again_within_the_same_room_after_another_frame_has_ended_its_child(self) -> None:
        fetch = PromptFetch(cast(AlertsBucket, FakeBucket()), room_bytes=10)
        some, more = (Reference(BUCKET, key, 6, 1, "0" * 64) for key in ("some", "more"))
        assert fetch(some) == fetch(some) == b"lines\n"
        with pytest.raises(FrameError, match="6 bytes are left to a function with more memory"):
            fetch(more)


class TestWhatIsWrongWithTheInfrastructure:
    def test_a_failing_store_raises_so_that_the_batch_is_retried(self, aws: World) -> None:
        def judge(number: int, name: str, made: bool) -> None:
            if name.startswith("DynamoDB"):
                raise EndpointConnectionError(endpoint_url="https://dynamodb")

        with watching(judge), pytest.raises(StoreError):
            aws.evaluate(aws.frame(entry(1)))

    def test_a_bucket_that_does_not_answer_is_asked_for_lines_once_and_their_frames_are_left_to_sweep(
        self, aws: World
    ) -> None:
        def judge(number: int, name: str, made: bool) -> None:
            if name == "S3.GetObject":
                raise EndpointConnectionError(endpoint_url="https://s3")

        frames = [aws.reference(BUCKET, f"oversize/{number}", 1, "0" * 64) for number in range(5)]
        with watching(judge) as calls:
            assert aws.evaluate(*frames, aws.frame(entry(1))) == ALL_DONE
        assert calls.names.count("S3.GetObject") == 1
        assert len(aws.objects("parked/")) == 5
        assert len(aws.alerts()) == 1

    def test_one_object_that_cannot_be_kept_does_not_stop_the_next(self, aws: World) -> None:
        failed = list[int]()

        def judge(number: int, name: str, made: bool) -> None:
            if name == "S3.PutObject" and not made and not failed:
                failed.append(number)
                raise ClientError({"Error": {"Code": "SlowDown"}}, "PutObject")

        with watching(judge), pytest.raises(BucketError, match=r"^frame shardId-000000000000-.* not stored: PutObject"):
            aws.evaluate(b"no frame", b"another", aws.frame(b"junk"))
        assert (len(aws.objects("parked/")), len(aws.objects("rejected/"))) == (1, 1)

    def test_what_cannot_be_kept_is_given_up_by_name_when_the_alerts_behind_it_have_waited_long_enough(
        self, aws: World, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
    ) -> None:
        def judge(number: int, name: str, made: bool) -> None:
            if name == "S3.PutObject":
                raise ClientError({"Error": {"Code": "AccessDenied"}}, "PutObject")

        aws.now += KEEPING_SECONDS - 1
        with watching(judge), pytest.raises(BucketError):
            aws.evaluate(b"no frame")
        aws.now += 1
        with watching(judge):
            assert aws.evaluate(b"no frame") == ALL_DONE
        assert total(capsys.readouterr().out, "UnkeptObjects") == 1
        assert caplog.messages[-1].startswith("frame shardId-000000000000-4959033827")

    def test_nothing_is_kept_in_the_last_seconds_of_an_invocation(self, aws: World) -> None:
        evaluate = aws.function("evaluate")
        with watching() as calls, pytest.raises(BucketError, match="no time left"):
            evaluate.handler(kinesis(b"no frame"), Context(39_000))
        assert "S3.PutObject" not in calls.names

    @pytest.mark.parametrize("bad", ["no frame", "junk"])
    def test_a_bucket_that_refuses_what_is_kept_for_later_keeps_no_alert_back(self, aws: World, bad: str) -> None:
        def judge(number: int, name: str, made: bool) -> None:
            if name == "S3.PutObject":
                raise ClientError({"Error": {"Code": "KMS.DisabledException"}}, "PutObject")

        frames = [
            b"no frame" if bad == "no frame" else aws.frame(b"junk", sequence=0),
            *(aws.frame(entry(number), sequence=number) for number in range(1, 4)),
        ]
        with watching(judge), pytest.raises(BucketError):
            aws.evaluate(*frames)
        assert (len(aws.alerts()), aws.unsent()) == (3, 0)
        assert sorted(alert.id for message in aws.published() for alert in message.alerts) == sorted(aws.alerts())
        assert aws.evaluate(*frames) == ALL_DONE
        assert len(aws.objects("parked/" if bad == "no frame" else "rejected/")) == 1
        assert aws.published() == []

    def test_a_failing_topic_does_not_raise_because_the_store_has_the_alert(
        self, aws: World, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def judge(number: int, name: str, made: bool) -> None:
            if name.startswith(("SNS", "Firehose")):
                raise EndpointConnectionError(endpoint_url="https://aws")

        with watching(judge) as calls:
            assert aws.evaluate(aws.frame(*(entry(n, principal=f"p{n}") for n in range(30)))) == ALL_DONE
        assert (aws.unsent(), len(aws.published())) == (30, 0)
        assert calls.names.count("SNS.PublishBatch") == 1
        assert total(capsys.readouterr().out, "PublishFailures") == 1

    def test_when_time_runs_out_unpublished_notifications_are_left_to_digest(self, aws: World) -> None:
        frame = aws.frame(*(entry(n, principal=f"p{n}") for n in range(30)))
        aws.function("evaluate").handler(kinesis(frame), Context(19_000))
        assert (len(aws.alerts()), aws.unsent(), aws.published()) == (30, 30, [])


def test_counters_of_heartbeats_and_lines_received_are_metrics_of_the_same_names(
    aws: World, capsys: pytest.CaptureFixture[str]
) -> None:
    counters = (Counter("prod", "vault-1", "file", 70, 7000), Counter("prod", "vault-1", "socket", 69, 6900))
    aws.evaluate(aws.heartbeat(Heartbeat(counters)), aws.frame(entry(1), entry(2), SERVER_TAG + b"plain"))
    printed = capsys.readouterr().out
    lane = {"cluster": "prod", "node": "vault-1", "lane": "file"}
    assert (total(printed, "ShippedLines", **lane), total(printed, "ShippedBytes", **lane)) == (70, 7000)
    assert total(printed, "ReceivedLines", **lane) == 2
    assert total(printed, "Heartbeats", source="audit") == 1
    assert total(printed, "Frames") == 2
    assert total(printed, "Records") == 3
    assert total(printed, "Alerts", level="medium") == 2
    assert total(printed, "AlertLatency") == pytest.approx(4, abs=0.1)


def test_a_batch_full_of_alerts_is_evaluated_in_parts(aws: World) -> None:
    frames = [aws.frame(*(entry(frame * 600 + number, principal="p") for number in range(600))) for frame in range(5)]
    evaluation = Evaluation(Ruleset(shipped_rules()), None, claim=lambda _: b"")
    parts = evaluation.frames(EncodedFrame(str(number), frame) for number, frame in enumerate(frames))
    assert [len(part) for part in parts] == [1200, 1200, 600, 0]


@pytest.mark.every_rule
@pytest.mark.parametrize("recording", ["openbao-2.6.2/policy-changes", "vault-1.14.2/generate-root"])
@pytest.mark.parametrize("per_frame", [1, 1000])
def test_a_recording_in_frames_gives_the_alerts_of_its_tagged_lines_by_id(
    aws: World, recording: str, per_frame: int
) -> None:
    lanes = {"audit.jsonl": AUDIT_TAG, "audit-socket.jsonl": SOCKET_TAG, "server.log": SERVER_TAG}
    files = [RECORDINGS / recording / name for name in lanes if (RECORDINGS / recording / name).exists()]
    expected: set[str] = set()
    for path in files:
        reference = Detector(shipped_rules())
        lines = [lanes[path.name] + line for line in path.read_bytes().splitlines()]
        expected |= {alert_of(verdict).id for verdict in reference.feed(lines) + reference.flush()}
        if path.name == "server.log":
            aws.evaluate(aws.frame(*lines, source="server"))
        else:
            frames = [aws.frame(*lines[at : at + per_frame]) for at in range(0, len(lines), per_frame)]
            for at in range(0, len(frames), 100):
                aws.evaluate(*frames[at : at + 100])
    assert expected
    assert set(aws.alerts()) == expected
