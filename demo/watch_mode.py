"""Mode watch: syslog-ng and `vaultwatch watch`, on a single host without AWS."""

from __future__ import annotations

import shlex
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event

from demo.alert_tail import AlertTail
from demo.figures import alerts_in_slack, counted_in_slack
from demo.story import Story
from demo.terminal import conclude, introduce
from demo.watch_report import Findings, not_notified, problems, table
from testbed.log_server import SERVICES, LogServer
from testbed.session import Expected, Sent, Session, expect
from testbed.slack import SlackStandIn

LONGEST_SECONDS = 50.0
_TICK_SECONDS = 0.01
_SUCCESS = "OK: every line was archived and evaluated, and every alert of `vaultwatch check` is in an alert log"


def run(session: Session, folder: Path) -> int:
    """Run the demo in this mode.

    Args:
        session: What to send.
        folder: Where to keep all files.

    Returns:
        The exit status.

    Raises:
        TestbedError: If the log server fails.
    """
    with SlackStandIn() as slack:
        webhook = folder / "slack-webhook"
        webhook.touch(mode=0o600)
        webhook.write_text(slack.webhook_url)
        options = shlex.join(["--slack-webhook-file", str(webhook), "--log-file", str(folder / "watch.log")])
        with LogServer(folder, options) as server:
            introduce(session, server, slack)
            found = _watch(session, server, slack, folder)
        (folder / "slack.html").write_text(slack.page())
    return conclude(table(found), problems(found), _SUCCESS)


def _watch(session: Session, server: LogServer, slack: SlackStandIn, folder: Path) -> Findings:
    """Play the session and show alerts meanwhile, until all alerts have appeared; then end the log server."""
    deadline = time.monotonic() + LONGEST_SECONDS
    tail = AlertTail([server.alert_log(service) for service in SERVICES])
    stop, story = Event(), Story(session.moment)
    with ThreadPoolExecutor(1) as pool:
        playing = pool.submit(_play, session, server, folder, stop, story)
        try:
            while not _is_complete(playing, tail, slack) and time.monotonic() < deadline:
                story.show(tail.poll())
                time.sleep(_TICK_SECONDS)
        finally:
            stop.set()
        sent, expected = playing.result()
    late = [] if time.monotonic() < deadline else [f"some alerts had not appeared after {LONGEST_SECONDS:.0f} s"]
    killed = server.stop()
    story.show(tail.poll(), all_parts=True)
    return Findings(
        sent=sent,
        expected=expected,
        archived={service: _lines(server.archive(service)) for service in SERVICES},
        stats={service: server.stats(service) for service in SERVICES},
        seen=tail.seen,
        in_slack=alerts_in_slack(slack),
        in_summaries=counted_in_slack(slack),
        notifications=slack.accepted,
        killed=killed,
        problems=[*late, *([f"{tail.repeated} alerts are twice in an alert log"] if tail.repeated else [])],
    )


def _play(session: Session, server: LogServer, folder: Path, stop: Event, story: Story) -> tuple[Sent, Expected]:
    sent = session.play(server, stop, story.say)
    return sent, expect(sent, folder)


def _is_complete(playing: Future[tuple[Sent, Expected]], tail: AlertTail, slack: SlackStandIn) -> bool:
    """Return whether every alert is in its log, and Slack shows those that are notified at once."""
    if not playing.done():
        return False
    _, expected = playing.result()
    if not expected.alerts.keys() <= tail.seen.keys():
        return False
    alerts = [seen.alert for seen in tail.seen.values()]
    return not not_notified(alerts, alerts_in_slack(slack), counted_in_slack(slack))


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().split(b"\n")[:-1] if path.exists() else []
