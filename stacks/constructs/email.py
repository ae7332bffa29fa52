"""Notifications by e-mail, which SNS sends itself.

SNS says nothing of what its filters keep out. So a queue gets what no address does because it has another key than the
filters ask for, and an alarm fires: otherwise, no e-mail would be sent, and nobody would know.
"""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct, IDependable

from stacks.constructs import permissions
from stacks.constructs.alarms import MINUTE, Alarms
from stacks.constructs.alerts import Alerts
from stacks.constructs.filters import with_another_mail_key, with_mail_key
from stacks.constructs.queue import encrypted_queue
from vaultwatch.rules.facts import Level


class EmailNotifications(Construct):
    """One subscription for each address. AWS asks each of them to confirm.

    Args:
        scope: The construct that holds the notifications.
        construct_id: The id within `scope`.
        alerts: Where alerts are published.
        addresses: The addresses to notify.
        level: The lowest level of which they are notified.
        publishers: The functions that publish: at an upgrade, the subscriptions ask for the key once all functions have
            it.
        alarms: Where the alarm is added.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        alerts: Alerts,
        addresses: Sequence[str],
        level: Level,
        publishers: IDependable,
        alarms: Alarms,
    ) -> None:
        super().__init__(scope, construct_id)
        if not addresses:
            return
        queue = encrypted_queue(self, "OtherKey")
        reason = "Nothing receives from this queue, so that no message of it can fail; a person reads it."
        permissions.acknowledge(queue, "SQS3", reason)
        others = subscriptions.SqsSubscription(queue, filter_policy=with_another_mail_key(level, alerts.mail_key))
        alerts.topic.add_subscription(others).node.add_dependency(publishers)
        alarms.add(
            "mails-with-another-key",
            queue.metric_approximate_number_of_messages_visible(statistic="Maximum", period=MINUTE),
            "Something was published with another key than the filters of the e-mail subscriptions ask for, and nobody "
            "gets it by e-mail. If it is in the table too, the functions have another key than the filters, and no "
            "e-mail is sent at all: deploy with another alert_email_level. Otherwise, somebody else has published it. "
            "The queue EmailOtherKey has the messages; the alarm ends when you delete them.",
        )
        policy = with_mail_key(level, alerts.mail_key)
        for address in addresses:
            subscription = subscriptions.EmailSubscription(address, filter_policy=policy)
            alerts.topic.add_subscription(subscription).node.add_dependency(publishers)
