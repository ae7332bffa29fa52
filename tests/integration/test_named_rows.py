"""Of a row that decides something, nobody without the key of the deployment knows the name, whatever else he knows.

He knows ids and groups of alerts, which are in Slack, and all of this code. With the credential of `digest` he can list
what is due and what is unsent, and so change these rows: an alarm fires at once, and the witness restores them. So
people are notified as they are without him.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

from testbed.aws import Call
from testbed.deployment import ALERTING, Deployment, deploy
from testbed.recorded import tagged
from tests.integration.test_forged_state import own_seal
from vaultwatch.alerts import Alert
from vaultwatch.aws.publishing import TOPIC
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
LISTED = [(schema.DUE, "window"), (schema.DUE, "held"), (schema.DUE, "added"), (schema.DUE, "expected")]
LISTED += [(schema.UNSENT, "sns"), (schema.UNSENT, "history")]
Row = dict[str, Any]


class Thief:
    """Uses the table with the credential of a function.

    Args:
        deployment: The deployment.
        function: The function.
        names: By what he believes to find rows; None if he lists them, as `digest` may.
    """

    def __init__(self, deployment: Deployment, function: str, names: Seal | None) -> None:
        self._aws = aws = deployment.aws
        self._client = aws.client("dynamodb", aws.physical_id(ALERTING, f"{function}/Function/Role"))
        self._table, self._names = aws.physical_id(ALERTING, "Alerts/Table"), names
        self.lists = names is None

    def listed(self) -> list[Row]:
        """Return all that the indexes show."""
        return [row for index, value in LISTED for row in self._query(index, value)]

    def _query(self, index: schema.Index, value: str) -> list[Row]:
        equal = {":value": {"S": value}}
        condition = {"KeyConditionExpression": f"{index.partition_key} = :value", "ExpressionAttributeValues": equal}
        found: list[Row] = self._client.query(TableName=self._table, IndexName=index.name, **condition)["Items"]
        return found

    def places(self, key: schema.Key) -> list[Row]:
        """Return the keys that he tries for a row."""
        if self._names is not None:
            return [{"pk": {"S": self._names.name(key[0])}, "sk": {"S": key[1]}}]
        return [{name: row[name] for name in ("pk", "sk")} for row in self.listed() if row["sk"]["S"] == key[1]]

    def read(self, key: schema.Key) -> list[Row]:
        """Return what he can read of a row."""
        places = self.places(key)
        if not places:
            return []
        answer = self._client.batch_get_item(RequestItems={self._table: {"Keys": places}})
        found: list[Row] = answer["Responses"][self._table]
        return found

    def put(self, *rows: Row) -> None:
        """Write rows over others: no alarm has fired before, and one has once he is done."""
        assert not self._is_noticed()
        for row in rows:
            self._client.put_item(TableName=self._table, Item=row)
        assert self._is_noticed() is bool(rows)

    def _is_noticed(self) -> bool:
        self._aws.run_until_idle()
        return "vaultwatch-witness-rows-altered" in self._aws.fired_alarms()

    def overwrite(self, key: schema.Key) -> None:
        """Write nothing over a row."""
        self.put(*({**place, "body": {"B": b"{}"}, schema.SEAL: {"B": b"0" * 16}} for place in self.places(key)))


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
    """Return how many alerts people are notified of by whose notification `evaluate` could not publish."""

    def no_topic(call: Call) -> str:
        return "ServiceUnavailable" if "Evaluation" in call.role and call.operation == "PublishBatch" else ""

    deployment.aws.endpoint.fault = no_topic
    ship(deployment, ACT)
    attack()
    deployment.aws.endpoint.fault = lambda call: ""
    deployment.aws.tick(121)
    archive(deployment, ACT)
    return sum("vault-1.14.2" in mail.text for mail in deployment.aws.mails)  # the node, which only the alert names


def archive(deployment: Deployment, lines: list[bytes]) -> None:
    """Archive the log server's copy of lines, and let sweep evaluate it."""
    key, body = "archive/source=audit/node=log-1/dt=2026-11-21/hour=09/00000001-20261121T090000.zst", b"".join(lines)
    deployment.aws.client("s3").put_object(Bucket=deployment.bucket("Archive"), Key=key, Body=zstandard.compress(body))
    deployment.aws.run_until_idle()


def unsent_written_over(deployment: Deployment, thief: Thief, alert: Alert) -> int:
    key = schema.delivery_key(alert.id, TOPIC)

    def attack() -> None:
        assert thief.places(key)
        thief.overwrite(key)

    return unsent(deployment, attack)


def unsent_put_off(deployment: Deployment, thief: Thief, alert: Alert) -> int:
    def attack() -> None:
        later = {"N": repr(deployment.aws.now() + 7000)}
        thief.put(*({**row, "not_before": later} for row in thief.read(schema.delivery_key(alert.id, TOPIC))))

    return unsent(deployment, attack)


def summary_written_over(deployment: Deployment, thief: Thief, alert: Alert) -> int:
    """Repeats of which a summary is made while the topic accepts nothing."""
    ship(deployment, ACT)
    ship(deployment, *map(another, range(REPEATS)))
    deployment.aws.endpoint.fault = lambda call: "ServiceUnavailable" if call.operation == "PublishBatch" else ""
    deployment.aws.tick(3600)
    places = thief.listed() if thief.lists else []
    assert not thief.lists or [row["sk"]["S"] for row in places].count(f"sink#{TOPIC}") == 1
    thief.put(*({**row, "body": {"B": b"{}"}} for row in places if row["sk"]["S"] == f"sink#{TOPIC}"))
    deployment.aws.endpoint.fault = lambda call: ""
    return counted(deployment)


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


ATTACKS: dict[Callable[..., int], tuple[int, str]] = {
    repeats_written_over: (REPEATS, "window: 3 repeats of rule "),
    repeats_put_back: (REPEATS, "window: 3 repeats of rule "),
    held_written_over: (REPEATS, "held: 3 alerts of rule "),
    unsent_written_over: (1, "sink#sns: first of rule "),
    unsent_put_off: (1, "sink#sns: first of rule "),
    unsent_alert_written_over: (1, ""),
    summary_written_over: (REPEATS, "sink#sns: summary of rule "),
    expected_written_over: (1, f"expected: an event that rule {MISSING} expects of "),
}
"""What people are notified of, and what is restored if he can list what is due and unsent."""
FEW = [("Evaluation", repeats_written_over), ("Sweep", unsent_written_over)]
FEW += [("Digest", attack) for attack in ATTACKS if attack not in (repeats_put_back, unsent_written_over)]
THIEVES = {"Evaluation": UNSEALED, "Sweep": Seal("a guess, as long as that of a deployment"), "Digest": None}


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
        # Sweep has the permissions of evaluate on rows, and neither finds a name: two attacks show it.
        pytest.param(function, attack, marks=[pytest.mark.long] * ((function, attack) not in FEW))
        for function in THIEVES
        for attack in ATTACKS
    ],
    ids=lambda it: getattr(it, "__name__", it),
)
def test_people_are_notified_as_without_him_and_what_he_can_list_is_restored(
    deployment: Deployment, alert: Alert, attack: Callable[..., int], function: str
) -> None:
    thief = Thief(deployment, function, THIEVES[function])
    notified, altered = ATTACKS[attack]
    assert attack(deployment, thief, alert) == notified
    log = deployment.aws.log("witness.handler")
    assert (f"restored is {altered}" in log) is (thief.lists and bool(altered))
    assert "lost is" not in log


def test_who_knows_all_names_from_the_stream_and_has_the_credential_of_witness_does_no_better(
    deployment: Deployment,
) -> None:
    ship(deployment, ACT)
    ship(deployment, *map(another, range(REPEATS)))
    [window] = [row for row in deployment.rows() if row["sk"]["S"] == "window"]
    aws = deployment.aws
    client = aws.client("dynamodb", aws.physical_id(ALERTING, "Witness/Function/Role"))
    client.put_item(TableName=aws.physical_id(ALERTING, "Alerts/Table"), Item={**window, "body": {"B": b"{}"}})
    aws.run_until_idle()
    assert "vaultwatch-witness-rows-altered" in aws.fired_alarms()
    assert counted(deployment) == REPEATS
