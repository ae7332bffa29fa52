"""The HTTP side of the stand-in: the webhook, two methods of the Web API, the page, and failures on demand."""

from __future__ import annotations

import json
import secrets
import ssl
import sys
import threading
from collections import deque
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

from testbed.slack.page import render
from testbed.slack.workspace import CHANNEL, ApiError, Behaviour, Post, Workspace

_MAX_BODY_BYTES = 1 << 20
_CALLS_KEPT = 500
_WEBHOOK_STATUS = {"rate_limited": 429, "no_service": 404, "invalid_token": 403, "channel_is_archived": 410}
_RATE_LIMITED = {"ratelimited", "rate_limited"}


class Reply(NamedTuple):
    """An HTTP answer; status 0 cuts the connection."""

    status: int
    body: str
    headers: dict[str, str]


class SlackStandIn:
    """A stand-in for Slack that runs while its context is open.

    `interval_seconds` is the least time between two messages; 0 disables Slack's rate limits. With a `certificate` (a
    PEM file with its key) for `localhost`, it serves HTTPS. `messages` are the newest 500, `calls` the newest 500 calls
    of the Web API with their arguments, accepted or not. `accepted` counts messages, `updated` their updates,
    `turned_away` the requests that were not accepted.
    """

    def __init__(self, *, port: int = 0, interval_seconds: float = 1.0, certificate: Path | None = None) -> None:
        self.turned_away = 0
        self.calls: deque[tuple[str, dict[str, Any]]] = deque(maxlen=_CALLS_KEPT)
        self.channel = CHANNEL
        self.token = f"xoxb-standin-{secrets.token_urlsafe(18)}"
        self._workspace = Workspace(interval_seconds)
        self._behaviour: Behaviour = "ok"
        self._after = 0
        self._times = 0
        self._method = ""
        self._changed = threading.Condition()
        self._webhook_path = f"/services/T0STANDIN/B0STANDIN/{secrets.token_urlsafe(18)}"
        self._server = _Server(("127.0.0.1", port), self)
        self._origin = f"http://127.0.0.1:{self._server.server_port}"
        if certificate is not None:
            self._origin = f"https://localhost:{self._server.server_port}"
            self._server.encrypt(certificate)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def page_url(self) -> str:
        """The URL of the page with the messages."""
        return f"{self._origin}/"

    @property
    def webhook_url(self) -> str:
        """The URL of the webhook; a secret, like Slack's own."""
        return self._origin + self._webhook_path

    @property
    def api_url(self) -> str:
        """The base URL of the Web API, which requires `token`."""
        return f"{self._origin}/api/"

    @property
    def messages(self) -> deque[Post]:
        """The stored messages, oldest first, as of their last update."""
        return self._workspace.messages

    @property
    def accepted(self) -> int:
        """How many messages were accepted."""
        return self._workspace.accepted

    @property
    def updated(self) -> int:
        """How many updates of messages were accepted."""
        return self._workspace.updated

    def __enter__(self) -> SlackStandIn:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.behave("ok")
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def behave(self, behaviour: Behaviour, times: int | None = None, *, after: int = 0, method: str = "") -> None:
        """Answer requests in a certain way until the next call of this method.

        Args:
            behaviour: See `Behaviour`; a request that hangs is released by the next call.
            times: How many requests to answer in this way; all of them by default.
            after: How many requests to answer normally before.
            method: Only calls of this method of the Web API, for example `chat.update`.
        """
        with self._changed:
            self._behaviour = behaviour
            self._after = after
            self._times = sys.maxsize if times is None else times
            self._method = method
            self._changed.notify_all()

    def delete(self, ts: str) -> None:
        """Delete a message, as a person may."""
        with self._changed:
            self._workspace.delete(ts)

    def wait_for(self, count: int, timeout: float = 120.0) -> list[Post]:
        """Return the stored messages once `count` have been accepted in all; raises `TimeoutError`."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.accepted >= count, timeout):
                raise TimeoutError(f"{self.accepted} of {count} messages after {timeout} s")
            return list(self.messages)

    def wait_for_turned_away(self, count: int, timeout: float = 120.0) -> None:
        """Return once `count` requests were turned away or hang; raises `TimeoutError`."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.turned_away >= count, timeout):
                raise TimeoutError(f"{self.turned_away} of {count} turned away after {timeout} s")

    def receive(self, path: str, body: bytes, authorization: str = "") -> Reply:
        """Return Slack's answer to a POST request."""
        with self._changed:
            failure = self._failure_on_demand(path)
            reply = failure or self._answer(path, body, authorization)
            if reply.status != 200 or '"ok": false' in reply.body:
                self.turned_away += 1
            self._changed.notify_all()
            if reply.body == "hang":
                self._changed.wait_for(lambda: self._behaviour != "hang")
        return reply

    def page(self) -> str:
        """Return the page with the messages, newest first."""
        with self._changed:
            return render(list(self.messages), self.accepted)

    def _failure_on_demand(self, path: str) -> Reply | None:
        if self._behaviour == "ok" or self._times <= 0 or not path.endswith(self._method):
            return None
        if self._after > 0:
            self._after -= 1
            return None
        self._times -= 1
        known = {
            "500": Reply(500, "rollup_error", {}),
            "429": _refusal(path, "ratelimited"),
            "404": Reply(404, "no_service", {}),
            "hang": Reply(0, "hang", {}),
            "refuse": Reply(0, "", {}),
        }
        return known.get(self._behaviour) or _refusal(path, self._behaviour)

    def _answer(self, path: str, body: bytes, authorization: str) -> Reply:
        try:
            if path == self._webhook_path:
                self._workspace.by_webhook(_parsed(body))
                return Reply(200, "ok", {})
            if path.startswith("/api/"):
                return self._call(path.removeprefix("/api/"), _parsed(body), authorization)
        except ApiError as error:
            return _refusal(path, str(error))
        return Reply(404, "no_service", {})

    def _call(self, method: str, arguments: Any, authorization: str) -> Reply:
        if not authorization:
            raise ApiError("not_authed")
        if not secrets.compare_digest(authorization, f"Bearer {self.token}"):
            raise ApiError("invalid_auth")
        if not isinstance(arguments, dict):
            raise ApiError("json_not_object")
        self.calls.append((method, arguments))
        methods = {"chat.postMessage": self._workspace.post_message, "chat.update": self._workspace.update}
        if method not in methods:
            raise ApiError("unknown_method")
        post = methods[method](arguments)
        answer = {"ok": True, "channel": CHANNEL, "ts": post.ts, "message": asdict(post)["payload"]}
        return Reply(200, json.dumps(answer), {"Content-Type": "application/json; charset=utf-8"})


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        raise ApiError("invalid_payload") from None


def _refusal(path: str, error: str) -> Reply:
    """Return Slack's answer to a refused request: JSON with status 200 from the Web API, a word from a webhook."""
    limited = error in _RATE_LIMITED
    headers = {"Retry-After": "1"} if limited else {}
    if path.startswith("/api/"):
        body = json.dumps({"ok": False, "error": "ratelimited" if limited else error})
        return Reply(429 if limited else 200, body, {"Content-Type": "application/json; charset=utf-8", **headers})
    return Reply(_WEBHOOK_STATUS.get(error, 429 if limited else 400), "rate_limited" if limited else error, headers)


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    block_on_close = True

    def __init__(self, address: tuple[str, int], slack: SlackStandIn) -> None:
        self.slack = slack
        super().__init__(address, _Handler)

    def encrypt(self, certificate: Path) -> None:
        """Use TLS, with the handshake in the thread of each connection."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 10.0

    def do_POST(self) -> None:
        length = min(int(self.headers.get("Content-Length") or 0), _MAX_BODY_BYTES)
        authorization = self.headers.get("Authorization") or ""
        status, text, headers = self.server.slack.receive(self.path, self.rfile.read(length), authorization)
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
        """Log nothing: the path is a secret."""

    def _answer(self, status: int, text: str, headers: dict[str, str]) -> None:
        body = text.encode("utf-8", "replace")
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
