"""With the stolen credential of evaluate nobody can forge lines."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from testbed.deployment import ALERTING, deploy
from testbed.recorded import tagged

SEQUENCE_NUMBER = "49590338271490256608559692538361571095921575989136588898"


@pytest.mark.parametrize("folder", ["parked/dt=2026-11-21", "aws/lambda/mapping"])
def test_evaluate_cannot_make_sweep_evaluate_lines_that_nobody_sent(
    deployed_templates: dict[str, Any], bundle: Path, folder: str
) -> None:
    with deploy(deployed_templates, bundle) as deployment:
        aws, lines = deployment.aws, tagged("vault-1.14.2", "audit")[7]  # a root token is generated
        forged = deployment.frame(lines)
        deployment.ship([])
        aws.run_until_idle()
        role = aws.physical_id(ALERTING, "Evaluation/Function/Role")
        key = f"{folder}/shardId-000000000000-{SEQUENCE_NUMBER}.frame"
        body = forged if folder.startswith("parked") else report(forged)
        aws.client("s3", role).put_object(Bucket=deployment.bucket("Alerts"), Key=key, Body=body)
        aws.tick(1)
        assert deployment.alert_ids() == []
        assert not aws.failures
        assert "vaultwatch-sweep-parked-frames" in aws.fired_alarms(), aws.log("sweep.handler")


def report(frame: bytes) -> bytes:
    """Return what Lambda writes about a discarded batch that holds this frame, which the stream never had."""
    numbers = dict.fromkeys(("startSequenceNumber", "endSequenceNumber"), SEQUENCE_NUMBER)
    record = {"eventID": "shardId-000000000000:1", "kinesis": {"data": base64.b64encode(frame).decode()}}
    info = {"shardId": "shardId-000000000000", **numbers}
    return json.dumps({"KinesisBatchInfo": info, "payload": json.dumps({"Records": [record]})}).encode()
