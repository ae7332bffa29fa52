"""Notifications by e-mail, which SNS sends itself."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from stacks.constructs.filters import for_people
from vaultwatch.rules.facts import Level


class EmailNotifications(Construct):
    """One subscription for each address. AWS asks each of them to confirm.

    Args:
        scope: The construct that holds the notifications.
        construct_id: The id within `scope`.
        topic: The topic to which alerts are published.
        addresses: The addresses to notify.
        level: The lowest level of which they are notified.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, topic: sns.Topic, addresses: Sequence[str], level: Level
    ) -> None:
        super().__init__(scope, construct_id)
        for address in addresses:
            topic.add_subscription(subscriptions.EmailSubscription(address, filter_policy=for_people(level)))
