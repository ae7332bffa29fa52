"""Move what is counted elsewhere to its rule, which notifies of it: repeats in ended windows, and rows of `crowd`."""

from __future__ import annotations

from collections.abc import Sequence

from vaultwatch.dispatch.decisions import State, close_window
from vaultwatch.dispatch.groups import Window
from vaultwatch.dispatch.held import Held, joined
from vaultwatch.store.dynamodb.rows import changed_rows, load_state, read_added, read_window
from vaultwatch.store.dynamodb.schema import held_key
from vaultwatch.store.dynamodb.table import EMPTY, Item, Settled, Table, body_of, place_of


def move_to_rules(table: Table, page: Sequence[Item], now: float) -> None:
    """Join what the rows of a page of an index count to what their rules hold, and settle them.

    There is one transaction per rule. Windows that have not ended stay. Rows that cannot be read are settled.

    Raises:
        Conflict: A row has changed meanwhile. What was moved before is missing when this is called again.
    """
    rows = [(item, _read(item)) for item in table.read_found(page) if body_of(item) not in EMPTY]
    table.settle([item for item, one in rows if one is None])
    due = [(Settled(item), one) for item, one in rows if one is not None and _is_due(one, now)]
    for rule in dict.fromkeys(one.head.rule for _, one in due):
        held = table.read([held_key(rule)])
        state = load_state(held)
        of_rule = [(settled, one) for settled, one in due if one.head.rule == rule]
        for _, one in of_rule:
            _move(one, state, now)
        table.write([*(settled for settled, _ in of_rule), *changed_rows(state, held, now)])


def _read(item: Item) -> Window | Held | None:
    return read_window(item) if place_of(item)[1] == "window" else read_added(item)


def _is_due(one: Window | Held, now: float) -> bool:
    return isinstance(one, Held) or one.closes_at <= now


def _move(one: Window | Held, state: State, now: float) -> None:
    if isinstance(one, Window):
        close_window(one, state, now)
    else:
        rule = one.head.rule
        state.held[rule] = joined(state.held.get(rule) or Held(one.head), one, now)
