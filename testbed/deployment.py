"""A deployment on the local AWS: put frames on its stream, and read its alerts, objects and notifications."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from uuid import UUID, uuid4

from testbed.aws import LocalAws
from testbed.slack import SlackStandIn
from vaultwatch.alerts import Alert
from vaultwatch.aws import keys
from vaultwatch.dispatch.notification import Notification
from vaultwatch.frames import Frame, Heartbeat, Records, Reference, encode
from vaultwatch.notify.machine import decode_notification
from vaultwatch.rules.facts import Service
from vaultwatch.store.dynamodb.rows import read_alert

ARCHIVE, ALERTING = "vaultwatch-archive", "vaultwatch-alerting"


@dataclass
class Deployment:
    """A local AWS with both stacks, and a stand-in for Slack whose URL is in its secret.

    Attributes:
        aws: The local AWS.
        slack: The stand-in Slack.
        process: The process id in the frames.
        sequence: The sequence number of the last frame.
    """

    aws: LocalAws
    slack: SlackStandIn
    process: UUID = field(default_factory=uuid4)
    sequence: int = 0

    def __post_init__(self) -> None:
        secret = self.aws.output(ALERTING, "SlackSecretArn")
        self.aws.client("secretsmanager").put_secret_value(SecretId=secret, SecretString=self.slack.webhook_url)

    @property
    def stream_name(self) -> str:
        """The stream of frames."""
        return self.aws.output(ALERTING, "StreamName")

    def ship(self, *contents: Sequence[bytes] | Reference | Heartbeat, source: Service = "audit") -> None:
        """Put one frame for each of the contents on the stream, as `vaultwatch ship` does."""
        self.put(*(self.frame(content, source) for content in contents))

    def frame(self, content: Sequence[bytes] | Reference | Heartbeat, source: Service = "audit") -> bytes:
        """Return the next frame of the log server, encoded."""
        now = datetime.now(UTC)
        self.sequence += 1
        inside = content if isinstance(content, (Reference, Heartbeat)) else Records(b"".join(content))
        return encode(Frame(source, "log-1", self.process, self.sequence, now, now, inside))

    def put(self, *data: bytes) -> None:
        """Put records on the stream."""
        records: Any = [{"Data": one, "PartitionKey": "log-1"} for one in data]
        self.aws.client("kinesis").put_records(StreamName=self.stream_name, Records=records)

    def bucket(self, name: Literal["Archive", "Alerts"]) -> str:
        """Return the name of a bucket."""
        return self.aws.output(ARCHIVE, f"{name}BucketName")

    def objects(self, prefix: str) -> dict[str, bytes]:
        """Return the objects of the alerts bucket below a prefix, by key."""
        s3, bucket = self.aws.client("s3"), self.bucket("Alerts")
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        names = [item["Key"] for page in pages for item in page.get("Contents", ())]
        return {name: s3.get_object(Bucket=bucket, Key=name)["Body"].read() for name in names}

    def rows(self) -> Iterator[Mapping[str, Any]]:
        """Yield the rows of the table."""
        pages = self.aws.client("dynamodb").get_paginator("scan")
        for page in pages.paginate(TableName=self.aws.physical_id(ALERTING, "Alerts/Table")):
            yield from page["Items"]

    def alert_ids(self) -> list[str]:
        """Return the ids of the stored alerts."""
        return [alert.id for alert in self.alerts()]

    def alerts(self) -> list[Alert]:
        """Return the stored alerts."""
        found = (read_alert(dict(row)) for row in self.rows() if row["sk"]["S"] == "alert")
        return [alert for alert in found if alert]

    def published(self) -> list[Notification]:
        """Return every notification of the topic that reached the alerts bucket."""
        lines = [line for body in self.objects(keys.ALERTS).values() for line in gzip.decompress(body).splitlines()]
        return [decode_notification(json.loads(line)["Message"].encode()) for line in lines]


@contextmanager
def deploy(templates: Mapping[str, Any], bundle: Path) -> Iterator[Deployment]:
    """Deploy the templates on a local AWS.

    Args:
        templates: The templates by the name of their stack.
        bundle: The folder of the functions' code.

    Yields:
        The deployment.
    """
    with SlackStandIn(interval_seconds=0) as slack, LocalAws(templates, bundle) as aws:
        yield Deployment(aws, slack)
