"""The schema of the table, for the adapter and for the stack that creates it."""

from __future__ import annotations

from typing import NamedTuple

PARTITION_KEY = "pk"
SORT_KEY = "sk"
EXPIRES_AT = "expires_at"
"""DynamoDB deletes a row after this time (TTL)."""


class Index(NamedTuple):
    """A sparse global secondary index: it holds the rows that have its two keys, a text and a number."""

    name: str
    partition_key: str
    sort_key: str


DUE = Index("due", "due_kind", "due_at")
UNSENT = Index("unsent", "unsent_sink", "unsent_order")
INDEXES = (DUE, UNSENT)
