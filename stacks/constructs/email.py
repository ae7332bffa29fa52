"""Notifications by e-mail, which SNS sends itself."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct, IDependable

from stacks.constructs.alerts import Alerts
from stacks.constructs.filters import for_mail
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
    ) -> None:
        super().__init__(scope, construct_id)
        policy = for_mail(level, alerts.mail_key)
        for address in addresses:
            subscription = subscriptions.EmailSubscription(address, filter_policy=policy)
            alerts.topic.add_subscription(subscription).node.add_dependency(publishers)
