"""The stand-in detects what the original approach detected, and misses what it missed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.stand_in import check
from bench.world import Json

ROOT = Path(__file__).parents[3]


def entry(
    path: str = "secret/data/x", operation: str = "read", namespace: str = "", policies: tuple[str, ...] = ("default",)
) -> Json:
    logged = {"path": namespace} if namespace else {"id": "root"}
    request = {"path": path, "operation": operation, "namespace": logged}
    return {"auth": {"policies": list(policies)}, "request": request}


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (entry(policies=("root",)), "root policy used"),
        (entry(namespace="break-glass"), "break-glass namespace used"),
        (entry("sys/generate-root/attempt"), "root token generation"),
        (entry("sys/policies/acl/x", "update"), "policy written"),
        (entry("secret/data/emergency-only/x"), "emergency path used"),
        (entry(namespace="prod/", policies=("never-use",)), "forbidden policy used"),
        (entry("pki/issue/web", "update", namespace="prod-us/"), "certificate issued"),
    ],
)
def test_each_of_the_seven_checks_matches_its_entry(found: Json, reason: str) -> None:
    assert check(found) == [reason]


def test_an_ordinary_entry_matches_no_check() -> None:
    assert check(entry()) == []


def test_an_entry_without_policies_is_skipped_and_the_next_one_read() -> None:
    lines: list[Json] = [{"auth": {"token_type": "default"}, "request": {}}, entry(policies=("root",))]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    command = [sys.executable, "-m", "bench.stand_in"]
    ran = subprocess.run(command, cwd=ROOT, input=text, capture_output=True, text=True, check=True)
    assert ran.stderr == "1 entries met a check, 1 skipped\n"
