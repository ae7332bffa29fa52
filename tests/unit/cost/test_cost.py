"""The cost model: its page is what its figures give, and its figures follow from rate, measurement and price."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from bench.processes import ROOT
from cost import prices
from cost.model import Measured, Model, Sample
from cost.page import GOAL_RATE, GOAL_USD, RATES, page, results

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


def test_the_page_is_what_the_results_give(document: dict[str, Any]) -> None:
    assert (ROOT / "docs/cost.md").read_text() == page(document)


def test_what_is_judged_is_on_the_page(document: dict[str, Any]) -> None:
    [judged] = results(document["measured"]["frames"])
    assert (judged.goal, judged.met) == (GOAL_USD, True)
    assert f"with {judged.median:.2f}." in page(document)


def test_the_page_adds_up(document: dict[str, Any]) -> None:
    rows = {}
    for line in page(document).splitlines():
        cells = [cell.strip(" *") for cell in line.strip("|").split("|")]
        rows[cells[0]] = cells[1:]
    for column in range(len(RATES)):
        fixed, variable, stored, total = (
            float(rows[name][column].replace(",", "")) for name in ("fixed", "variable", "a year of archive", "all")
        )
        assert fixed + variable + stored == pytest.approx(total, abs=0.02)


def test_fixed_is_the_bill_of_no_records_and_variable_the_rest() -> None:
    for rate in RATES:
        bill = MODEL.bill(rate)
        assert {name: MODEL.fixed()[name] + cost for name, cost in MODEL.variable(rate).items()} == pytest.approx(bill)


def test_a_month_of_a_shard_and_its_put_units_at_1000_records_a_second() -> None:
    bill = MODEL.bill(1_000)
    assert bill["Kinesis: shards, 7 days of retention"] == pytest.approx(730 * (0.015 + 0.02))
    # One frame of 440,000 bytes a second: 18 units of 25 KB; and a heartbeat a minute.
    assert bill["Kinesis: PUT payload units"] == pytest.approx((2_628_000 * 18 + 43_800) * 0.014 / 1e6)


def test_evaluate_is_billed_for_its_share_of_a_core() -> None:
    heartbeats = MODEL.fixed()["Lambda: evaluate"]
    seconds = 2_628_000 * (0.020 + 0.020 * 1769 / 1024)
    assert MODEL.variable(1_000)["Lambda: evaluate"] == pytest.approx(seconds * 0.0000133334 + 2_628_000 * 0.2 / 1e6)
    assert heartbeats == pytest.approx(43_800 * (0.020 * 0.0000133334 + 0.2 / 1e6))


def test_a_second_of_records_chooses_its_frame_and_more_of_them_fill_several() -> None:
    assert [MEASURED.sample(rate).lines for rate in RATES] == [20.0, 200.0, 2_000.0, 4_500.0]
    shards = MODEL.bill(10_000)["Kinesis: shards, 7 days of retention"] / (730 * 0.035)
    assert shards == pytest.approx(6)  # 20,000 lines in frames of 4,500 of 920,000 bytes, at 70 % of a MiB/s


def test_the_archive_holds_each_record_twice_for_a_year() -> None:
    gib_a_day = 1_000 * 86_400 * 1600 * 2 / 8 / 1024**3
    assert MODEL.stored(1_000) == pytest.approx(
        {
            "S3 STANDARD": gib_a_day * 30 * 0.023,
            "S3 STANDARD_IA": gib_a_day * 60 * 0.0125,
            "S3 GLACIER": gib_a_day * 275 * 0.0036,
        }
    )


def test_what_matters_most_comes_first_and_is_what_doubling_does(document: dict[str, Any]) -> None:
    text = page(document).partition("## What matters most")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")][1:]
    changes = [abs(float(change)) for _, change in rows]
    assert changes == sorted(changes, reverse=True)
    assert changes[0] > 1


def test_more_alerts_cost_more_where_alerts_go() -> None:
    more = replace(MODEL, assumed=replace(MODEL.assumed, alerts_per_million=20))
    before, after = MODEL.variable(GOAL_RATE), more.variable(GOAL_RATE)
    changed = {name for name in before if after[name] > before[name]}
    assert changed == {"DynamoDB", "SNS, e-mail", "SQS, EventBridge", "Firehose", "Lambda: digest, notify"}


def test_every_price_says_where_and_when_it_was_read() -> None:
    assert len(prices.PRICES) > 25
    for price in prices.PRICES:
        text, day = prices.SOURCES[price.source]
        assert text
        assert date.fromisoformat(day).year >= 2026
        assert price.page.startswith("aws.amazon.com/")
        assert price.usd > 0
