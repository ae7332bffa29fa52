"""Slack through a bot token: an alert group is one message that is updated in place, with its repeats in the thread.

A group's message is updated until two hours have passed without a notification, and for at most a day. After that, the
next notification is a new message, where people see it.

Slack notifies nobody of an update, and only the followers of a thread of a reply. So high and critical repeats that are
sent at once (disposition `first`) also appear in the channel.

The posts that Slack has accepted are stored one by one: a retry repeats at most the post during which the process was
killed. If they cannot be read or stored, the notification becomes a new message: a duplicate is better than a loss.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from msgspec.structs import replace

from vaultwatch.audience import EVERYBODY, Audience
from vaultwatch.dispatch.notification import NOTIFIED, Notification
from vaultwatch.errors import SettingError, SinkRefused
from vaultwatch.notify.apart import content_of, send_apart
from vaultwatch.notify.sink import Pace
from vaultwatch.notify.slack import layout
from vaultwatch.notify.slack.answers import check_api
from vaultwatch.notify.slack.conversation import begin, has_post, is_live, shown, with_post
from vaultwatch.notify.slack.http import JsonClient, checked_url
from vaultwatch.rules.facts import Level
from vaultwatch.store import StoreError
from vaultwatch.store.threads import Thread, Threads

API_URL = "https://slack.com/api/"
_ATTEMPTS = 5
_log = logging.getLogger(__name__)


class SlackBot:
    """A `vaultwatch.notify.sink.Sink` that posts and updates messages in one channel."""

    dispositions = NOTIFIED

    def __init__(
        self,
        token: str,
        channel: str,
        threads: Threads,
        *,
        name: str = "slack",
        minimum_level: Level = Level.LOW,
        interval_seconds: float = 1.0,
        timeout_seconds: float = 10.0,
        api_url: str = API_URL,
        audience: Audience = EVERYBODY,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Prepare the sink; it connects when it first sends.

        Args:
            token: A bot token with the scope `chat:write`: a secret, which is only ever put into requests.
            channel: The id of the channel, or the name of a public one, as `#vault-alerts`.
            threads: Stores the message of each alert group.
            name: The name under which the store remembers what this sink has accepted.
            minimum_level: The lowest level that it sends.
            interval_seconds: The least time between two calls; Slack allows one message a second in a channel.
            timeout_seconds: How long Slack may take to answer.
            api_url: The base URL of the Web API; GovSlack has another one.
            audience: Whom it is for.
            clock: Returns seconds since the epoch.

        Raises:
            SettingError: The token, the channel, the URL or the proxy cannot be used.
        """
        self.name = name
        self.minimum_level = minimum_level
        self._headers = {"Authorization": f"Bearer {checked_token(token)}"}
        self._channel = checked_channel(channel)
        self._threads = threads
        self._api_url = checked_url(api_url, "the URL of the Slack API").rstrip("/")
        self._client = JsonClient(self._api_url, timeout_seconds)
        self._pace = Pace(interval_seconds)
        self._clock = clock
        self._audience = audience

    def send(self, notification: Notification) -> None:
        """Post the notification as its group's message, or in that message's thread; see `Sink.send`."""
        send_apart(notification, self._send)

    def _send(self, notification: Notification) -> None:
        notification = content_of(notification, self._writable)
        known = self._recall(notification.group)
        if known is not None and is_live(known, self._clock()):
            try:
                self._continue(known, notification)
            except SinkRefused as error:
                _log.info("%s: the group's message was deleted or locked; posting a new one", error)
            else:
                return
        self._begin(notification, known)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _writable(self, notification: Notification) -> Notification:
        """Return a notification if all that is posted of it can be written."""
        layout.posts(notification, self._audience)
        with_post(begin(notification, 0.0, self._audience), notification, 0, 0.0, self._audience)
        return notification

    def _begin(self, notification: Notification, known: Thread | None) -> None:
        now = self._clock()
        thread = with_post(begin(notification, now, self._audience), notification, 0, now, self._audience)
        answer = self._call("chat.postMessage", {"channel": self._channel, **shown(thread), **layout.NO_PREVIEWS})
        named = replace(thread, channel=str(answer.get("channel")), ts=str(answer.get("ts")))
        self._reply(self._remember(known, named, notification, 0), notification)

    def _continue(self, thread: Thread, notification: Notification) -> None:
        if not has_post(thread, notification, 0):
            grown = with_post(thread, notification, 0, self._clock(), self._audience)
            self._call("chat.update", {"channel": thread.channel, "ts": thread.ts, **shown(grown)})
        self._reply(thread, notification)

    def _reply(self, thread: Thread, notification: Notification) -> None:
        """Post in the thread the posts that Slack has not accepted yet."""
        for number, post in enumerate(layout.posts(notification, self._audience)):
            if has_post(thread, notification, number):
                continue
            where = {"channel": thread.channel, "thread_ts": thread.ts}
            self._call("chat.postMessage", {**where, **_broadcast(notification, number), **post})
            grown = with_post(thread, notification, number, self._clock(), self._audience)
            thread = self._remember(thread, grown, notification, number)

    def _recall(self, group: str) -> Thread | None:
        try:
            return self._threads.get(group) if group else None
        except StoreError as error:
            _log.warning("%s: the notification is posted as a new message", error)
            return None

    def _remember(self, known: Thread | None, thread: Thread, notification: Notification, number: int) -> Thread:
        """Store `thread` in place of `known`; if another process was faster, add the post to its thread."""
        if not notification.group:
            return thread
        try:
            for _ in range(_ATTEMPTS):
                if self._threads.put(notification.group, thread, known):
                    return thread
                known = self._threads.get(notification.group)
                thread = (
                    thread if known is None else with_post(known, notification, number, self._clock(), self._audience)
                )
        except StoreError as error:
            _log.warning("%s: cannot store what was posted", error)
        return thread

    def _call(self, method: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        with self._pace:
            return check_api(self._client.post(f"{self._api_url}/{method}", arguments, self._headers))


def _broadcast(notification: Notification, number: int) -> dict[str, bool]:
    at_once = notification.disposition == "first" and notification.level.rank >= Level.HIGH.rank
    counts_others = any(merged.group != notification.group for merged in notification.merged)
    return {"reply_broadcast": True} if (at_once or counts_others) and number == 0 else {}


def checked_token(token: str) -> str:
    """Return a bot token without surrounding whitespace.

    Raises:
        SettingError: This is not a bot token; the error does not contain it.
    """
    token = token.strip()
    if re.fullmatch(r"(xoxe\.)?xoxb-[A-Za-z0-9_-]{1,512}", token):
        return token
    raise SettingError("is not a Slack bot token, which begins with xoxb-")


def checked_channel(channel: str) -> str:
    """Return the id or the name of a channel without surrounding whitespace.

    Raises:
        SettingError: This cannot be the id or the name of a channel.
    """
    if re.fullmatch(r"#?[^\s#@<>&]{1,80}", channel):
        return channel
    raise SettingError("is neither the id nor the name of a Slack channel")
