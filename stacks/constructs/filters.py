"""Which alerts a subscriber gets: the filter policies of the alerts topic.

A subscription gets the messages whose attributes match every name of its policy, whatever its protocol. SNS counts what
a policy keeps out as `NumberOfNotificationsFilteredOut`, and not as failed. A policy has at most five names, and 150
combinations of values; a change of it takes up to 15 minutes (SNS developer guide, "Amazon SNS message filtering" and
"Filter policy constraints").
"""

from __future__ import annotations

from aws_cdk import aws_sns as sns

from vaultwatch.notify.sns import MAIL_KEY
from vaultwatch.rules.facts import Level

Filter = dict[str, sns.SubscriptionFilter]
"""The filter policy of a subscription."""


def for_people(minimum: Level) -> Filter:
    """Select what people are notified of: first alerts and summaries, from a level upwards.

    Args:
        minimum: The lowest level to select.
    """
    levels = [level.value for level in Level if level.rank >= minimum.rank]
    return {
        "disposition": sns.SubscriptionFilter.string_filter(allowlist=["first", "summary"]),
        "level": sns.SubscriptionFilter.string_filter(allowlist=levels),
    }


def with_mail_key(minimum: Level, mail_key: str) -> Filter:
    """Select of that what the functions have published: SNS sends e-mails itself, and checks no seal.

    Slack has it in a queue that nobody else can fill, although `notify` does check the seal.

    Args:
        minimum: The lowest level to select.
        mail_key: The key that nobody else knows.
    """
    return {**for_people(minimum), MAIL_KEY: sns.SubscriptionFilter.string_filter(allowlist=[mail_key])}


def with_another_mail_key(minimum: Level, mail_key: str) -> Filter:
    """Select what `with_mail_key` does not because it has another key: nobody gets it by e-mail.

    Both change together, so that both always ask for the same key.

    Args:
        minimum: The lowest level to select.
        mail_key: The key that the subscriptions ask for.
    """
    return {**for_people(minimum), MAIL_KEY: sns.SubscriptionFilter.string_filter(denylist=[mail_key])}
