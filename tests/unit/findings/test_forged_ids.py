"""A forged entry with the id of a real one hides no act from `check`: neither whose it was, nor its outcome."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from testbed.recorded import tagged
from vaultwatch.cli import main

ACT = tagged("vault-1.14.2", "audit")[10][10:12]  # a secrets engine disabled: a request and its response
OTHER = {"entity_id": "e-other", "display_name": "mallory", "accessor": "other"}


def entries() -> list[dict[str, Any]]:
    return [json.loads(line[line.index(b"{") :]) for line in ACT]


def forged(**changes: Any) -> list[dict[str, Any]]:
    """Return the act with members of `auth`, `request` or the entry that are others."""
    found = entries()
    for entry in found:
        for name, value in changes.items():
            entry[name] = {**entry[name], **value} if isinstance(value, dict) else value
    return found


FORGERIES = {
    "of another caller": forged(auth=OTHER),
    "from another address": forged(request={"remote_address": "192.0.2.66"}),
    "in another namespace": forged(request={"namespace": {"id": "n", "path": "other/"}}),
    "on another path": forged(request={"path": "sys/mounts/other"}),
    "that seems denied": forged(error="permission denied"),
}


def checked(log: Path, jobs: int, capsys: pytest.CaptureFixture[str]) -> list[tuple[str, ...]]:
    main(["check", "--format", "json", "--jobs", str(jobs), str(log)])
    names = ("rule", "principal", "remote_address", "namespace", "path", "outcome")
    return sorted(tuple(json.loads(line)[name] for name in names) for line in capsys.readouterr().out.splitlines())


def write(log: Path, *acts: list[dict[str, Any]]) -> Path:
    log.write_text("".join(json.dumps(entry) + "\n" for act in acts for entry in act))
    return log


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("forgery", FORGERIES)
def test_the_act_is_shown_beside_it_in_whichever_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], forgery: str, jobs: int
) -> None:
    real = checked(write(tmp_path / "real.log", entries()), jobs, capsys)
    assert real
    (tmp_path / "logs").mkdir()
    for acts in ([FORGERIES[forgery], entries()], [entries(), FORGERIES[forgery]]):
        for name in ("audit.log", "audit2.log"):  # of two devices
            write(tmp_path / "logs" / name, *acts)
        found = checked(tmp_path / "logs", jobs, capsys)
        assert set(real) <= set(found)
        assert len(found) == len(set(found))


def test_what_both_devices_have_logged_is_shown_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    once = checked(write(tmp_path / "real.log", entries()), 1, capsys)
    assert checked(write(tmp_path / "twice.log", entries(), entries()), 1, capsys) == once
