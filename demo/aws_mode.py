"""Mode aws: a node and a log server with TLS between them, and what the templates deploy, on a local AWS.

When everything has been sent, the log files are uploaded to the archive and swept, along with lines that only the
archive has: the alerts of those are marked late. Then the clock of the local AWS is moved forward by more than an hour,
so that suppression windows end and summaries are sent.
"""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from demo.archive import Archive, as_if_now
from demo.aws_report import AwsFindings, problems, read_metrics, table
from demo.figures import alerts_in_slack
from demo.stored import StoredTail, alerts_and_deliveries
from demo.story import Story
from demo.stream import StreamTail
from demo.terminal import conclude, introduce
from testbed.build import build
from testbed.errors import TestbedError
from testbed.log_server import SERVICES
from testbed.recorded import load
from testbed.session import Expected, Sent, Session, expect
from testbed.shipping_hosts import ShippingHosts
from testbed.slack import SlackStandIn
from vaultwatch.reading.records import split_tag
from vaultwatch.rules.facts import Level, Service

if TYPE_CHECKING:
    from testbed.aws import LocalAws, Mail
    from testbed.deployment import Deployment

MISSED = "openbao-2.6.2/root-token-created"
LOG_SERVER, NODE = "log-server", "vault-1"
LONGEST_SECONDS = 50.0
_TICK_SECONDS = 0.01
_FIRST_SECONDS = 61.0
# An hour passes in which nobody sends anything, and some lines reach the archive alone.
_EXPECTED_ALARMS = {
    "vaultwatch-audit-heartbeats-missing",
    "vaultwatch-server-heartbeats-missing",
    "vaultwatch-sweep-late-alerts",
}
_LATER_SECONDS = (
    61,
    3600,
    61,
    301,
)  # the next minute, suppression windows, alerts that the rate limit held back, Firehose
_SUCCESS = "OK: every line was evaluated and archived, every alert of `vaultwatch check` is stored and notified"
_NO_ACCOUNT = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}


def run(session: Session, folder: Path, *, slack_errors: int = 0) -> int:
    """Run the demo in this mode.

    Args:
        session: What to send.
        folder: Where to keep all files.
        slack_errors: How many requests Slack answers with an error first.

    Returns:
        The exit status.

    Raises:
        TestbedError: If the local AWS fails.
    """
    _forget_aws()
    from testbed.aws import LocalAws, LocalAwsError
    from testbed.deployment import Deployment

    templates, code = build()
    found: AwsFindings | None = None
    try:
        with SlackStandIn() as slack, LocalAws(templates, code, behind_seconds=_FIRST_SECONDS) as aws:
            slack.behave("500", slack_errors)
            found = _Demo(session, folder, Deployment(aws, slack)).run()
            (folder / "slack.html").write_text(slack.page())
            (folder / "emails.txt").write_text(_mailbox(aws.mails))
    except (LocalAwsError, TimeoutError) as error:
        if found is None:  # otherwise the findings report it
            raise TestbedError(f"the local AWS: {error}") from error
    return conclude(table(found), problems(found), _SUCCESS)


def _forget_aws() -> None:
    """Keep boto3 from using any account or proxy that is configured on this machine."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(_NO_ACCOUNT, NO_PROXY="127.0.0.1", no_proxy="127.0.0.1")


class _Demo:
    """One run."""

    def __init__(self, session: Session, folder: Path, deployment: Deployment) -> None:
        self._session, self._folder, self._deployment = session, folder, deployment
        self._aws, self._slack = deployment.aws, deployment.slack
        self._stored = StoredTail(self._aws)
        self._stream = StreamTail(self._aws.client("kinesis"), deployment.stream_name)
        self._archive = Archive(self._aws.client("s3"), deployment.bucket("Archive"))
        self._story = Story(session.moment)
        self._problems: list[str] = []

    def run(self) -> AwsFindings:
        """Play the session, archive it, let time pass, and look at everything."""
        self._pass(_FIRST_SECONDS)  # `digest` stores since when the rules are in force; both clocks agree from then on
        with self._hosts() as server:
            self._connect(server)
            introduce(self._session, server, self._slack)
            sent, expected = self._play(server)
            if killed := server.stop():
                self._problems.append(f"{killed} handlers did not end and were killed")
        self._settle()  # otherwise `digest` would send notifications a second time that are being sent
        for _ in range(2):  # the rate limit: first for alerts that it held back, then for alerts from the archive
            self._pass(61)
        self._stream.poll()
        archived, missed = self._sweep(server)
        for seconds in _LATER_SECONDS:
            self._pass(seconds)
        return self._findings(sent, expected, archived, missed)

    def _hosts(self) -> ShippingHosts:
        options = ["--stream", self._deployment.stream_name, "--oversize-bucket", self._deployment.bucket("Alerts")]
        options += ["--log-file", str(self._folder / "ship.log")]
        environment = {**self._aws.environment(), **_NO_ACCOUNT}
        return ShippingHosts(self._folder, shlex.join(options), environment)

    def _connect(self, server: ShippingHosts) -> None:
        """Wait until both lanes have carried their first line to the stream."""
        server.send_marks()
        deadline = time.monotonic() + LONGEST_SECONDS
        while not all(self._stream.shipped[service].marks for service in SERVICES):
            if time.monotonic() >= deadline:
                raise TestbedError(f"the node's first lines were not on the stream after {LONGEST_SECONDS:.0f} s")
            time.sleep(_TICK_SECONDS)
            self._stream.poll()

    def _play(self, server: ShippingHosts) -> tuple[Sent, Expected]:
        """Play the session and show alerts meanwhile, until all lines are on the stream."""
        deadline = time.monotonic() + LONGEST_SECONDS
        stop = Event()
        with ThreadPoolExecutor(1) as pool:
            playing = pool.submit(self._session.play, server, stop, self._story.say)
            try:
                while not (playing.done() and self._is_shipped(playing.result())) and time.monotonic() < deadline:
                    self._story.show(self._stored.poll())
                    time.sleep(_TICK_SECONDS)
            finally:
                stop.set()
            sent = playing.result()
        if time.monotonic() >= deadline:
            self._problems.append(f"some lines were not on the stream after {LONGEST_SECONDS:.0f} s")
        return sent, expect(sent, self._folder, Level.INFORMATIONAL)

    def _is_shipped(self, sent: Sent) -> bool:
        self._stream.poll()
        shipped = self._stream.shipped
        return all(shipped[service].lines >= len(sent.lines[service]) for service in SERVICES)

    def _sweep(self, server: ShippingHosts) -> tuple[dict[Service, list[bytes]], Expected]:
        """Upload the log files, and a segment of lines that only Vault's own file has; both are swept at once."""
        now = datetime.fromtimestamp(self._aws.now(), UTC)
        self._story.say(
            f"The log files are archived and swept, along with lines that never reached the log server: {MISSED}"
        )
        self._story.show([], all_parts=True)
        keys = {
            service: self._archive.upload(service, LOG_SERVER, _lines(server.archive(service)), now)
            for service in SERVICES
        }
        lines = as_if_now([line for service, line in load(MISSED).lines if service == "audit"], datetime.now(UTC))
        self._archive.upload("audit-file", NODE, lines, now)
        self._settle()
        folder = self._folder / "missed"
        folder.mkdir()
        missed = expect(Sent({"audit": lines, "server": []}, {}), folder, Level.INFORMATIONAL)
        archived = {service: self._archive.read(key) for service, key in keys.items()}
        return {service: [split_tag(line)[1] for line in lines] for service, lines in archived.items()}, missed

    def _pass(self, seconds: float) -> None:
        self._aws.tick(seconds)
        self._story.show(self._stored.poll(), all_parts=True)

    def _settle(self) -> None:
        self._aws.run_until_idle()
        self._story.show(self._stored.poll(), all_parts=True)

    def _findings(
        self, sent: Sent, expected: Expected, archived: Mapping[Service, list[bytes]], missed: Expected
    ) -> AwsFindings:
        aws = self._aws
        stored, delivered = alerts_and_deliveries(self._deployment.rows())
        return AwsFindings(
            sent=sent,
            expected=expected,
            missed=missed,
            shipped=self._stream.shipped,
            evaluated=read_metrics(aws.log("evaluate.handler")),
            archived=archived,
            stored=stored,
            seen=self._stored.seen,
            published=self._deployment.published(),
            delivered=frozenset(delivered),
            in_slack=alerts_in_slack(self._slack),
            notifications=self._slack.accepted,
            emails=len(aws.mails),
            invocations=aws.invocations.total(),
            problems=[*self._problems, *_failures(aws)],
        )


def _failures(aws: LocalAws) -> Iterator[str]:
    """Yield everything that must never happen on the local AWS."""
    yield from (f"{outcome.function} failed: {outcome.error}" for outcome in aws.failures)
    yield from (f"not delivered: {failure}" for failure in aws.deliveries.failures)
    yield from (f"denied: {call.role} {call.operation} {call.refused}" for call in aws.refused)
    yield from (f"in alarm: {name}" for name in sorted(aws.fired_alarms() - _EXPECTED_ALARMS))


def _mailbox(mails: Sequence[Mail]) -> str:
    """Return the e-mails as a person would read them, one after the other."""
    return f"\n{'=' * 72}\n\n".join(f"To: {mail.address}\nSubject: {mail.subject}\n\n{mail.text}\n" for mail in mails)


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().split(b"\n")[:-1] if path.exists() else []
