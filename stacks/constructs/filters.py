"""Which alerts a subscriber gets: the filter policies of the alerts topic."""

from __future__ import annotations

from aws_cdk import aws_sns as sns

from vaultwatch.rules.facts import Level


def for_people(minimum: Level) -> dict[str, sns.SubscriptionFilter]:
    """Select what people are notified of: first alerts and summaries, from a level upwards.

    Args:
        minimum: The lowest level to select.

    Returns:
        The filter policy of a subscription.
    """
    levels = [level.value for level in Level if level.rank >= minimum.rank]
    return {
        "disposition": sns.SubscriptionFilter.string_filter(allowlist=["first", "summary"]),
        "level": sns.SubscriptionFilter.string_filter(allowlist=levels),
    }
