"""`cdk synth` warns where nobody would be notified, and refuses with `--strict`."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.stacks.conftest import NOTIFIED, ROOT, synthesize

CDK = ROOT / "node_modules/.bin/cdk"
NO_ALERTS, NO_ALARMS = "Nobody is notified of alerts: ", "Nobody is notified when Vaultwatch itself fails: "


def warnings(outdir: Path) -> list[str]:
    """The texts of the warnings in an assembly."""
    return [
        entry["data"]
        for path in outdir.glob("*.metadata.json")
        for entries in json.loads(path.read_text()).values()
        for entry in entries
        if entry["type"] == "aws:cdk:warning"
    ]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, [NO_ALERTS, NO_ALARMS]),
        ({"alert_emails": ["a@example.org"]}, [NO_ALARMS]),
        ({"slack": True}, [NO_ALARMS]),
        ({"operations_emails": ["o@example.org"]}, [NO_ALERTS]),
        (NOTIFIED, []),
    ],
)
def test_a_deployment_that_would_notify_nobody_gets_a_warning_that_says_what_to_set(
    tmp_path: Path, settings: dict[str, Any], said: list[str]
) -> None:
    synthesize(tmp_path, settings)

    found = warnings(tmp_path)
    assert [text.partition(": ")[0] + ": " for text in found] == said
    assert all(" in cdk.json (docs/" in text for text in found)


@pytest.mark.skipif(not CDK.exists(), reason="no CDK command line; `make synth` installs it")
@pytest.mark.parametrize(("settings", "status"), [({}, 1), (NOTIFIED, 0)])
def test_strict_synthesis_refuses_it(tmp_path: Path, settings: dict[str, Any], status: int) -> None:
    synthesize(tmp_path, settings)

    command = [str(CDK), "synth", "--app", str(tmp_path), "--quiet", "--strict"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, NO_ALERTS in done.stderr) == (status, bool(status))
