"""The whole way with `vaultwatch ship`, the functions on a local AWS, and a stand-in for Slack behind it."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from testbed.aws import Call, LocalAws
from testbed.build import build
from testbed.certificates import Authority
from testbed.deployment import ALERTING, Deployment
from testbed.errors import TestbedError
from testbed.faults.chain import ENTRIES, Chain, Need, lines_of
from testbed.faults.entries import names_of_entries
from testbed.faults.sender import URGENT
from testbed.lanes import LogServerHost
from testbed.log_server import VAULTWATCH
from testbed.relay import Relay
from testbed.slack import SlackStandIn
from testbed.syslog_ng import ASSETS, quotable
from vaultwatch.archive.chain import faults
from vaultwatch.archive.inventory import seen_on_s3, stored_on_s3
from vaultwatch.aws import keys
from vaultwatch.dispatch.notification import NOTIFIED
from vaultwatch.frames import Records, decode
from vaultwatch.rules.facts import Level

_SERVICES = ("kinesis", "s3", "sns")
_LOG_SERVER, _NODE = "log-server", "vault-1"
# The next minute; a retry of what failed; suppression windows; Firehose; what sweep could not read is visible again.
_LATER_SECONDS = (61, 121, 3600, 361, 5401, 121, 361)
_IDLE_SECONDS = 120.0
_STEPS = 4
_READS = ("Get", "Describe", "List")  # of event source mappings, which are not part of what fails here


class _S3:
    """A client of S3 whose next upload can fail."""

    def __init__(self, client: Any) -> None:
        self.fault: Callable[[Callable[[], Any]], Any] | None = None
        self._client = client

    def put_object(self, **arguments: Any) -> Any:
        """See S3's PutObject."""
        fault, self.fault = self.fault, None
        return fault(lambda: self._client.put_object(**arguments)) if fault else self._client.put_object(**arguments)


class Cloud(Chain):
    """The way on AWS: entries go on until people are notified.

    Args:
        folder: The folder for its files; it exists.
        needs: What it has for faults.
        deployment: The deployment.
        relays: What is between its services and the hosts and functions; of Slack as well.
    """

    between_seconds = 0.005

    def __init__(
        self, folder: Path, needs: Collection[Need], deployment: Deployment, relays: Mapping[str, Relay]
    ) -> None:
        self._deployment, self._aws, self.relays = deployment, deployment.aws, relays
        self._lines: list[bytes] = []
        self._aws.endpoint.hosts = frozenset({_LOG_SERVER, _NODE})
        kinesis, stream = self._aws.client("kinesis"), deployment.stream_name
        (shard,) = kinesis.list_shards(StreamName=stream)["Shards"]
        place = {"ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
        self._iterator = kinesis.get_shard_iterator(StreamName=stream, **place)["ShardIterator"]
        self._aws.tick(61)  # digest stores since when the rules are in force
        super().__init__(folder, needs)
        environment = self._aws.environment(_NODE)
        self.bucket = deployment.bucket("Archive")
        self.s3 = _S3(
            boto3.Session().client(
                "s3",
                endpoint_url=environment["AWS_ENDPOINT_URL_S3"],
                region_name=environment["AWS_DEFAULT_REGION"],
                aws_access_key_id=_NODE,
                aws_secret_access_key="local",  # noqa: S106  no secret
                config=Config(retries={"total_max_attempts": 1}),
            )
        )

    def stop(self) -> None:
        """End everything that runs; what the handlers still have is sent."""
        self.end_outage()
        self.sender.stop()
        self.go_on()
        self.server.syslog_ng.stop()
        super().stop()

    def fail(self, service: str, code: str) -> None:
        """Let a service answer with an error."""
        self._aws.endpoint.fault = lambda call: code if _concerns(call, service) else ""

    def fail_slack(self, behaviour: str, acts: int) -> None:
        """Let Slack answer so, send so many urgent acts, and wait until it has turned one away."""
        slack = self._deployment.slack
        slack.behave(behaviour)
        turned_away = slack.turned_away
        self.sender.send_urgent(acts)
        slack.wait_for_turned_away(turned_away + 1)

    def pass_a_minute(self) -> None:
        """Send, and move the clock by a minute, so that what waits for another attempt is tried.

        In steps: `digest` publishes what a function has not published within a minute, and would take a function that
        works while the clock moves for one that has failed.
        """
        for _ in range(_STEPS):
            self._aws.clock.move(60 / _STEPS)
            self.sender.send(ENTRIES // _STEPS)

    def end_outage(self) -> None:
        """Let all services work again."""
        self._aws.endpoint.fault = lambda call: ""
        self._deployment.slack.behave("ok")
        for relay in self.relays.values():
            relay.restore()

    def remove_newest_before_sweep(self) -> None:
        """Upload, and hide the segment by a delete marker before sweep has read it.

        Raises:
            TestbedError: `archive verify` does not find it.
        """
        hidden: list[str] = []

        def hide(call: Call) -> str:
            if call.operation == "GetObject" and "Sweep" in call.role and not hidden:
                hidden.append(max(self._segments()))
                self.removed |= set(names_of_entries(lines_of([self._read(hidden[0])])))
                self._aws.client("s3").delete_object(Bucket=self.bucket, Key=hidden[0])
            return ""

        self._aws.endpoint.fault = hide
        self.follow()
        self._aws.run_until_idle(_IDLE_SECONDS)
        self._aws.endpoint.fault = lambda call: ""
        s3 = self._aws.client("s3")
        found = faults(stored_on_s3(s3, self.bucket, read=False), seen_on_s3(s3, self.bucket))
        if not hidden or hidden[0] not in {one.where for one in found}:
            raise TestbedError(f"verify does not find what was removed: {hidden}")

    def delivered(self) -> list[bytes]:
        """Return the lines of audit entries on the stream."""
        kinesis = self._aws.client("kinesis")
        while (answer := kinesis.get_records(ShardIterator=self._iterator))["Records"]:
            self._iterator = answer["NextShardIterator"]
            for record in answer["Records"]:
                frame = decode(record["Data"])
                if frame.source == "audit" and isinstance(frame.content, Records):
                    self._lines += frame.content.split
        return self._lines

    def stored(self) -> list[bytes]:
        """Return the segments of the node's audit file that nobody removed."""
        return list(map(self._read, self._segments()))

    def _read(self, key: str) -> bytes:
        return bytes(self._aws.client("s3").get_object(Bucket=self.bucket, Key=key)["Body"].read())

    def raised(self, _segments: list[bytes]) -> tuple[set[str], set[str]]:
        """See `Chain`: what was published, and what of it is late."""
        self._aws.run_until_idle(_IDLE_SECONDS)
        for seconds in _LATER_SECONDS:
            self._aws.tick(seconds, _IDLE_SECONDS)
        published = self._deployment.published()
        alerts = [alert for one in published for alert in one.alerts]
        for_people = [one for one in published if one.disposition in NOTIFIED and one.level.rank >= Level.LOW.rank]
        times = Counter(alert.id for alert in alerts)
        self.notified_again = times.total() - len(times)
        self._compare_with_slack(len({one.id for one in for_people}))  # Slack gets a repeat only once
        self._compare(Counter(act for one in for_people for act in _urgent_acts(one.alerts)))
        self._compare(Counter(act for post in self._deployment.slack.messages for act in _urgent_acts(post.payload)))
        late = {alert.event_key for alert in alerts if alert.late}
        return {alert.event_key for alert in alerts if not alert.late}, late

    def _compare_with_slack(self, notifications: int) -> None:
        slack = self._deployment.slack
        if slack.accepted > len(slack.messages):
            raise TestbedError("the stand-in for Slack does not have all its messages any more")
        self.not_notified = max(0, notifications - slack.accepted)
        self.notified_again = (self.notified_again or 0) + max(0, slack.accepted - notifications)

    def _compare(self, notified: Counter[str]) -> None:
        """Count the urgent acts that people were not notified of, or more than once."""
        self.not_notified += len(self.sender.urgent - notified.keys())
        self.notified_again = (self.notified_again or 0) + notified.total() - len(notified)

    def _log_server(self, folder: Path, authority: Authority, environment: Mapping[str, str]) -> LogServerHost:
        bucket = self._deployment.bucket("Alerts")
        options = ["--stream", self._deployment.stream_name, "--oversize-bucket", bucket]
        options += ["--log-file", str(folder.with_name("ship.log"))]
        settings = {"program": VAULTWATCH, "options": shlex.join(options), "metrics": folder / "state"}
        handlers = f'@include "{quotable(ASSETS / "vaultwatch-ship.conf")}"\n'
        variables = {**self._aws.environment(_LOG_SERVER), **environment}
        return LogServerHost(folder, authority, handlers=handlers, settings=settings, environment=variables)

    def _segments(self) -> list[str]:
        where = {"Bucket": self.bucket, "Prefix": f"{keys.ARCHIVE}source=audit-file/"}
        pages = self._aws.client("s3").get_paginator("list_objects_v2").paginate(**where)
        return [item["Key"] for page in pages for item in page.get("Contents", ())]


def _urgent_acts(notified: object) -> set[str]:
    """Return the names of the urgent acts that alerts, or a message, are about."""
    return set(re.findall(rf"export/encryption-key/({URGENT}\d+)", repr(notified)))


def _concerns(call: Call, service: str) -> bool:
    ours = "FunctionRole" in call.role or call.role in (_LOG_SERVER, _NODE)
    return ours and call.service == service and not (service == "kinesis" and call.operation.startswith(_READS))


@contextmanager
def cloud(folder: Path, needs: Collection[Need]) -> Iterator[Cloud]:
    """Run the whole way on a local AWS while the context lasts.

    Args:
        folder: The folder for its files; it exists.
        needs: What it has for faults.
    """
    templates, code = build()
    ports: dict[str, int] = {}
    relays = {name: Relay(lambda name=name: ports[name]) for name in (*_SERVICES, "slack")}  # type: ignore[misc]
    ways = {name: f"http://127.0.0.1:{relays[name].port}" for name in _SERVICES}
    with SlackStandIn(interval_seconds=0) as slack, LocalAws(templates, code, ways) as aws:
        deployment = Deployment(aws, slack)
        port = slack.page_url.rpartition(":")[2].rstrip("/")
        ports |= {"slack": int(port), **dict.fromkeys(_SERVICES, int(aws.endpoint.url.rpartition(":")[2]))}
        url = slack.webhook_url.replace(f":{port}/", f":{relays['slack'].port}/")
        secret = aws.output(ALERTING, "SlackSecretArn")
        aws.client("secretsmanager").put_secret_value(SecretId=secret, SecretString=url)
        chain = Cloud(folder, needs, deployment, relays)
        try:
            yield chain
        finally:
            chain.stop()
            for relay in relays.values():
                relay.close()
