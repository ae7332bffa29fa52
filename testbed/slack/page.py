"""The page with the messages of the stand-in: newest first, each thread below its message."""

from __future__ import annotations

import html
import time
from collections.abc import Sequence
from typing import Any

from testbed.slack.limits import texts
from testbed.slack.workspace import Post

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 56rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.2rem; } h2 { font-size: 1.05rem; margin: 0 0 .4rem; }
article { border: 1px solid var(--line); border-radius: .5rem; padding: .8rem 1rem; margin: 0 0 1rem; }
article article { border-width: 0 0 0 3px; border-radius: 0; margin: .8rem 0 0 .5rem; padding: 0 0 0 .8rem; }
p { margin: .4rem 0; white-space: pre-wrap; overflow-wrap: anywhere; }
pre { background: var(--soft); border-radius: .3rem; padding: .5rem .7rem; margin: .4rem 0; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; }
hr { border: 0; border-top: 1px solid var(--line); } small, time { opacity: .7; } time { float: right; }
"""
_TAGS = {"header": "h2", "section": "p", "context": "small", "rich_text": "pre"}


def render(posts: Sequence[Post], accepted: int) -> str:
    """Return the page; no text in a message becomes markup."""
    threads: dict[str, list[Post]] = {}
    for post in posts:
        threads.setdefault(post.thread_ts, []).append(post)
    known = {post.ts for post in posts}
    roots = [post for post in posts if not post.thread_ts or post.thread_ts not in known]
    articles = "".join(_article(post, threads.get(post.ts, [])) for post in reversed(roots))
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="3">'
        f"<title>Stand-in Slack</title><style>{_STYLE}</style>"
        f"<h1>Stand-in Slack: {accepted} messages</h1>{articles or '<p>Nothing yet.</p>'}"
    )


def _article(post: Post, replies: Sequence[Post] = ()) -> str:
    inside = "".join(map(_block, post.blocks)) or f"<p>{html.escape(post.text)}</p>"
    thread = "".join(map(_article, replies))
    return f"<article><time>{_times(post)}</time>{inside}{thread}</article>"


def _times(post: Post) -> str:
    also = " · also sent to the channel" if post.thread_ts and post.in_channel else ""
    edited = f" (edited {_clock(post.edited_at)})" if post.edited_at else ""
    return f"{_clock(post.received_at)} UTC{edited}{also}"


def _clock(seconds: float) -> str:
    return time.strftime("%H:%M:%S", time.gmtime(seconds))


def _block(block: dict[str, Any]) -> str:
    if block["type"] == "divider":
        return "<hr>"
    tag = _TAGS[block["type"]]
    return f"<{tag}>{html.escape(''.join(texts(block)))}</{tag}>"
