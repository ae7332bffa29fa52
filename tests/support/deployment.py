"""A deployment on the local AWS, and what goes in and comes out of it."""

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
from vaultwatch.frames import Frame, Records, Reference, encode

ARCHIVE, ALERTING = "vaultwatch-archive", "vaultwatch-alerting"
RECORDINGS = Path(__file__).parents[1] / "data/recordings"
Source = Literal["audit", "server"]


def tagged(product: str, source: Source) -> list[list[bytes]]:
    """The lines of a recording, tagged as syslog-ng does it, by scenario."""
    lane, name = {"audit": ("file", "audit.jsonl"), "server": ("server", "server.log")}[source]
    index = json.loads((RECORDINGS / product / "index.json").read_text())
    files = [RECORDINGS / product / scenario["scenario"] / name for scenario in index["scenarios"]]
    tag = f"@prod/{product}/{lane} ".encode()
    return [[tag + line + b"\n" for line in file.read_bytes().split(b"\n") if line] for file in files if file.exists()]


@dataclass
class Deployment:
    """A local AWS with both stacks, and the Slack that its secret names."""

    aws: LocalAws
    slack: SlackStandIn
    process: UUID = field(default_factory=uuid4)
    sequence: int = 0

    def ship(self, *contents: Sequence[bytes] | Reference, source: Source = "audit") -> None:
        """Put frames on the stream, one for each of these, as `vaultwatch ship` does."""
        self.put(*(self.frame(content, source) for content in contents))

    def frame(self, content: Sequence[bytes] | Reference, source: Source = "audit") -> bytes:
        """The next frame of a log server."""
        now = datetime.now(UTC)
        self.sequence += 1
        inside = content if isinstance(content, Reference) else Records(b"".join(content))
        return encode(Frame(source, "log-1", self.process, self.sequence, now, now, inside))

    def put(self, *data: bytes) -> None:
        """Put records on the stream."""
        records: Any = [{"Data": one, "PartitionKey": "log-1"} for one in data]
        self.aws.client("kinesis").put_records(StreamName=self.aws.output(ALERTING, "StreamName"), Records=records)

    def bucket(self, name: Literal["Archive", "Alerts"]) -> str:
        return self.aws.physical_id(ARCHIVE, name)

    def objects(self, prefix: str) -> dict[str, bytes]:
        """Objects of the alerts bucket, by key."""
        s3, bucket = self.aws.client("s3"), self.bucket("Alerts")
        found = s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", ())
        return {item["Key"]: s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read() for item in found}

    def rows(self) -> Iterator[Mapping[str, Any]]:
        """The rows of the table."""
        pages = self.aws.client("dynamodb").get_paginator("scan")
        for page in pages.paginate(TableName=self.aws.physical_id(ALERTING, "Alerts/Table")):
            yield from page["Items"]

    def alert_ids(self) -> list[str]:
        """The ids of the alerts that are stored."""
        return [row["pk"]["S"].partition("#")[2] for row in self.rows() if row["sk"]["S"] == "alert"]

    def published(self) -> list[Mapping[str, Any]]:
        """Every message of the topic that reached the alerts bucket."""
        lines = [line for body in self.objects("alerts/").values() for line in gzip.decompress(body).splitlines()]
        return [json.loads(json.loads(line)["Message"]) for line in lines]


@contextmanager
def deploy(templates: Mapping[str, Any], bundle: Path) -> Iterator[Deployment]:
    """Make one."""
    with SlackStandIn(interval_seconds=0) as slack, LocalAws(templates, bundle) as aws:
        secret = aws.output(ALERTING, "SlackSecretArn")
        aws.client("secretsmanager").put_secret_value(SecretId=secret, SecretString=slack.webhook_url)
        yield Deployment(aws, slack)
