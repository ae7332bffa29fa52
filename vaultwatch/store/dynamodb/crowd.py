"""How many writers of one rule do not wait for each other.

Each alert that waits for its rule's next notification changes what the rule holds, which is one row. So a writer that
meets others puts such alerts into a row of its own, in the transaction that stores them, and `settle` joins these rows
to the rule's. Counts stay exact, and while there are many writers only notifications change the rule's row.
"""

from __future__ import annotations

import msgspec

from vaultwatch.dispatch.decisions import State
from vaultwatch.dispatch.held import Held, has_notified, joined, without_alerts
from vaultwatch.store.dynamodb.schema import DUE_AT, added_key
from vaultwatch.store.dynamodb.table import Row, Wait


def hide_alerts(state: State) -> dict[str, Held]:
    """Let dispatch see when each rule has notified and no alerts that it holds; return what the rules hold."""
    held = state.held
    state.held = {rule: without_alerts(one) for rule, one in held.items()}
    return held


def added_rows(state: State, hidden: dict[str, Held], now: float) -> list[Row]:
    """Return the rows of alerts that dispatch has added, and show again what was hidden."""
    rows: list[Row] = []
    for rule, held in state.held.items():
        before = hidden.get(rule) or Held(held.head)
        if has_notified(held, before):
            hidden[rule] = joined(held, before, now) if before.count else held
        elif held.count:
            rows.append(_added_row(held, now))
    state.held = hidden
    return rows


def _added_row(held: Held, now: float) -> Row:
    """Return a row that no other writer has: its key is one of the alerts that this transaction stores."""
    key, body = added_key(held.tallies[0].latest), msgspec.json.encode(held)
    return Row(key, body, None, {DUE_AT: now}, guarded=False, waits=Wait("added", now))
