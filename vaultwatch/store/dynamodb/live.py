"""Since when rules are live: a row for each rule and digest."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from vaultwatch.store.dynamodb.rows import read_body
from vaultwatch.store.dynamodb.schema import EXPIRES_AT, live_key
from vaultwatch.store.dynamodb.table import MAX_ACTIONS, Item, Row, Table, number, replace_row, seal_of

_WRITTEN_SECONDS = 86400.0
_EVER = 0.0


def live_since(table: Table, digests: Mapping[str, str], now: float, expires_at: float) -> dict[str, float]:
    """See `Store.live_since`; a row is written at most once a day, however often it is read."""
    rows = table.read(live_key(*rule) for rule in digests.items())
    since: dict[str, float] = {}
    changed: list[Row] = []
    for name, digest in digests.items():
        key = live_key(name, digest)
        row = rows.get(key)
        known_until = number(row, EXPIRES_AT) if row else 0.0
        since[name] = _since(row, now)
        if known_until <= expires_at - _WRITTEN_SECONDS:
            body = msgspec.json.encode(since[name])
            changed.append(replace_row(row, key, body, {EXPIRES_AT: int(expires_at)}))
    for at in range(0, len(changed), MAX_ACTIONS):
        table.write(changed[at : at + MAX_ACTIONS])
    return since


def known_live_since(table: Table, digests: Mapping[str, str], now: float) -> dict[str, float]:
    """Return the same without recording it: a rule without a row is live from now on."""
    rows = table.read(live_key(*rule) for rule in digests.items())
    return {name: _since(rows.get(live_key(name, digest)), now) for name, digest in digests.items()}


def _since(row: Item | None, now: float) -> float:
    if row is not None and seal_of(row) is None:
        return _EVER  # since now, it would learn again, and raise no alerts on what it has learned
    stored = read_body(row, float) if row and number(row, EXPIRES_AT) > now else None
    return now if stored is None else min(stored, now)  # a later time would hold all old alerts back
