"""Of a row that decides something, nobody without the key of the deployment knows the name, whatever else he knows.

He knows ids and groups of alerts, which are in Slack, the time, and all of this code. No credential of a function lists
rows: `digest` queries calendars, whose partitions have such names, too. So people are notified as they are without him.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from testbed.aws import Call
from testbed.deployment import ALERTING, Deployment, deploy
from testbed.recorded import tagged
from tests.integration.test_forged_state import own_seal
from vaultwatch.alerts import Alert
from vaultwatch.aws.publishing import HISTORY, TOPIC
from vaultwatch.detection.absences import Run
from vaultwatch.detection.counting import Occurrence
from vaultwatch.detection.firsts import Combination, First
from vaultwatch.dispatch.groups import group_key
from vaultwatch.reading.records import NO_ORIGIN
from vaultwatch.rules.pack import shipped_rules
from vaultwatch.seals import UNSEALED, Seal
from vaultwatch.store.absences import Absences
from vaultwatch.store.dynamodb import schema
from vaultwatch.store.dynamodb.expectations import DynamoExpectations

ACT = tagged("vault-1.14.2", "audit")[10][10:12]  # a secrets engine disabled
MISSING = "audit_backup_snapshot_missing"
REPEATS = 3
SINKS = (schema.critical_calendar(TOPIC), *map(schema.sink_calendar, (TOPIC, HISTORY)))
CALENDARS = ("window", "held", "added", "expected", *SINKS)
Row = dict[str, Any]


class Thief:
    """Uses the table with the credential of a function.

    Args:
        deployment: The deployment.
        function: The function.
        names: By what he believes to find rows.
    """

    def __init__(self, deployment: Deployment, function: str, names: Seal) -> None:
        self._aws = aws = deployment.aws
        self._client = aws.client("dynamodb", aws.physical_id(ALERTING, f"{function}/Function/Role"))
        self._table, self._names = aws.physical_id(ALERTING, "Alerts/Table"), names

    def place(self, key: schema.Key) -> Row:
        """Return the key that he tries for a row."""
        return {"pk": {"S": self._names.name(key[0])}, "sk": {"S": key[1]}}

    def read(self, key: schema.Key) -> list[Row]:
        """Return what he can read of a row."""
        answer = self._client.batch_get_item(RequestItems={self._table: {"Keys": [self.place(key)]}})
        found: list[Row] = answer["Responses"][self._table]
        return found

    def query(self, partition: str) -> list[Row]:
        """Return the rows of a partition."""
        equal = {"KeyConditionExpression": "pk = :pk", "ExpressionAttributeValues": {":pk": {"S": partition}}}
        found: list[Row] = self._client.query(TableName=self._table, **equal)["Items"]
        return found

    def scan(self) -> list[Row]:
        """Return all rows."""
        found: list[Row] = self._client.scan(TableName=self._table)["Items"]
        return found

    def calendars(self) -> list[Row]:
        """Return what he finds of the calendars of these weeks."""
        moments = [self._aws.now() + schema.WEEK_SECONDS * weeks for weeks in (-1, 0, 1)]
        keys = [schema.calendar_key(name, at) for name in CALENDARS for at in moments]
        return [row for key in keys for row in self.query(self._names.name(key))]

    def put(self, *rows: Row) -> None:
        """Write rows over others."""
        for row in rows:
            self._client.put_item(TableName=self._table, Item=row)
        self._aws.run_until_idle()

    def overwrite(self, key: schema.Key) -> None:
        """Write nothing over a row."""
        self.put({**self.place(key), "body": {"B": b"{}"}, schema.SEAL: {"B": b"0" * 16}})


def another(number: int) -> list[bytes]:
    """Return the same act again, from another address, so that a summary says so."""
    lines = [line.replace(b'"request":{"id":"', b'"request":{"id":"%d-' % number) for line in ACT]
    return [re.sub(rb'"remote_address":"[^"]+"', b'"remote_address":"192.0.2.%d"' % number, line) for line in lines]


def ship(deployment: Deployment, *lines: list[bytes]) -> None:
    deployment.ship(*lines)
    deployment.aws.run_until_idle()


def counted(deployment: Deployment) -> int:
    """Return how many alerts summaries have counted, hours later."""
    for _ in range(3):
        deployment.aws.tick(3600)
    return sum(one.merged_count for one in deployment.published())


def repeats_written_over(deployment: Deployment, thief: Thief, alert: Alert) -> int:
    ship(deployment, ACT)
    ship(deployment, *map(another, range(REPEATS)))
    thief.overwrite(schema.window_key(group_key(alert)))
    return counted(deployment)


def repeats_put_back(deployment: Deployment, thief: Thief, alert: Alert) -> int:
    ship(deployment, ACT)
    rows = thief.read(schema.window_key(group_key(alert)))
    ship(deployment, *map(another, range(REPEATS)))
    thief.put(*rows)
    return counted(deployment)


def held_written_over(deployment: Deployment, thief: Thief, alert: Alert) -> int:
    """Acts of the same principal on other clusters, which wait for the rule's next notification."""
    ship(deployment, ACT)
    ship(deployment, *([line.replace(b"@prod/", b"@c%d/" % n) for line in another(n)] for n in range(REPEATS)))
    thief.overwrite(schema.held_key(alert.rule))
    return counted(deployment)


def unsent(deployment: Deployment, attack: Callable[[], None]) -> int:
    """Return how many people are notified of an alert whose notification `evaluate` could not publish."""

    def no_topic(call: Call) -> str:
        return "ServiceUnavailable" if "Evaluation" in call.role and call.operation == "PublishBatch" else ""

    deployment.aws.endpoint.fault = no_topic
    ship(deployment, ACT)
    attack()
    deployment.aws.endpoint.fault = lambda call: ""
    deployment.aws.tick(121)
    return sum("vault-1.14.2" in mail.text for mail in deployment.aws.mails)  # the node, which only the alert names


def unsent_written_over(deployment: Deployment, thief: Thief, alert: Alert) -> int:
    return unsent(deployment, lambda: thief.overwrite(schema.delivery_key(alert.id, TOPIC)))


def unsent_put_off(deployment: Deployment, thief: Thief, alert: Alert) -> int:
    def attack() -> None:
        later = {"N": repr(deployment.aws.now() + 7000)}
        thief.put(*({**row, schema.DUE_AT: later} for row in thief.read(schema.delivery_key(alert.id, TOPIC))))

    return unsent(deployment, attack)


def unsent_alert_written_over(deployment: Deployment, thief: Thief, alert: Alert) -> int:
    return unsent(deployment, lambda: thief.overwrite(schema.alert_key(alert.id)))


def expected_written_over(deployment: Deployment, thief: Thief, alert: Alert) -> int:
    aws, now = deployment.aws, deployment.aws.now()
    as_evaluate = DynamoExpectations(
        aws.client("dynamodb"), aws.physical_id(ALERTING, "Alerts/Table"), own_seal(deployment)
    )
    of = Combination(MISSING, ("prod",))
    event = First(Occurrence(now, "2026-11-28T07:08:09Z", "0" * 64, NO_ORIGIN), {}, "sys/storage/raft/snapshot")
    absences = Absences(shipped_rules(), lambda: as_evaluate)
    absences.expect([(of, [Run(now, event)])], now)
    aws.tick(25 * 3600)
    thief.overwrite(schema.expected_key(of.digest))
    for _ in range(3):
        aws.tick(3600)
    return sum(one.rule == MISSING for one in deployment.alerts())


ATTACKS: dict[Callable[..., int], int] = {
    repeats_written_over: REPEATS,
    repeats_put_back: REPEATS,
    held_written_over: REPEATS,
    unsent_written_over: 1,
    unsent_put_off: 1,
    unsent_alert_written_over: 1,
    expected_written_over: 1,
}
"""What people are notified of."""
FEW = [("Evaluation", repeats_written_over), ("Sweep", held_written_over), ("Digest", unsent_written_over)]
GUESS = Seal("a guess, as long as that of a deployment")
THIEVES = {"Evaluation": UNSEALED, "Sweep": GUESS, "Digest": UNSEALED}


@pytest.fixture
def deployment(deployed_templates: dict[str, Any], bundle: Path) -> Iterator[Deployment]:
    with deploy(deployed_templates, bundle) as deployment:
        yield deployment


@pytest.fixture(scope="module")
def alert(deployed_templates: dict[str, Any], bundle: Path) -> Alert:
    with deploy(deployed_templates, bundle) as deployment:
        ship(deployment, ACT)
        [alert] = deployment.alerts()
        return alert


@pytest.mark.parametrize(
    ("function", "attack"),
    [
        # All find no name: each function once shows it.
        pytest.param(function, attack, marks=[pytest.mark.long] * ((function, attack) not in FEW))
        for function in THIEVES
        for attack in ATTACKS
        if attack is not unsent_put_off or function == "Digest"  # others may not read what is unsent
    ],
    ids=lambda it: getattr(it, "__name__", it),
)
def test_people_are_notified_as_without_him(
    deployment: Deployment, alert: Alert, attack: Callable[..., int], function: str
) -> None:
    assert attack(deployment, Thief(deployment, function, THIEVES[function]), alert) == ATTACKS[attack]


def test_nobody_can_list_rows_and_who_may_query_calendars_does_not_know_their_names(deployment: Deployment) -> None:
    ship(deployment, ACT)
    assert Thief(deployment, "Digest", own_seal(deployment)).calendars(), (
        "its code, which has the key, finds what waits"
    )
    for function in THIEVES:
        for names in (UNSEALED, GUESS):
            thief = Thief(deployment, function, names)
            with pytest.raises(ClientError, match="AccessDenied"):
                thief.scan()
            with pytest.raises(ClientError, match="AccessDenied"):
                thief.query(names.name(schema.window_key("x")[0]))
            if function == "Digest":
                assert thief.calendars() == []
            else:
                with pytest.raises(ClientError, match="AccessDenied"):
                    thief.calendars()
    deployment.aws.endpoint.calls.clear()  # whose refusals are what this test is about
