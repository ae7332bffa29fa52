"""`make demo`: a session of Vault through the real syslog-ng and `vaultwatch watch`, to alerts and to Slack.

    python -m demo [--live] [--scenario PRODUCT/SCENARIO]... [--keep]      make demo [LIVE=1] [KEEP=1]

Exit status: 0 everything that went in came out, 1 something went wrong and it says what.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from types import FrameType

from demo.alert_tail import AlertTail
from demo.errors import DemoError
from demo.log_server import SERVICES, LogServer
from demo.recorded import USUAL, Recorded
from demo.session import Expected, Sent, Session, expect
from demo.slack_stand_in import SlackStandIn
from demo.verdict import Findings, alerts_in_post, problems, table, told_first
from vaultwatch.alerts import Alert, Level
from vaultwatch.printable import one_line

LONGEST_SECONDS = 50.0
_TICK_SECONDS = 0.01
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_COLORS = {Level.CRITICAL: "1;31", Level.HIGH: "31", Level.MEDIUM: "33", Level.LOW: "36"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; its exit status."""
    options = _parse(arguments)
    for number in _SIGNALS:
        signal.signal(number, _interrupt)
    try:
        session = _session(options)
        with _folder(options.keep) as folder:
            return _run(session, folder)
    except DemoError as error:
        print(f"demo: {one_line(str(error))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ndemo: interrupted; everything it started has ended", file=sys.stderr)
        return 130


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    for number in _SIGNALS:  # tidying up is not to be interrupted by an impatient second one
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="demo", description="A session of Vault through syslog-ng to alerts.")
    live, keep = _is_set("LIVE"), _is_set("KEEP")
    parser.add_argument("--live", action="store_true", default=live, help="drive a vault or bao found on PATH (LIVE=1)")
    parser.add_argument(
        "--scenario", action="append", metavar="PRODUCT/SCENARIO", help="play this instead; may be given several times"
    )
    parser.add_argument(
        "--keep", action="store_true", default=keep, help="leave the folder behind, with slack.html in it (KEEP=1)"
    )
    return parser.parse_args(arguments)


def _is_set(name: str) -> bool:
    """Whether make was told so: `make demo LIVE=1`."""
    return os.environ.get(name, "0") not in ("", "0")


def _session(options: argparse.Namespace) -> Session:
    if options.live:
        from demo.live import Live

        return Live()
    return Recorded(options.scenario or USUAL)


@contextmanager
def _folder(keep: bool) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="vaultwatch-demo-"))
    try:
        yield folder
    finally:
        if keep:
            print(f"kept: {folder}")
        else:
            shutil.rmtree(folder)


def _run(session: Session, folder: Path) -> int:
    with SlackStandIn() as slack:
        webhook = folder / "slack-webhook"
        webhook.touch(mode=0o600)
        webhook.write_text(slack.webhook_url)
        options = shlex.join(["--slack-webhook-file", str(webhook), "--log-file", str(folder / "watch.log")])
        with LogServer(folder, options) as server:
            _introduce(session, server, slack)
            found = _watch(session, server, slack, folder)
        (folder / "slack.html").write_text(slack.page())
    return _conclude(found)


def _introduce(session: Session, server: LogServer, slack: SlackStandIn) -> None:
    ports = " and ".join(f"{server.ports[service]} ({service})" for service in SERVICES)
    print(f"{session.title}, by TCP to syslog-ng on ports {ports}")
    print(f"a stand-in for Slack shows what people are told, while this runs: {slack.page_url}", flush=True)


def _watch(session: Session, server: LogServer, slack: SlackStandIn, folder: Path) -> Findings:
    """Play the session and show alerts meanwhile, until all that must come has come; then end the log server."""
    deadline = time.monotonic() + LONGEST_SECONDS
    tail = AlertTail([server.alert_log(service) for service in SERVICES])
    stop = Event()
    with ThreadPoolExecutor(1) as pool:
        playing = pool.submit(_play, session, server, folder, stop)
        try:
            while not _is_complete(playing, tail, slack) and time.monotonic() < deadline:
                _show(tail.poll())
                time.sleep(_TICK_SECONDS)
        finally:
            stop.set()
        sent, expected = playing.result()
    late = [] if time.monotonic() < deadline else [f"not everything had come after {LONGEST_SECONDS:.0f} s"]
    killed = server.stop()
    _show(tail.poll())
    return Findings(
        sent=sent,
        expected=expected,
        archived={service: _lines(server.archive(service)) for service in SERVICES},
        figures={service: server.figures(service) for service in SERVICES},
        seen=tail.seen,
        in_slack=_in_slack(slack),
        slack_messages=slack.accepted,
        killed=killed,
        troubles=[*late, *([f"{tail.repeated} alerts stand twice in an alert log"] if tail.repeated else [])],
    )


def _play(session: Session, server: LogServer, folder: Path, stop: Event) -> tuple[Sent, Expected]:
    sent = session.play(server, stop, lambda text: print(f"\n{one_line(text)}", flush=True))
    return sent, expect(sent, folder)


def _is_complete(playing: Future[tuple[Sent, Expected]], tail: AlertTail, slack: SlackStandIn) -> bool:
    """Whether every alert stands in its log, and Slack has the first of each rule."""
    if not playing.done():
        return False
    _, expected = playing.result()
    if not expected.alerts.keys() <= tail.seen.keys():
        return False
    return told_first(seen.alert for seen in tail.seen.values()) <= set(_in_slack(slack))


def _in_slack(slack: SlackStandIn) -> list[str]:
    return [id_ for post in list(slack.messages) for id_ in alerts_in_post(post.blocks)]


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().split(b"\n")[:-1] if path.exists() else []


def _show(alerts: Sequence[Alert]) -> None:
    width = max(60, shutil.get_terminal_size((160, 24)).columns)
    for alert in alerts:
        level = f"{alert.level:9}"
        if sys.stdout.isatty():
            level = f"\x1b[{_COLORS.get(alert.level, '0')}m{level}\x1b[0m"
        print(f"  {level} {one_line(alert.summary, width - 13)}", flush=True)


def _conclude(found: Findings) -> int:
    wrong = list(problems(found))
    print("\n" + "\n".join(table(found)))
    if wrong:
        print("\nwhat went wrong:\n" + "\n".join(f"  {one_line(text)}" for text in wrong), flush=True)
        return 1
    print("every line is in the archive file, every record was evaluated, every alert was told")
    return 0


if __name__ == "__main__":
    sys.exit(main())
