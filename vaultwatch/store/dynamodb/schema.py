"""The schema of the alerts table: keys, and the attributes by which rows wait and expire.

    pk                     sk            what it is                                        waits in the calendar of
    alert#<id>             alert         an alert; expires
    group#<group>          window        a group's suppression window                      `window`, for its end
    rule#<rule>            held          what a rule holds for its next notification       `held`, once it is due
    added#<alert id>       added         alerts for `held`, from writers in a crowd         `added`, at once
    live#<rule>#<digest>   live          since when the rule is live; expires
    limit#<name>           limit         the notifications of the last minute
    family#<family>        sightings     alerts that stand for others; expires
    notification#<id>      sink#<sink>   a notification for this sink; expires             `sink#<sink>`, until sent;
                                                                                           critical: `critical#<sink>`
    sent#<sink>#<id>       sent          one that this sink has accepted; expires
    thread#<sink>#<group>  thread        the chat message of a group (`threads`); expires
    count#<window>         count         what functions have counted in a window (`counts`); expires
    expected#<group>       expected      when an event is due that has to come again; expires  `expected`, until then
    seen#<combination>     seen          that a correlation has seen a combination (`memory`); expires
    due#<calendar>#<day>   <time>#<id>   rows that wait, and until when (`calendar`); expires
    due#<calendar>         cursor        up to when nothing of a calendar is left

Partition keys begin with what their rows are, because IAM limits a function to rows by the beginning of the partition
key alone (`stacks/constructs/row_permissions.py`): rows that different functions write have different beginnings. The
template, the roles, the tests and the adapter take all names from here.

These keys are clear. In the table, an HMAC stands behind the beginning (`vaultwatch.seals`), so that only who has the
key can name a row. There is no index, which would list rows to who has no key: what waits is found through a calendar
whose keys have such names, too. `sent#` and `thread#`, which one function without that key writes and reads, are
stored as they are here: with its credential one could as well delete messages from its queue.
"""

from __future__ import annotations

Key = tuple[str, str]

ALERT_ROWS = "alert#"
WINDOW_ROWS = "group#"
RULE_ROWS = "rule#"
ADDED_ROWS = "added#"
LIVE_ROWS = "live#"
LIMIT_ROWS = "limit#"
SIGHTINGS_ROWS = "family#"
NOTIFICATION_ROWS = "notification#"
COUNT_ROWS = "count#"
SEEN_ROWS = "seen#"
EXPECTED_ROWS = "expected#"
SENT_ROWS = "sent#"
THREAD_ROWS = "thread#"
CALENDAR_ROWS = "due#"
WEEK_SECONDS = 7 * 86400.0
"""What one partition of a calendar has."""
REACHED = "reached"
"""The attribute of a shared count that says, with a seal of its own, that it has reached its threshold."""

PARTITION_KEY = "pk"
SORT_KEY = "sk"
SEAL = "seal"
"""By which a row of Vaultwatch is recognised, and by a writer what it has read: `vaultwatch.seals`."""
EXPIRES_AT = "expires_at"
"""DynamoDB deletes a row after this time (TTL)."""
DUE_AT = "due_at"
"""Of a row that waits: until when, in seconds since the epoch."""
ATTEMPTS = "attempts"
"""How often a notification was tried that is not sent."""
SEALED_MARKS = (EXPIRES_AT, DUE_AT, ATTEMPTS)
"""What decides something besides the key and the body of a row."""


def alert_key(alert_id: str) -> Key:
    """Return the key of an alert."""
    return f"{ALERT_ROWS}{alert_id}", "alert"


def window_key(group: str) -> Key:
    """Return the key of a group's suppression window."""
    return f"{WINDOW_ROWS}{group}", "window"


def held_key(rule: str) -> Key:
    """Return the key of what a rule holds for its next notification."""
    return f"{RULE_ROWS}{rule}", "held"


def added_key(alert_id: str) -> Key:
    """Return the key of alerts that are added to what their rule holds; `alert_id` is one of them."""
    return f"{ADDED_ROWS}{alert_id}", "added"


def live_key(rule: str, digest: str) -> Key:
    """Return the key of the time since which a rule is live with this digest."""
    return f"{LIVE_ROWS}{rule}#{digest}", "live"


def limit_key(name: str) -> Key:
    """Return the key of a rate limit over all rules."""
    return f"{LIMIT_ROWS}{name}", "limit"


def sightings_key(family: str) -> Key:
    """Return the key of the sightings of a family of rules that match on the same fact."""
    return f"{SIGHTINGS_ROWS}{family}", "sightings"


def count_key(window: str) -> Key:
    """Return the key of what several functions have counted in a window."""
    return f"{COUNT_ROWS}{window}", "count"


def seen_key(combination: str) -> Key:
    """Return the key of the note that a correlation has seen a combination of values."""
    return f"{SEEN_ROWS}{combination}", "seen"


def expected_key(group: str) -> Key:
    """Return the key of what a rule expects of a group."""
    return f"{EXPECTED_ROWS}{group}", "expected"


def delivery_key(notification_id: str, sink: str) -> Key:
    """Return the key of a notification for a sink."""
    return f"{NOTIFICATION_ROWS}{notification_id}", sink_calendar(sink)


def sent_rows(sink: str) -> str:
    """Return the prefix of the partition keys of notifications that a sink has accepted."""
    return f"{SENT_ROWS}{sink}#"


def sent_key(notification_id: str, sink: str) -> Key:
    """Return the key of a notification that a sink has accepted."""
    return f"{sent_rows(sink)}{notification_id}", "sent"


def thread_rows(sink: str) -> str:
    """Return the prefix of the partition keys of a sink's chat messages."""
    return f"{THREAD_ROWS}{sink}#"


def thread_key(group: str, sink: str) -> Key:
    """Return the key of the chat message of a group."""
    return f"{thread_rows(sink)}{group}", "thread"


def calendar_key(calendar: str, at: float) -> str:
    """Return the partition key of what waits until a moment.

    Args:
        calendar: The name of the calendar.
        at: Seconds since the epoch.
    """
    return f"{CALENDAR_ROWS}{calendar}#{int(at // WEEK_SECONDS)}"


def cursor_key(calendar: str) -> Key:
    """Return the key of the time up to which nothing of a calendar is left."""
    return f"{CALENDAR_ROWS}{calendar}", "cursor"


def sink_calendar(sink: str) -> str:
    """Return the sort key of the notifications for a sink, and the name of their calendar."""
    return f"sink#{sink}"


def critical_calendar(sink: str) -> str:
    """Return the name of the calendar of a sink's critical notifications for people."""
    return f"critical#{sink}"
