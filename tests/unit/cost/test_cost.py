"""The cost model: its figures follow from rate, measurements and prices, and its page shows them."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from bench.processes import ROOT
from cost import prices
from cost.attack import Flood, records_a_second
from cost.hosts import crossing, parts
from cost.model import COUNTING, DAYS, HOURS, WINDOW_SECONDS, Measured, Model, Sample
from cost.page import COUNTING_GOAL_USD, GOAL_RATE, GOAL_USD, RATES, page, results
from stacks.services import INTERFACES
from vaultwatch.rules.pack import shipped_rules
from vaultwatch.settings import Settings

MEASURED = Measured(
    record_bytes=1600.0,
    alert_bytes=2000.0,
    segment_ratio=8.0,
    log_bytes=1500.0,
    metrics=10,
    record_cpu_ms=0.005,
    samples=(
        Sample(20.0, 6_000.0, 2.0),
        Sample(200.0, 48_000.0, 6.0),
        Sample(2_000.0, 440_000.0, 20.0),
        Sample(4_500.0, 920_000.0, 40.0),
    ),
)
MODEL = Model(MEASURED)


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "bench/results.json").read_text())
    return found


def test_the_page_is_up_to_date(document: dict[str, Any]) -> None:
    assert (ROOT / "docs/cost.md").read_text() == page(document)


def test_the_figure_with_a_goal_is_on_the_page(document: dict[str, Any]) -> None:
    [judged] = results(document["measured"]["frames"])
    assert (judged.goal, judged.met) == (GOAL_USD, True)
    assert f": {judged.median:.2f}, reached." in page(document)


def test_the_page_adds_up(document: dict[str, Any]) -> None:
    rows = {}
    for line in page(document).splitlines():
        cells = [cell.strip(" *") for cell in line.strip("|").split("|")]
        rows[cells[0]] = cells[1:]
    for column in range(len(RATES)):
        fixed, variable, stored, total = (
            float(rows[name][column].replace(",", "")) for name in ("fixed", "variable", "archive", "total")
        )
        assert fixed + variable + stored == pytest.approx(total, abs=0.02)


def test_the_fixed_cost_is_the_bill_without_records_and_the_variable_cost_the_rest() -> None:
    for rate in RATES:
        bill = MODEL.bill(rate)
        assert {name: MODEL.fixed()[name] + cost for name, cost in MODEL.variable(rate).items()} == pytest.approx(bill)


def test_a_month_of_a_shard_and_its_put_units_at_1000_records_a_second() -> None:
    bill = MODEL.bill(1_000)
    assert bill["Kinesis: shards, 7 days of retention"] == pytest.approx(730 * (0.015 + 0.02))
    # One frame of 440,000 bytes per second is 18 units of 25 KB; and one heartbeat per minute.
    assert bill["Kinesis: PUT payload units"] == pytest.approx((2_628_000 * 18 + 43_800) * 0.014 / 1e6)


def test_evaluate_takes_longer_with_a_smaller_share_of_a_core() -> None:
    heartbeats = MODEL.fixed()["Lambda: evaluate"]
    seconds = 2_628_000 * (0.020 + 0.020 * 1769 / 1024)
    assert MODEL.variable(1_000)["Lambda: evaluate"] == pytest.approx(seconds * 0.0000133334 + 2_628_000 * 0.2 / 1e6)
    assert heartbeats == pytest.approx(43_800 * (0.020 * 0.0000133334 + 0.2 / 1e6))


def test_the_rate_decides_the_size_of_frames_and_the_number_of_shards() -> None:
    assert [MEASURED.sample(rate).lines for rate in RATES] == [20.0, 200.0, 2_000.0, 4_500.0]
    shards = MODEL.bill(10_000)["Kinesis: shards, 7 days of retention"] / (730 * 0.035)
    assert shards == pytest.approx(6)  # 20,000 lines in frames of 4,500 of 920,000 bytes, at 70 % of a MiB/s


def test_the_archive_stores_each_record_twice_for_a_year() -> None:
    gib_a_day = 1_000 * 86_400 * 1600 * 2 / 8 / 1024**3
    assert MODEL.stored(1_000) == pytest.approx(
        {
            "S3 STANDARD": gib_a_day * 30 * 0.023,
            "S3 STANDARD_IA": gib_a_day * 60 * 0.0125,
            "S3 GLACIER": gib_a_day * 275 * 0.0036,
        }
    )


def test_the_most_important_figures_come_first(document: dict[str, Any]) -> None:
    text = page(document).partition("## Sensitivity")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")][1:]
    changes = [abs(float(change)) for _, change in rows]
    assert changes == sorted(changes, reverse=True)
    assert changes[0] > 1


def test_more_alerts_cost_more_at_the_services_that_handle_alerts() -> None:
    more = replace(MODEL, assumed=replace(MODEL.assumed, alerts_per_million=20))
    before, after = MODEL.variable(GOAL_RATE), more.variable(GOAL_RATE)
    changed = {name for name in before if after[name] > before[name]}
    assert changed == {"DynamoDB", "SNS, e-mail", "SQS, EventBridge", "Firehose", "Lambda: digest, notify"}


FLOOD = Flood(calls=0.05, write_units=3.0, partition_units=0.25, read_units=1.5, stored_bytes=600.0, line_bytes=6_000.0)


def test_reconcile_costs_at_most_its_longest_invocation_and_nothing_when_it_is_off() -> None:
    line, many = "Lambda, S3: reconcile", 10_000.0
    longest = HOURS * 900 * MODEL.settings.reconcile_memory_mib / 1024 * prices.GB_SECOND.usd
    assert 0 < MODEL.bill(1.0)[line] < MODEL.bill(10.0)[line] < longest
    slow = replace(MODEL, assumed=replace(MODEL.assumed, arm_slowness=2))
    assert slow.bill(many)[line] == MODEL.bill(many)[line] == pytest.approx(longest, rel=0.01)
    assert replace(MODEL, settings=Settings(reconcile=False)).bill(many)[line] == 0


def test_an_hour_of_a_flood_costs_its_units_lines_and_few_notifications() -> None:
    assert FLOOD.an_hour(MODEL.assumed) == pytest.approx(
        {
            "DynamoDB: writes": 3.6 * 3.0 * 0.625,
            "DynamoDB: reads": 3.6 * 1.5 * 0.125,
            "Firehose": 3.6e6 * 10_240 / 1024**3 * 0.029,
            "SNS, e-mail": 20 * 60 * (0.69e-6 + 5 * 2e-5),
        }
    )
    assert FLOOD.kept(DAYS) == pytest.approx(3.6e6 * 600 / 1024**3 * 0.45)


def test_a_partition_limits_a_flood_and_a_shard_limits_large_records() -> None:
    assert FLOOD.limit_a_second() == 4_000
    assert records_a_second(26_214.4) == pytest.approx(20)


def test_a_flood_is_read_from_what_was_measured(document: dict[str, Any]) -> None:
    found = document["measured"]["floods"]
    for name in ("small", "large"):
        flood = Flood.read(found[name], found["alerts"])
        assert 0 < flood.partition_units < flood.write_units
        assert flood.write_units == pytest.approx(
            (found[name]["write_units"] + found[name]["digest_write_units"]) / 1_000
        )
        assert flood.read_units == pytest.approx((found[name]["read_units"] + found[name]["digest_read_units"]) / 1_000)
        assert f"{sum(flood.an_hour(MODEL.assumed).values()):.2f}" in page(document)


def test_what_rules_remember_costs_what_was_measured(document: dict[str, Any]) -> None:
    found = document["measured"]["floods"]
    text = page(document)
    assert "1,000 combinations that are used every day" in text
    assert "one a minute costs 0.06 USD" in text
    found["remembered"]["expected"]["write_units"] *= 2
    assert "one a minute costs 0.12 USD" in page(document)
    found["remembered"]["expected"]["write_units"] //= 2
    assert page(document) == text


def test_only_what_people_are_notified_of_goes_through_sns() -> None:
    nobody = replace(MODEL, assumed=replace(MODEL.assumed, notified=0.0))
    assert nobody.variable(GOAL_RATE)["SNS, e-mail"] == 0
    assert nobody.variable(GOAL_RATE)["Firehose"] == MODEL.variable(GOAL_RATE)["Firehose"] > 0


def test_every_price_has_a_source_and_a_date() -> None:
    assert len(prices.PRICES) > 25
    for price in prices.PRICES:
        text, day = prices.SOURCES[price.source]
        assert text
        assert date.fromisoformat(day).year >= 2026
        assert price.page.startswith("aws.amazon.com/")
        assert price.usd > 0


def test_lanes_that_cross_zones_cost_161_dollars_at_a_thousand_records_a_second() -> None:
    assert crossing(1_000, 1_647) == pytest.approx(161.24, abs=0.01)


def test_the_hosts_add_up_and_only_what_is_deployed_costs() -> None:
    one, external = parts(Settings()), parts(Settings(vault="external"))

    assert one["Vault nodes"] == pytest.approx(730 * 0.0816)
    assert one["volumes (gp3)"] == pytest.approx(0.08 * (10 + 100 + 16 + 100 + 50 + 16))
    assert (external["Vault nodes"], external["load balancer"]) == (0, 0)
    assert parts(Settings(interface_endpoints=False))["interface endpoints, one zone"] == 0


def test_every_interface_endpoint_that_is_made_has_its_price() -> None:
    assert parts(Settings())["interface endpoints, one zone"] == pytest.approx(len(INTERFACES) * 7.30)


def test_counting_for_the_whole_pack_costs_no_more_than_its_goal() -> None:
    found = [one for rule in shipped_rules() if (one := rule.compiled.correlation)]
    assert min(one.timespan_seconds for one in found) == WINDOW_SECONDS
    assert max(one.threshold for one in found) <= 100  # a row of so many hashes is one write unit
    assert MODEL.variable(GOAL_RATE)[COUNTING] <= COUNTING_GOAL_USD
