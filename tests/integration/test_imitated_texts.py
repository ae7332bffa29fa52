"""A client chooses a name that reads like what Vaultwatch or the server writes in place of a text, and hides nothing.

What is in place of a text is a marker of a secret, the hash behind a text that is cut, or a hash of an audit device.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from testbed.deployment import Deployment, deploy
from tests.support.functions import entry
from vaultwatch.reading.bounds import distinct
from vaultwatch.redaction import redacted_text

LIKE_A_TOKEN = "s." + "A" * 24
LONG = "x" * 2_000
ALIKE = {
    "the marker of a secret": (redacted_text(LIKE_A_TOKEN), LIKE_A_TOKEN),
    "another secret, whose first digits are the same": ("s.AAAAAAAAAAAAAAAAAAb2dad3", "s.AAAAAAAAAAAAAAAAAAa462cb"),
    "a text that is cut": (distinct(f"sys/audit/{LONG}").removeprefix("sys/audit/"), LONG),
}


@pytest.fixture(scope="module")
def deployment(deployed_templates: dict[str, Any], bundle: Path) -> Iterator[Deployment]:
    with deploy(deployed_templates, bundle) as deployment:
        yield deployment


def ship(deployment: Deployment, *lines: bytes) -> None:
    for line in lines:
        deployment.ship([line + b"\n"])
    deployment.aws.run_until_idle()
    for _ in range(2):
        deployment.aws.tick(61)


def mailed(deployment: Deployment, principal: str) -> int:
    """Return how many audit devices that somebody has enabled are in e-mails."""
    texts = "".join(mail.text for mail in deployment.aws.mails)
    found = [one for one in deployment.alerts() if (one.rule, one.principal) == ("audit_device_enabled", principal)]
    return sum(alert.id in texts for alert in found)


@pytest.mark.parametrize("kind", ALIKE)
def test_an_act_on_what_reads_alike_hides_none(deployment: Deployment, kind: str) -> None:
    first = 1000 * (1 + list(ALIKE).index(kind))
    names, principal = ALIKE[kind], f"alice-{first}"
    lines = [entry(first + at, f"sys/audit/{name}", principal=principal) for at, name in enumerate(names)]
    ship(deployment, *lines)
    assert mailed(deployment, principal) == 2


@pytest.mark.parametrize("mount", ["secret", "hmac-sha256:x"])
def test_secrets_of_an_engine_that_is_named_like_a_hash_are_counted(deployment: Deployment, mount: str) -> None:
    first, principal = 10_000 if mount == "secret" else 20_000, f"bob-{mount}"
    deployment.ship([
        b"@prod/vault-1/file " + json.dumps({
            "time": "2026-11-21T07:59:58.000000001Z", "type": "response",
            "auth": {"display_name": principal, "entity_id": principal},
            "request": {"id": f"bulk-{first + n}", "operation": "read", "mount_type": "kv", "mount_point": f"{mount}/", "path": f"{mount}/data/{n}", "remote_address": "192.0.2.1"},
            "response": {"mount_type": "kv"},
        }).encode() + b"\n"
        for n in range(50)
    ])
    deployment.aws.run_until_idle()
    assert [alert.rule for alert in deployment.alerts() if alert.principal == principal] == ["audit_secrets_read_in_bulk"]


def test_a_token_with_the_role_name_root_in_its_metadata_is_not_called_so(deployment: Deployment) -> None:
    auth = {"display_name": "token", "accessor": "a1", "metadata": {"role_name": "root"}, "policies": ["ops"]}
    ship(deployment, entry(1, auth=auth))
    [mail] = [mail for mail in deployment.aws.mails if "token with accessor a1" in mail.text]
    assert "token root" not in mail.text
