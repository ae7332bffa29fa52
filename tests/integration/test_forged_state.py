"""Whoever has the credential of a function, and not the key that names and seals rows, hides no alert in advance."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from testbed.deployment import ALERTING, Deployment, deploy
from testbed.recorded import tagged
from tests.support.dynamodb import Listed
from vaultwatch.alerts import Alert
from vaultwatch.dispatch.decisions import State
from vaultwatch.dispatch.drafts import head_of
from vaultwatch.dispatch.groups import file_alert, open_window
from vaultwatch.dispatch.held import Held
from vaultwatch.dispatch.limits import NOTIFICATIONS_A_MINUTE, Limit
from vaultwatch.dispatch.same_fact import Sighting, Sightings, family_of
from vaultwatch.dispatch.tallies import principal_digest
from vaultwatch.rules.facts import Level
from vaultwatch.seals import UNSEALED, Seal
from vaultwatch.store.dynamodb.rows import changed_rows
from vaultwatch.store.dynamodb.schema import EXPIRES_AT, alert_key
from vaultwatch.store.dynamodb.table import Row, Table
from vaultwatch.store.encoding import pack_alert

BEGINS = tagged("vault-1.14.2", "audit")[7][2:4]  # a root generation
KINDS = ("alert", "window", "held", "limit", "sightings")
Deployed = Callable[[], Any]


def hiding(alert: Alert, now: float) -> dict[str, list[Row]]:
    """Return rows by their kind, of each of which this alert would be known, suppressed, limited or covered."""
    filing = file_alert(alert)
    covering = Sighting(alert.same_as[0], alert.node, None, now, Level.CRITICAL, denied=False)
    state = State(
        windows={filing.group: open_window(filing, now)},
        held={alert.rule: Held(head_of(alert), notified=((principal_digest(alert.principal), now),))},
        sightings={"": Sightings(family_of(alert), (covering,))},
        ordinary=Limit((now,) * NOTIFICATIONS_A_MINUTE),
    )
    known = Row(alert_key(alert.id), pack_alert(alert), None, {EXPIRES_AT: int(now + 9e6)})
    made = [known, *changed_rows(state, {}, now + 9e6)]
    return {kind: [row for row in made if row.key[1] == kind] for kind in KINDS}


def own_seal(deployment: Deployment) -> Seal:
    """Return the seal of a deployment, as its administrator can read it."""
    secret = deployment.aws.physical_id(ALERTING, "Alerts/RowSeal/Key")
    return Seal(deployment.aws.client("secretsmanager").get_secret_value(SecretId=secret)["SecretString"])


def store(deployment: Deployment, function: str, rows: list[Row], seal: Seal) -> None:
    """Store rows with the credential of a function."""
    aws = deployment.aws
    client = aws.client("dynamodb", aws.physical_id(ALERTING, f"{function}/Function/Role"))
    for row in rows:
        Table(client, aws.physical_id(ALERTING, "Alerts/Table"), seal).put(row)


@pytest.fixture
def deployed(deployed_templates: dict[str, Any], bundle: Path) -> Deployed:
    @contextmanager
    def made() -> Iterator[Deployment]:
        with deploy(deployed_templates, bundle) as deployment:
            yield deployment

    return made


@pytest.fixture(scope="module")
def alert(deployed_templates: dict[str, Any], bundle: Path) -> Alert:
    """The alert on it, as it is stored without a thief."""
    with deploy(deployed_templates, bundle) as deployment:
        deployment.ship(BEGINS)
        deployment.aws.run_until_idle()
        [alert] = deployment.alerts()
        assert len(deployment.aws.mails) == 1
        return alert


@pytest.mark.parametrize("kind", KINDS)
def test_each_of_them_would_hide_it_if_it_had_the_key_of_the_deployment(
    deployed: Deployed, alert: Alert, kind: str
) -> None:
    with deployed() as deployment:
        store(deployment, "Evaluation", hiding(alert, deployment.aws.now())[kind], own_seal(deployment))
        deployment.ship(BEGINS)
        deployment.aws.run_until_idle()
        assert deployment.aws.mails == []


@pytest.mark.parametrize(("function", "seal"), [("Evaluation", Seal("a guess")), ("Sweep", UNSEALED)])
def test_without_it_nobody_finds_the_name_of_a_row_that_is_read(
    deployed: Deployed, alert: Alert, function: str, seal: Seal
) -> None:
    with deployed() as deployment:
        forged = [row for rows in hiding(alert, deployment.aws.now()).values() for row in rows]
        store(deployment, function, forged, seal)
        deployment.ship(BEGINS)
        deployment.aws.run_until_idle()
        assert {row.key[1] for row in forged} == {*KINDS}
        assert len(deployment.aws.mails) == 1
        assert "vaultwatch-evaluate-foreign-rows" not in deployment.aws.fired_alarms()


def test_with_the_name_and_without_the_key_the_alert_is_notified_at_once_and_an_alarm_fires(
    deployed: Deployed, alert: Alert
) -> None:
    with deployed() as deployment:
        forged = [row for rows in hiding(alert, deployment.aws.now()).values() for row in rows]
        store(deployment, "Digest", forged, Listed(own_seal(deployment)))
        deployment.ship(BEGINS)
        deployment.aws.run_until_idle()
        assert len(deployment.aws.mails) == 1
        assert "vaultwatch-evaluate-foreign-rows" in deployment.aws.fired_alarms()
        log = deployment.aws.log("evaluate.handler")
        assert {*re.findall(r"the row \('[^']+', '(\w+)'\) cannot be read, and is ignored", log)} == {*KINDS}
