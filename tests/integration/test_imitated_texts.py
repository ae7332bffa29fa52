"""Of the names that a client chooses, those hide nothing that read like what Vaultwatch or a server writes itself.

That is the marker of a secret, a text that was cut, a hash of an audit device, or the role of a login.
"""

from __future__ import annotations

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


def secret_read(number: int, mount: str, principal: str) -> bytes:
    request = {"operation": "read", "mount_type": "kv", "mount_point": f"{mount}/", "path": f"{mount}/data/{number}"}
    return entry(0, principal=principal, request={"id": f"{mount}-{number}", **request}) + b"\n"


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
    principal = f"bob-{mount}"
    deployment.ship([secret_read(number, mount, principal) for number in range(50)])
    deployment.aws.run_until_idle()
    found = [alert.rule for alert in deployment.alerts() if alert.principal == principal]
    assert found == ["audit_secrets_read_in_bulk"]


def test_a_token_with_the_role_name_root_in_its_metadata_is_not_called_so(deployment: Deployment) -> None:
    auth = {"display_name": "token", "accessor": "a1", "metadata": {"role_name": "root"}, "policies": ["ops"]}
    ship(deployment, entry(1, auth=auth))
    [mail] = [mail for mail in deployment.aws.mails if "token with accessor a1" in mail.text]
    assert "token root" not in mail.text


def test_a_login_by_a_method_and_a_role_that_spell_root_token_is_in_quotation_marks(deployment: Deployment) -> None:
    # as OpenBao 2.6 logs it, after `bao auth enable -path=root approle`
    auth = {"display_name": "root", "entity_id": "e5", "metadata": {"role_name": "token"}, "policies": ["ops"]}
    ship(deployment, entry(2, auth=auth))
    [mail] = [mail for mail in deployment.aws.mails if "entity e5" in mail.text]
    assert mail.text.count("root token") == mail.text.count('"root token"') == 2


def test_a_long_name_hides_neither_who_the_caller_is_nor_what_he_does(deployment: Deployment) -> None:
    entity = "0f1e2d3c-0000-4000-8000-000000000001"
    auth = {"display_name": "n" * 200, "metadata": {"role_name": "r" * 200}, "entity_id": entity}
    ship(deployment, *(entry(4000 + number, f"sys/audit/of-long-{number}", auth=auth) for number in range(3)))
    for texts in ("".join(mail.text for mail in deployment.aws.mails), str(deployment.slack.messages)):
        assert [f"of-long-{number}" in texts for number in range(3)] == [True] * 3
        assert texts.count(f"(entity {entity})") == 3  # one notification of the first, and one with two groups
