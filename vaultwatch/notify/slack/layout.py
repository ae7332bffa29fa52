"""The layout of a notification in Slack: headline, sentence, facts, what to do next; short lines, for a phone.

Limits (docs.slack.dev, Block Kit and rate limits): 50 blocks a message, 3,000 characters a section, 150 a header;
beyond these, undocumented, about 12,000 characters over all blocks (slackapi/bolt-js#2509, #2867: 11,341 were
refused). Slack accepts one post a second. A notification that does not fit into one post is written shorter: texts of
the log are cut, what several alerts have in common is written once, and at last all but the first have a line each. If
it still does not fit, because the first has a runbook of many pages, it is divided among several.

Text from a log is only ever put into `plain_text` and preformatted elements: in mrkdwn, Slack would turn parts of it
into links and channel names even if `&<>` are escaped. The fallback text, which is mrkdwn, is only the headline.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from vaultwatch.audience import EVERYBODY, Audience
from vaultwatch.dispatch.notification import Notification
from vaultwatch.notify import text
from vaultwatch.notify.defanging import defanged
from vaultwatch.rules.facts import Level

Block = dict[str, Any]
Post = dict[str, Any]

NO_PREVIEWS = {"unfurl_links": False, "unfurl_media": False}
_POST_BLOCKS = 45
_POST_CHARACTERS = 9_000
_TEXT_LIMIT = 2_900
_MOST_CHARACTERS = 3_000
_HEADER_LIMIT = 150
_UNCUT = 100_000
"""More than an alert's text of 1,024 characters has, each spelled out as ten: what only begins the same is shown."""


def posts(notification: Notification, audience: Audience = EVERYBODY) -> list[Post]:
    """Return the notification as payloads of one or more posts, each within Slack's limits.

    Args:
        notification: The notification.
        audience: Whom it is for.
    """
    bodies = portions(notification, audience)
    headline = text.headline(notification, audience)
    return [_post(notification.level, headline, body, number, len(bodies)) for number, body in enumerate(bodies, 1)]


def portions(notification: Notification, audience: Audience = EVERYBODY) -> list[list[Block]]:
    """Return the notification's blocks, without a header, as short as one post needs, else in several portions."""
    for lengths in (text.FULL, text.SHORT, text.BRIEF, text.LISTED, text.FIRST_ONLY):
        tried = list(_portions(_body(notification, audience, lengths)))
        if len(tried) == 1:
            return tried
    return list(_portions(_body(notification, audience, text.BRIEF)))  # complete


def under_headline(level: Level, headline: str, body: Sequence[Block]) -> Post:
    """Return fallback text and blocks. `headline` is also the fallback text, so it must not come from a log."""
    signed = f"{text.LEVEL_SIGNS[level]} {headline}"
    return {
        "text": _escaped(signed),
        "blocks": [{"type": "header", "text": _plain(signed[:_HEADER_LIMIT])}, *body],
    }


def section(words: str) -> Block:
    """Return a paragraph."""
    return {"type": "section", "text": _plain(words)}


def note(words: str) -> Block:
    """Return a line of small print."""
    return {"type": "context", "elements": [_plain(words)]}


def _post(level: Level, headline: str, body: Sequence[Block], number: int, of: int) -> Post:
    numbered = headline + (f" ({number} of {of})" if of > 1 else "")
    return under_headline(level, numbered, body) | NO_PREVIEWS


def _body(notification: Notification, audience: Audience, lengths: text.Lengths) -> Iterator[Block]:
    above, said = dict[str, str](), set[str]()  # what need not be repeated
    for number, alert in enumerate(notification.alerts[: lengths.alerts]):
        if number:
            yield {"type": "divider"}
            yield section(f"{text.LEVEL_SIGNS[alert.level]} {alert.level}: {text.visible(alert.title, 200)}")
        yield section(text.summary_line(alert, lengths.sentence))
        facts = dict(text.facts(alert, audience, _UNCUT))
        same = [name for name, value in facts.items() if above.get(name) == value]
        shown = {name: value for name, value in text.facts(alert, audience, lengths.fact) if name not in same}
        yield from _preformatted(text.in_columns(shown | ({"as above": ", ".join(same)} if same else {})))
        if actions := [line for line in text.action_lines(alert, audience) if line not in said]:
            yield section("What to do next:")
            yield from _preformatted(actions, audience.archive)
        if lengths is not text.FULL:
            above = facts
            said.update(actions)
    if listed := text.listed_lines(notification, lengths.alerts, lengths):
        yield from _preformatted(listed)
        yield note("What to do next about these: vaultwatch rules show RULE")
    if notification.merged_count:
        yield section(text.counted_line(notification))
        yield from _preformatted(text.merged_lines(notification, audience, lengths))
    if notification.disposition == "first":
        yield note(text.window_note(notification))
    else:
        yield note("The complete entries are in the alert log.")


def _plain(words: str) -> Block:
    return {"type": "plain_text", "text": defanged(words)[:_MOST_CHARACTERS], "emoji": False}


def _preformatted(lines: Iterable[str], ours: str = "") -> Iterator[Block]:
    """Yield the lines in as many preformatted blocks as needed; for `ours` see `defanged`."""
    held: list[str] = []
    for line in (defanged(line, ours)[:_TEXT_LIMIT] for line in lines):
        if held and sum(map(len, held)) + len(held) + len(line) > _TEXT_LIMIT:
            yield _pre("\n".join(held))
            held = []
        held.append(line)
    if held:
        yield _pre("\n".join(held))


def _pre(words: str) -> Block:
    element = {"type": "rich_text_preformatted", "elements": [{"type": "text", "text": words}]}
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


def _escaped(words: str) -> str:
    return words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
