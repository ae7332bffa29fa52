"""Measures floods of alerts and crowds of writers on the local AWS: `python -m bench.floods` prints figures as JSON.

It also measures what correlations remember: 1,000 combinations of values, new and on the next day, and an event that
has to come again.

A flood is 1,000 alerts of one rule under as many names, in batches of 250, through the code with which `evaluate`
stores and publishes alerts. Large alerts have records of 30 kB that hardly compress. SNS and Firehose are stand-ins
that accept everything. Writers are threads, each with a store of its own, that file alerts of one rule one by one.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import random
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from io import StringIO
from typing import TYPE_CHECKING, Any, cast

import botocore.session
from moto import mock_aws

from testbed.aws.alerts_table import make_table
from testbed.aws.dynamodb import fast_dynamodb
from testbed.aws.metered import Meter
from vaultwatch.alerts import Alert, alert_id
from vaultwatch.aws.publishing import HISTORY, TOPIC, AlertPublisher, History, Topic, open_store
from vaultwatch.detection.absences import Run
from vaultwatch.detection.counting import Occurrence
from vaultwatch.detection.firsts import Combination, First
from vaultwatch.dispatch.groups import file_alert
from vaultwatch.reading.records import NO_ORIGIN
from vaultwatch.rules.facts import Level
from vaultwatch.rules.pack import shipped_rules
from vaultwatch.seals import Seal
from vaultwatch.store import StoreError
from vaultwatch.store.absences import Absences
from vaultwatch.store.dynamodb.expectations import DynamoExpectations
from vaultwatch.store.dynamodb.memory import DynamoMemory
from vaultwatch.store.first_seen import FirstSeen

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient

ALERTS, BATCH = 1_000, 250
LARGE_BYTES = 30_000
MINUTES = 45
"""Until nothing of a flood is left for `digest`: it sends summaries after ten minutes, and looks back half an hour."""
_OF_DIGEST = ("calls", "write_units", "read_units")
WRITERS = (2, 8, 100)
SECONDS, QUICK_SECONDS = 20.0, 1.0
_TABLE, _SEAL, _MEMORY_DAYS = "alerts", Seal("x" * 64), 90
_NEW, _EXPECTED = "audit_administrative_policy_new_address", "audit_backup_snapshot_missing"
_NOW = 1_700_000_000.0
_RECORD = {"type": "response", "request": {"id": "0" * 36, "operation": "update", "path": "sys/policies/acl/x"}}


class Accepting:
    """A stand-in for SNS and Firehose that accepts everything, and counts calls, what they carry, and its bytes."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def publish_batch(self, **given: Any) -> Any:
        """Accept notifications."""
        entries = given["PublishBatchRequestEntries"]
        self.counts += Counter(PublishBatch=1, notifications=len(entries))
        return {"Successful": [{"Id": entry["Id"]} for entry in entries], "Failed": []}

    def put_record_batch(self, **given: Any) -> Any:
        """Accept records."""
        size = sum(len(record["Data"]) for record in given["Records"])
        self.counts += Counter(PutRecordBatch=1, records=len(given["Records"]), record_bytes=size)
        return {"FailedPutCount": 0, "RequestResponses": [{"RecordId": "r"} for _ in given["Records"]]}


def alert(name: str, record: Mapping[str, Any] = _RECORD) -> Alert:
    """Return an alert of level high about an act of this name."""
    return Alert(
        id=alert_id("audit_policy_written", name),
        rule="audit_policy_written",
        title="Policy written",
        level=Level.HIGH,
        service="audit",
        time="2026-11-28T07:08:09.123456Z",
        event_key=name,
        outcome="succeeded",
        summary=f"{name} wrote the policy x",
        principal=name,
        path="sys/policies/acl/x",
        namespace="root",
        remote_address="192.0.2.7",
        cluster="prod",
        node="vault-1",
        lane="file",
        actions=("vault token revoke -accessor abc",),
        record=dict(record),
    )


def large_record(number: int) -> dict[str, Any]:
    """Return a record of about 30 kB that compresses by a quarter at most, another one for each number."""
    noise = base64.b64encode(random.Random(number).randbytes(LARGE_BYTES * 3 // 4)).decode()
    return {**_RECORD, "data": noise}


def flood(*, large: bool) -> dict[str, float]:
    """Return what a flood takes: calls, units (also of the busiest partition), rows, lines of the history.

    What `digest` takes afterwards, more than without a flood, is in `digest_*`: it looks at the same appointments again
    for half an hour, and settles them.
    """
    with mock_aws(), fast_dynamodb():
        client, accepting, meter = _client(), Accepting(), Meter()
        make_table(client, _TABLE)
        store = open_store.__wrapped__(client, _TABLE, _SEAL, _MEMORY_DAYS)
        sns, history = cast("SNSClient", accepting), History(lambda: accepting, "history")
        publisher = AlertPublisher(lambda: store, Topic(sns, "topic", _SEAL, ""), history, lambda: 600.0)
        alerts = [alert(f"p{number}", large_record(number) if large else _RECORD) for number in range(ALERTS)]
        with meter.metering():
            _keep_calendars(publisher, time.time() - 2 * MINUTES * 60)
            first = _units(meter)
            _keep_calendars(publisher, time.time() - MINUTES * 60)
            idle = _units(meter)
            for at in range(0, ALERTS, BATCH):
                publisher.add(alerts[at : at + BATCH])
            flooded, counts, partition_units = (
                _units(meter),
                accepting.counts.copy(),
                max(meter.partition_units.values()),
            )
            _keep_calendars(publisher, time.time())
            after = _units(meter)
    took = {name: flooded[name] - idle[name] for name in idle}
    return {
        **{f"digest_{of}": after[of] - flooded[of] - (idle[of] - first[of]) for of in _OF_DIGEST},
        "calls": took["calls"] + counts["PublishBatch"] + counts["PutRecordBatch"],
        "write_units": took["write_units"],
        "partition_units": partition_units,
        "read_units": took["read_units"],
        "stored_bytes": took["stored_bytes"],
        "notifications": counts["notifications"],
        "history_records": counts["records"],
        "history_bytes": counts["record_bytes"],
    }


def _keep_calendars(publisher: AlertPublisher, since: float) -> None:
    """Do for some time what `digest` does each minute; its metrics are not shown."""
    with redirect_stdout(StringIO()):
        for minute in range(1, MINUTES + 1):
            publisher.publish_due(since + minute * 60)
            for sink in (TOPIC, HISTORY):
                publisher.publish_unsent(sink, since + minute * 60)


def remembered() -> dict[str, dict[str, int]]:
    """Return what it takes to remember combinations of values: new ones, on the next day, and expected events."""
    rules, found = shipped_rules(), dict[str, dict[str, int]]()
    seen = [(Combination(_NEW, (f"e{number}", "", "192.0.2.7")), _first(_NOW)) for number in range(ALERTS)]
    with mock_aws(), fast_dynamodb():
        client = _client()
        make_table(client, _TABLE)
        for name, now in (("new", _NOW), ("known", _NOW + 86_401)):
            firsts, meter = FirstSeen(rules, lambda: DynamoMemory(client, _TABLE, _SEAL)), Meter()
            with meter.metering():
                firsts.remember(firsts.judge(seen, now), now)
            found[name] = _units(meter)
        absences, meter = Absences(rules, lambda: DynamoExpectations(client, _TABLE, _SEAL)), Meter()
        with meter.metering():
            for number in range(ALERTS):
                moment = _NOW + number
                absences.expect([(Combination(_EXPECTED, ("prod",)), [Run(moment, _first(moment))])], moment)
        found["expected"] = _units(meter)
    return found


def _first(moment: float) -> First:
    return First(Occurrence(moment, "2026-11-28T07:08:09.123456Z", "0" * 64, NO_ORIGIN), _RECORD, "secret/data/app")


def _units(meter: Meter) -> dict[str, int]:
    return {
        "calls": meter.calls.total(),
        "write_units": meter.write_units,
        "read_units": meter.read_units,
        "stored_bytes": meter.stored_bytes,
    }


def writers(count: int, seconds: float) -> dict[str, int]:
    """Return how many alerts so many writers store in this time, with how many calls, and how many errors they get."""
    with mock_aws(), fast_dynamodb():
        client, meter = _client(), Meter()
        make_table(client, _TABLE)
        ends_at = time.monotonic() + seconds

        def write(writer: int) -> Counter[str]:
            store, results = open_store.__wrapped__(client, _TABLE, _SEAL, _MEMORY_DAYS), Counter[str]()
            while time.monotonic() < ends_at:
                try:
                    store.file([file_alert(alert(f"{writer}-{results.total()}"))], _NOW)
                    results["stored"] += 1
                except StoreError:
                    results["errors"] += 1
            return results

        with meter.metering(), ThreadPoolExecutor(count) as pool:
            results = sum(pool.map(write, range(count)), Counter[str]())
    return {"stored": results["stored"], "errors": results["errors"], "calls": meter.calls.total()}


def _client() -> Any:
    session = botocore.session.get_session()
    session.set_credentials("testing", "testing")
    return session.create_client("dynamodb", region_name="us-east-1")


def main() -> int:
    """Run the command, whose output is one JSON object."""
    os.environ |= {"DEPLOYMENT": "bench", "POWERTOOLS_METRICS_NAMESPACE": "bench"}
    parser = argparse.ArgumentParser(prog="python -m bench.floods")
    parser.add_argument("--rounds", type=int, default=5)
    seconds = SECONDS if parser.parse_args().rounds > 1 else QUICK_SECONDS
    crowds = {str(count): writers(count, seconds) for count in WRITERS}
    floods = {"small": flood(large=False), "large": flood(large=True)}
    sizes = {"alerts": ALERTS, "batch": BATCH, "large_bytes": LARGE_BYTES, "digest_minutes": MINUTES}
    print(json.dumps({**sizes, **floods, "remembered": remembered(), "writers": crowds}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
