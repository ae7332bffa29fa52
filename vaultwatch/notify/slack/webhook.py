"""Slack through an incoming webhook: every notification is a message of its own."""

from __future__ import annotations

from functools import partial

from vaultwatch.audience import EVERYBODY, Audience
from vaultwatch.dispatch.notification import NOTIFIED, Notification
from vaultwatch.notify.apart import content_of, send_apart
from vaultwatch.notify.sink import Pace
from vaultwatch.notify.slack.answers import check_webhook
from vaultwatch.notify.slack.http import JsonClient, checked_url
from vaultwatch.notify.slack.layout import posts
from vaultwatch.rules.facts import Level


class SlackWebhook:
    """A `vaultwatch.notify.sink.Sink` that posts to one webhook, or to an endpoint compatible with it."""

    dispositions = NOTIFIED

    def __init__(
        self,
        url: str,
        *,
        name: str = "slack",
        minimum_level: Level = Level.LOW,
        interval_seconds: float = 1.0,
        timeout_seconds: float = 10.0,
        audience: Audience = EVERYBODY,
    ) -> None:
        """Prepare the sink; it connects when it first sends.

        Args:
            url: The webhook's URL: a secret, which is only ever put into requests.
            name: The name under which the store remembers what this sink has accepted.
            minimum_level: The lowest level that it sends.
            interval_seconds: The least time between two posts; Slack allows one a second.
            timeout_seconds: How long Slack may take to answer.
            audience: Whom it is for.

        Raises:
            SettingError: The URL, or the proxy, cannot be used.
        """
        self.name = name
        self.minimum_level = minimum_level
        self._url = checked_url(url, "the Slack webhook URL")
        self._client = JsonClient(self._url, timeout_seconds)
        self._pace = Pace(interval_seconds)
        self._audience = audience

    def send(self, notification: Notification) -> None:
        """Post the notification, in as many posts as needed; see `Sink.send`."""
        send_apart(notification, self._send)

    def _send(self, notification: Notification) -> None:
        for post in content_of(notification, partial(posts, audience=self._audience)):
            with self._pace:
                check_webhook(self._client.post(self._url, post))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
