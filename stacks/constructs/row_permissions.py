"""Which function may read, write and delete which rows of the alerts table.

IAM limits a role to rows by the condition key `dynamodb:LeadingKeys`, which contains the partition keys that a call
names (DynamoDB developer guide, "Using IAM policy conditions for fine-grained access control"):

- It has one value for GetItem, PutItem, UpdateItem and DeleteItem, and as many as the call names for the batch calls.
  `ForAllValues` requires every one of them to begin as the policy says.
- A transaction has no action of its own: each of its parts is judged as GetItem, PutItem, UpdateItem, DeleteItem or
  ConditionCheckItem on its own key ("Using IAM with DynamoDB transactions").
- For a query it is the one partition key that the query names.
- Of a call that names no key, such as a scan, `ForAllValues` holds (IAM user guide, "Set operators for multivalued
  context keys"). `Null` refuses such a call, should somebody add the action.

IAM has no permission to create a row without replacing one. So a function may replace the alerts and windows that it
makes itself. But whoever has its credential and not the key of `vaultwatch.seals` cannot name them: there is no index,
no role may scan the table, and a query names a partition. Rows without a seal decide nothing; nobody may delete a row.
"""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam

from stacks.constructs.permissions import allow
from vaultwatch.store.dynamodb import schema

_DECIDED_BY = (schema.LIMIT_ROWS, schema.RULE_ROWS, schema.SIGHTINGS_ROWS, schema.WINDOW_ROWS)
"""The rows of which `evaluate` and `sweep` decide who is notified."""
_WAITING = (schema.ADDED_ROWS, schema.CALENDAR_ROWS, schema.NOTIFICATION_ROWS)
"""The rows that they write for `digest`."""
_IN_CALENDARS = (
    schema.ADDED_ROWS,
    schema.EXPECTED_ROWS,
    schema.NOTIFICATION_ROWS,
    schema.RULE_ROWS,
    schema.WINDOW_ROWS,
)
"""The rows that wait."""


def allow_rows(
    sid: str, table: dynamodb.ITable, actions: Sequence[str], beginnings: Sequence[str]
) -> iam.PolicyStatement:
    """Allow actions on the rows whose partition keys have certain beginnings.

    Args:
        sid: The name of the statement.
        table: The table.
        actions: The actions without the service: "PutItem".
        beginnings: How the partition keys begin: "alert#".

    Returns:
        The statement.
    """
    statement = allow(sid, [f"dynamodb:{action}" for action in actions], [table.table_arn])
    patterns = [f"{beginning}*" for beginning in sorted(beginnings)]
    statement.add_condition("ForAllValues:StringLike", {"dynamodb:LeadingKeys": patterns})
    statement.add_condition("Null", {"dynamodb:LeadingKeys": "false"})
    return statement


def store_alerts(table: dynamodb.ITable) -> list[iam.PolicyStatement]:
    """Allow a function to store alerts, to decide who is notified, and to mark notifications as sent."""
    rows = (schema.ALERT_ROWS, *_DECIDED_BY)
    return [
        allow_rows("ReadAlerts", table, ["BatchGetItem"], rows),
        allow_rows("StoreAlerts", table, ["PutItem"], [*rows, *_WAITING]),
        allow_rows("ShareCounts", table, ["UpdateItem"], [schema.COUNT_ROWS]),
        allow_rows("RememberSeen", table, ["BatchGetItem", "PutItem"], [schema.EXPECTED_ROWS, schema.SEEN_ROWS]),
    ]


def raise_absences(table: dynamodb.ITable) -> list[iam.PolicyStatement]:
    """Allow a function to store the alerts on what is due and has not come, and to note that it did."""
    rows = (schema.ALERT_ROWS, schema.SIGHTINGS_ROWS)  # besides those that `close_windows` allows
    return [
        allow_rows("SettleExpected", table, ["BatchGetItem", "PutItem"], [schema.EXPECTED_ROWS]),
        allow_rows("StoreAlerts", table, ["PutItem"], rows),
    ]


def read_live_rules(table: dynamodb.ITable) -> iam.PolicyStatement:
    """Allow a function to read since when rules are live, which says until when they learn."""
    return allow_rows("ReadLiveRules", table, ["BatchGetItem"], [schema.LIVE_ROWS])


def remember_live_rules(table: dynamodb.ITable) -> iam.PolicyStatement:
    """Allow a function to read and to record since when rules are live."""
    return allow_rows("RememberLiveRules", table, ["BatchGetItem", "PutItem"], [schema.LIVE_ROWS])


def close_windows(table: dynamodb.ITable) -> list[iam.PolicyStatement]:
    """Allow a function to close suppression windows, to send what is due or unsent, and to postpone retries.

    It deletes nothing: what is settled stays until it expires.
    """
    read = (schema.ALERT_ROWS, *_DECIDED_BY, *_WAITING)
    written = (schema.LIMIT_ROWS, schema.RULE_ROWS, schema.WINDOW_ROWS, *_WAITING)
    return [
        allow_rows("ReadAlerts", table, ["BatchGetItem"], read),
        allow_rows("CloseWindows", table, ["PutItem"], written),
        allow_rows("FindDue", table, ["Query"], [schema.CALENDAR_ROWS]),
        allow_rows("SeeSettled", table, ["GetItem"], _IN_CALENDARS),
    ]


def record_deliveries(table: dynamodb.ITable, sink: str, *, threads: bool) -> iam.PolicyStatement:
    """Allow the function of a sink to read and to record what the sink has accepted, and no other row.

    Args:
        table: The table.
        sink: The name of the sink.
        threads: Whether the function also records the chat message of each group.

    Returns:
        The statement.
    """
    rows = [schema.sent_rows(sink), *([schema.thread_rows(sink)] if threads else [])]
    return allow_rows("RecordDeliveries", table, ["BatchGetItem", "PutItem"], rows)
