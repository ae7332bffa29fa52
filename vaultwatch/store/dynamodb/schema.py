"""The schema of the alerts table: keys, indexes and the attribute by which rows expire.

    pk                   sk               what it is                                      found through
    alert#<id>           alert            an alert; expires
    group#<group>        window           a group's suppression window                    due: `window`, by its end
    rule#<rule>          held             what a rule holds for its next notification     due: `held`, once it is due
    rule#<rule>          live#<digest>    since when the rule is live; expires
    limit#<name>         limit            the notifications of the last minute
    family#<family>      sightings        alerts that stand for others; expires
    group#<group>        thread#<sink>    the chat message of a group (`threads`); expires
    notification#<id>    sink#<sink>      a notification that this sink lacks; expires    unsent: the sink, by priority
    notification#<id>    sent#<sink>      one that this sink has accepted; expires

The template, the tests and the adapter take all names from here.
"""

from __future__ import annotations

from typing import NamedTuple

Key = tuple[str, str]

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


def alert_key(alert_id: str) -> Key:
    """Of an alert."""
    return f"alert#{alert_id}", "alert"


def window_key(group: str) -> Key:
    """Of a group's suppression window."""
    return f"group#{group}", "window"


def held_key(rule: str) -> Key:
    """Of what a rule holds for its next notification."""
    return f"rule#{rule}", "held"


def live_key(rule: str, digest: str) -> Key:
    """Of the moment since which the rule is live as the digest says."""
    return f"rule#{rule}", f"live#{digest}"


def limit_key(name: str) -> Key:
    """Of a rate limit for all rules together."""
    return f"limit#{name}", "limit"


def sightings_key(family: str) -> Key:
    """Of the alerts of a family of rules that raise on the same fact."""
    return f"family#{family}", "sightings"


def delivery_key(notification_id: str, sink: str) -> Key:
    """Of a notification that a sink lacks."""
    return f"notification#{notification_id}", f"sink#{sink}"


def sent_key(notification_id: str, sink: str) -> Key:
    """Of a notification that a sink has accepted."""
    return f"notification#{notification_id}", f"sent#{sink}"
