"""An alert on what is new is raised once, whoever sees it, however often, and whatever fails on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.detection.test_firsts import DAY, learning
from vaultwatch.detection.counting import Occurrence
from vaultwatch.detection.firsts import Combination, CombinationSeen, First
from vaultwatch.reading.records import NO_ORIGIN
from vaultwatch.rules.pack import Rule
from vaultwatch.store.first_seen import MAX_JUDGED, TRUSTED_SECONDS, FirstSeen

T0 = 1_700_000_000.0
LEARNED = T0 + 7 * DAY
RULES = learning()


class Remembering:
    """`Memory` in memory, which notes what it was asked; all rules are live since T0."""

    def __init__(self) -> None:
        self.until: dict[str, float] = {}
        self.asked = self.written = 0

    def seen(self, names: Collection[str], now: float) -> dict[str, float]:
        self.asked += len(names)
        return {name: self.until[name] for name in names if self.until.get(name, 0) > now}

    def remember(self, names: Collection[str], until: float) -> None:
        self.written += len(names)
        self.until.update(dict.fromkeys(names, until))

    def rules_live_since(self, digests: Mapping[str, str], now: float) -> dict[str, float]:
        return dict.fromkeys(digests, min(T0, now))


def seen(moment: float, who: str = "alice") -> CombinationSeen:
    found = Occurrence(moment, str(moment), f"e{moment}", NO_ORIGIN)
    return Combination("new", ("admin", who)), First(found, {}, "kv/1")


def take(one: FirstSeen, now: float, *some: CombinationSeen) -> list[str]:
    """Return the ids of the alerts on what was seen, which are stored."""
    judged = one.judge(some, now)
    one.remember(judged, now)
    return [alert.id for alert in judged.alerts]


def test_what_was_learned_raises_nothing_and_what_is_new_raises_an_alert_once() -> None:
    memory = Remembering()
    one, other = FirstSeen(RULES, lambda: memory), FirstSeen(RULES, lambda: memory)
    assert take(one, T0 + DAY, seen(T0 + DAY)) == []
    assert take(one, LEARNED, seen(LEARNED)) == []
    (raised,) = take(one, LEARNED, seen(LEARNED, "bob"))
    assert take(one, LEARNED, seen(LEARNED, "bob")) == take(other, LEARNED, seen(LEARNED - 1, "bob")) == []
    assert take(other, LEARNED, seen(LEARNED - 1, "carol")) == []
    assert raised


def test_a_forged_time_from_when_a_rule_learned_lets_nobody_be_known() -> None:
    memory = Remembering()
    one = FirstSeen(RULES, lambda: memory)
    for forged in (T0, T0 + DAY, 0.0, -1e9):
        assert len(take(one, LEARNED + 32 * DAY, seen(forged, f"{forged}"))) == 1


def test_a_rule_learns_from_when_the_last_of_its_rules_became_live() -> None:
    memory = Remembering()
    memory.rules_live_since = lambda digests, now: {"new": T0, "reads": T0 + DAY}  # type: ignore[method-assign]
    one = FirstSeen(RULES, lambda: memory)
    assert take(one, LEARNED, seen(LEARNED)) == []
    assert len(take(one, LEARNED + DAY, seen(LEARNED + DAY, "bob"))) == 1


def test_if_a_process_ends_before_its_alert_is_stored_another_one_raises_the_same() -> None:
    memory = Remembering()
    lost = FirstSeen(RULES, lambda: memory).judge([seen(LEARNED + 5)], LEARNED)
    raised = take(FirstSeen(RULES, lambda: memory), LEARNED, seen(LEARNED + 1))
    assert [alert.id for alert in lost.alerts] == raised


def test_what_a_process_has_seen_lately_costs_no_call() -> None:
    memory = Remembering()
    one = FirstSeen(RULES, lambda: memory)
    for number in range(50):
        take(one, LEARNED + number, seen(LEARNED + number))
    assert (memory.asked, memory.written) == (1, 1)


def test_what_is_used_is_remembered_on_and_what_is_not_is_new_again() -> None:
    memory = Remembering()
    for day in range(0, 200, 10):
        now = LEARNED + day * DAY
        assert len(take(FirstSeen(RULES, lambda: memory), now, seen(now))) == (not day)
    now += 91 * DAY
    assert len(take(FirstSeen(RULES, lambda: memory), now, seen(now))) == 1
    assert memory.written == 21


def test_a_process_asks_again_after_half_a_day_and_writes_at_most_once_a_day() -> None:
    memory = Remembering()
    one = FirstSeen(RULES, lambda: memory)
    for step in range(4):
        now = LEARNED + step * (TRUSTED_SECONDS + 1)
        take(one, now, seen(now))
    assert (memory.asked, memory.written) == (4, 2)


def test_one_call_looks_up_a_bounded_number_and_says_how_many_it_left_out() -> None:
    memory = Remembering()
    many = [seen(LEARNED, f"made-up-{number}") for number in range(MAX_JUDGED + 7)]
    judged = FirstSeen(RULES, lambda: memory).judge(many, LEARNED)
    assert (len(judged.alerts), judged.left_out, memory.asked) == (MAX_JUDGED, 7, MAX_JUDGED)


def test_no_rule_uses_up_the_look_ups_of_another() -> None:
    rules = [*RULES, Rule(msgspec.structs.replace(RULES[1].compiled, name="another"))]
    flood = [seen(LEARNED, f"made-up-{number}") for number in range(10 * MAX_JUDGED)]
    late = [(of._replace(rule="another"), first) for of, first in (seen(LEARNED + 1, who) for who in ("bob", "carol"))]
    judged = FirstSeen(rules, Remembering).judge([*flood, *late], LEARNED)
    raised = Counter(alert.rule for alert in judged.alerts)
    assert raised == {"new": MAX_JUDGED - 2, "another": 2}


EVENTS = st.lists(st.tuples(st.integers(0, 12), st.sampled_from("abc")), max_size=10)


@given(EVENTS, st.lists(st.tuples(st.integers(0, 2), st.booleans(), st.integers(0, 9)), max_size=25))
def test_however_batches_are_divided_repeated_and_interrupted_each_new_combination_has_one_id(
    events: list[tuple[int, str]], deliveries: list[tuple[int, bool, int]]
) -> None:
    memory, raised = Remembering(), set[str]()
    processes = [FirstSeen(RULES, lambda: memory) for _ in range(3)]
    everything = [seen(T0 + day * DAY, who) for day, who in sorted(events)]
    delivered = [(process, dies, at) for process, dies, at in deliveries if at < len(everything)]
    for process, dies, at in [*((0, True, at) for _, _, at in delivered), *delivered]:
        judged = processes[process].judge(everything[at : at + 1], T0 + 12 * DAY)
        if dies:
            continue
        raised |= {alert.id for alert in judged.alerts}
        processes[process].remember(judged, T0 + 12 * DAY)
    for one in everything:
        raised |= set(take(processes[0], T0 + 12 * DAY, one))
    new = {combination for combination, first in everything if first.found.moment >= LEARNED}
    assert len(raised) <= len(new)
    late_only = new - {combination for combination, first in everything if first.found.moment < LEARNED}
    assert len(raised) >= len(late_only)
