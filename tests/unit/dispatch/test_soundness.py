"""State that dispatch can have made is recognised: all that it makes, and nothing on which it or a store would fail."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from tests.unit.dispatch.desk import Desk
from tests.unit.store.alerts import an_alert
from vaultwatch.dispatch.held import Held
from vaultwatch.dispatch.limits import Limit
from vaultwatch.dispatch.soundness import MAX_STATE_BYTES, is_sound
from vaultwatch.rules.facts import Level

T0 = 1_700_000_000.0
LONG = "x" * 32_768


@pytest.fixture(scope="module")
def desk() -> Desk:
    """A flood of everything, with the longest texts that an alert has."""
    desk = Desk()
    for n in range(300):
        outcome, level = ("succeeded", "unknown", "failed")[n % 3], (Level.CRITICAL, Level.HIGH)[n % 2]
        texts = {"principal": f"{n % 50}{LONG}", "path": f"{n}{LONG}", "cluster": "c" * 1_000, "time": LONG}
        alert = an_alert(f"e{n}", outcome=outcome, level=level, same_as=("other",), **texts)
        desk.file([alert], T0 + n / 10)
    return desk


def made(desk: Desk) -> Iterator[object]:
    state = desk.state
    yield from (*state.windows.values(), *state.held.values(), *state.sightings.values(), state.ordinary, state.urgent)
    yield from state.drafts


def test_all_state_of_a_flood_is_sound_and_far_smaller_than_allowed(desk: Desk) -> None:
    states = list(made(desk))
    assert len(states) > 300
    assert [state for state in states if not is_sound(state)] == []
    assert max(len(msgspec.json.encode(state)) for state in states) < MAX_STATE_BYTES / 2


def changed(desk: Desk) -> Iterator[tuple[str, object]]:
    """Yield states that no call of dispatch leaves behind."""
    window, held = next(iter(desk.state.windows.values())), next(iter(desk.state.held.values()))
    sightings, draft = next(iter(desk.state.sightings.values())), desk.state.drafts[0]
    tally = held.tallies[0]
    heads: dict[str, dict[str, Any]] = {"rule": {"rule": LONG}, "title": {"title": LONG}, "cluster": {"cluster": LONG}}
    yield from ((name, replace(window, head=replace(window.head, **change))) for name, change in heads.items())
    tallies: dict[str, dict[str, Any]] = {
        "no outcomes": {"outcomes": {}},
        "an outcome of none": {"outcomes": {"succeeded": 1, "failed": 0}, "count": 1},
        "another count": {"count": tally.count + 1},
        "a count beyond any": {"outcomes": {"failed": 2**63}, "count": 2**63},
        "a long group": {"group": LONG},
        "a long id": {"worst": LONG},
        "a long time": {"first_time": LONG},
        "many ids": {"novel": ("x",) * 3},
    }
    for name, change in tallies.items():
        yield name, replace(held, tallies=(replace(tally, **change),), count=10**6)
        yield name, replace(window, tally=replace(tally, **change))
        yield name, replace(draft, merged=(replace(tally, **change),))
    yield "fewer than its tallies", replace(held, count=0)
    yield "many tallies", replace(held, tallies=(tally,) * 21, count=10**6)
    yield "many marks", replace(held, urgent=(("x", T0),) * 2_001)
    yield "a long mark", replace(held, notified=((LONG, T0),))
    yield "a time that no database accepts", replace(held, due_at=-1e300)
    yield "no time", replace(window, opened_at=float("nan"))
    yield "many traits", replace(window, traits=("x",) * 13)
    yield "fewer than none", replace(window, notified=-1)
    yield "many sightings", replace(sightings, seen=sightings.seen[:1] * 17)
    yield "a long rule", replace(sightings, seen=(replace(sightings.seen[0], covered=(LONG,)),))
    yield "many moments", Limit((T0,) * 2_001)
    yield "a time of waiting that no database accepts", Limit((T0,), 1e308)
    yield "an id longer than a key", replace(draft, alert_ids=(LONG,))
    yield "a time", 1e300


def test_state_on_which_dispatch_or_a_store_would_fail_is_not_sound(desk: Desk) -> None:
    states = list(changed(desk))
    assert len(states) > 35
    assert [name for name, state in states if is_sound(state)] == []


def test_state_without_alerts_is_sound(desk: Desk) -> None:
    assert is_sound(Held(next(iter(desk.state.held.values())).head))
    assert is_sound(Limit())
    assert is_sound(T0)
