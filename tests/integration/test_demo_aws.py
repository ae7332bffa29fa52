"""`make demo`: run on the local AWS, once with Slack unavailable at first; it reports every problem."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from demo.alert_tail import Seen
from demo.archive import as_if_now
from demo.aws_report import AwsFindings, Evaluated, problems, read_metrics, table
from demo.stream import Shipped
from testbed.build import build
from testbed.errors import TestbedError
from testbed.session import Expected, Sent
from tests.integration.test_demo import figures, most_notifications, needs_syslog_ng, notifications, run, started
from tests.support.waiting import HUNG_SECONDS
from tests.support.watching import entry, harmless
from vaultwatch.alerts import Alert, alert_of
from vaultwatch.detection.detector import Detector
from vaultwatch.dispatch.groups import file_alert
from vaultwatch.dispatch.notification import Merged, Notification
from vaultwatch.rules.facts import Level
from vaultwatch.rules.pack import shipped_rules

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="no Node.js")
MOST_LATER = 16
"""Alerts below a later scenario: those of requests without a response, and those of a busy machine."""
MOST_DELAYED = 6
"""Notifications of what only the archive has: two root tokens, and what was done with them."""
SUCCESS = "OK: every line was evaluated and archived, every alert of `vaultwatch check` is stored and notified"


@needs_syslog_ng
@needs_node
def test_every_line_of_the_session_is_evaluated_and_what_only_the_archive_has_is_delayed(tmp_path: Path) -> None:
    status, shown, errors = run(tmp_path, MODE="aws", AWS_PROFILE="not-there", HTTP_PROXY="http://127.0.0.1:9")
    assert (status, errors) == (0, ""), shown
    assert f"{SUCCESS}\n" in shown
    rows = figures(shown)
    assert rows["lines sent"] == rows["lines evaluated"] == (863, 250)
    archived = re.search(r"^lines archived in S3 +863 +250$", shown, re.MULTILINE)
    assert archived is not None
    assert rows["lost"] == (0, 0)
    assert rows["alerts, critical"] == (9, 1)
    assert rows["alerts found in real time"] == (38, 14)
    assert rows["alerts found in the archive"] == (9, 0)
    # How much less depends on how many lines a frame has, and so on the speed of the machine.
    assert all(raw > packed for raw, packed in zip(rows["bytes before compression"], rows["bytes on the stream"]))
    assert "delayed: Token with the root policy used: root token (127.0.0.1)" in shown
    assert shown.count("[") <= MOST_LATER, "alerts are below the scenario that raised them"
    (folder,) = tmp_path.iterdir()
    (now,) = {file.stat().st_mtime for file in folder.glob("slack.html")}
    times = re.findall(r"time +(\S+ \S+) UTC", (folder / "slack.html").read_text())
    assert times
    assert max(map(datetime.fromisoformat, times)).replace(tzinfo=UTC).timestamp() <= now
    assert 0 < notifications(shown) <= most_notifications(shown) + MOST_DELAYED


@needs_syslog_ng
@needs_node
@pytest.mark.long
def test_notifications_that_slack_refuses_at_first_are_sent_again_and_kept_in_the_folder(tmp_path: Path) -> None:
    arguments = ("--scenario=vault-1.14.2/generate-root", "--slack-errors=2")
    with started(tmp_path, *arguments, MODE="aws", KEEP="1") as process:
        shown, errors = process.communicate(timeout=HUNG_SECONDS)
    assert (process.returncode, errors) == (0, ""), shown
    (folder,) = tmp_path.iterdir()
    assert shown.endswith(
        f"{SUCCESS}\nkept in {folder}: report.html, slack.html, emails.txt, log\nopen {folder}/report.html\n"
    )
    for kept in ("report.html", "slack.html", "emails.txt"):
        assert "Root token generated" in (folder / kept).read_text()
    assert "To: security@example.org\nSubject: " in (folder / "emails.txt").read_text()


@needs_node
@pytest.mark.long
def test_node_has_ended_once_the_templates_are_built(tmp_path: Path) -> None:
    """The Ctrl-C that ends the demo would end the CDK's Node.js process too, which then prints a traceback."""
    code = "import sys, pathlib, testbed.build as it; it._KEPT = pathlib.Path(sys.argv[1]); it.build()\n"
    code += "print('jsii' in sys.modules)"
    command = [sys.executable, "-c", code, str(tmp_path / "kept")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout.splitlines()[-1:], done.stderr) == (["False"], "")


def test_without_nodejs_one_line_names_the_mode_that_needs_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("testbed.build._KEPT", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TestbedError, match=r"^the CDK .* Node\.js .*; `make demo MODE=watch` needs neither"):
        build()


def test_entries_moved_to_now_keep_their_order_and_everything_else() -> None:
    moved = as_if_now([harmless(1)[:-1], entry(2)[:-1]], datetime(2030, 1, 1, tzinfo=UTC))
    fields = [msgspec.json.decode(line) for line in moved]
    assert max(one["time"] for one in fields) == "2029-12-31T23:59:59.000000Z"
    before = msgspec.json.decode(entry(2))
    assert {**fields[1], "time": before["time"]} == before


def test_the_metrics_of_evaluate_are_added_up() -> None:
    log = "\n".join([
        "START",
        '{"_aws":{},"service":"evaluate","Records":[3.0],"RejectedLines":[1.0]}',
        '{"_aws":{},"lane":"socket","ReceivedLines":[4.0]}',
        '{"_aws":{},"Records":[2.0],"RejectedLines":[0.0]}',
    ])  # fmt: skip
    assert read_metrics(log) == Evaluated(Counter({"socket": 4}), records=5, rejected=1)


LINES = [harmless(1)[:-1], entry(2)[:-1], harmless(3)[:-1]]
NONE = {"audit": 0, "server": 0, "rejected": 0}


def raised(line: bytes) -> Alert:
    (found,) = Detector(shipped_rules(), source="audit").feed([line])
    return alert_of(found)


def notification(number: int, alert: Alert) -> Notification:
    return Notification(
        id=str(number), disposition="first", rule=alert.rule, title=alert.title, level=alert.level, service="audit",
        cluster="", created_at=0.0, alerts=(alert,),
    )  # fmt: skip


@pytest.fixture(scope="module")
def found() -> AwsFindings:
    """A run without problems: three lines, one alert in real time and one delayed."""
    alert, late = raised(LINES[1]), msgspec.structs.replace(raised(entry(9)[:-1]), late=True)
    assert file_alert(alert).notify
    return AwsFindings(
        sent=Sent({"audit": LINES, "server": []}, {f"{alert.event_key} response": 100.0}),
        expected=Expected({alert.id: alert}, {"audit": {**NONE, "audit": 3}, "server": NONE}),
        missed=Expected({late.id: late}, {"audit": NONE, "server": NONE}),
        shipped={"audit": Shipped(frames=2, heartbeats=1, lines=3, raw_bytes=900, bytes=100), "server": Shipped()},
        evaluated=Evaluated(Counter({"socket": 3}), records=3, rejected=0),
        archived={"audit": LINES, "server": []},
        stored={alert.id: alert, late.id: late},
        seen={alert.id: Seen(alert, 100.5), late.id: Seen(late, 170.0)},
        published=[notification(1, alert), notification(2, late)],
        delivered=frozenset({"1", "2"}),
        in_slack=[alert.id, late.id],
        notifications=2,
    )


def test_nothing_is_reported_when_all_is_well(found: AwsFindings) -> None:
    assert list(problems(found)) == []
    shown = list(table(found))
    assert "alert latency: median 500 ms, 99th percentile 500 ms" in shown
    assert "3 records evaluated; compressed 9.0 times for the stream; 0 function invocations" in shown


def not_late(found: AwsFindings) -> AwsFindings:
    return replace(found, stored={id_: msgspec.structs.replace(a, late=False) for id_, a in found.stored.items()})


FAULTS: Mapping[str, Callable[[AwsFindings], AwsFindings]] = {
    "audit: 1 lines lost": lambda found: replace(found, archived={"audit": LINES[1:], "server": []}),
    "audit: 3 lines sent, 4 put on the stream": lambda found: replace(
        found, shipped={**found.shipped, "audit": Shipped(lines=4)}
    ),
    "audit: 3 lines sent, 2 evaluated": lambda found: replace(found, evaluated=Evaluated(Counter({"socket": 2}), 3, 0)),
    "audit: 3 lines sent, 4 archived": lambda found: replace(found, archived={"audit": [*LINES, b"x"], "server": []}),
    "2 records evaluated, `vaultwatch check` reads 3": lambda found: replace(
        found, evaluated=replace(found.evaluated, records=2)
    ),
    "1 records rejected, `vaultwatch check` reads 0": lambda found: replace(
        found, evaluated=replace(found.evaluated, rejected=1)
    ),
    "missing: alert": lambda found: replace(found, stored={}),
    "unexpected: alert": lambda found: replace(found, expected=replace(found.expected, alerts={})),
    "2 alerts are in the table without a transaction": lambda found: replace(found, seen={}),
    "1 alerts match no line": lambda found: replace(found, sent=replace(found.sent, at={})),
    "not published: alert": lambda found: replace(found, published=found.published[1:]),
    "published 2 times: alert": lambda found: replace(found, published=[*found.published, found.published[0]]),
    "not notified: notification 2": lambda found: replace(found, delivered=frozenset({"1"})),
    "not notified: alert": lambda found: replace(found, in_slack=[]),
    "Slack shows alert 00": lambda found: replace(found, in_slack=[*found.in_slack, "00"]),
    "notifications show or count 7 alerts, and 2 are for people": lambda found: replace(
        found, published=[found.published[0], msgspec.structs.replace(found.published[1], merged_count=5)]
    ),
    "not notified: no delayed alert": lambda found: replace(found, published=found.published[:1]),
    "denied": lambda found: replace(found, problems=["denied"]),
}


@pytest.mark.parametrize("text", FAULTS)
def test_every_problem_is_reported(text: str, found: AwsFindings) -> None:
    assert any(problem.startswith(text) for problem in problems(FAULTS[text](found)))


def test_a_critical_act_that_slack_does_not_show_is_reported(found: AwsFindings) -> None:
    act = msgspec.structs.replace(raised(entry(2)[:-1]), id="ac7", level=Level.CRITICAL, outcome="succeeded")
    missed = replace(found, stored={**found.stored, act.id: act})
    assert f"not notified: alert ac7 of {act.rule} did not reach Slack" in list(problems(missed))


def test_a_delayed_alert_may_be_in_a_summary(found: AwsFindings) -> None:
    late = found.published[1].alerts[0]
    group = Merged(
        group="g", count=1, first_time=late.time, last_time=late.time, outcomes={late.outcome: 1}, announced=False,
        alerts=(late,),
    )  # fmt: skip
    summary = msgspec.structs.replace(
        found.published[1], id="3", disposition="summary", alerts=(), merged=(group,), merged_count=1
    )
    suppressed = msgspec.structs.replace(found.published[1], disposition="suppressed")
    published = [found.published[0], suppressed, summary]
    summarized = replace(found, published=published, delivered=frozenset({"1", "3"}))
    assert list(problems(summarized)) == []


def test_an_alert_of_the_archive_that_is_not_marked_late_is_reported(found: AwsFindings) -> None:
    assert any(problem.endswith("is marked as found in real time") for problem in problems(not_late(found)))


@pytest.mark.long
@needs_syslog_ng
@needs_node
def test_what_slack_never_accepts_is_reported(tmp_path: Path) -> None:
    status, shown, _ = run(tmp_path, "--scenario=vault-1.14.2/root-token-used", "--slack-errors=1000", MODE="aws")
    assert status == 1
    assert re.search(r"problems:\n  not notified: notification \w+ of audit_root_policy_used did not reach", shown)
