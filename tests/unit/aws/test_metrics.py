"""Metrics: functions write what is declared, and forged names cannot create metrics without end."""

from __future__ import annotations

from collections import Counter
from uuid import UUID

import pytest

from tests.support.functions import total
from vaultwatch.aws import metrics
from vaultwatch.aws.metrics import Metric, Origins, write_findings
from vaultwatch.batches import Findings
from vaultwatch.frames import Counter as LaneCounter
from vaultwatch.frames import Heartbeat
from vaultwatch.reading.records import Origin

DECLARED = [value for value in vars(metrics).values() if isinstance(value, Metric)]
OTHERS = {"cluster": "*", "node": "*", "lane": "*"}


@pytest.fixture(autouse=True)
def _powertools(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in metrics.variables("tested", "blue").items():
        monkeypatch.setenv(name, value)


def received(*origins: Origin) -> Findings:
    return Findings(received=Counter(origins))


def test_every_metric_has_a_name_of_its_own() -> None:
    assert len({metric.name for metric in DECLARED}) == len(DECLARED)


def test_a_metric_names_the_function_and_the_deployment_so_that_two_in_one_account_do_not_mix(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_findings(Findings(frames=1), Origins())
    monkeypatch.setenv("DEPLOYMENT", "green")
    write_findings(Findings(frames=2), Origins())
    printed = capsys.readouterr().out
    assert total(printed, "Frames", **metrics.dimensions_of("tested", "blue")) == 1
    assert total(printed, "Frames", **metrics.dimensions_of("tested", "green")) == 2


def test_errors_are_counted_for_each_rule_and_for_all_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    write_findings(Findings(rule_errors=Counter(one=2, other=3)), Origins())
    printed = capsys.readouterr().out
    assert total(printed, "RuleErrors") == 5
    assert total(printed, "RuleErrorsByRule", rule="other") == 3


def test_records_over_their_budget_and_undecided_rules_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    write_findings(Findings(partial=2, undecided=7), Origins())
    printed = capsys.readouterr().out
    assert (total(printed, "PartialRecords"), total(printed, "UndecidedRules")) == (2, 7)


def test_counters_of_one_lane_from_two_handlers_are_added(capsys: pytest.CaptureFixture[str]) -> None:
    heartbeats = {str(UUID(int=n)): Heartbeat((LaneCounter("prod", "v1", "file", 7, 70),)) for n in range(2)}
    write_findings(Findings(heartbeats=heartbeats), Origins())
    printed = capsys.readouterr().out
    assert total(printed, "ShippedLines", cluster="prod", node="v1", lane="file") == 14
    assert total(printed, "ShippedBytes", cluster="prod", node="v1", lane="file") == 140


@pytest.mark.parametrize("name", ["a/b", " ", "new\nline", "\0", ":colon", "caf\xe9", "x" * 300])
def test_a_name_that_cloudwatch_would_drop_is_counted_under_a_star(
    capsys: pytest.CaptureFixture[str], name: str
) -> None:
    counters = (LaneCounter(name, "vault-1", "file", 7, 70), LaneCounter("prod", name, "file", 7, 70))
    write_findings(Findings(heartbeats={"p": Heartbeat(counters)}), Origins())
    printed = capsys.readouterr().out
    assert total(printed, "ShippedLines", **OTHERS) == 14
    assert total(printed, "ShippedLines") == 14


def test_a_line_without_a_tag_is_counted_under_dashes(capsys: pytest.CaptureFixture[str]) -> None:
    write_findings(received(Origin("", "", "file")), Origins())
    assert total(capsys.readouterr().out, "ReceivedLines", cluster="-", node="-", lane="file") == 1


def test_origins_beyond_the_limit_share_a_star(capsys: pytest.CaptureFixture[str]) -> None:
    origins = Origins(limit=20)
    for batch in range(5):
        write_findings(received(*(Origin("prod", f"node-{batch * 10 + n}", "file") for n in range(10))), origins)
    printed = capsys.readouterr().out
    assert total(printed, "ReceivedLines") == 50
    assert total(printed, "ReceivedLines", **OTHERS) == 30
    assert total(printed, "ReceivedLines", cluster="prod", node="node-19", lane="file") == 1


def test_a_known_origin_keeps_its_name_when_the_limit_is_reached(capsys: pytest.CaptureFixture[str]) -> None:
    origins = Origins(limit=1)
    for node in ("known", "new", "known"):
        write_findings(received(Origin("prod", node, "file")), origins)
    assert total(capsys.readouterr().out, "ReceivedLines", cluster="prod", node="known", lane="file") == 2
