"""Move what is counted elsewhere to its rule, which notifies of it: repeats in ended windows, and rows of `crowd`."""

from __future__ import annotations

from collections.abc import Mapping

from vaultwatch.dispatch.decisions import State, close_window
from vaultwatch.dispatch.groups import Window
from vaultwatch.dispatch.held import Held, joined
from vaultwatch.store.dynamodb.calendar import with_appointments
from vaultwatch.store.dynamodb.rows import changed_rows, load_state, read_added, read_window
from vaultwatch.store.dynamodb.schema import Key, held_key
from vaultwatch.store.dynamodb.table import Item, Table, settled_row


def move_to_rules(table: Table, rows: Mapping[Key, Item], now: float) -> None:
    """Join what rows count to what their rules hold, and settle them.

    There is one transaction per rule. Windows that have not ended stay, and so do rows that cannot be read.

    Raises:
        Conflict: A row has changed meanwhile. What was moved before is missing when this is called again.
    """
    read = [(key, item, _read(key, item)) for key, item in rows.items()]
    due = [(settled_row(key, item), one) for key, item, one in read if one is not None and _is_due(one, now)]
    for rule in dict.fromkeys(one.head.rule for _, one in due):
        held = table.read([held_key(rule)])
        state = load_state(held)
        of_rule = [(row, one) for row, one in due if one.head.rule == rule]
        for _, one in of_rule:
            _move(one, state, now)
        settled = [row for row, _ in of_rule]
        table.write(with_appointments([*settled, *changed_rows(state, held, now)], now))


def _read(key: Key, item: Item) -> Window | Held | None:
    return read_window(item) if key[1] == "window" else read_added(item)


def _is_due(one: Window | Held, now: float) -> bool:
    return isinstance(one, Held) or one.closes_at <= now


def _move(one: Window | Held, state: State, now: float) -> None:
    if isinstance(one, Window):
        close_window(one, state, now)
    else:
        rule = one.head.rule
        state.held[rule] = joined(state.held.get(rule) or Held(one.head), one, now)
