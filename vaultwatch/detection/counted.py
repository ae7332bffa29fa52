"""What a correlation counts of a record: its group, and the thing that is counted.

Both are texts of a few fields. Of an audit entry that is only counted, they are read from the few fields that were
decoded for its rules; what follows from the values of the group is remembered, because clients repeat their calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import tzinfo
from typing import TypeAlias

from vaultwatch.detection.counting import Thing, thing_of
from vaultwatch.detection.windows import hash_of, joined
from vaultwatch.reading.records import Origin
from vaultwatch.reading.view import View
from vaultwatch.redaction import SALTED, is_salted
from vaultwatch.rules.correlations import TOKEN, Correlated
from vaultwatch.rules.few_fields import Plan, Values
from vaultwatch.rules.predicates import listed, text_of, values
from vaultwatch.rules.remembered import Remembered

OF_STORES = ("first_seen", "absence")
"""Those that have no windows: a store remembers what was seen."""
_OF_EVENTS, _OF_RULES = ("event_count", *OF_STORES), ("temporal", "temporal_ordered")
_LONGEST_TEXT = 512
Group: TypeAlias = tuple[str, ...]
Found: TypeAlias = tuple[Correlated, Group, Thing, str]
"""What a correlation counts of a record: the correlation, the group, the thing, and its text for people."""
ReadFew: TypeAlias = Callable[[Values, Origin, tzinfo | None, str], Found | None]
"""Returns it from the few fields of an entry that are decoded, where it came from, the zone of `local`, and the key of
its event."""


def counted_of(one: Correlated, rule: str, view: View, event: str) -> Found | None:
    """Return what a correlation counts of a record; None if the record has no value to count, or no group.

    Args:
        one: The correlation.
        rule: Its base rule that matches the record.
        view: The record.
        event: The key of its event.
    """
    shown = (rule,) if one.correlation.type in _OF_RULES else _texts(view, _shown(one), hashed=one.counts_tokens)
    return _found(one, _group(one, _texts(view, one.group_by)), shown, event)


def reader_of(plan: Plan, rule: str, one: Correlated) -> ReadFew:
    """Return what does the same as `counted_of` for an audit entry of which a few fields are decoded.

    Args:
        plan: How they are decoded.
        rule: The base rule that matches the entry.
        one: The correlation.
    """
    group_of, pick = _groups(plan, one), plan.texts[_shown(one)]
    if one.correlation.type in _OF_RULES:
        return lambda few, origin, zone, event: _found(one, group_of(few, origin, zone), (rule,), event)
    if pick is None:
        texts_of = _texts_of(plan, _shown(one), hashed=one.counts_tokens)
        return lambda few, origin, zone, event: _found(
            one, group_of(few, origin, zone), texts_of(few, origin, zone), event
        )
    if not one.counts_paths:
        return lambda few, origin, zone, event: _found(
            one, group_of(few, origin, zone), tuple(map(_counted, pick(few))), event
        )

    def read_path(few: Values, origin: Origin, zone: tzinfo | None, _event: str) -> Found | None:
        group = group_of(few, origin, zone)
        path, namespace = pick(few)
        if group is None or not (path := _counted(path)):
            return None
        text = _counted(namespace) + path if namespace else path
        return one, group, thing_of(text), text

    return read_path


def _shown(one: Correlated) -> tuple[str, ...]:
    """Return the fields whose values a correlation counts, or shows of an event."""
    return one.shown if one.correlation.type in _OF_EVENTS else one.fields


def _found(one: Correlated, group: Group | None, shown: tuple[str, ...], event: str) -> Found | None:
    """Return what a correlation counts of a record.

    Args:
        one: The correlation.
        group: The group; None if the record has none.
        shown: The values that it counts, or shows of an event.
        event: The key of its event.
    """
    is_of_events = one.correlation.type in _OF_EVENTS
    if one.counts_paths:
        path, namespace = shown
        shown = (path and namespace + path,)
    if group is None or not (is_of_events or all(shown)):
        return None
    if one.counts_tokens:
        return one, group, thing_of(joined(shown)), ""
    if len(shown) == 1:
        (text,) = shown
        return one, group, thing_of(event if is_of_events else text), text
    return one, group, thing_of(event if is_of_events else joined(shown)), listed(shown)


def _group(one: Correlated, texts: Group) -> Group | None:
    """Return the group by the values of its fields; None if all are absent, unless a correlation waits for what comes.

    A name does not identify a caller that has an identity: whoever has a token gives names to others.
    """
    if one.identity_at:
        identity, name = one.identity_at
        texts = (*texts[:name], "", *texts[name + 1 :]) if texts[identity] else texts
    return None if texts and not any(texts) and one.correlation.type != "absence" else texts


def _groups(plan: Plan, one: Correlated) -> Callable[[Values, Origin, tzinfo | None], Group | None]:
    """Return what returns the group of an entry of which a few fields are decoded."""
    pick = plan.texts[one.group_by]
    if pick is None:
        texts_of = _texts_of(plan, one.group_by)
        return lambda few, origin, zone: _group(one, texts_of(few, origin, zone))
    known: Remembered[tuple[str | None, ...], Group | None] = Remembered(
        lambda texts: _group(one, tuple(map(_counted, texts))), _length
    )
    return lambda few, _origin, _zone: known[pick(few)]


def _texts_of(
    plan: Plan, fields: tuple[str, ...], *, hashed: bool = False
) -> Callable[[Values, Origin, tzinfo | None], Group]:
    return lambda few, origin, zone: _texts(plan.view(few, origin, zone), fields, hashed=hashed)


def _texts(view: View, fields: Iterable[str], *, hashed: bool = False) -> tuple[str, ...]:
    """Return the values of fields; "" for those that are absent, or salted hashes, which differ between devices.

    Args:
        view: The record.
        fields: The fields.
        hashed: Whether the hash of a token is a value all the same.
    """
    out = []
    for field in fields:
        texts = filter(None, map(text_of, values(view, field)))
        keeps = hashed and field == TOKEN
        out.append(_shortened(listed(_in_one_case(text) for text in texts if keeps or not is_salted(text))))
    return tuple(out)


def _length(texts: Iterable[str | None]) -> int:
    return sum(map(len, filter(None, texts)))


def _counted(text: str | None) -> str:
    """Return a text as it is counted."""
    if not text or (text.startswith(SALTED) and is_salted(text)):  # a call for few of them
        return ""
    if len(text) <= _LONGEST_TEXT and ", " not in text and text[0] not in '"a':  # which is as it is
        return text
    return _shortened(listed((_in_one_case(text),)))


def _in_one_case(text: str) -> str:
    """Return the path of a login with its name in one case: servers take Alice and alice for the same user."""
    before, login, name = text.partition("/login/")
    return before + login + name.casefold() if text.startswith("auth/") else text


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}… {hash_of(text):016x}"
