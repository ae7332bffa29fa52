"""Content that was tried against the functions by hand, and that made no alert late, unseen or wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.functions import ARCHIVE, AUDIT_TAG, World

TIMES = [
    "",
    "0001-01-01T00:00:00Z",
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59Z",
    "9999-12-31T23:59:59-23:59",
    "2026-02-30T00:00:00Z",
    "2026-11-29T23:59:60Z",
    "2026-11-29T17:00:00.999999999999999Z",
    "1e9",
    "x" * 100_000,
]
RULE = "audit_seal_requested"


def seal(event: str, *, by: str = "root", **members: Any) -> bytes:
    request = {
        "id": event,
        "operation": "update",
        "path": "sys/seal",
        "mount_type": "system",
        **members.pop("more", {}),
    }
    entry = {"time": "2026-11-21T07:29:41Z", "type": "response", "auth": {"display_name": by}, "request": request}
    return json.dumps({**entry, **members}).encode()


def raised(aws: World) -> int:
    return sum(alert.rule == RULE for alert in aws.alerts().values())


@pytest.mark.parametrize("way", ["evaluate", "sweep"])
def test_odd_times(aws: World, way: str) -> None:
    lines = [seal(f"e{number}", time=time) for number, time in enumerate(TIMES)]
    if way == "evaluate":
        aws.evaluate(aws.frame(*(AUDIT_TAG + line for line in lines)))
    else:
        aws.sweep(ARCHIVE, aws.archive("00000002-20261121T075958", b"\n".join(lines)))
    assert raised(aws) == len(TIMES)
    assert RULE in str(aws.published())


@pytest.mark.every_rule
@pytest.mark.parametrize("at", [-62_135_596_800.0, 253_402_300_799.0])
def test_frames_from_the_first_and_the_last_year(aws: World, at: float) -> None:
    server = b"@prod/vault-1/server ==> Vault shutdown triggered"
    strange = {f"node-{number}": ("9999-99-99", -5) for number in range(500)} | {"vault-1": ("x" * 1000, 2**62)}
    aws.evaluate(
        aws.frame(AUDIT_TAG + seal("e1"), b"no entry", at=at), aws.frame(server, source="server", before=strange)
    )
    assert raised(aws) == 1
    assert {RULE, "server_shutdown"} <= {alert.rule for alert in aws.alerts().values()}
    assert RULE in str(aws.published())


def test_texts_of_100_kb_in_seven_fields(aws: World) -> None:
    long = "x" * 100_000
    more = {"namespace": {"path": long}, "remote_address": long, "mount_point": long, "client_id": long}
    auth = {"display_name": long, "entity_id": long}
    aws.evaluate(
        aws.frame(AUDIT_TAG + seal("e1", auth=auth, error=long, more=more), AUDIT_TAG + seal("e2", by="mallory"))
    )
    assert raised(aws) == 2
    assert "mallory" in str(aws.published())


def test_the_success_among_denied_acts_of_many_names_on_many_clusters(aws: World) -> None:
    decoys = [
        b"@made-up-%d/vault-1/file %b" % (number, seal(f"d{number}", by=f"user-{number}", error="permission denied"))
        for number in range(250)
    ]
    aws.evaluate(aws.frame(*decoys, AUDIT_TAG + seal("e1", by="mallory"), *decoys))
    assert raised(aws) == 251
    assert "mallory" in str(aws.published())
