"""The corpus: always the same bytes, shaped like Vault's entries, with the alerts that it reports."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path
from statistics import mean

import pytest

from bench.corpus import LAYOUTS, STYLES, TRAFFICS, Style, Traffic, entries, reserialise, write
from bench.measure import counting_rules
from bench.worthy import WORTHY
from vaultwatch.detection.detector import Detector
from vaultwatch.rules.pack import shipped_rules

ROOT = Path(__file__).parents[3]


def lines(count: int = 2_000, layout: str = "mixed") -> list[bytes]:
    return [line for _, line in entries(count, seed=1, layout=layout)]


def keys_at_every_depth(line: bytes) -> list[list[str]]:
    found: list[list[str]] = []
    json.loads(line, object_pairs_hook=lambda pairs: found.append([key for key, _ in pairs]))
    return found


@pytest.mark.parametrize("hash_seed", ["0", "4711"])
def test_the_same_arguments_give_the_same_bytes_under_any_hash_seed(hash_seed: str) -> None:
    command = [sys.executable, "-m", "bench.corpus", "-n", "300", "--seed", "1"]
    environment = os.environ | {"PYTHONHASHSEED": hash_seed}
    made = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True)
    assert made.stdout == b"".join(lines(300))


def test_another_seed_gives_another_corpus() -> None:
    assert [line for _, line in entries(300, seed=2)] != lines(300)


def test_a_response_follows_its_request_and_has_its_id() -> None:
    kinds: defaultdict[str, list[str]] = defaultdict(list)
    for line in lines():
        entry = json.loads(line)
        kinds[entry["request"]["id"]].append(entry["type"])
    assert {tuple(kind) for kind in kinds.values()} == {("request", "response"), ("request",)}


def test_sizes_are_those_of_the_recordings() -> None:
    sizes = [len(line) for line in lines(6_000)]
    assert 1_500 < mean(sizes) < 1_900
    assert max(sizes) < 30_000


def test_a_third_of_the_bytes_is_hashed_values() -> None:
    text = b"".join(lines())
    share = 78 * text.count(b'"hmac-sha256:') / len(text)
    assert 0.28 < share < 0.38


def test_classic_keys_are_in_the_order_of_older_versions() -> None:
    order = ["time", "type", "auth", "request", "response", "error"]
    keys = [list(json.loads(line)) for line in lines(layout="classic")]
    assert all(entry == [key for key in order if key in entry] for entry in keys)


def test_sorted_keys_are_sorted_at_every_depth() -> None:
    assert all(keys == sorted(keys) for line in lines(layout="sorted") for keys in keys_at_every_depth(line))


def test_time_first_is_the_sorted_layout_with_the_time_before_it() -> None:
    keys = [list(json.loads(line)) for line in lines(layout="time-first")]
    assert all(entry[0] == "time" and entry[1:] == sorted(entry[1:]) for entry in keys)


def test_mixed_has_each_layout_in_about_a_third() -> None:
    kinds: Counter[str] = Counter()
    for line in lines(6_000):
        keys = list(json.loads(line))
        kinds["classic" if keys[1] == "type" else "time-first" if keys[0] == "time" else "sorted"] += 1
    assert all(kinds[layout] > 1_700 for layout in LAYOUTS)


def test_unusual_shapes_are_included() -> None:
    found = [json.loads(line) for line in lines(6_000)]
    assert any("auth" not in entry for entry in found)
    assert any(entry.get("auth") == {"token_type": "default"} for entry in found)
    assert any(entry["type"] == "response" and "response" not in entry for entry in found)
    assert any("data" not in entry["response"] for entry in found if "response" in entry)
    assert any(b'"granting_policies":[{"type":""},' in line for line in lines())


def test_times_have_up_to_nine_decimals_and_some_only_microseconds() -> None:
    decimals = Counter(len(json.loads(line)["time"]) - 21 for line in lines())
    assert decimals[9] > 1_000
    assert decimals[6] > 100


def test_every_rule_gets_calls_and_their_number_is_reported() -> None:
    expected = write(io.BytesIO(), 2_000, seed=1, alert_rate=0.2)
    assert set(expected) == set(WORTHY)
    named = {(rule, json.loads(line)["request"]["id"]) for rule, line in entries(2_000, seed=1, alert_rate=0.2) if rule}
    assert expected == Counter(rule for rule, _ in named)


def test_each_of_these_calls_raises_one_alert_of_its_rule() -> None:
    out, counting = io.BytesIO(), counting_rules()
    expected = write(out, 2_000, seed=1, alert_rate=0.2)
    detector = Detector(shipped_rules(), source="audit")
    alerts = [*detector.feed(out.getvalue().splitlines(keepends=True)), *detector.flush()]
    assert Counter(name for alert in alerts if (name := alert.rule.name) not in counting) == expected


def test_an_alert_rate_of_zero_makes_no_call_that_must_raise_an_alert() -> None:
    assert {rule for rule, _ in entries(1_000, seed=1, alert_rate=0)} == {""}


@pytest.mark.parametrize("traffic", TRAFFICS)
def test_ordinary_calls_raise_no_alert_of_a_rule_that_does_not_count(traffic: Traffic) -> None:
    detector, counting = Detector(shipped_rules(), source="audit"), counting_rules()
    ordinary = (line for _, line in entries(1_000, seed=1, alert_rate=0, traffic=traffic))
    found = [verdict.rule.name for verdict in [*detector.feed(ordinary), *detector.flush()]]
    assert [name for name in found if name not in counting] == []


def test_unique_traffic_requests_no_path_twice() -> None:
    found = [json.loads(line)["request"] for _, line in entries(1_000, seed=1, traffic="unique", alert_rate=0)]
    assert len({request["path"] for request in found}) == len({request["id"] for request in found})


@pytest.mark.parametrize("style", STYLES)
def test_a_reserialised_line_means_the_same_in_other_bytes(style: Style) -> None:
    for line in lines(500, layout="classic"):
        other = reserialise(line, style)
        assert json.loads(other) == json.loads(line)
        assert other != line
        assert other.endswith(b"}\n")
        assert other.count(b"\n") == 1
