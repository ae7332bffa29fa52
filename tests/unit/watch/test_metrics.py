"""`watch --metrics FILE`: what monitoring needs, in Prometheus's text format."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from testbed.slack import SlackStandIn
from tests.support.exposition import Series, read_metrics, value
from tests.support.waiting import eventually
from tests.support.watching import FAST, Watching, entry, harmless, options
from vaultwatch.rules.conditions import Exists
from vaultwatch.rules.facts import Level
from vaultwatch.rules.pack import CompiledRule, Rule
from vaultwatch.watch.options import WatchOptions
from vaultwatch.watch.slack_options import WEBHOOK_VARIABLE

ROOT = Path(__file__).parents[3]
WRITERS = (
    "handler/metrics_file.py",
    "watch/metrics.py",
    "watch/probe.py",
    "ship/metrics.py",
    "reconcile/metrics.py",
)
TAGGED = {"cluster": "prod", "node": "vault-1", "lane": "socket"}


@pytest.fixture
def good(tmp_path: Path) -> WatchOptions:
    return options(tmp_path, metrics=tmp_path / "audit.prom", pace=replace(FAST, metrics_seconds=0.02))


def read(good: WatchOptions) -> dict[str, Series]:
    assert good.metrics is not None
    return read_metrics(good.metrics.read_bytes()) if good.metrics.exists() else {}


def test_the_file_says_what_was_read_rejected_found_and_sent(good: WatchOptions) -> None:
    before = time.time()
    lines = harmless(1) + b"no entry\n" + b"@prod/vault-1/socket " + entry(2)
    with Watching(good) as watching:
        watching.write(lines)
        watching.wait_for_alerts(1)
    found = read(good)
    assert value(found, "vaultwatch_lines_total", cluster="", node="", lane="", source="audit") == 2
    assert value(found, "vaultwatch_lines_total", command="watch", **TAGGED) == 1
    assert sum(found["vaultwatch_line_bytes_total"].values()) == len(lines)
    assert before <= value(found, "vaultwatch_last_line_timestamp_seconds", **TAGGED) <= time.time()
    assert value(found, "vaultwatch_records_total", type="audit") == 2
    assert value(found, "vaultwatch_rejected_lines_total") == 1
    assert {dict(of)["level"]: number for of, number in found["vaultwatch_alerts_total"].items() if number} == {
        "medium": 1
    }
    assert value(found, "vaultwatch_notifications_sent_total", sink="alert-log") == 1
    assert value(found, "vaultwatch_notifications_unsent", sink="alert-log") == 0
    assert value(found, "vaultwatch_notifications_unsent_age_seconds", sink="alert-log") == 0
    assert before <= value(found, "vaultwatch_start_timestamp_seconds") <= time.time()
    assert value(found, "vaultwatch_rule_errors_total") == 0


def test_it_runs_until_the_end_of_its_input_and_says_so_afterwards(good: WatchOptions) -> None:
    assert good.metrics is not None
    with Watching(good):
        eventually(lambda: read(good))
        assert value(read(good), "vaultwatch_running") == 1
    assert value(read(good), "vaultwatch_running") == 0
    assert [file.name for file in good.metrics.parent.glob("*.prom*")] == ["audit.prom"]


def test_it_says_when_the_entry_of_the_canary_came_by_each_lane(good: WatchOptions) -> None:
    canary = entry(1).replace(b'"type"', b'"policies":["vaultwatch-canary"],"type"', 1)
    before = time.time()
    with Watching(good) as watching:
        watching.write(b"@prod/vault-1/socket " + canary + b"@prod/vault-1/file " + entry(2))
        watching.wait_for_alerts(2)
    seen = read(good)["vaultwatch_last_canary_timestamp_seconds"]
    assert {dict(labels)["lane"]: bool(number) for labels, number in seen.items()} == {"socket": True, "file": False}
    assert before <= value(read(good), "vaultwatch_last_canary_timestamp_seconds", **TAGGED) <= time.time()


def test_any_user_can_read_it(good: WatchOptions) -> None:
    with Watching(good):
        pass
    assert good.metrics is not None
    assert good.metrics.stat().st_mode & 0o777 == 0o644


def test_what_a_sink_does_not_accept_shows_with_its_age_while_the_stream_is_idle(good: WatchOptions) -> None:
    def refused() -> bool:
        failures = read(good).get("vaultwatch_notification_failures_total", {})
        return any(failures.values())

    with (
        SlackStandIn() as slack,
        Watching(replace(good, environment={WEBHOOK_VARIABLE: slack.webhook_url})) as watching,
    ):
        slack.behave("error")
        watching.write(entry(1))
        eventually(refused)
        found = read(good)
        assert value(found, "vaultwatch_notifications_unsent", sink="slack") == 1
        assert value(found, "vaultwatch_notifications_unsent_age_seconds", sink="slack") > 0
        assert value(found, "vaultwatch_notifications_sent_total", sink="slack") == 0


def test_a_rule_that_raises_is_named(good: WatchOptions) -> None:
    def broken(_: object) -> bool:
        raise KeyError("x")

    facts = CompiledRule(name="odd", title="Odd", level=Level.LOW, service="audit", condition=Exists("time", True))
    with Watching(replace(good, load_rules=lambda: [Rule(facts, matches=broken)])) as watching:
        watching.write(harmless(1) + harmless(2))
    found = read(good)
    assert value(found, "vaultwatch_rule_errors_total") == 2
    assert value(found, "vaultwatch_rule_errors_by_rule_total", rule="odd") == 2


def test_a_file_that_cannot_be_written_is_logged_and_stops_nothing(good: WatchOptions) -> None:
    assert good.metrics is not None
    (good.metrics.parent / "audit.prom.new").mkdir()
    with Watching(good) as watching:
        watching.write(entry(1))
        watching.wait_for_alerts(1)
        watching.wait_for_log(f"--metrics: {good.metrics}: ")


def test_a_file_with_something_else_than_metrics_is_left_as_it_is(good: WatchOptions) -> None:
    assert good.metrics is not None
    good.metrics.write_text("mine\n")
    with Watching(good) as watching:
        watching.write(entry(1))
        watching.wait_for_alerts(1)
        watching.wait_for_log(f"--metrics: {good.metrics}: has something else than metrics of vaultwatch")
    assert good.metrics.read_text() == "mine\n"


def test_the_rules_for_prometheus_name_metrics_that_a_handler_writes() -> None:
    """`promtool` knows no metrics, so it finds no wrong name."""
    rules = (ROOT / "docs/prometheus-rules.yml").read_text()
    written = "".join((ROOT / "vaultwatch" / name).read_text() for name in WRITERS)
    assert set(re.findall(r"vaultwatch_\w+", rules)) - set(re.findall(r'"(vaultwatch_\w+)"', written)) == set()
    if promtool := shutil.which("promtool"):
        subprocess.run([promtool, "check", "rules", ROOT / "docs/prometheus-rules.yml"], check=True)


def test_what_is_missing_is_an_alert_only_if_the_comparison_was_complete_and_what_differs_is_always_one() -> None:
    """A log that cannot be read to its end lacks entries, but it does not change those that were read."""
    rules = yaml.safe_load((ROOT / "docs/prometheus-rules.yml").read_text())["groups"][0]["rules"]
    found = {rule["alert"]: rule["expr"].split() for rule in rules if "alert" in rule}
    complete = ["and", "on", "(instance)", "vaultwatch_reconcile_complete", "==", "1"]
    missing = 'vaultwatch_reconcile_missing_entries{{side="{}"}} > 0'.format
    differing = ["vaultwatch_reconcile_differing_entries", ">", "0"]
    assert found["VaultwatchEntriesAltered"] == [*differing, "or", *missing("left").split(), *complete]
    assert found["VaultwatchEntriesLost"] == [*missing("right").split(), *complete]
