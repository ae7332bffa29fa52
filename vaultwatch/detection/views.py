"""The views of all records of a log, and the verdict that a rule would have on each."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from vaultwatch.reading.view import View
from vaultwatch.rules.conditions import Exists
from vaultwatch.rules.pack import CompiledRule, Rule

_ANYTHING = Exists("local", True)  # no anchors, and the local time is among the fields


def observing(rule: CompiledRule, observe: Callable[[View], bool]) -> Rule:
    """Return a rule that is given every record of its log, in place of the condition of `rule`.

    Args:
        rule: What is known of the rule: its name and log, and the facts for alerts.
        observe: Called with the view of each record; returns whether the rule is to match it.
    """
    facts = msgspec.structs.replace(rule, condition=_ANYTHING, correlation=None)
    return Rule(facts, matches=observe, source=b"observing")
