"""One workspace with its channels and messages, which a webhook and the Web API change.

Errors and limits: docs.slack.dev, `chat.postMessage`, `chat.update`, "Rate limits", "Handling errors" of webhooks.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from testbed.slack.limits import fault

Behaviour = str
"""`ok`, `500`, `429`, `404`, `hang`, `refuse` (cut the connection), or an error word of Slack's, as `invalid_auth`."""

CHANNEL = "C0STANDIN"
CHANNEL_NAME = "#vault-alerts"
FOREIGN_CHANNEL = "C0FOREIGN"
"""A channel that the app is not a member of."""
UPDATES_PER_MINUTE = 50
"""Tier 3 of Slack's rate limits."""
_KEPT = 500
_BOT, _WEBHOOK = "B0BOT", "B0WEBHOOK"


@dataclass(frozen=True)
class Post:
    """One accepted message; times are seconds since the epoch, `edited_at` is 0 if it was never updated."""

    payload: dict[str, Any]
    received_at: float
    ts: str
    author: str
    thread_ts: str = ""
    edited_at: float = 0.0

    @property
    def text(self) -> str:
        """The fallback text."""
        return str(self.payload["text"])

    @property
    def blocks(self) -> list[dict[str, Any]]:
        """The blocks; empty if it has none."""
        return list(self.payload.get("blocks", []))

    @property
    def in_channel(self) -> bool:
        """Whether the channel shows it, and not only its thread."""
        return not self.thread_ts or bool(self.payload.get("reply_broadcast"))


class ApiError(Exception):
    """The error word with which Slack refuses a call; `ratelimited` and `rate_limited` mean HTTP status 429."""


@dataclass
class Workspace:
    """Stores the newest 500 messages in `messages`, and counts all in `accepted` and updates in `updated`.

    `interval_seconds` is the least time between two messages through the same interface; 0 disables rate limits.
    """

    interval_seconds: float
    messages: deque[Post] = field(default_factory=lambda: deque(maxlen=_KEPT))
    accepted: int = 0
    updated: int = 0
    _last: dict[str, float] = field(default_factory=dict)
    _updates: deque[float] = field(default_factory=deque)

    def by_webhook(self, payload: Any) -> None:
        """Accept a message from the webhook; raises `ApiError`."""
        self._check_pace("webhook", "rate_limited")
        self._accept(payload, _WEBHOOK)

    def post_message(self, arguments: Mapping[str, Any]) -> Post:
        """`chat.postMessage`; raises `ApiError`."""
        channel = str(arguments.get("channel"))
        if channel == FOREIGN_CHANNEL:
            raise ApiError("not_in_channel")
        if channel not in (CHANNEL, CHANNEL_NAME):
            raise ApiError("channel_not_found")
        thread = str(arguments.get("thread_ts") or "")
        if thread and self._find(thread) is None:
            raise ApiError("thread_not_found")
        self._check_pace(CHANNEL, "ratelimited")
        return self._accept(dict(arguments), _BOT, thread)

    def update(self, arguments: Mapping[str, Any]) -> Post:
        """`chat.update`, which takes a channel's id but not its name; raises `ApiError`."""
        if arguments.get("channel") != CHANNEL:
            raise ApiError("channel_not_found")
        self._check_updates()
        at = self._find(str(arguments.get("ts")))
        if at is None:
            raise ApiError("message_not_found")
        if self.messages[at].author != _BOT:
            raise ApiError("cant_update_message")
        self._check_payload(arguments)
        payload = {**self.messages[at].payload, **arguments}
        self.messages[at] = replace(self.messages[at], payload=payload, edited_at=time.time())
        self.updated += 1
        return self.messages[at]

    def delete(self, ts: str) -> None:
        """Delete a message, as a person may."""
        self.messages = deque((post for post in self.messages if post.ts != ts), maxlen=_KEPT)

    def _accept(self, payload: Any, author: str, thread_ts: str = "") -> Post:
        self._check_payload(payload)
        self._last[CHANNEL if author == _BOT else "webhook"] = time.monotonic()
        self.accepted += 1
        post = Post(payload, time.time(), f"{int(time.time())}.{self.accepted:06}", author, thread_ts)
        self.messages.append(post)
        return post

    def _find(self, ts: str) -> int | None:
        return next((at for at, post in enumerate(self.messages) if post.ts == ts), None)

    def _check_payload(self, payload: Any) -> None:
        if wrong := fault(payload):
            raise ApiError(wrong)

    def _check_pace(self, way: str, error: str) -> None:
        if time.monotonic() - self._last.get(way, float("-inf")) < self.interval_seconds:
            raise ApiError(error)

    def _check_updates(self) -> None:
        now = time.monotonic()
        while self._updates and self._updates[0] < now - 60.0:
            self._updates.popleft()
        if self.interval_seconds and len(self._updates) >= UPDATES_PER_MINUTE:
            raise ApiError("ratelimited")
        self._updates.append(now)
