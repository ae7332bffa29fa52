"""Slack, through an incoming webhook.

Limits (docs.slack.dev, Block Kit and rate limits): 50 blocks a message, 3,000 characters a section, 150 a header,
one message a second; beyond these, undocumented, about 12,000 characters over all blocks (slackapi/bolt-js#2509,
#2867: 11,341 were refused). What does not fit into one post goes into the next.
Text from a log stands in `plain_text` and preformatted elements only: in mrkdwn, escaping `&<>` does not stop links
and channel names from being made.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import re
from collections.abc import Iterable, Iterator
from typing import Any

import urllib3

from vaultwatch.alerts import Alert
from vaultwatch.dispatch.notification import NOTIFIED, Notification
from vaultwatch.errors import DeliveryError, SettingError, SinkBusy, SinkRefused
from vaultwatch.notify import text as messages
from vaultwatch.notify.sink import Pace
from vaultwatch.rules.facts import Level

Block = dict[str, Any]

_POST_BLOCKS = 45
_POST_CHARACTERS = 9_000
_TEXT_LIMIT = 2_900
_HEADER_LIMIT = 150
_MAX_WAIT_SECONDS = 3_600.0


class SlackSink:
    """Posts messages to one webhook; see `vaultwatch.notify.sink.Sink`.

    `webhook_url` is a secret and leaves this object in requests only. Raises `SettingError` if it is neither https
    nor http to this machine.
    """

    dispositions = NOTIFIED

    def __init__(
        self,
        webhook_url: str,
        *,
        name: str = "slack",
        minimum_level: Level = Level.LOW,
        interval_seconds: float = 1.0,
        timeout_seconds: float = 10.0,
    ) -> None:
        self.name = name
        self.minimum_level = minimum_level
        self._webhook_url = _checked(webhook_url)
        self._pace = Pace(interval_seconds)
        timeout = urllib3.Timeout(connect=min(5.0, timeout_seconds), read=timeout_seconds)
        self._http = urllib3.PoolManager(num_pools=1, maxsize=1, retries=False, timeout=timeout)
        # At DEBUG it logs every request's path, and the path is the secret.
        logging.getLogger("urllib3.connectionpool").setLevel(logging.INFO)

    def send(self, message: Notification) -> None:
        """Post the message, in as many posts as it needs; see `Sink.send`."""
        for post in posts(message):
            self._pace.wait()
            try:
                self._post(json.dumps(post, ensure_ascii=False).encode("utf-8", "replace"))
            finally:
                self._pace.done()

    def close(self) -> None:
        """Close the connection."""
        self._http.clear()

    def _post(self, body: bytes) -> None:
        failure = ""
        try:
            response = self._http.request(
                "POST",
                self._webhook_url,
                body=body,
                headers={"Content-Type": "application/json; charset=utf-8"},
                redirect=False,
                preload_content=False,
            )
            try:
                answer = response.read(1024)
            finally:
                response.close()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            failure = type(error).__name__
        if failure:  # Raised out here so that no chain of exceptions leads to the URL.
            raise DeliveryError(f"Slack could not be reached: {failure}")
        _judge(response.status, answer, response.headers.get("Retry-After", ""))


def posts(message: Notification) -> list[dict[str, Any]]:
    """The message as payloads for a webhook, each within Slack's limits."""
    portions = list(_portions(_body(message)))
    return [_post(message, blocks, number, len(portions)) for number, blocks in enumerate(portions, 1)]


def _post(message: Notification, blocks: list[Block], number: int, of: int) -> dict[str, Any]:
    headline = messages.headline(message) + (f" ({number} of {of})" if of > 1 else "")
    sign = messages.LEVEL_SIGNS[message.level]
    return {
        "text": f"{sign} {_escaped(headline)}",
        "blocks": [{"type": "header", "text": _plain(f"{sign} {headline}"[:_HEADER_LIMIT])}, *blocks],
        "unfurl_links": False,
        "unfurl_media": False,
    }


def _body(message: Notification) -> Iterator[Block]:
    for number, alert in enumerate(message.alerts):
        if number:
            yield {"type": "divider"}
            yield _section(f"{messages.LEVEL_SIGNS[alert.level]} {alert.level}: {messages.visible(alert.title, 200)}")
        yield from _alert(alert)
    if message.merged_count:
        yield _section(messages.counted_line(message))
        yield from _preformatted(messages.merged_lines(message))
    note = messages.quiet_note(message) if message.disposition == "first" else "The whole entries are in the alert log."
    yield {"type": "context", "elements": [_plain(note)]}


def _alert(alert: Alert) -> Iterator[Block]:
    yield _section(messages.summary_line(alert))
    yield from _preformatted(messages.fact_lines(alert).split("\n"))
    actions = messages.action_lines(alert)
    if actions:
        yield _section("What to do next:")
        yield from _preformatted(actions)


def _section(text: str) -> Block:
    return {"type": "section", "text": _plain(text)}


def _plain(text: str) -> Block:
    return {"type": "plain_text", "text": text, "emoji": False}


def _preformatted(lines: Iterable[str]) -> Iterator[Block]:
    """The lines in as many preformatted blocks as they need."""
    held: list[str] = []
    for line in lines:
        if held and sum(map(len, held)) + len(held) + len(line) > _TEXT_LIMIT:
            yield _pre("\n".join(held))
            held = []
        held.append(line)
    if held:
        yield _pre("\n".join(held))


def _pre(text: str) -> Block:
    element = {"type": "rich_text_preformatted", "elements": [{"type": "text", "text": text}]}
    return {"type": "rich_text", "elements": [element]}


def _portions(blocks: Iterable[Block]) -> Iterator[list[Block]]:
    portion: list[Block] = []
    size = 0
    for block in blocks:
        length = len(json.dumps(block, ensure_ascii=False))
        if portion and (len(portion) >= _POST_BLOCKS or size + length > _POST_CHARACTERS):
            yield portion
            portion, size = [], 0
        portion.append(block)
        size += length
    yield portion


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _judge(status: int, answer: bytes, retry_after: str) -> None:
    if status == 200 and answer.strip() == b"ok":
        return
    word = answer.decode("ascii", "replace").strip()
    text = f"Slack answered {status}" + (f" {word}" if re.fullmatch("[a-z_]{1,64}", word) else "")
    if status == 429:
        raise SinkBusy(text, _seconds(retry_after))
    if 400 <= status < 500 and status != 408:
        raise SinkRefused(text)
    raise DeliveryError(text)


def _seconds(retry_after: str) -> float:
    seconds = float(retry_after) if re.fullmatch("[0-9]{1,9}", retry_after) else 30.0
    return min(max(seconds, 1.0), _MAX_WAIT_SECONDS)


def _checked(webhook_url: str) -> str:
    problem = ""
    try:
        url = urllib3.util.parse_url(webhook_url.strip())
    except urllib3.exceptions.LocationParseError:
        problem = "is not a URL"
    else:
        if not url.host or not (url.scheme == "https" or (url.scheme == "http" and _is_loopback(url.host))):
            problem = "must begin with https:// (http:// to this machine only)"
    if problem:  # Raised out here for the same reason as in `_post`.
        raise SettingError(f"the Slack webhook URL {problem}")
    return url.url


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
