"""Judge the changes of the table: which of them Vaultwatch has not made, and what was lost with each.

The table's stream has each change once or more, with the row before and after it. Vaultwatch seals every row, writes it
later than the one that it replaces (`written`), and deletes none. So whoever has no key can write only a row without a
valid seal, or put back one that Vaultwatch wrote earlier. A judgement depends on nothing but the record of the change:
one that comes again is judged alike.

Shared counts (`counts`) have no seal: what is judged of them is that they only grow.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

import msgspec

from vaultwatch.dispatch.drafts import Draft
from vaultwatch.dispatch.groups import Window
from vaultwatch.dispatch.held import Held
from vaultwatch.errors import StreamError
from vaultwatch.printable import counted, one_line
from vaultwatch.seals import UNSEALED, Seal
from vaultwatch.store.dynamodb import schema
from vaultwatch.store.dynamodb.deliveries import SENT
from vaultwatch.store.dynamodb.schema import EXPIRES_AT, REACHED, REPLACES, WRITTEN
from vaultwatch.store.dynamodb.table import (
    EMPTY,
    REMOVED,
    Item,
    Place,
    attribute_of,
    body_of,
    is_sealed,
    number,
    place_of,
)
from vaultwatch.store.encoding import decode_alert
from vaultwatch.store.expectations import Expected

What = Literal["deleted", "put back", "written by somebody else", "taken from", "taken for a foreign one"]
Became = Literal["lost", "restored", "not restored yet"]
LATE_SECONDS = 300.0
"""A row that was written longer before its change is an earlier one. DynamoDB's clock and ours differ by less."""
_TTL = {"type": "Service", "principalId": "dynamodb.amazonaws.com"}
_BLIND = ("seen", "sent")
"""Sort keys of rows that several functions write without reading them, always with the same content."""
_LISTED = 100
_NAMED = 20
_MAX_TEXT = 300


class Change(msgspec.Struct, frozen=True):
    """A change of one row.

    Attributes:
        before: The row before it; None if there was none.
        after: The row after it; None if it was deleted.
        at: When DynamoDB made it, in seconds since the epoch.
        expired: Whether DynamoDB deleted the row because it was expired.
        number: The sequence number of its record.
    """

    before: Item | None
    after: Item | None
    at: float
    expired: bool = False
    number: str = ""


class Judgement(msgspec.Struct, frozen=True):
    """A change that Vaultwatch has not made.

    Attributes:
        what: What has happened to the row.
        place: The key by which the row is stored.
        lost: What the row was about before, and what it counted; "" if Vaultwatch had written none.
        became: What has become of that.
        before: The row before the change; None if Vaultwatch had written none.
        after: The row after it; None if it was deleted.
        at: When it was changed, in seconds since the epoch.
        number: The sequence number of the record.
    """

    what: What
    place: Place
    lost: str
    became: Became = "lost"
    before: Item | None = None
    after: Item | None = None
    at: float = 0.0
    number: str = ""

    def __str__(self) -> str:
        """One line for the log: it contains no secret and no text that a log may contain, but values of `group_by`."""
        lost = f"{self.became} is {self.lost}" if self.lost else "nothing is lost with it"
        return one_line(f"a row was {self.what}: {self.place[0]} {self.place[1]}; {lost}", 4 * _MAX_TEXT)


class Found(msgspec.Struct, frozen=True):
    """What was found in a batch of records.

    Attributes:
        judgements: The changes that Vaultwatch has not made, in their order.
        unreadable: Why records cannot be read, one line each.
    """

    judgements: list[Judgement]
    unreadable: list[str]

    def lines(self) -> Iterator[str]:
        """Yield the lines for the log: every loss, and of what lost nothing and can come in any number, the first."""
        yield from map(str, (one for one in self.judgements if one.lost))
        others = [*map(str, (one for one in self.judgements if not one.lost)), *self.unreadable]
        yield from others[:_LISTED]
        if len(others) > _LISTED:
            yield f"{len(others) - _LISTED} more such changes, with which nothing is lost, are not listed"


def judge_all(seal: Seal, records: Iterable[Mapping[str, Any]]) -> Found:
    """Judge the records of a DynamoDB event source; one that cannot be read holds back no other."""
    found = Found([], [])
    for record in records:
        try:
            judgement = judge(seal, read_change(record))
        except StreamError as error:
            found.unreadable.append(str(error))
        else:
            found.judgements.extend(filter(None, [judgement]))
    return found


def read_change(record: Mapping[str, Any]) -> Change:
    """Read a record of a DynamoDB event source.

    Raises:
        StreamError: It does not have the fields that the Lambda guide describes.
    """
    try:
        change = record["dynamodb"]
        before, after = (_item(change.get(name)) for name in ("OldImage", "NewImage"))
        at, number = float(change["ApproximateCreationDateTime"]), str(change["SequenceNumber"])
        expired = _TTL.items() <= _identity(record).items()
        for item in filter(None, (before, after)):
            place_of(item)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise StreamError(f"a record of the table's stream cannot be read: {type(error).__name__}") from None
    if before is None and after is None:
        raise StreamError("a record of the table's stream has no row: is its view type NEW_AND_OLD_IMAGES?")
    return Change(before, after, at, expired, number)


def judge(seal: Seal, change: Change) -> Judgement | None:
    """Judge a change; None if Vaultwatch may have made it."""
    place = place_of(change.after or change.before or {})
    if place[0].startswith(schema.COUNT_ROWS):
        what, ours = _of_count(seal, change), True
    else:
        seal = UNSEALED if place[0].startswith((schema.SENT_ROWS, schema.THREAD_ROWS)) else seal
        ours = change.before is not None and is_sealed(seal, change.before)
        what = _of_row(seal, change.before if ours else None, change)
    if what is None:
        return None
    before = change.before if ours else None
    about = _about(before) if before else ""
    return Judgement(what, place, about, before=before, after=change.after, at=change.at, number=change.number)


def _of_row(seal: Seal, before: Item | None, change: Change) -> What | None:
    """Judge the change of a row; `before` is what Vaultwatch had written there."""
    after = change.after
    if after is None:
        return "deleted" if before and not _is_expired(before, change) else None
    if not is_sealed(seal, after):
        return "written by somebody else"
    if WRITTEN in after and number(after, WRITTEN) < (change.at - LATE_SECONDS) * 1000:
        return "put back"
    if before is not None and body_of(before) not in EMPTY and _is_instead_of_a_foreign_one(after):
        return "taken for a foreign one"
    if before is None or number(before, WRITTEN) < number(after, WRITTEN) or WRITTEN not in before:
        return None
    return None if _says_the_same(before, after) else "put back"


def _is_instead_of_a_foreign_one(after: Item) -> bool:
    """Return whether a function that had read somebody else's row has written it, whatever was there by then."""
    return body_of(after) == REMOVED or REPLACES in after


def _says_the_same(before: Item, after: Item) -> bool:
    """Return whether two functions have written the same at once, of which one has a slower clock."""
    if place_of(after)[1] not in _BLIND and body_of(after) != SENT:
        return False
    nearly = abs(number(before, EXPIRES_AT) - number(after, EXPIRES_AT)) < LATE_SECONDS
    return nearly and WRITTEN in after and body_of(before) == body_of(after)


def _is_expired(row: Item, change: Change) -> bool:
    return change.expired and EXPIRES_AT in row and number(row, EXPIRES_AT) <= change.at


def _of_count(seal: Seal, change: Change) -> What | None:
    """Judge the change of a shared count: its sets only grow, and it is kept at least as long as before."""
    before, after = change.before, change.after
    if after is None:
        return "deleted" if before and not _is_expired(before, change) else None
    reached = attribute_of(seal, place_of(after), REACHED)
    if REACHED in after and after[REACHED] != {"B": reached}:
        return "written by somebody else"
    if before is None:
        return None
    is_less = any(not _elements(before, name) <= _elements(after, name) for name in ("hashes", "halves"))
    is_unreached = before.get(REACHED) == {"B": reached} and REACHED not in after
    is_shorter = number(after, EXPIRES_AT) < number(before, EXPIRES_AT) - LATE_SECONDS
    return "taken from" if is_less or is_unreached or is_shorter else None


def _elements(item: Item, name: str) -> set[bytes]:
    found = item.get(name, {})
    return set(found.get("BS", ()))


def _about(item: Item) -> str:
    """Return what a row of ours is about; what cannot be read is said to be so."""
    body, (name, kind) = body_of(item) or b"", place_of(item)
    if body in EMPTY:
        return f"{kind}: it was settled"
    if body == SENT:
        return f"{kind}: the notification was sent"
    try:
        said = _content(name.partition("#")[0], body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        said = "its content cannot be read"
    return f"{kind}: {said}" if said else kind


def _content(beginning: str, body: bytes) -> str:
    match f"{beginning}#":
        case schema.WINDOW_ROWS:
            window = msgspec.json.decode(body, type=Window)
            count = window.tally.count if window.tally else 0
            return f"{counted(count, 'repeat')} of rule {window.head.rule} in group {window.group}"
        case schema.RULE_ROWS | schema.ADDED_ROWS:
            held = msgspec.json.decode(body, type=Held)
            groups = ", ".join(tally.group for tally in held.tallies[:_NAMED])
            return f"{counted(held.count, 'alert')} of rule {held.head.rule} in the groups {groups or 'of nobody'}"
        case schema.NOTIFICATION_ROWS:
            draft = msgspec.json.decode(body, type=Draft)
            ids = ", ".join(draft.alert_ids[:_NAMED])
            merged = f", {counted(draft.merged_count, 'counted alert')}" if draft.merged_count else ""
            return f"{draft.disposition} of rule {draft.head.rule}, group {draft.group}: alerts {ids or 'none'}{merged}"
        case schema.EXPECTED_ROWS:
            expected = msgspec.json.decode(body, type=Expected)
            group = one_line(str(list(expected.group)), _MAX_TEXT)
            return f"an event that rule {expected.rule} expects of {group}"
        case schema.ALERT_ROWS:
            alert = decode_alert(body)
            return f"alert {alert.id} of rule {alert.rule}"
    return ""


def _identity(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return who has changed the row; Lambda says so only of DynamoDB itself."""
    return dict(record.get("userIdentity") or {})


def _item(image: Any) -> Item | None:
    """Return an image of a row as botocore returns a row: binary values as bytes."""
    return None if image is None else {str(name): _value(value) for name, value in image.items()}


def _value(value: Any) -> dict[str, Any]:
    match value:
        case {"B": text}:
            return {"B": base64.b64decode(text)}
        case {"BS": texts}:
            return {"BS": list(map(base64.b64decode, texts))}
    return dict(value)
