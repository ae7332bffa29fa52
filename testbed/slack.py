"""A stand-in for Slack's incoming webhooks, on loopback: keeps Slack's documented limits, shows what it was sent.

    with SlackStandIn() as slack:
        post to slack.webhook_url; look at slack.messages, or with a browser at slack.page_url

Limits and answers: docs.slack.dev, Block Kit reference, "Handling errors" of incoming webhooks, rate limits.
`python -m testbed.slack [PORT]` runs it until interrupted.
"""

from __future__ import annotations

import html
import json
import secrets
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

Behaviour = Literal["ok", "500", "429", "404", "hang", "refuse"]

_MAX_BODY_BYTES = 1 << 20
_KEPT = 500
_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 56rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.2rem; } h2 { font-size: 1.05rem; margin: 0 0 .4rem; }
article { border: 1px solid var(--line); border-radius: .5rem; padding: .8rem 1rem; margin: 0 0 1rem; }
p { margin: .4rem 0; white-space: pre-wrap; overflow-wrap: anywhere; }
pre { background: var(--soft); border-radius: .3rem; padding: .5rem .7rem; margin: .4rem 0; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; }
hr { border: 0; border-top: 1px solid var(--line); } small, time { opacity: .7; } time { float: right; }
"""


@dataclass(frozen=True)
class Post:
    """One message that was accepted, and when, in seconds since the epoch."""

    payload: dict[str, Any]
    received_at: float

    @property
    def text(self) -> str:
        """The fallback text."""
        return str(self.payload["text"])

    @property
    def blocks(self) -> list[dict[str, Any]]:
        """The blocks; empty if it has none."""
        return list(self.payload.get("blocks", []))


class SlackStandIn:
    """Serves from the moment it is entered until it is left.

    `interval_seconds` is the time that two messages must be apart; 0 lets all through. It keeps the newest 500
    messages in `messages`, and counts all in `accepted` and what it turned away in `turned_away`.
    """

    def __init__(self, *, port: int = 0, interval_seconds: float = 1.0) -> None:
        self.messages: deque[Post] = deque(maxlen=_KEPT)
        self.accepted = 0
        self.turned_away = 0
        self._interval_seconds = interval_seconds
        self._last = float("-inf")
        self._behaviour: Behaviour = "ok"
        self._times = 0
        self._changed = threading.Condition()
        self._path = f"/services/T0STANDIN/B0STANDIN/{secrets.token_urlsafe(18)}"
        self._server = _Server(("127.0.0.1", port), self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def page_url(self) -> str:
        """Where a browser sees the messages."""
        return f"http://127.0.0.1:{self._server.server_port}/"

    @property
    def webhook_url(self) -> str:
        """Where messages are posted; a secret, as Slack's are."""
        return self.page_url.rstrip("/") + self._path

    def __enter__(self) -> SlackStandIn:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.behave("ok")
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def behave(self, behaviour: Behaviour, times: int | None = None) -> None:
        """Do that with the next requests, or with the next `times` only; `hang` ends with the next call of this."""
        with self._changed:
            self._behaviour = behaviour
            self._times = sys.maxsize if times is None else times
            self._changed.notify_all()

    def wait_for(self, count: int, timeout: float = 10.0) -> list[Post]:
        """The messages kept, once `count` were accepted in all; raises `TimeoutError`."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.accepted >= count, timeout):
                raise TimeoutError(f"{self.accepted} of {count} messages after {timeout} s")
            return list(self.messages)

    def wait_for_turned_away(self, count: int, timeout: float = 10.0) -> None:
        """Return once `count` requests were turned away or hang; raises `TimeoutError`."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.turned_away >= count, timeout):
                raise TimeoutError(f"{self.turned_away} of {count} turned away after {timeout} s")

    def receive(self, path: str, body: bytes) -> tuple[int, str, dict[str, str]]:
        """Slack's answer to a post: status, body, headers. Status 0: the connection is cut."""
        with self._changed:
            answer = self._told_to_fail() or self._judge(path, body)
            if answer[0] != 200:
                self.turned_away += 1
            self._changed.notify_all()
            if answer[1] == "hang":
                self._changed.wait_for(lambda: self._behaviour != "hang")
        return answer

    def _told_to_fail(self) -> tuple[int, str, dict[str, str]] | None:
        if self._behaviour == "ok" or self._times <= 0:
            return None
        self._times -= 1
        return {
            "500": (500, "rollup_error", {}),
            "429": (429, "rate_limited", {"Retry-After": "1"}),
            "404": (404, "no_service", {}),
            "hang": (0, "hang", {}),
            "refuse": (0, "", {}),
        }[self._behaviour]

    def _judge(self, path: str, body: bytes) -> tuple[int, str, dict[str, str]]:
        if path != self._path:
            return 404, "no_service", {}
        now = time.monotonic()
        if now - self._last < self._interval_seconds:
            return 429, "rate_limited", {"Retry-After": "1"}
        try:
            payload = json.loads(body)
        except ValueError:
            return 400, "invalid_payload", {}
        wrong = fault(payload)
        if wrong:
            return 400, wrong, {}
        self._last = now
        self.accepted += 1
        self.messages.append(Post(payload, time.time()))
        return 200, "ok", {}

    def page(self) -> str:
        """The page with the messages, newest first."""
        with self._changed:
            posts = list(self.messages)
        articles = "".join(_article(post) for post in reversed(posts))
        return (
            '<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="3">'
            f"<title>Stand-in Slack</title><style>{_STYLE}</style>"
            f"<h1>Stand-in Slack: {self.accepted} messages</h1>{articles or '<p>Nothing yet.</p>'}"
        )


def fault(payload: Any) -> str:
    """The error that Slack answers a payload with; empty if it takes it."""
    if not isinstance(payload, dict):
        return "invalid_payload"
    text = payload.get("text")
    if not isinstance(text, str) or not text.strip():
        return "no_text"
    if len(text) > 40_000:
        return "msg_too_long"
    blocks = payload.get("blocks", [])
    if not isinstance(blocks, list):
        return "invalid_blocks_format"
    if len(blocks) > 50 or not all(isinstance(block, dict) and _block_is_valid(block) for block in blocks):
        return "invalid_blocks"
    return "" if sum(len(text) for text in _texts(blocks)) <= 12_000 else "msg_blocks_too_long"


def _block_is_valid(block: dict[str, Any]) -> bool:
    kind = block.get("type")
    if kind == "divider":
        return True
    if kind == "header":
        return _text_is_valid(block.get("text"), 150, ("plain_text",))
    if kind == "section":
        fields = block.get("fields", [])
        text_is_fine = _text_is_valid(block.get("text"), 3_000) if "text" in block else bool(fields)
        return text_is_fine and len(fields) <= 10 and all(_text_is_valid(field, 2_000) for field in fields)
    if kind == "context":
        return _all(block.get("elements"), lambda element: _text_is_valid(element, 3_000), most=10)
    return kind == "rich_text" and _all(block.get("elements"), _rich_text_is_valid)


def _rich_text_is_valid(element: Any) -> bool:
    kinds = ("rich_text_section", "rich_text_preformatted", "rich_text_quote")
    return isinstance(element, dict) and element.get("type") in kinds and _all(element.get("elements"), _run_is_valid)


def _run_is_valid(run: Any) -> bool:
    return _text_is_valid(run, sys.maxsize, ("text",))


def _text_is_valid(text: Any, limit: int, kinds: tuple[str, ...] = ("plain_text", "mrkdwn")) -> bool:
    if not isinstance(text, dict) or text.get("type") not in kinds or not isinstance(text.get("text"), str):
        return False
    return 1 <= len(text["text"]) <= limit


def _all(elements: Any, is_valid: Any, most: int = sys.maxsize) -> bool:
    return isinstance(elements, list) and 1 <= len(elements) <= most and all(map(is_valid, elements))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (item for key, item in value.items() if key == "text" and isinstance(item, str))
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _article(post: Post) -> str:
    at = time.strftime("%H:%M:%S", time.gmtime(post.received_at))
    inside = "".join(_block_html(block) for block in post.blocks) or f"<p>{html.escape(post.text)}</p>"
    return f"<article><time>{at} UTC</time>{inside}</article>"


def _block_html(block: dict[str, Any]) -> str:
    kind = block["type"]
    if kind == "divider":
        return "<hr>"
    text = html.escape("".join(_texts(block)))
    tag = {"header": "h2", "section": "p", "context": "small", "rich_text": "pre"}[kind]
    return f"<{tag}>{text}</{tag}>"


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    block_on_close = True

    def __init__(self, address: tuple[str, int], slack: SlackStandIn) -> None:
        self.slack = slack
        super().__init__(address, _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 10.0

    def do_POST(self) -> None:
        length = min(int(self.headers.get("Content-Length") or 0), _MAX_BODY_BYTES)
        status, text, headers = self.server.slack.receive(self.path, self.rfile.read(length))
        if status:
            self._answer(status, text, {"Content-Type": "text/plain", **headers})
        else:
            self.close_connection = True

    def do_GET(self) -> None:
        if self.path != "/":
            self._answer(404, "not here", {"Content-Type": "text/plain"})
            return
        policy = "default-src 'none'; style-src 'unsafe-inline'"
        headers = {"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": policy}
        self._answer(200, self.server.slack.page(), headers)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the path is a secret."""

    def _answer(self, status: int, text: str, headers: dict[str, str]) -> None:
        body = text.encode("utf-8", "replace")
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    """Run until interrupted."""
    with SlackStandIn(port=int(sys.argv[1]) if len(sys.argv) > 1 else 0) as slack:
        print(f"webhook {slack.webhook_url}\npage    {slack.page_url}", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print()


if __name__ == "__main__":
    main()
