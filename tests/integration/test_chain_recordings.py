"""The recordings of real servers, on both lanes and in random frames, raise the alerts that `check` finds in them."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from testbed.deployment import Deployment, deploy
from testbed.log_server import VAULTWATCH
from testbed.recorded import RECORDINGS
from tests.support.functions import Context, Topic, entry, event_key, kinesis, world
from tests.support.waiting import HUNG_SECONDS
from vaultwatch.alerts import alert_id
from vaultwatch.rules.pack import shipped_rules

COUNTING = {rule.name for rule in shipped_rules() if rule.compiled.correlation}
LANES = {"file": "audit.jsonl", "socket": "audit-socket.jsonl"}


def lane(product: str, name: str) -> list[bytes]:
    """Return all lines that a product wrote to one of its two audit devices, tagged."""
    files = sorted((RECORDINGS / product).glob(f"*/{LANES[name]}"))
    tag = f"@prod/{product}/{name} ".encode()
    return [tag + line + b"\n" for file in files for line in file.read_bytes().split(b"\n") if line]


def checked(lines: list[bytes], folder: Path) -> set[str]:
    """Return the ids of the alerts that the command line finds; no counts, which depend on the batches."""
    file = folder / "lines"
    file.write_bytes(b"".join(lines))
    command = [str(VAULTWATCH), "check", "--level=informational", "--format=json", str(file)]
    done = subprocess.run(command, capture_output=True, check=False, timeout=HUNG_SECONDS)
    assert done.returncode == 1
    lacking, closing = done.stderr.splitlines()
    assert lacking.startswith(b"No server log was read: ")
    assert b" 0 rejected lines, " in closing
    found = map(json.loads, done.stdout.splitlines())
    return {alert["id"] for alert in found if alert["rule"] not in COUNTING}


@pytest.mark.parametrize("product", [pytest.param("vault-1.14.2", marks=pytest.mark.long), "openbao-2.6.2"])
def test_two_lanes_in_random_and_reordered_frames_raise_each_alert_once(
    product: str, deployed_templates: dict[str, Any], bundle: Path, tmp_path: Path
) -> None:
    lanes = [lane(product, name) for name in LANES]
    sizes = random.Random(7)
    frames = [frame for lines in lanes for frame in cut(lines, sizes)]
    sizes.shuffle(frames)
    with deploy(deployed_templates, bundle) as deployment:
        ship(deployment, frames)
        deployment.aws.run_until_idle()
        stored = [alert.id for alert in deployment.alerts() if alert.rule not in COUNTING]
        assert not deployment.aws.failures
    assert len(stored) == len(set(stored)) > 50
    assert set(stored) == checked([line for lines in lanes for line in lines], tmp_path)


def cut(lines: list[bytes], sizes: random.Random) -> Iterator[list[bytes]]:
    """Divide lines into runs of 1 to 60, so that some requests are separated from their responses."""
    while lines:
        size = sizes.randint(1, 60)
        yield lines[:size]
        lines = lines[size:]


def ship(deployment: Deployment, frames: list[list[bytes]]) -> None:
    """Put frames on the stream in several calls."""
    for at in range(0, len(frames), 20):
        deployment.ship(*frames[at : at + 20])


@pytest.mark.parametrize("names", [1_000, pytest.param(10_000, marks=pytest.mark.long)])
def test_thousands_of_alerts_in_a_minute_under_as_many_names_are_counted_exactly(
    names: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic, a_second = Topic(), names // 50
    with world(monkeypatch) as aws:
        evaluate, digest = (topic.behind(aws, name) for name in ("evaluate", "digest"))
        for second in range(50):
            lines = [
                entry(number, principal=f"p{number}") for number in range(second * a_second, (second + 1) * a_second)
            ]
            frame = aws.frame(*lines)
            for _ in range(2 if second % 10 == 0 else 1):  # some come again
                evaluate(kinesis(frame), Context())
            aws.now += 1
        firsts = topic.for_people()
        aws.now += 10
        digest({}, Context(55_000))
        assert aws.unsent() == 0
    summary = topic.for_people()[-1]
    published = [alert.id for notification in [*topic.messages, *aws.kept()] for alert in notification.alerts]
    assert len(published) == names
    assert set(published) == {alert_id("audit_device_enabled", event_key(number)) for number in range(names)}
    assert [(one.disposition, len(one.alerts)) for one in firsts] == [("first", 1)] * 15
    assert (summary.disposition, summary.merged_count) == ("summary", names - 15)
