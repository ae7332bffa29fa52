"""The way through AWS: syslog-ng, `vaultwatch ship`, and what the templates wire, on a local AWS.

When all was sent, the archive files go to S3 and are swept, with lines that only they have: what those raise is late.
Then an hour passes by the local AWS's clock, so that quiet periods end and summaries are told.
"""

from __future__ import annotations

import gzip
import json
import os
import shlex
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from demo.archive import Archive, as_if_now
from demo.aws_verdict import AwsFindings, problems, read_metrics, table
from demo.deployment import built
from demo.showing import conclude, introduce, say, show
from demo.stored import StoredTail, alerts_and_receipts, read_rows
from demo.stream import StreamTail
from demo.verdict import alerts_in_slack
from testbed.errors import DemoError
from testbed.log_server import SERVICES, LogServer
from testbed.recorded import load
from testbed.session import Expected, Sent, Session, expect
from testbed.slack import SlackStandIn
from vaultwatch.dispatch.notification import Notification
from vaultwatch.notify.text import decode_message
from vaultwatch.rules.facts import Level, Service

if TYPE_CHECKING:
    from testbed.aws import LocalAws

MISSED = "openbao-2.6.2/root-token-created"
NODE = "vault-1"
LONGEST_SECONDS = 50.0
_ARCHIVE, _ALERTING = "vaultwatch-archive", "vaultwatch-alerting"
_TICK_SECONDS = 0.01
_LATER = (61, 3600, 61, 301)  # the next minute, the ends of quiet periods, what had to wait, Firehose
_ALL_WELL = "sent = evaluated = archived; every alert of `vaultwatch check` is stored once, and people know of it"


def run(session: Session, folder: Path, *, slack_errors: int = 0) -> int:
    """Run it; its exit status. Slack answers so many requests with errors first."""
    _forget_aws()
    from testbed.aws import LocalAws, LocalAwsError

    templates, code = built()
    found: AwsFindings | None = None
    try:
        with SlackStandIn() as slack, LocalAws(templates, code) as aws:
            slack.behave("500", slack_errors)
            found = _Demo(session, folder, slack, aws).run()
            (folder / "slack.html").write_text(slack.page())
    except (LocalAwsError, TimeoutError) as error:
        if found is None:  # else the findings say it
            raise DemoError(f"the local AWS: {error}") from error
    return conclude(table(found), problems(found), _ALL_WELL)


def _forget_aws() -> None:
    """Whatever account and proxy this machine knows, nothing here is for them."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(_NO_ACCOUNT, NO_PROXY="127.0.0.1", no_proxy="127.0.0.1")


_NO_ACCOUNT = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}


class _Demo:
    """One run."""

    def __init__(self, session: Session, folder: Path, slack: SlackStandIn, aws: LocalAws) -> None:
        self._session, self._folder, self._slack, self._aws = session, folder, slack, aws
        self._stored = StoredTail(aws)
        self._stream_name = aws.output(_ALERTING, "StreamName")
        self._stream = StreamTail(aws.client("kinesis"), self._stream_name)
        self._archive = Archive(aws.client("s3"), aws.output(_ARCHIVE, "ArchiveBucketName"))
        self._troubles: list[str] = []

    def run(self) -> AwsFindings:
        """Play, archive, let time pass, and look at everything."""
        secret = self._aws.output(_ALERTING, "SlackSecretArn")
        self._aws.client("secretsmanager").put_secret_value(SecretId=secret, SecretString=self._slack.webhook_url)
        self._pass(61)  # `digest` notes since when the rules are in force
        with self._log_server() as server:
            introduce(self._session, server, self._slack)
            print("an alert comes a second or two after its lines: it may stand below what is played next", flush=True)
            sent, expected = self._play(server)
            if killed := server.stop():
                self._troubles.append(f"{killed} handlers did not end and were killed")
        self._settle()  # what is being told is not a minute old: `digest` would tell it too
        for _ in range(2):  # a rule tells one thing a minute: what waits, then what the archive brings
            self._pass(61)
        self._stream.poll()
        archived, missed = self._sweep(server)
        for seconds in _LATER:
            self._pass(seconds)
        return self._findings(sent, expected, archived, missed)

    def _log_server(self) -> LogServer:
        bucket = self._aws.output(_ARCHIVE, "AlertsBucketName")
        options = ["--stream", self._stream_name, "--oversize-bucket", bucket]
        options += ["--log-file", str(self._folder / "ship.log")]
        environment = {**self._aws.environment(), **_NO_ACCOUNT}
        return LogServer(self._folder, shlex.join(options), handler="ship", environment=environment)

    def _play(self, server: LogServer) -> tuple[Sent, Expected]:
        """Play the session and show alerts meanwhile, until all lines are on the stream."""
        deadline = time.monotonic() + LONGEST_SECONDS
        stop = Event()
        with ThreadPoolExecutor(1) as pool:
            playing = pool.submit(self._session.play, server, stop, say)
            try:
                while not (playing.done() and self._is_shipped(playing.result())) and time.monotonic() < deadline:
                    show(self._stored.poll())
                    time.sleep(_TICK_SECONDS)
            finally:
                stop.set()
            sent = playing.result()
        if time.monotonic() >= deadline:
            self._troubles.append(f"not everything was on the stream after {LONGEST_SECONDS:.0f} s")
        return sent, expect(sent, self._folder, Level.INFORMATIONAL)

    def _is_shipped(self, sent: Sent) -> bool:
        self._stream.poll()
        shipped = self._stream.shipped
        return all(shipped[service].lines >= len(sent.lines[service]) for service in SERVICES)

    def _sweep(self, server: LogServer) -> tuple[dict[Service, list[bytes]], Expected]:
        """Put the archive files into S3, and a segment of what only Vault's own file had; it is swept at once."""
        now = datetime.fromtimestamp(self._aws.now(), UTC)
        say(f"the archive files go to S3 and are swept, and with them lines that the network lost: {MISSED}")
        keys = {
            service: self._archive.upload(service, NODE, _lines(server.archive(service)), now) for service in SERVICES
        }
        scene = load(MISSED)
        lines = as_if_now([line for service, line in scene.lines if service == "audit"], now)
        self._archive.upload("audit-file", NODE, lines, now)
        self._settle()
        folder = self._folder / "missed"
        folder.mkdir()
        missed = expect(Sent({"audit": lines, "server": []}, {}), folder, Level.INFORMATIONAL)
        return {service: self._archive.read(key) for service, key in keys.items()}, missed

    def _pass(self, seconds: float) -> None:
        self._aws.tick(seconds)
        show(self._stored.poll())

    def _settle(self) -> None:
        self._aws.run_until_idle()
        show(self._stored.poll())

    def _findings(
        self, sent: Sent, expected: Expected, archived: Mapping[Service, list[bytes]], missed: Expected
    ) -> AwsFindings:
        aws = self._aws
        rows = read_rows(aws.client("dynamodb"), aws.physical_id(_ALERTING, "Alerts/Table"))
        stored, receipts = alerts_and_receipts(rows)
        return AwsFindings(
            sent=sent,
            expected=expected,
            missed=missed,
            shipped=self._stream.shipped,
            evaluated=read_metrics(aws.log("evaluate.handler")),
            archived=archived,
            stored=stored,
            seen=self._stored.seen,
            published=list(_published(aws)),
            receipts=frozenset(receipts),
            in_slack=alerts_in_slack(self._slack),
            slack_messages=self._slack.accepted,
            mails=len(aws.mails),
            invocations=aws.invocations.total(),
            troubles=[*self._troubles, *_troubles(aws)],
        )


def _published(aws: LocalAws) -> Iterator[Notification]:
    """Every message of the topic that reached the alerts bucket."""
    s3, bucket = aws.client("s3"), aws.output(_ARCHIVE, "AlertsBucketName")
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="alerts/"):
        for item in page.get("Contents", ()):
            body = s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read()
            lines = gzip.decompress(body).splitlines()
            yield from (decode_message(json.loads(line)["Message"].encode()) for line in lines)


def _troubles(aws: LocalAws) -> Iterator[str]:
    """What should never happen on the local AWS."""
    yield from (f"{outcome.function} failed: {outcome.error}" for outcome in aws.failures)
    yield from (f"not delivered: {failure}" for failure in aws.deliveries.failures)
    yield from (f"denied: {call.role} {call.operation} {call.refused}" for call in aws.refused)


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().split(b"\n")[:-1] if path.exists() else []
