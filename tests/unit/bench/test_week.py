"""The noise budget: ordinary work raises at most five notifications a day above level low."""

from __future__ import annotations

import json

from bench.week import RESULT, loud, raised, week
from vaultwatch.rules.pack import shipped_rules

BUDGET = 5
EXPECTED = {
    "audit_login_policies_changed",
    "audit_policy_written",
    "audit_snapshot_taken",
    "audit_step_down_requested",
    "server_warning",
}
"""What the pipeline, the backup and the change of leader raise by themselves; nothing that clients do raises more."""


def test_three_days_of_a_small_cluster_stay_within_the_budget() -> None:
    rules = shipped_rules()
    found = raised(rules, week(clients=20, days=3, calls_a_day=24, seed=7))
    assert found.lines > 3_000
    assert {rule for _, rule in found.alerts} == EXPECTED
    assert loud(rules, found) == [3, 3, 4]


def test_the_same_seed_gives_the_same_lines() -> None:
    one, other = (list(week(clients=3, days=1, calls_a_day=24, seed=7)) for _ in range(2))
    assert one == other


def test_the_recorded_week_of_a_thousand_clients_is_within_the_budget() -> None:
    """If the rules changed: python -m bench.week."""
    found = json.loads(RESULT.read_text())
    assert (found["clients"], found["days"]) == (1_000, 7)
    assert found["entries"] > 500_000
    assert all(count <= BUDGET for count in found["loud"])
    assert found["raised"].keys() == {rule.name for rule in shipped_rules()}
    assert {name for name, (alerts, _) in found["raised"].items() if alerts} == EXPECTED
