"""The rows of `vaultwatch.store.dynamodb.adapter`: their keys, what they hold, and what finds them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from vaultwatch.dispatch.decisions import Draft, Period, RuleSlot, urgency
from vaultwatch.dispatch.notification import Filing, Route
from vaultwatch.encoding import encode_alert
from vaultwatch.reading.bounds import bounded, brief
from vaultwatch.store import StoreError
from vaultwatch.store.dynamodb.table import Item, Key, Row, key_of

MAX_ALERT_BYTES = 120_000  # 25 of them fit a transaction
_T = TypeVar("_T")


def read_body(item: Item, type_: type[_T]) -> _T:
    """What a row is; raises `StoreError` for what we did not write."""
    try:
        return msgspec.json.decode(item["body"]["B"], type=type_)
    except (msgspec.DecodeError, KeyError) as error:
        raise StoreError(f"DynamoDB: the row {key_of(item)} cannot be read: {error}") from error


def body_of(item: Item | None) -> bytes | None:
    """What a row was when it was read."""
    return None if item is None else bytes(item["body"]["B"])


def needed(event: Sequence[Filing]) -> Iterator[Key]:
    """The keys of all rows that filing an event needs to know."""
    for filing in event:
        yield alert_key(filing.alert.id)
        if filing.told:
            yield period_key(filing.group)
            yield slot_key(filing.alert.rule)


def deliveries(drafts: Sequence[Draft], routes: Sequence[Route], expires_at: float) -> list[Row]:
    """A row for each sink that wants a message, in place of whatever is left of a message with this id."""
    return [
        Row(
            delivery_key(draft.id, route.sink),
            msgspec.json.encode(draft),
            None,
            {
                "unsent_sink": route.sink,
                "unsent_order": (urgency(draft) + 4) * 10**13 + int(draft.created_at * 1000),
                "created_at": draft.created_at,
                "not_before": 0,
                "attempts": 0,
                "expires_at": int(expires_at),
            },
            guarded=False,
        )
        for draft in drafts
        for route in routes
        if route.wants(draft.disposition, draft.head.level)
    ]


def period_row(period: Period, seen: bytes | None) -> Row:
    """A quiet period, found when it ends."""
    return Row(
        period_key(period.group), msgspec.json.encode(period), seen, {"due_kind": "period", "due_at": period.closes_at}
    )


def slot_row(slot: RuleSlot, seen: bytes | None) -> Row:
    """A rule's slot, found while something waits in it. It never expires: there is one for a rule."""
    waits = slot.firsts or slot.followed
    marks: dict[str, str | float | int] = {"due_kind": "slot", "due_at": slot.next_at} if waits else {}
    return Row(slot_key(slot.head.rule), msgspec.json.encode(slot), seen, marks)


def fitting(filing: Filing) -> Filing:
    """The filing, its alert cut to what a row can hold; the detector's alerts are within it anyway."""
    alert = filing.alert
    if len(encode_alert(alert)) <= MAX_ALERT_BYTES:
        return filing
    texts = {name: brief(value) for name, value in msgspec.structs.asdict(alert).items() if type(value) is str}
    actions = tuple(brief(action) for action in alert.actions[:20])
    readable = msgspec.json.decode(encode_alert(alert))["record"]
    return replace(filing, alert=replace(alert, **texts, actions=actions, record=bounded(readable)))


def alert_key(alert_id: str) -> Key:
    """Of an alert."""
    return f"alert#{alert_id}", "alert"


def period_key(group: str) -> Key:
    """Of a group's quiet period."""
    return f"group#{group}", "period"


def slot_key(rule: str) -> Key:
    """Of a rule's slot."""
    return f"rule#{rule}", "slot"


def live_key(rule: str, digest: str) -> Key:
    """Of the moment a rule that detects this came into force."""
    return f"rule#{rule}", f"live#{digest}"


def delivery_key(message_id: str, sink: str) -> Key:
    """Of a message that a sink lacks."""
    return f"message#{message_id}", f"sink#{sink}"
