"""The webhook sink: it returns once Slack has accepted, says precisely why not, and never shows its URL."""

from __future__ import annotations

import logging
import socket
import threading
import traceback
from collections.abc import Iterator
from typing import Any

import pytest

from testbed.slack import SlackStandIn
from tests.unit.notify.samples import a_message
from tests.unit.store.alerts import an_alert
from vaultwatch.errors import DeliveryError, SettingError, SinkBusy, SinkMisconfigured, SinkRefused
from vaultwatch.notify.slack.layout import posts
from vaultwatch.notify.slack.webhook import SlackWebhook


@pytest.fixture
def slack() -> Iterator[SlackStandIn]:
    with SlackStandIn(interval_seconds=0) as slack:
        yield slack


@pytest.fixture
def sink(slack: SlackStandIn) -> Iterator[SlackWebhook]:
    sink = SlackWebhook(slack.webhook_url, interval_seconds=0, timeout_seconds=2.0)
    yield sink
    sink.close()


def test_it_returns_once_slack_has_accepted(sink: SlackWebhook, slack: SlackStandIn) -> None:
    sink.send(a_message())
    assert [post.payload for post in slack.messages] == posts(a_message())


def test_it_limits_the_rate_of_its_posts() -> None:
    alerts = [an_alert(rule=f"rule_{n}", actions=tuple(f"{n}{m}" + "x" * 2000 for m in range(6))) for n in range(2)]
    with SlackStandIn(interval_seconds=0.2) as slack:
        sink = SlackWebhook(slack.webhook_url, interval_seconds=0.2)
        sink.send(a_message(*alerts))
        sink.send(a_message())
        sink.close()
        assert len(slack.messages) == len(posts(a_message(*alerts))) + 1 > 2


class TestAnswers:
    @pytest.mark.parametrize(
        ("status", "body"), [(200, "ok"), (200, "OK\n"), (200, '{"ok":true}'), (200, ""), (204, ""), (202, "queued")]
    )
    def test_any_2xx_status_means_accepted(self, status: int, body: str) -> None:
        with answering(status, body) as url:
            SlackWebhook(url).send(a_message())

    def test_a_2xx_status_with_ok_false_means_not_accepted(self) -> None:
        refusal = '{"ok":false,"error":"channel_not_found"}'
        with answering(200, refusal) as url, pytest.raises(SinkMisconfigured, match="200 channel_not_found"):
            SlackWebhook(url).send(a_message())

    def test_it_passes_on_how_long_slack_asks_to_wait(self, sink: SlackWebhook, slack: SlackStandIn) -> None:
        slack.behave("429")
        with pytest.raises(SinkBusy, match="429 rate_limited") as caught:
            sink.send(a_message())
        assert caught.value.retry_after_seconds == 1.0

    @pytest.mark.parametrize(
        ("behaviour", "text"),
        [("500", "Slack answered 500 rollup_error"), ("hang", "Timeout"), ("refuse", "could not be reached")],
    )
    def test_a_temporary_failure_is_retried(
        self, sink: SlackWebhook, slack: SlackStandIn, behaviour: str, text: str
    ) -> None:
        slack.behave(behaviour)
        with pytest.raises(DeliveryError, match=text) as caught:
            sink.send(a_message())
        assert type(caught.value) is DeliveryError
        slack.behave("ok")
        sink.send(a_message())

    @pytest.mark.parametrize("word", ["invalid_payload", "no_text", "msg_too_long", "invalid_blocks", "never_seen"])
    def test_a_payload_that_slack_refuses_is_not_retried(
        self, sink: SlackWebhook, slack: SlackStandIn, word: str
    ) -> None:
        slack.behave(word)
        with pytest.raises(SinkRefused, match=f"Slack answered 400 {word}"):
            sink.send(a_message())

    def test_a_notification_of_which_slack_refuses_the_texts_is_sent_without_them(
        self, sink: SlackWebhook, slack: SlackStandIn
    ) -> None:
        slack.behave("invalid_blocks", times=1)
        sink.send(a_message())
        [post] = slack.messages
        assert "Root policy used" in str(post)
        assert "the texts of this alert are left out" in str(post)
        assert "alice" not in str(post)

    @pytest.mark.parametrize("word", ["no_service", "invalid_token", "channel_is_archived", "action_prohibited"])
    def test_a_webhook_that_does_not_work_has_to_be_repaired(
        self, sink: SlackWebhook, slack: SlackStandIn, word: str
    ) -> None:
        slack.behave(word)
        with pytest.raises(SinkMisconfigured, match=word):
            sink.send(a_message())

    def test_a_redirect_is_not_followed(self, slack: SlackStandIn) -> None:
        with answering(302, "", location=slack.webhook_url) as url, pytest.raises(DeliveryError, match="302"):
            SlackWebhook(url).send(a_message())
        assert not slack.messages


class TestTheUrlIsASecret:
    @pytest.mark.parametrize("behaviour", ["500", "404", "refuse", "hang", "429"])
    def test_in_errors_and_logs(
        self, sink: SlackWebhook, slack: SlackStandIn, behaviour: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        secret = slack.webhook_url.rsplit("/", 1)[1]
        slack.behave(behaviour)
        with pytest.raises(DeliveryError) as caught:
            sink.send(a_message())
        assert caught.value.__context__ is None
        assert secret not in "".join(traceback.format_exception(caught.value))
        assert secret not in caplog.text
        assert secret not in repr(sink)

    @pytest.mark.parametrize("url", ["http://hooks.slack.com/services/SECRET", "ftp://x/SECRET", "SECRET", "", "https://",
                                     "http://127.0.0.1.evil.example/SECRET", "https://[SECRET/"])  # fmt: skip
    def test_in_the_error_about_a_wrong_one(self, url: str) -> None:
        with pytest.raises(SettingError, match="webhook URL") as caught:
            SlackWebhook(url)
        assert "SECRET" not in "".join(traceback.format_exception(caught.value))

    @pytest.mark.parametrize("url", ["https://hooks.slack.com/services/T/B/x\n", "http://127.0.0.1:9/x",
                                     "http://localhost/x", "http://[::1]:80/x"])  # fmt: skip
    def test_https_and_this_machine_are_accepted(self, url: str) -> None:
        SlackWebhook(url).close()


class answering:  # noqa: N801 - reads as the context manager it is
    """Run a server on loopback that answers one request."""

    def __init__(self, status: int, body: str, location: str = "") -> None:
        headers = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", "Connection: close"]
        headers += [f"Location: {location}"] if location else []
        self._reply = "\r\n".join([*headers, "", body]).encode()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._answer)

    def __enter__(self) -> str:
        self._thread.start()
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}/x"

    def __exit__(self, *_: Any) -> None:
        self._thread.join()
        self._socket.close()

    def _answer(self) -> None:
        connection, _ = self._socket.accept()
        with connection:
            received = b""
            while b"}" not in received[-2:]:
                received += connection.recv(65536)
            connection.sendall(self._reply)
