"""Move what is counted elsewhere to its rule, which notifies of it: repeats in ended windows, and rows of `crowd`."""

from __future__ import annotations

from collections.abc import Sequence

from vaultwatch.dispatch.decisions import State, close_window
from vaultwatch.dispatch.groups import Window
from vaultwatch.dispatch.held import Held, joined
from vaultwatch.store.dynamodb.rows import changed_rows, load_state, read_added, read_window
from vaultwatch.store.dynamodb.schema import Key, held_key
from vaultwatch.store.dynamodb.table import Gone, Item, Table, key_of, seal_of


def move_to_rules(table: Table, keys: Sequence[Key], now: float) -> None:
    """Join what these rows count to what their rules hold, and delete them, in one transaction per rule.

    Windows that have not ended stay. Rows that cannot be read are deleted.

    Raises:
        Conflict: A row has changed meanwhile. What was moved before is missing when this is called again.
    """
    rows = table.read(keys)
    counted = {key: _read(item) for key, item in rows.items()}
    table.write([Gone(key, None, guarded=False) for key, one in counted.items() if one is None])
    due = {key: one for key, one in counted.items() if one is not None and _is_due(one, now)}
    for rule in dict.fromkeys(one.head.rule for one in due.values()):
        held = table.read([held_key(rule)])
        state = load_state(held)
        of_rule = {key: one for key, one in due.items() if one.head.rule == rule}
        for one in of_rule.values():
            _move(one, state, now)
        gone = [Gone(key, seal_of(rows[key])) for key in of_rule]
        table.write([*gone, *changed_rows(state, held, now)])


def _read(item: Item) -> Window | Held | None:
    return read_window(item) if key_of(item)[1] == "window" else read_added(item)


def _is_due(one: Window | Held, now: float) -> bool:
    return isinstance(one, Held) or one.closes_at <= now


def _move(one: Window | Held, state: State, now: float) -> None:
    if isinstance(one, Window):
        close_window(one, state, now)
    else:
        rule = one.head.rule
        state.held[rule] = joined(state.held.get(rule) or Held(one.head), one, now)
