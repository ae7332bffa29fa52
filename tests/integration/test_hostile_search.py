"""Whatever an attacker writes into a log, the acts beside it raise their alerts: each once, unaltered, and at once.

The lines are found by a small seeded search, and evaluated by the processes that people run: `check`, `watch`, and the
functions of a deployment.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import zstandard
from msgspec.structs import asdict

from testbed.deployment import Deployment, deploy
from tests.support.hostile import Case, Search, found_acts
from tests.support.watching import FAST, alerts_in, options, start, unsent
from vaultwatch.rules.facts import Service

ROOT = Path(__file__).parents[2]
SHORT = (1, 250)
"""A seed, and how many logs."""
LONG = [pytest.param(seed, 4_000, marks=pytest.mark.long) for seed in range(2, 8)]


def expected(cases: Sequence[Case]) -> dict[tuple[Service, int], int]:
    return {(case.service, number): 1 for case in cases for number in case.acts}


@pytest.mark.parametrize(("seed", "count"), [SHORT, *LONG])
def test_check_finds_each_act(tmp_path: Path, seed: int, count: int) -> None:
    search = Search(seed)
    cases = [search.case(number, b"@prod/vault-1/" * (number % 2)) for number in range(count)]
    for number, case in enumerate(cases):
        (tmp_path / f"{number:05}.log").write_bytes(b"".join(case.lines))
    command = [sys.executable, "-m", "vaultwatch", "check", "--jobs", "1", "--format", "json", str(tmp_path)]
    checked = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    assert checked.returncode == 1, checked.stderr
    found = Counter(found_acts(map(json.loads, checked.stdout.splitlines())))
    assert found == expected(cases)


@pytest.mark.parametrize(("seed", "count"), [(8, 60), pytest.param(9, 2_000, marks=pytest.mark.long)])
@pytest.mark.parametrize(("service", "tag"), [("audit", b""), ("server", b"@prod/vault-1/")], ids=["plain", "tagged"])
def test_watch_notifies_of_each_act(tmp_path: Path, seed: int, count: int, service: Service, tag: bytes) -> None:
    search = Search(seed)
    cases = [case for case in (search.case(number, tag) for number in range(count)) if case.service == service]
    given = options(tmp_path, source=service, pace=FAST)
    lines = b"".join(line for case in cases for line in case.lines)
    while lines or unsent(given, "alert-log"):  # it ends a few seconds after its input, and goes on at its next start
        handler = start(given)
        handler.communicate(lines)
        assert handler.returncode == 0
        lines = b""
    assert given.alert_log is not None
    assert Counter(found_acts(alerts_in(given.alert_log))) == expected(cases)


@pytest.fixture
def deployment(deployed_templates: dict[str, Any], bundle: Path) -> Iterator[Deployment]:
    with deploy(deployed_templates, bundle) as deployment:
        yield deployment


DAMAGES: list[Callable[[bytes], bytes]] = [
    lambda frame: frame[: len(frame) // 2],
    lambda frame: frame[:40] + b"\xff" + frame[41:],
    lambda frame: frame + frame,
    lambda frame: b"\0" * 100,
    lambda frame: gzip.compress(b"\0" * 50_000_000),
    lambda frame: zstandard.compress(b"\0" * 500_000_000),
    lambda frame: frame.replace(b"log-1", b"log-9"),
    lambda frame: json.dumps({"a": frame.decode("latin-1")}).encode(),
]


@pytest.mark.long  # test_attack_search.py sends such lines and frames through the functions in every run
@pytest.mark.parametrize(("seed", "count"), [(10, 8), (11, 600)])
def test_functions_store_each_act(deployment: Deployment, seed: int, count: int) -> None:
    search, aws = Search(seed), deployment.aws
    cases = [search.case(number, b"@prod/vault-1/") for number in range(count)]
    frames = [deployment.frame(case.lines, source=case.service) for case in cases]
    damaged = [DAMAGES[number % len(DAMAGES)](frame) for number, frame in enumerate(frames)]
    for at in range(0, count, 100):
        deployment.put(*damaged[at : at + 100], *frames[at : at + 100])
    aws.run_until_idle(timeout=600)
    assert Counter(found_acts(map(asdict, deployment.alerts()))) == expected(cases)
    assert deployment.slack.accepted > 0
    assert not aws.failures
