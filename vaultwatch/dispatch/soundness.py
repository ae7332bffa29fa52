"""Whether stored state can be of dispatch's making.

Code that runs inside a function can write rows that are readable, and on which dispatch or the store would fail each
time: a count that no JSON can hold, a time that no database accepts, a text that fills a row. Nobody must silence a
rule in this way. So the store treats state that is not sound as missing.
"""

from __future__ import annotations

from collections.abc import Iterable

from vaultwatch.dispatch.drafts import Draft, Head
from vaultwatch.dispatch.groups import MAX_TRAITS, Window
from vaultwatch.dispatch.held import Held
from vaultwatch.dispatch.limits import Limit
from vaultwatch.dispatch.same_fact import MAX_SIGHTINGS, Sightings
from vaultwatch.dispatch.tallies import MAX_LISTED, MAX_NOVEL, Tally

MAX_STATE_BYTES = 100_000
"""The most that the JSON of sound state takes; dispatch stays far below it."""
_MAX_CHARACTERS = 400
"""Of a name that becomes part of a key, which DynamoDB limits to 2,048 bytes."""
_MAX_TEXT_CHARACTERS = 2_000
_MAX_MARKS = 2_000
_MAX_COUNT = 10**12
_LAST_SECOND = 1e12


def is_sound(state: object) -> bool:
    """Return whether dispatch may have made this state, and can go on with it.

    Args:
        state: A window, what a rule holds, sightings, a limit, a draft, or a time. Everything else is sound.
    """
    match state:
        case Window():
            texts = [state.group, *state.traits]
            return (
                _is_head(state.head)
                and _are_names(texts)
                and len(state.traits) <= MAX_TRAITS
                and _are_times(state.opened_at, state.closes_at)
                and 0 <= state.notified <= _MAX_COUNT
                and (state.tally is None or _is_tally(state.tally))
            )
        case Held():
            return (
                _is_head(state.head)
                and _are_marks(state.notified)
                and _are_marks(state.urgent)
                and _are_times(state.last_at, state.since, state.due_at or 0.0)
                and _are_tallies(state.tallies)
                and sum(tally.count for tally in state.tallies) <= state.count <= _MAX_COUNT
            )
        case Sightings():
            return len(state.seen) <= MAX_SIGHTINGS and all(
                _are_names([one.rule, one.path, *one.covered]) and _are_times(one.at or 0.0, one.filed_at)
                for one in state.seen
            )
        case Limit():
            return len(state.moments) <= _MAX_MARKS and _are_times(*state.moments, state.waited_at or 0.0)
        case Draft():
            return (
                _is_head(state.head)
                and _are_names([state.id, state.group, *state.alert_ids])
                and _are_times(state.created_at)
                and _are_tallies(state.merged)
                and 0 <= state.merged_count <= _MAX_COUNT
            )
        case float():
            return _are_times(state)
    return True


def _is_head(head: Head) -> bool:
    return _are_names([head.rule]) and max(len(head.title), len(head.cluster)) <= _MAX_TEXT_CHARACTERS


def _are_tallies(tallies: tuple[Tally, ...]) -> bool:
    return len(tallies) <= MAX_LISTED and all(map(_is_tally, tallies))


def _is_tally(tally: Tally) -> bool:
    names = [tally.group, tally.first_time, tally.last_time, tally.latest, tally.worst, *tally.novel, tally.principal]
    return (
        _are_names(names)
        and len(tally.novel) <= MAX_NOVEL
        and bool(tally.outcomes)
        and all(count > 0 for count in tally.outcomes.values())
        and sum(tally.outcomes.values()) == tally.count <= _MAX_COUNT
    )


def _are_names(texts: Iterable[str]) -> bool:
    return all(len(text) <= _MAX_CHARACTERS for text in texts)


def _are_marks(marks: tuple[tuple[str, float], ...]) -> bool:
    return len(marks) <= _MAX_MARKS and _are_names(name for name, _ in marks) and _are_times(*(at for _, at in marks))


def _are_times(*moments: float) -> bool:
    return all(abs(moment) <= _LAST_SECOND for moment in moments)
