"""`make demo`: the way through AWS, run as a newcomer does, and with a Slack that is away; its verdict can fail."""

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
from demo.aws_verdict import AwsFindings, Evaluated, problems, read_metrics, table
from demo.deployment import built
from demo.stream import Shipped
from testbed.errors import DemoError
from testbed.session import Expected, Sent
from tests.integration.test_demo import figures, needs_syslog_ng, run
from tests.support.watching import entry, harmless
from vaultwatch.alerts import Alert, alert_of
from vaultwatch.detection.detector import Detector
from vaultwatch.dispatch.groups import file_alert
from vaultwatch.dispatch.notification import Notification
from vaultwatch.rules.pack import shipped_rules

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="no Node.js")
SOUND = "sent = evaluated = archived; every alert of `vaultwatch check` is stored once, and people know of it"


@needs_syslog_ng
@needs_node
def test_the_recorded_session_comes_out_whole_and_what_the_network_lost_comes_late(tmp_path: Path) -> None:
    status, shown, complaints = run(tmp_path, MODE="aws", AWS_PROFILE="not-there", HTTP_PROXY="http://127.0.0.1:9")
    assert (status, complaints) == (0, "")
    assert shown.endswith(f"{SOUND}\n")
    rows = figures(shown)
    assert rows["lines sent"] == rows["lines evaluated"] == (863, 250)
    archived = re.search(r"^lines archived in S3 +863 +250$", shown, re.MULTILINE)
    assert archived is not None
    assert rows["lost"] == (0, 0)
    assert rows["alerts, critical"] == (5, 1)
    assert rows["alerts found the fast way"] == (27, 14)
    assert rows["alerts found late"] == (2, 0)
    assert all(raw > 5 * packed for raw, packed in zip(rows["raw bytes"], rows["bytes on the stream"]))
    assert "late: Token with the root policy used: root from 127.0.0.1" in shown
    assert re.search(r"from a line to its stored alert: median [\d,]+ ms, 99th percentile [\d,]+ ms", shown)


@needs_syslog_ng
@needs_node
def test_what_slack_did_not_take_at_first_is_told_later(tmp_path: Path) -> None:
    status, shown, complaints = run(tmp_path, "--scenario=vault-1.14.2/generate-root", "--slack-errors=2", MODE="aws")
    assert (status, complaints) == (0, "")
    assert "Root token generated" in shown
    assert shown.endswith(f"{SOUND}\n")


@needs_node
def test_what_makes_the_templates_is_gone_when_they_are_made(tmp_path: Path) -> None:
    """Its Node.js process would be ended by the Ctrl-C that ends the demo, and say so in a traceback."""
    code = "import sys, pathlib, demo.deployment as it; it._KEPT = pathlib.Path(sys.argv[1]); it.built()\n"
    code += "print('jsii' in sys.modules)"
    command = [sys.executable, "-c", code, str(tmp_path / "kept")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout.splitlines()[-1:], done.stderr) == (["False"], "")


def test_without_nodejs_one_line_says_what_needs_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("demo.deployment._KEPT", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DemoError, match=r"^the templates .* Node\.js .*; `make demo MODE=watch` needs neither"):
        built()


def test_entries_moved_to_now_keep_their_order_and_all_else() -> None:
    moved = as_if_now([harmless(1)[:-1], entry(2)[:-1]], datetime(2030, 1, 1, tzinfo=UTC))
    fields = [msgspec.json.decode(line) for line in moved]
    assert max(one["time"] for one in fields) == "2029-12-31T23:59:59.000000Z"
    before = msgspec.json.decode(entry(2))
    assert {**fields[1], "time": before["time"]} == before


def test_what_evaluate_says_of_itself_is_added_up() -> None:
    log = "\n".join([
        "START",
        '{"_aws":{},"service":"evaluate","Records":[3.0],"RejectedRecords":[1.0]}',
        '{"_aws":{},"lane":"socket","ReceivedLines":[4.0]}',
        '{"_aws":{},"Records":[2.0],"RejectedRecords":[0.0]}',
    ])  # fmt: skip
    assert read_metrics(log) == Evaluated(Counter({"socket": 4}), records=5, rejected=1)


LINES = [harmless(1)[:-1], entry(2)[:-1], harmless(3)[:-1]]
NONE = {"audit": 0, "server": 0, "rejected": 0}


def raised(line: bytes) -> Alert:
    (found,) = Detector(shipped_rules(), source="audit").feed([line])
    return alert_of(found)


def told(number: int, alert: Alert) -> Notification:
    return Notification(
        id=str(number), disposition="first", rule=alert.rule, title=alert.title, level=alert.level, service="audit",
        cluster="", created_at=0.0, alerts=(alert,),
    )  # fmt: skip


@pytest.fixture(scope="module")
def found() -> AwsFindings:
    """All is well: three lines, one alert in time and one late."""
    alert, late = raised(LINES[1]), msgspec.structs.replace(raised(entry(9)[:-1]), late=True)
    assert file_alert(alert).told
    return AwsFindings(
        sent=Sent({"audit": LINES, "server": []}, {f"{alert.event_key} response": 100.0}),
        expected=Expected({alert.id: alert}, {"audit": {**NONE, "audit": 3}, "server": NONE}),
        missed=Expected({late.id: late}, {"audit": NONE, "server": NONE}),
        shipped={"audit": Shipped(2, 1, 3, 900, 100), "server": Shipped()},
        evaluated=Evaluated(Counter({"socket": 3}), records=3, rejected=0),
        archived={"audit": LINES, "server": []},
        stored={alert.id: alert, late.id: late},
        seen={alert.id: Seen(alert, 100.5), late.id: Seen(late, 170.0)},
        published=[told(1, alert), told(2, late)],
        receipts=frozenset({"1", "2"}),
        in_slack=[alert.id, late.id],
        slack_messages=2,
    )


def test_when_all_is_well_there_is_no_problem(found: AwsFindings) -> None:
    assert list(problems(found)) == []
    shown = list(table(found))
    assert "from a line to its stored alert: median 500 ms, 99th percentile 500 ms" in shown
    assert "3 records evaluated; 9.0 times smaller on the stream than raw; functions ran 0 times" in shown


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
    "2 alerts are in the table, and no transaction": lambda found: replace(found, seen={}),
    "1 alerts belong to no line": lambda found: replace(found, sent=replace(found.sent, at={})),
    "not published: alert": lambda found: replace(found, published=found.published[1:]),
    "published 2 times: alert": lambda found: replace(found, published=[*found.published, found.published[0]]),
    "not told: message 2": lambda found: replace(found, receipts=frozenset({"1"})),
    "not told: alert": lambda found: replace(found, in_slack=[]),
    "Slack was told of alert 00": lambda found: replace(found, in_slack=[*found.in_slack, "00"]),
    "2 alerts are for people, who were told of 1": lambda found: replace(
        found, published=[found.published[0], msgspec.structs.replace(found.published[1], disposition="suppressed")]
    ),
    "no late alert was told": lambda found: replace(found, published=found.published[:1]),
    "denied": lambda found: replace(found, troubles=["denied"]),
}


@pytest.mark.parametrize("text", FAULTS)
def test_every_fault_is_named(text: str, found: AwsFindings) -> None:
    assert any(problem.startswith(text) for problem in problems(FAULTS[text](found)))


def test_an_alert_of_the_archive_that_is_not_marked_late_is_named(found: AwsFindings) -> None:
    assert any(problem.endswith("is marked as found in time") for problem in problems(not_late(found)))


@needs_syslog_ng
@needs_node
def test_what_slack_never_takes_is_named(tmp_path: Path) -> None:
    status, shown, _ = run(tmp_path, "--scenario=vault-1.14.2/root-token-used", "--slack-errors=1000", MODE="aws")
    assert status == 1
    assert re.search(r"what went wrong:\n  not told: message \w+ of audit_root_policy_used\n", shown)
