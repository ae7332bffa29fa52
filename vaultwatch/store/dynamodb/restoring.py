"""Restore rows that somebody else has written over, replaced by earlier ones, or deleted.

The change that is judged (`changes`) has the row before it, with its seal. That row is written again, unless
Vaultwatch itself has written to the row since: then what the row was about is lost, and named as such. A change may be
judged again: what was restored, or has come since, stays.

Restored is what an index may show, since nobody without the key can name other rows, and what Vaultwatch still needs.
A row of a version that did not say when it wrote it is left out: it could be older than what is there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from vaultwatch.seals import Seal
from vaultwatch.store import StoreError
from vaultwatch.store.dynamodb.changes import LATE_SECONDS, Became, Judgement
from vaultwatch.store.dynamodb.deliveries import SENT
from vaultwatch.store.dynamodb.schema import LISTED_ROWS, WRITTEN
from vaultwatch.store.dynamodb.table import EMPTY, REMOVED, Conflict, Item, Table, body_of, is_sealed, number

GIVE_UP_SECONDS = 900.0
"""How long after a change Vaultwatch tries to restore a row: changes of other rows may wait meanwhile."""
_ATTEMPTS = 5  # at once, while somebody writes to the row
_log = logging.getLogger(__name__)


def restore(
    table: Table, seal: Seal, judgements: Sequence[Judgement], now: float, may_go_on: Callable[[], bool]
) -> list[Judgement]:
    """Restore what rows were before they were altered, as far as that is possible.

    Args:
        table: The table.
        seal: Recognises the rows of Vaultwatch.
        judgements: What was done to rows, in its order.
        now: The present time.
        may_go_on: Returns whether there is time for another row.

    Returns:
        The same judgements, with what became of the rows.
    """
    done = list[Judgement]()
    for one in judgements:
        became: Became = "lost"
        if (old := _needed(one)) is not None:
            became = _restore(table, seal, old, one.after) if may_go_on() else "not restored yet"
            if became == "not restored yet" and one.at < now - GIVE_UP_SECONDS:
                became = "lost"
        done.append(replace(one, became=became))
    return done


def _needed(judgement: Judgement) -> Item | None:
    old = judgement.before
    if old is None or WRITTEN not in old or body_of(old) in EMPTY:
        return None
    return old if judgement.place[0].startswith(LISTED_ROWS) else None


def _restore(table: Table, seal: Seal, old: Item, present: Item | None) -> Became:
    try:
        for _ in range(_ATTEMPTS):
            if present is not None and is_sealed(seal, present) and not _gives_way(present, old):
                return "restored" if body_of(present) == body_of(old) else "lost"
            try:
                table.put_instead(old, present)
            except Conflict as conflict:
                present = conflict.present
            else:
                return "restored"
    except StoreError as error:
        _log.warning("a row cannot be restored now: %s", error)
    return "not restored yet"


def _gives_way(present: Item, old: Item) -> bool:
    """Return whether a row with a seal is none that Vaultwatch has written instead of the old one."""
    if body_of(present) == REMOVED:
        return True
    if WRITTEN not in present:  # of a former version, which may still run
        return False
    # Whoever marks a notification as sent has not read its row, and may have a slower clock.
    spared_ms = LATE_SECONDS * 1000 if body_of(present) == SENT else 0.0
    return number(present, WRITTEN) < number(old, WRITTEN) - spared_ms
