"""A frame that breaks its evaluation delays a critical alert behind it by less than five minutes, whatever it does.

Rules in Python simulate unexpected content: for certain paths, they break the real functions.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import zstandard

from testbed.deployment import ALERTING, Deployment, deploy
from tests.support.functions import entry
from tests.support.waiting import eventually
from vaultwatch.aws.keys import segment
from vaultwatch.batches import MAX_LINES

RULES = """
import os, signal
from vaultwatch.rules.python_rules import rule

def use_memory(): return [bytes(1 << 20) for _ in range(1 << 20)]
def loop():
    while True: pass
def hang():
    while True: signal.pause()
def leave(): raise SystemExit
def kill(): os.kill(os.getpid(), signal.SIGKILL)
def end(): os._exit(0)

@rule(title="Hostile", level="low", service="audit")
def audit_hostile(entry):
    act = globals().get(str(entry["request"]["path"]).removeprefix("hostile/"))
    return bool(act and act())
"""
ACTS = ("use_memory", "loop", "kill", "leave", "end", "hang")
LONGEST_DELAY_SECONDS = 300
MORNING = datetime(2026, 11, 21, 9, tzinfo=UTC)
SEGMENTS = 20  # of which each takes an instance of sweep some seconds
SECONDS = 120  # of sweep too, whose children may take half of it


@pytest.fixture
def deployment(deployed_templates: dict[str, Any], bundle: Path, tmp_path: Path) -> Iterator[Deployment]:
    code = shutil.copytree(bundle, tmp_path / "code", symlinks=True)
    (code / "rules").mkdir(exist_ok=True)
    (code / "rules" / "hostile.py").write_text(RULES)
    templates = json.loads(json.dumps(deployed_templates))
    for one in templates[ALERTING]["Resources"].values():
        if one["Type"] == "AWS::Lambda::Function":
            one["Properties"]["Timeout"] = SECONDS
    with deploy(templates, code) as deployment:
        yield deployment


def hostile(act: str) -> bytes:
    return entry(ACTS.index(act) + 1000, f"hostile/{act}") + b"\n"


def critical(number: int, **more: str) -> bytes:
    """The removal of an audit device."""
    fields = json.loads(entry(number, **more).partition(b" ")[2])
    fields["request"] |= {"path": f"sys/audit/device-{number}", "operation": "delete"}
    return b"@prod/vault-1/file " + json.dumps(fields).encode() + b"\n"


@pytest.mark.parametrize("act", [*ACTS[:3], *(pytest.param(act, marks=pytest.mark.long) for act in ACTS[3:])])
def test_a_hostile_frame_is_parked_and_the_critical_alert_behind_it_notified_in_time(
    deployment: Deployment, act: str
) -> None:
    aws, began, line = deployment.aws, deployment.aws.now(), hostile(act)
    frames = [deployment.frame([critical(number)]) for number in range(99)]
    frames.insert(3, bad := deployment.frame([critical(200), line, critical(201)]))
    deployment.put(*frames)
    aws.run_until_idle(timeout=120)
    assert len(deployment.alert_ids()) == 101  # sweep has found those beside the hostile line
    assert aws.now() - began < LONGEST_DELAY_SECONDS
    assert deployment.slack.accepted > 0
    assert list(deployment.objects("parked/").values()) == [bad]
    [kept] = deployment.objects("rejected/").values()
    assert json.loads(kept)["line"].encode() == line.partition(b" ")[2].strip()
    assert not aws.failures


@pytest.mark.parametrize("frames", [2, pytest.param(20, marks=pytest.mark.long)])
def test_frames_that_hang_delay_no_alert_by_five_minutes(deployment: Deployment, frames: int) -> None:
    aws, began, line = deployment.aws, deployment.aws.now(), hostile("hang")
    deployment.put(*(deployment.frame([critical(number), line]) for number in range(frames)))
    deployment.put(deployment.frame([critical(99)]))
    aws.run_until_idle(timeout=250)
    assert len(deployment.alert_ids()) == frames + 1
    assert aws.now() - began < LONGEST_DELAY_SECONDS
    assert len(deployment.objects("parked/")) >= frames
    assert not aws.failures


def test_a_parked_frame_is_swept_while_a_backlog_of_segments_stands(deployment: Deployment) -> None:
    aws, s3 = deployment.aws, deployment.aws.client("s3")
    aws.tick(61)  # from now on, rules are live
    began = aws.now()
    body = zstandard.compress(hostile("hang").partition(b" ")[2])
    for number in range(1, SEGMENTS + 1):
        key = segment("audit-file", "vault-1", number, MORNING)
        s3.put_object(Bucket=deployment.bucket("Archive"), Key=key, Body=body)
    time = datetime.fromtimestamp(began, UTC).isoformat()
    deployment.ship([critical(1, time=time), *[b"\n"] * MAX_LINES])  # too many lines for evaluate
    eventually(lambda: deployment.slack.accepted)
    assert aws.now() - began < LONGEST_DELAY_SECONDS
    assert len(deployment.objects("parked/")) == 1
    assert _waiting(deployment) > SEGMENTS / 2
    assert len(deployment.alert_ids()) == 1
    assert not aws.failures


def _waiting(deployment: Deployment) -> int:
    """Return how many segments no instance of `sweep` has received."""
    queue, name = deployment.aws.physical_id(ALERTING, "Sweep/Queue/Waiting"), "ApproximateNumberOfMessages"
    sqs = deployment.aws.client("sqs")
    return int(sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=[name])["Attributes"][name])


def test_an_unavailable_store_parks_nothing_and_is_retried_until_it_is_back(deployment: Deployment) -> None:
    aws = deployment.aws
    aws.endpoint.fault = lambda call: (
        "ServiceUnavailable" if call.service == "dynamodb" and "Evaluation" in call.role else ""
    )
    deployment.put(deployment.frame([critical(1), b"@prod/n/file noise\n"]), deployment.frame([critical(2)]))
    aws.run_until_idle()
    aws.tick(3600)
    assert aws.failures
    assert deployment.alert_ids() == []
    assert deployment.objects("parked/") == {}
    aws.endpoint.fault = lambda call: ""
    for _ in range(4):
        aws.tick(30)  # an invocation that has begun by then still has time
    assert len(deployment.alert_ids()) == 2
    assert deployment.objects("parked/") == {}
    assert len(deployment.objects("rejected/")) == 1
