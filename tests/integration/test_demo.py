"""`make demo MODE=watch`: it reports every problem, and leaves nothing behind, however it ends."""

from __future__ import annotations

import html
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from demo.alert_tail import AlertTail, Seen
from demo.figures import alerts_in_post
from demo.story import Story
from demo.watch_report import Findings, not_notified, problems, table
from testbed.errors import TestbedError
from testbed.log_server import DEFAULT_PORTS, LogServer
from testbed.session import Expected, Sent
from testbed.syslog_ng import search_path
from tests.support.waiting import HUNG_SECONDS, eventually
from tests.support.watching import entry, harmless
from vaultwatch.alerts import Alert, alert_of
from vaultwatch.cli import main
from vaultwatch.detection.detector import Detector
from vaultwatch.dispatch.notification import Notification
from vaultwatch.notify.slack.layout import posts
from vaultwatch.rules.facts import Level
from vaultwatch.rules.pack import shipped_rules

ROOT = Path(__file__).parents[2]
KEPT = {"report.html", "slack.html", "emails.txt", "log"}
MOST_NOTIFICATIONS = 26
AT_ITS_PACE_MS = 2_000
needs_syslog_ng = pytest.mark.skipif(shutil.which("syslog-ng", path=search_path()) is None, reason="no syslog-ng")
needs_a_vault = pytest.mark.skipif(not (shutil.which("vault") or shutil.which("bao")), reason="no vault and no bao")


@contextmanager
def started(folder: Path, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Start the demo as a process, with everything it creates below `folder`."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("COV", "AWS_", "VAULT"))}
    with subprocess.Popen(
        [sys.executable, "-m", "demo", *arguments],
        cwd=ROOT,
        env=clean | {"TMPDIR": str(folder), "MODE": "watch", "LIVE": "", "KEEP": ""} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def run(folder: Path, *arguments: str, **environment: str) -> tuple[int, str, str]:
    """Return its exit status, its output and its errors; it must leave nothing behind but its pages."""
    with started(folder, *arguments, **environment) as process:
        shown, errors = process.communicate(timeout=HUNG_SECONDS)
    assert commands(folder) == []
    left = {file.relative_to(folder).parts[1:] for file in folder.rglob("*") if file.is_file()}
    assert {parts[0] for parts in left} <= KEPT
    return process.returncode, shown, errors


def commands(folder: Path) -> list[tuple[int, str]]:
    """Return the id and the command line of the processes that use the folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # the process has just ended
            line = path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            found.append((int(path.parent.name), line))
    return [(pid, line) for pid, line in found if str(folder) in line]


def handler_of(folder: Path, service: str) -> int:
    """Return the process id of the handler of one of the two logs."""
    (found,) = [pid for pid, line in commands(folder) if f" watch --source {service} " in line]
    return found


def figures(shown: str) -> dict[str, tuple[int, int]]:
    """Return the rows of the table: audit, server log."""
    rows = re.findall(r"^([a-z][a-z, ]+?)  +([\d,]+) +([\d,]+)$", shown, re.MULTILINE)
    return {name: (int(audit.replace(",", "")), int(server.replace(",", ""))) for name, audit, server in rows}


def notifications(shown: str) -> int:
    """Return how many notifications Slack got, by the demo's closing lines."""
    found = re.search(r"^notifications in Slack: (\d+), showing \d+ alerts", shown, re.MULTILINE)
    assert found is not None
    return int(found[1])


def most_notifications(shown: str) -> int:
    """Return how many notifications a run may make, by the median latency that it shows.

    A busy machine stretches the session: what belongs together arrives apart, and is summarised. At the session's own
    pace, `tests/unit/store/test_demo_session.py` allows no more, with all later summaries.
    """
    found = re.search(r"^alert latency: median ([\d,]+) ms, 99th percentile [\d,]+ ms", shown, re.MULTILINE)
    assert found is not None
    at_its_pace = int(found[1].replace(",", "")) < AT_ITS_PACE_MS
    return MOST_NOTIFICATIONS if at_its_pace else MOST_NOTIFICATIONS + 4


def wait_for_line(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdout is not None
    assert any(text in line for line in process.stdout), f"it ended without {text!r}"


@needs_syslog_ng
def test_every_line_of_the_recorded_session_is_archived_and_evaluated(tmp_path: Path) -> None:
    status, shown, errors = run(tmp_path)
    assert (status, errors) == (0, "")
    assert 0 < notifications(shown) <= most_notifications(shown)
    rows = figures(shown)
    assert rows["lines sent"] == rows["lines in the archive file"] == (863, 250)
    assert rows["records evaluated"] == rows["records in them"]
    assert rows["lost"] == rows["lines rejected"] == (0, 0)
    assert rows["alerts, critical"] == (7, 1)
    assert "unauthenticated client (127.0.0.1) started generating a root token" in shown


@needs_syslog_ng
def test_it_uses_other_ports_if_the_default_ports_are_taken(tmp_path: Path) -> None:
    with ExitStack() as stack:
        for port in DEFAULT_PORTS.values():
            with suppress(OSError):  # another process uses it, which has the same effect
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
        status, shown, errors = run(tmp_path, "--scenario=vault-1.14.2/root-token-used")
    assert (status, errors) == (0, "")
    ports = re.search(r"on TCP ports (\d+) \(audit\) and (\d+) \(server\)", shown)
    assert ports is not None
    assert not {int(port) for port in ports.groups()} & set(DEFAULT_PORTS.values())


@needs_syslog_ng
def test_it_changes_to_another_port_if_one_is_taken_while_it_starts(tmp_path: Path) -> None:
    """As a second demo does that starts at the same moment."""
    server = LogServer(tmp_path, f"--log-file {tmp_path}/watch.log")
    taken = server.ports["audit"]
    with socket.create_server(("127.0.0.1", taken)), server:
        assert taken not in server.ports.values()
        assert len(server.handlers()) == 2


@needs_syslog_ng
@needs_a_vault
def test_a_live_server_raises_the_alerts_of_what_is_done_to_it(tmp_path: Path) -> None:
    status, shown, errors = run(tmp_path, LIVE="1")
    assert (status, errors) == (0, "")
    rows = figures(shown)
    assert rows["lines sent"] == rows["lines in the archive file"]
    assert rows["lost"] == (0, 0)
    for title in ("Server initialized", "deleted policy", "Audit device disabled", "Seal requested"):
        assert title in shown


@needs_syslog_ng
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_ends_everything_it_started(number: signal.Signals, tmp_path: Path) -> None:
    with started(tmp_path) as process:
        wait_for_line(process, "ordinary-day")
        assert len(commands(tmp_path)) >= 3
        process.send_signal(number)
        _, errors = process.communicate(timeout=HUNG_SECONDS)
    assert process.returncode == 130
    assert errors == "\ndemo: interrupted; everything it started has ended\n"
    assert commands(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


@needs_syslog_ng
def test_a_killed_demo_leaves_no_process(tmp_path: Path) -> None:
    with started(tmp_path) as process:
        wait_for_line(process, "ordinary-day")
        process.kill()
        process.communicate(timeout=HUNG_SECONDS)
    eventually(lambda: not commands(tmp_path))


@needs_syslog_ng
def test_a_handler_that_is_killed_is_reported(tmp_path: Path) -> None:
    with started(tmp_path, "--scenario=vault-1.14.2/ordinary-day", "--scenario=vault-1.14.2/crash") as process:
        wait_for_line(process, "ordinary-day")
        (figures_file,) = tmp_path.glob("*/state/audit.stats")
        eventually(lambda: json.loads(figures_file.read_bytes())["audit"] > 0)
        os.kill(handler_of(tmp_path, "audit"), signal.SIGKILL)
        shown, _ = process.communicate(timeout=HUNG_SECONDS)
    assert process.returncode == 1
    assert re.search(r"problems:\n  audit: \d+ lines or records lost\n", shown)


@needs_syslog_ng
def test_the_kept_folder_has_a_report_and_the_slack_page(tmp_path: Path) -> None:
    _, shown, _ = run(tmp_path, "--scenario=vault-1.14.2/root-token-used")
    (folder,) = tmp_path.iterdir()
    assert shown.endswith(f"kept in {folder}: report.html, slack.html, log\nopen {folder}/report.html\n")
    for kept in ("report.html", "slack.html"):
        page = html.unescape((folder / kept).read_text())
        assert "Token with the root policy used" in page
        command = shlex.split(re.findall("vaultwatch (search [^\n<]+)", page)[0])
        assert main(command) == 0, f"{kept}: what it says how to find is there"


def test_alerts_are_below_the_part_that_raised_them(alert: Alert, capsys: pytest.CaptureFixture[str]) -> None:
    now, sent = 0.0, {"a": 1.0, "b": 11.0, "c": 12.0}
    story = Story(lambda one: sent.get(one.id), lambda: now)

    def at(seconds: float, *begun: str, ids: str = "", over: bool = False) -> list[str]:
        nonlocal now
        now = seconds
        for text in begun:
            story.say(text)
        story.show([msgspec.structs.replace(alert, id=id_, title=id_) for id_ in ids], all_parts=over)
        return [line.partition(": ")[0].split()[-1] for line in capsys.readouterr().out.splitlines() if line]

    assert at(0.0, "x/first: about") == ["x/first"]
    assert at(10.0, "x/second: about") == [], "its alerts are not there yet, and some of the first part may come"
    assert at(12.0, "x/third: about", ids="ba") == ["a"]
    assert at(13.5, ids="b") == ["x/second", "b", "b"]
    assert at(13.6, ids="a?") == ["a", "?"], "one of an earlier part names it, one of unknown origin does not"
    assert at(14.0, ids="c", over=True) == ["x/third", "c"]


def test_an_alert_that_is_printed_late_names_its_part(alert: Alert, capsys: pytest.CaptureFixture[str]) -> None:
    moments = iter((1.0, 2.0, 3.0, 3.0))
    story = Story(lambda _: 1.5, lambda: next(moments))
    story.say("x/first: about")
    story.say("x/second: about")
    story.show([], all_parts=True)
    story.show([alert], all_parts=True)
    assert f" [x/first] {alert.title}: " in capsys.readouterr().out


def test_what_is_missing_is_reported_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(TestbedError, match=r"^syslog-ng is not installed; please run: apt-get install syslog-ng-core$"):
        LogServer(tmp_path, "", search=str(tmp_path)).__enter__()
    nothing = "demo: LIVE=1 needs vault or bao on PATH, and neither was found\n"
    assert run(tmp_path, LIVE="1", PATH=str(tmp_path)) == (1, "", nothing)
    nothing = "demo: there is no recording 'x/y' in tests/data/recordings\n"
    assert run(tmp_path, "--scenario=x/y") == (1, "", nothing)


LINES = [harmless(1)[:-1], entry(2)[:-1], harmless(3)[:-1]]


@pytest.fixture(scope="module")
def alert() -> Alert:
    (found,) = Detector(shipped_rules(), source="audit").feed(LINES)
    return alert_of(found)


@pytest.fixture
def found(alert: Alert) -> Findings:
    """A run without problems: three lines, one alert."""
    counts = {"audit": 3, "server": 0, "rejected": 0}
    none = {"audit": 0, "server": 0, "rejected": 0}
    key = f"{alert.event_key} response"
    return Findings(
        sent=Sent({"audit": LINES, "server": []}, {key: 100.0}),
        expected=Expected({alert.id: alert}, {"audit": counts, "server": none}),
        archived={"audit": LINES, "server": []},
        stats={"audit": {**counts, "ended": True}, "server": {**none, "ended": True}},
        seen={alert.id: Seen(alert, 100.25)},
        in_slack=[alert.id],
        notifications=1,
    )


def test_nothing_is_reported_when_all_is_well(found: Findings) -> None:
    assert list(problems(found)) == []
    assert "alert latency: median 250 ms, 99th percentile 250 ms" in list(table(found))


def with_stats(found: Findings, **changes: Any) -> Findings:
    return replace(found, stats={**found.stats, "audit": {**found.stats["audit"], **changes}})


def with_archive(found: Findings, lines: list[bytes]) -> Findings:
    return replace(found, archived={**found.archived, "audit": lines})


FAULTS: Mapping[str, Callable[[Findings], Findings]] = {
    "audit: 1 lines or records lost": lambda found: with_archive(found, LINES[1:]),
    "audit: 3 lines sent, 4 archived": lambda found: with_archive(found, [*LINES, LINES[0]]),
    "audit: 2 audit records evaluated, `vaultwatch check` reads 3": lambda found: with_stats(found, audit=2),
    "audit: 1 rejected records evaluated, `vaultwatch check` reads 0": lambda found: with_stats(found, rejected=1),
    "audit: the handler did not drain its input": lambda found: with_stats(found, ended=False),
    "audit: these rules raised exceptions: mine": lambda found: with_stats(found, rule_errors={"mine": 1}),
    "missing: alert": lambda found: replace(found, seen={}, in_slack=[]),
    "unexpected: alert": lambda found: replace(found, expected=replace(found.expected, alerts={})),
    "not notified: alert": lambda found: replace(found, in_slack=[]),
    "Slack shows alert 00": lambda found: replace(found, in_slack=[*found.in_slack, "00"]),
    "1 alerts match no line that was sent": lambda found: replace(found, sent=replace(found.sent, at={})),
    "2 handlers did not end": lambda found: replace(found, killed=2),
    "late": lambda found: replace(found, problems=["late"]),
}


@pytest.mark.parametrize("text", FAULTS)
def test_every_problem_is_reported(text: str, found: Findings) -> None:
    assert any(problem.startswith(text) for problem in problems(FAULTS[text](found)))


def test_every_critical_act_that_was_not_denied_must_be_shown_by_its_id(alert: Alert) -> None:
    first = msgspec.structs.replace(alert, id="1", level=Level.CRITICAL, outcome="succeeded")
    repeat = msgspec.structs.replace(first, id="2")
    denied = msgspec.structs.replace(first, id="3", outcome="failed")
    assert not_notified([first, repeat, denied], ["1", "3"]) == [repeat]
    assert not_notified([first, repeat, denied], ["1", "2", "3"]) == []


def test_the_first_alert_of_a_rule_may_be_in_a_summary(alert: Alert) -> None:
    first, repeat = (msgspec.structs.replace(alert, id=number, level=Level.MEDIUM) for number in "12")
    assert not_notified([first, repeat], [], ["2"]) == []
    urgent = msgspec.structs.replace(alert, id="3", level=Level.CRITICAL, outcome="succeeded")
    assert not_notified([first, repeat, urgent], [], ["2"]) == [urgent]


def test_an_alert_of_another_rule_on_the_same_fact_counts_as_the_first_of_a_rule(alert: Alert) -> None:
    other = msgspec.structs.replace(alert, id="2", rule="other", same_as=(alert.rule,))
    assert not_notified([alert, other], [alert.id]) == []
    assert not_notified([alert, msgspec.structs.replace(other, same_as=())], [alert.id]) != []


def test_a_changed_line_counts_as_lost(found: Findings) -> None:
    assert with_archive(found, [LINES[0] + b" ", *LINES[1:]]).lost("audit") == 1


def test_an_alert_is_found_in_the_message_that_slack_shows(alert: Alert) -> None:
    message = Notification(
        id="1", disposition="first", rule=alert.rule, title=alert.title, level=alert.level, service="audit", cluster="",
        created_at=0.0, alerts=(alert,),
    )  # fmt: skip
    assert [alerts_in_post(post["blocks"]) for post in posts(message)] == [[alert.id]]


def test_the_tail_reads_whole_lines_only_and_returns_each_alert_once(alert: Alert, tmp_path: Path) -> None:
    path = tmp_path / "audit.alert"
    tail = AlertTail([path])
    assert tail.poll() == []
    line = msgspec.json.encode(alert) + b"\n"
    path.write_bytes(line[:50])
    assert tail.poll() == []
    path.write_bytes(line + line)
    assert tail.poll() == [alert]
    assert tail.repeated == 1
    assert tail.poll() == []
