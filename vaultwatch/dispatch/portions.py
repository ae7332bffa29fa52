"""How the alerts of one call are divided among decisions: by event and act, the most important first, with a cap."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from vaultwatch.dispatch.groups import importance, was_denied
from vaultwatch.dispatch.limits import GROUPS_OF_A_RULE
from vaultwatch.dispatch.notification import Filing

ALERTS_PER_NOTIFICATION = 16
ACTS_PER_NOTIFICATION = 5


def capped(filings: Sequence[Filing]) -> list[Filing]:
    """Return the filings, in their order; those of too many groups of a rule in one call are deferred.

    The most important groups keep their own decision. The alerts of the others are counted in their rule's next
    notification, and open no windows.
    """
    groups: dict[str, set[str]] = {}
    result = list(filings)
    for place in _by_importance(filings):
        filing = filings[place]
        of_rule = groups.setdefault(filing.alert.rule, set())
        if filing.group in of_rule or len(of_rule) < GROUPS_OF_A_RULE:
            of_rule.add(filing.group)
        else:
            result[place] = replace(filing, deferred=True)
    return result


def split_events(filings: Sequence[Filing], size: int = ALERTS_PER_NOTIFICATION) -> list[list[int]]:
    """Return the positions of one call's filings in portions that one notification may carry.

    The alerts of an event stay together. So do up to five acts of one principal under one rule: somebody who removes
    three audit devices at once is one notification. What is most important comes first.
    """
    portions: list[list[int]] = []
    joined: dict[tuple[str, str], list[int]] = {}
    for event in _events(filings):
        lead = filings[event[0]]
        act = (lead.alert.rule, lead.alert.principal)
        open_portion = joined.get(act)
        if open_portion is not None and lead.notify and len(open_portion) + len(event) <= ACTS_PER_NOTIFICATION:
            open_portion += event
            continue
        cut = [event[at : at + size] for at in range(0, len(event), size)]
        portions += cut
        joined[act] = cut[-1]
    return portions


def _events(filings: Sequence[Filing]) -> list[list[int]]:
    """Return the positions by event; the most important event, and in each its most important alert, comes first."""
    events: dict[str, list[int]] = {}
    for place in _by_importance(filings):
        events.setdefault(filings[place].alert.event_key, []).append(place)
    return list(events.values())


def _by_importance(filings: Sequence[Filing]) -> list[int]:
    """Return the positions, the most important first; of two alike, the earlier one.

    That is what people are notified of, then what was not denied, so that refusals of a higher level displace no act.
    """

    def rank(place: int) -> tuple[object, ...]:
        filing = filings[place]
        return not filing.notify, was_denied(filing.alert), importance(filing.alert)

    return sorted(range(len(filings)), key=rank)
