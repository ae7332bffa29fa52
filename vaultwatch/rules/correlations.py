"""Correlations: rules that count the matches of other rules, by group and time, and alert at a threshold.

A correlation is a rule without a condition of its own. The rules that it counts are its *base rules*; unless it says
`generate`, they raise no alerts themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

import msgspec

from vaultwatch.rules.facts import RuleFacts, Service

CorrelationType = Literal["event_count", "value_count", "temporal", "temporal_ordered", "first_seen", "absence"]
"""Those of Sigma, and `first_seen`: a combination that was not seen before, and `absence`: nothing came when due."""


class Correlation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a correlation counts.

    Attributes:
        type: What is counted in a window: events, the different values of fields, or the base rules that match, with
            `temporal_ordered` one after the other. With `first_seen` there are no windows: what is new raises an alert,
            and with `absence` that nothing has come for a timespan.
        rules: The names of its base rules.
        timespan_seconds: How long a window is; with `first_seen`, how long it learns before anything is new.
        threshold: The count that raises an alert.
        group_by: The fields, or aliases of fields, whose values each have a count of their own.
        fields: The fields, or aliases of fields, whose values `value_count` counts.
        aliases: The field that an alias stands for in each base rule.
        generate: Whether the base rules raise alerts as well.
    """

    type: CorrelationType
    rules: tuple[str, ...]
    timespan_seconds: int
    threshold: int
    group_by: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    aliases: dict[str, dict[str, str]] = msgspec.field(default_factory=dict)
    generate: bool = False

    def resolved(self, names: Iterable[str], rule: str) -> tuple[str, ...]:
        """Return the fields that names stand for in a base rule: an alias's, or the name itself."""
        return tuple(self.aliases.get(name, {}).get(rule, name) for name in names)


class Counted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a correlation has counted in one window when it reached its threshold.

    Attributes:
        type: What it counts.
        least: The count, which may have grown since.
        of: The fields whose values it counts; "" for others.
        timespan_seconds: How long the window is, or how long was learned before.
        window: When it begins, RFC 3339; "" if there are no windows.
        by: The values of its `group-by`.
        values: Up to ten of what it counted.
        first: The time and the event key of the first record that it counted.
        last: Those of the last one.
        clusters: Up to ten clusters, if records of several were counted.
    """

    type: CorrelationType
    least: int
    of: str
    timespan_seconds: int
    window: str
    by: dict[str, str]
    values: tuple[str, ...]
    first: tuple[str, str]
    last: tuple[str, str]
    clusters: tuple[str, ...] = ()


_PATHS = ("request.path", "request.namespace.path")
TOKEN = "request.client_token"  # noqa: S105  the name of a field


class Correlated(NamedTuple):
    """A correlation, with the fields that it reads of the records that one of its base rules matches.

    `shown` are those that an alert shows of counted events, and `step` is which of the base rules it is, from 0.
    `identity_at` is where the identity and the name of a caller are in its group, if it counts by both. With
    `counts_paths`, `fields` are a path and its namespace: the same path in another one is another secret. With
    `counts_tokens`, tokens are among them: their hashes count, which differ between devices, and are not shown.
    """

    facts: RuleFacts
    correlation: Correlation
    group_by: tuple[str, ...]
    fields: tuple[str, ...]
    shown: tuple[str, ...]
    step: int
    identity_at: tuple[int, int] | None = None
    counts_paths: bool = False
    counts_tokens: bool = False


_SHOWN: dict[Service, tuple[str, ...]] = {"audit": ("request.path", "request.remote_address"), "server": ("message",)}
"""What is shown of events: the first of these by which they are not grouped."""


class Correlations:
    """The correlations of a pack, by their base rules.

    Attributes:
        by_rule: The correlations that count each base rule.
        silent: The base rules that raise no alerts themselves.
        by_name: A correlation by its own name, as one of its base rules is read for it.
    """

    def __init__(self, rules: Iterable[tuple[RuleFacts, Correlation]]) -> None:
        """Take each correlation with its facts."""
        self.by_rule: dict[str, tuple[Correlated, ...]] = {}
        loud: set[str] = set()
        for facts, one in rules:
            for step, name in enumerate(one.rules):
                group_by, fields, shown = (one.resolved(names, name) for names in _read_by(facts, one))
                identity_at, is_of_paths, is_of_tokens = _identity_at(one, group_by), fields == _PATHS, TOKEN in fields
                found = Correlated(facts, one, group_by, fields, shown, step, identity_at, is_of_paths, is_of_tokens)
                self.by_rule[name] = (*self.by_rule.get(name, ()), found)
                loud |= {name} if one.generate else set()
        self.silent = frozenset(self.by_rule) - loud
        self.by_name = {one.facts.name: one for found in self.by_rule.values() for one in found}

    @property
    def chains(self) -> dict[str, int]:
        """How many base rules have to match one after the other, by the name of the correlation."""
        found = ((one.facts.name, one.correlation) for one in self.by_name.values())
        return {name: len(one.rules) for name, one in found if one.type == "temporal_ordered"}

    @property
    def fields(self) -> Mapping[str, frozenset[str]]:
        """The fields that counting reads of the records that each base rule matches."""
        return {
            name: frozenset(field for one in found for field in (*one.group_by, *one.fields, *one.shown))
            for name, found in self.by_rule.items()
        }


def _identity_at(one: Correlation, group_by: tuple[str, ...]) -> tuple[int, int] | None:
    is_counted = one.type not in ("first_seen", "absence") and {"auth.entity_id", "auth.display_name"} <= {*group_by}
    return (group_by.index("auth.entity_id"), group_by.index("auth.display_name")) if is_counted else None


def _read_by(facts: RuleFacts, one: Correlation) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    shown = [field for field in _SHOWN[facts.service] if field not in one.group_by]
    fields = _PATHS if one.fields == _PATHS[:1] else one.fields
    return one.group_by, fields, tuple(shown[:1] if one.type in ("event_count", "first_seen", "absence") else ())
