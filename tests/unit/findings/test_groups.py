"""Groups of alerts: by rule, principal and namespace, the most important first, in bounded memory."""

from __future__ import annotations

import msgspec
import pytest

from tests.unit.store.alerts import an_alert
from vaultwatch.findings import groups
from vaultwatch.findings.answers import answers
from vaultwatch.findings.found import Finding, Source
from vaultwatch.findings.groups import OTHERS, Group, grouped
from vaultwatch.findings.tally import Tally, who_and_where
from vaultwatch.rules.facts import Level


def finding(**members: object) -> Finding:
    fields = msgspec.structs.asdict(an_alert())
    return Finding(**fields | {"rule": "r", "source": Source("a.log", 1)} | members)


def by_rule(found: list[Group]) -> list[tuple[str, int]]:
    return [(group.rule, group.count) for group in found]


def test_one_group_for_each_rule_principal_and_namespace() -> None:
    alerts = [
        finding(rule=rule, principal=principal, namespace=namespace)
        for rule in ("r", "s")
        for principal in ("alice", "bob")
        for namespace in ("", "team/")
        for _ in range(2)
    ]
    found = grouped(alerts)
    assert [group.count for group in found] == [2] * 8
    assert len({(group.rule, group.namespace, group.who) for group in found}) >= 4


def test_it_has_the_first_and_the_last_time_and_each_outcome() -> None:
    times = ["2026-11-21T08:00:00Z", "", "2026-11-21T09:00:00Z"]
    outcomes = ["failed", "succeeded", "succeeded"]
    [group] = grouped(finding(time=time, outcome=ended) for time, ended in zip(times, outcomes, strict=True))
    assert (group.first, group.last) == (times[0], times[2])
    assert group.outcomes == {"failed": 1, "succeeded": 2}


def test_its_title_and_level_are_those_of_what_was_not_refused() -> None:
    refused = finding(outcome="failed", title="Somebody tried", level=Level.MEDIUM)
    done = finding(outcome="succeeded", title="Somebody did", level=Level.CRITICAL)
    [group] = grouped([refused, done, refused])
    assert (group.title, group.level, group.refused) == ("Somebody did", Level.CRITICAL, False)
    asked = finding(outcome="unknown", title="Somebody asked", level=Level.HIGH)
    assert [group.title for group in grouped([refused, asked, done, asked])] == ["Somebody did"]
    assert [group.title for group in grouped([asked, refused])] == ["Somebody asked"]


def test_a_message_is_on_a_server_and_by_nobody() -> None:
    [node] = grouped([finding(service="server", who="", principal="vault-1")])
    [unnamed] = grouped([finding(service="server", who="", principal="", node="")])
    [counted] = grouped([finding(service="server", who="", principal="dial tcp: refused", node="vault-1")])
    [entry] = grouped([finding(who="userpass-ann")])
    assert [group.by for group in (node, unnamed, entry)] == ["on vault-1", "on the server", "by userpass-ann"]
    assert counted.by == "on vault-1", "what a rule counts by is in its sentence"


def test_of_alerts_that_count_the_first_says_what_it_counted() -> None:
    counted = {"counted": {"type": "event_count", "least": 5}, "first_record": {}}
    [group] = grouped(finding(record=counted, summary=f"{5 + n} events") for n in range(3))
    assert group.counted == "5 events"
    assert "first: 5 events" in list(answers([group], str, lambda text, _: text))[2]
    [other] = grouped([finding(summary="alice read")])
    assert other.counted == ""


def test_the_most_important_are_first_by_level_then_by_success_then_by_time() -> None:
    found = grouped(
        [
            finding(rule="low", level=Level.LOW),
            finding(rule="refused", level=Level.HIGH, outcome="failed"),
            finding(rule="early", level=Level.HIGH, outcome="succeeded"),
            finding(rule="late", level=Level.HIGH, outcome="succeeded"),
            finding(rule="critical", level=Level.CRITICAL, outcome="failed"),
        ]
    )
    assert [group.rule for group in found] == ["critical", "early", "late", "refused", "low"]


def test_beyond_a_bound_principals_paths_and_addresses_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "MAX_GROUPS", 3)
    monkeypatch.setattr(groups, "_MAX_VALUES", 2)
    found = grouped(finding(principal=f"p{n}", path=f"x/{n}", remote_address=f"10.0.0.{n}") for n in range(10))
    assert by_rule(found) == [("r", 1)] * 3 + [("r", 7)]
    assert (found[-1].who, found[-1].paths[OTHERS], found[-1].addresses[OTHERS]) == (OTHERS, 5, 5)


def test_who_and_where_name_those_with_most_alerts_and_escape_what_a_log_says() -> None:
    tally = Tally()
    names = [("alice", "10.0.0.1"), ("bob", "10.0.0.2"), ("alice", "10.0.0.1"), ("bob", "\x1b[2J, x")]
    request = {"path": "secret/a", "mount_point": "se\ncret/"}
    tally.count_alerts(finding(who=who, remote_address=address, record={"request": request}) for who, address in names)
    by, origin, on = who_and_where(tally)
    assert by == "Alerts by     alice (2), bob (2)"
    assert origin == r'Alerts from   10.0.0.1 (2), "\u001b[2J, x" (1), 10.0.0.2 (1)'
    assert on == r'Alerts on     "se\ncret/" (4)'


def test_more_than_five_are_counted() -> None:
    tally = Tally()
    tally.count_alerts(finding(who=f"p{n}") for n in range(8))
    assert next(who_and_where(tally)).endswith("p4 (1) and 3 more")
