"""Summaries and retries: the function `digest`, which a schedule starts every minute."""

from __future__ import annotations

from aws_cdk import Duration
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from constructs import Construct

from stacks.constructs import row_permissions
from stacks.constructs.alerts import Alerts
from stacks.constructs.function import Function, FunctionDefaults, FunctionSize

_MINUTE = Duration.minutes(1)


class Digest(Construct):
    """The function `digest` and its schedule.

    It closes suppression windows, and sends notifications that were stored and not sent.

    Args:
        scope: The construct that holds the digest.
        construct_id: The id within `scope`.
        defaults: What all functions have in common.
        alerts: Where alerts are stored and published.
    """

    def __init__(self, scope: Construct, construct_id: str, *, defaults: FunctionDefaults, alerts: Alerts) -> None:
        super().__init__(scope, construct_id)
        function = Function(
            self,
            "Function",
            defaults=defaults,
            name="digest",
            description="Every minute: closes suppression windows, sends unsent notifications, finds what is overdue",
            size=FunctionSize(memory_mib=512, timeout_seconds=55),  # below its schedule's minute: one runs at a time
            environment=alerts.environment,
            statements=[
                *row_permissions.close_windows(alerts.table),
                *row_permissions.raise_absences(alerts.table),
                row_permissions.remember_live_rules(alerts.table),
                *alerts.publishing,
            ],
            effect="Summaries and the retries of failed notifications wait for its next run, a minute later.",
        ).resource
        rule = events.Rule(
            self,
            "Schedule",
            description="Starts the function digest every minute",
            schedule=events.Schedule.rate(_MINUTE),
        )
        # The run of the next minute does the same: neither EventBridge nor Lambda needs to retry.
        function.configure_async_invoke(retry_attempts=0, max_event_age=_MINUTE)
        rule.add_target(targets.LambdaFunction(function, retry_attempts=0, max_event_age=_MINUTE))
        defaults.alarms.watch_schedule(function)
