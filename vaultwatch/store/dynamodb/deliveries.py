"""Mark notifications as sent, and find those of known alerts that somebody has removed before they were.

Once a notification is sent, its row says so, with a seal, for as long as its alerts are remembered. Each alert of which
people are notified at once names its notification, in a row that nobody can list. So a notification that was deleted,
written over or put off again and again shows as soon as its alert is found again, by another function with another
credential: `sweep` finds it in the archive.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from vaultwatch.alerts import Alert
from vaultwatch.dispatch.drafts import Draft, head_of
from vaultwatch.dispatch.groups import group_key
from vaultwatch.dispatch.notification import Disposition
from vaultwatch.dispatch.routes import Route
from vaultwatch.seals import foreign_rows
from vaultwatch.store.dynamodb.rows import read_draft
from vaultwatch.store.dynamodb.schema import (
    ATTEMPTS,
    EXPIRES_AT,
    NOT_BEFORE,
    NOTIFICATION,
    REPLACES,
    SEALED_MARKS,
    UNSENT,
    WRITTEN,
    Key,
    delivery_key,
)
from vaultwatch.store.dynamodb.table import Item, Row, Table, body_of, mark_of, number, replace_row, text_of

UNSENT_SECONDS = 300.0
"""How long a notification may wait until it is made again: `digest` sends what is unsent each minute."""
_FIRST: Disposition = "first"
SENT = b"sent"


def sent_row(key: Key, expires_at: float) -> Row:
    """Return what is left of the row of a notification once its sink has accepted it; no index has it."""
    return Row(key, SENT, None, {EXPIRES_AT: int(expires_at)}, guarded=False)


def put_off(item: Item, key: Key, until: float) -> Row:
    """Return the row of a notification that was not accepted, to be tried again at a time."""
    marks = {name: mark_of(item, name) for name in SEALED_MARKS if name in item and name not in (WRITTEN, REPLACES)}
    later = {NOT_BEFORE: until, ATTEMPTS: number(item, ATTEMPTS) + 1}
    return replace_row(item, key, body_of(item) or b"", {**marks, **later})


def is_listed(item: Item) -> bool:
    """Return whether the index of what is unsent has this row; the index itself lags."""
    return UNSENT.partition_key in item


def lost_drafts(
    table: Table, known: Iterable[tuple[Item, Alert]], routes: Sequence[Route], now: float
) -> Iterator[Draft]:
    """Make the notifications again that are not sent, and of which nothing shows that they soon will be.

    Args:
        table: The table.
        known: Alerts that are stored, with their rows.
        routes: The notifications that each sink wants.
        now: The present time.
    """
    of = dict[str, list[tuple[Item, Alert]]]()
    for item, alert in known:
        if notification := text_of(item, NOTIFICATION):
            of.setdefault(notification, []).append((item, alert))
    keys = {
        delivery_key(notification, route.sink): notification
        for notification, some in of.items()
        for route in routes
        if any(route.wants(_FIRST, alert.level) for _, alert in some)
    }
    rows = table.read(keys) if keys else {}
    lost = [of_id for key, of_id in keys.items() if _is_lost(key, rows.get(key), of[of_id][0][0], now)]
    for notification in dict.fromkeys(lost):
        yield _first(notification, [alert for _, alert in of[notification]], now)


def _is_lost(key: Key, item: Item | None, alert: Item, now: float) -> bool:
    if item is None:
        foreign_rows.add_missing(key)
        return True
    if body_of(item) == SENT:
        return number(item, EXPIRES_AT) < number(alert, EXPIRES_AT)  # of an alert that was forgotten
    draft = read_draft(item)
    return draft is None or draft.created_at < now - UNSENT_SECONDS


def _first(notification: str, alerts: Sequence[Alert], now: float) -> Draft:
    lead = alerts[0]
    return Draft(
        id=notification,
        disposition=_FIRST,
        head=head_of(lead),
        created_at=now,
        group=group_key(lead),
        alert_ids=tuple(alert.id for alert in alerts),
    )
