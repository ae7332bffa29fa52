"""Slack gets every message whole, within its limits, with nothing of a log where markup is read."""

from __future__ import annotations

import json
import logging
import socket
import threading
import traceback
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slack_sdk.models.blocks import Block

from testbed.slack import SlackStandIn, fault
from tests.unit.notify.samples import a_message, a_summary
from tests.unit.store.alerts import an_alert
from vaultwatch.errors import DeliveryError, SettingError, SinkBusy, SinkRefused
from vaultwatch.notify.slack import SlackSink, posts
from vaultwatch.rules.facts import Level

LOGGED = ("principal", "path", "namespace", "summary", "remote_address", "cluster", "node", "time")


@pytest.fixture
def slack() -> Iterator[SlackStandIn]:
    with SlackStandIn(interval_seconds=0) as slack:
        yield slack


@pytest.fixture
def sink(slack: SlackStandIn) -> Iterator[SlackSink]:
    sink = SlackSink(slack.webhook_url, interval_seconds=0, timeout_seconds=0.3)
    yield sink
    sink.close()


def texts_by_type(value: Any) -> Iterator[tuple[str, str]]:
    """Every text in the blocks with the type of what holds it."""
    if isinstance(value, dict):
        if isinstance(value.get("text"), str):
            yield value["type"], value["text"]
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from texts_by_type(item)


def shown(payloads: list[dict[str, Any]]) -> str:
    return "\n".join(text for payload in payloads for _, text in texts_by_type(payload["blocks"]))


class TestPosts:
    def test_show_all_that_a_reader_needs(self) -> None:
        (post,) = posts(a_message())
        text = shown([post])
        for part in (an_alert().summary, an_alert().id, "alice", "secret/data/app", "root", "192.0.2.7", "prod/vault-1",
                     "2024-05-06T07:08:09.123456Z", "succeeded", "vault token revoke -accessor abc", "\U0001f7e0 HIGH",
                     "Root policy used", "counted for 15 minutes"):  # fmt: skip
            assert part in text
        assert post["text"] == "\U0001f7e0 HIGH: Root policy used"

    def test_the_title_of_the_first_alert_stands_in_the_headline_only(self) -> None:
        (post,) = posts(a_message(an_alert(summary="S"), an_alert(rule="other", title="Another title", summary="S")))
        text = shown([post])
        assert text.count("Root policy used") == 1
        assert text.count("Another title") == 1

    def test_a_summary_shows_its_counts_and_groups(self) -> None:
        text = shown(posts(a_summary(3, left_out=1000)))
        assert "1,009 alerts counted" in text
        assert "3 x p2" in text
        assert "1,000 x in groups not listed here" in text

    def test_text_of_a_log_is_never_markup_and_never_in_the_fallback(self) -> None:
        evil = an_alert(**dict.fromkeys(LOGGED, "<!channel> <https://evil|x> *EVIL* :smile:"), actions=("EVIL",))
        for post in posts(a_message(evil, merged=a_summary().merged)):
            assert "EVIL" not in post["text"]
            found = list(texts_by_type(post["blocks"]))
            assert {kind for kind, text in found if "EVIL" in text} == {"plain_text", "text"}
            assert {kind for kind, _ in found} <= {"plain_text", "text"}
            elements = [element for block in post["blocks"] for element in block.get("elements", [])]
            assert {e["type"] for e in elements} <= {"rich_text_preformatted", "plain_text"}

    def test_what_is_too_long_for_one_post_goes_into_the_next(self) -> None:
        alerts = [an_alert(rule=f"rule_{n}", actions=tuple(f"{n}-{m} {'x' * 2000}" for m in range(9)))
                  for n in range(6)]  # fmt: skip
        payloads = posts(a_message(*alerts))
        assert len(payloads) > 1
        assert [payload["text"][-len(" (1 of 2)") :] for payload in payloads[:2]] == [
            f"({n} of {len(payloads)})".rjust(9) for n in (1, 2)
        ]
        text = shown(payloads)
        assert all(action in text for alert in alerts for action in alert.actions)
        assert all(alert.id in text for alert in alerts)

    @settings(max_examples=60)
    @given(st.data())
    def test_are_valid_for_slack_whatever_a_log_holds(self, data: st.DataObject) -> None:
        anything = st.text(max_size=40) | st.sampled_from(
            ["\x1b" * 5000, "\u202e" * 4000, "😀" * 4000, "\\" * 9000, ""]
        )
        texts = st.fixed_dictionaries(dict.fromkeys(LOGGED, anything))
        alerts = [
            an_alert(rule=f"r{n}", actions=tuple(data.draw(st.lists(anything, max_size=5))), **data.draw(texts))
            for n in range(data.draw(st.integers(1, 6)))
        ]
        for payload in posts(a_message(*alerts, merged=a_summary(20).merged)):
            sent = json.loads(json.dumps(payload, ensure_ascii=False).encode("utf-8", "replace"))
            assert fault(sent) == ""
            for block in payload["blocks"]:
                parsed = Block.parse(block)
                assert parsed is not None
                parsed.validate_json()
            assert all(
                char.isprintable() or char == "\n" for _, text in texts_by_type(payload["blocks"]) for char in text
            )

    @pytest.mark.parametrize("level", list(Level))
    def test_of_every_level(self, level: Level) -> None:
        assert level.upper() in posts(a_message(an_alert(level=level)))[0]["text"]


class TestSink:
    def test_posts_and_returns_once_slack_said_yes(self, sink: SlackSink, slack: SlackStandIn) -> None:
        sink.send(a_message())
        assert [post.payload for post in slack.messages] == posts(a_message())

    def test_keeps_a_second_between_its_posts(self) -> None:
        alerts = [an_alert(rule=f"rule_{n}", actions=("x" * 2000,) * 3) for n in range(2)]
        with SlackStandIn(interval_seconds=0.2) as slack:
            sink = SlackSink(slack.webhook_url, interval_seconds=0.2)
            sink.send(a_message(*alerts))
            sink.send(a_message())
            sink.close()
            assert len(slack.messages) == len(posts(a_message(*alerts))) + 1 > 2

    def test_waits_as_long_as_slack_asks(self, sink: SlackSink, slack: SlackStandIn) -> None:
        slack.behave("429")
        with pytest.raises(SinkBusy) as caught:
            sink.send(a_message())
        assert caught.value.retry_after_seconds == 1.0

    @pytest.mark.parametrize(("behaviour", "text"), [("500", "Slack answered 500 rollup_error"), ("hang", "Timeout"),
                                                     ("refuse", "could not be reached")])  # fmt: skip
    def test_tries_again_what_may_pass(self, sink: SlackSink, slack: SlackStandIn, behaviour: Any, text: str) -> None:
        slack.behave(behaviour)
        with pytest.raises(DeliveryError, match=text) as caught:
            sink.send(a_message())
        assert not isinstance(caught.value, SinkBusy | SinkRefused)
        slack.behave("ok")
        sink.send(a_message())

    def test_says_so_when_slack_refuses(self, sink: SlackSink, slack: SlackStandIn) -> None:
        slack.behave("404")
        with pytest.raises(SinkRefused, match="Slack answered 404 no_service"):
            sink.send(a_message())

    def test_follows_no_redirect(self, slack: SlackStandIn) -> None:
        with redirecting_to(slack.webhook_url) as url:
            sink = SlackSink(url)
            with pytest.raises(DeliveryError, match="302"):
                sink.send(a_message())
            sink.close()
        assert not slack.messages


class TestTheWebhookIsASecret:
    @pytest.mark.parametrize("behaviour", ["500", "404", "refuse", "hang", "429"])
    def test_in_errors_and_logs(
        self, sink: SlackSink, slack: SlackStandIn, behaviour: Any, caplog: pytest.LogCaptureFixture
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
    def test_in_what_is_said_of_a_wrong_one(self, url: str) -> None:
        with pytest.raises(SettingError, match="webhook URL") as caught:
            SlackSink(url)
        assert "SECRET" not in "".join(traceback.format_exception(caught.value))

    @pytest.mark.parametrize("url", ["https://hooks.slack.com/services/T/B/x\n", "http://127.0.0.1:9/x",
                                     "http://localhost/x", "http://[::1]:80/x"])  # fmt: skip
    def test_https_and_this_machine_are_fine(self, url: str) -> None:
        SlackSink(url).close()


class redirecting_to:  # noqa: N801 - reads as the context manager it is
    """A server on loopback that answers one request with a redirect."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._answer)

    def __enter__(self) -> str:
        self._thread.start()
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}/x"

    def __exit__(self, *_: object) -> None:
        self._thread.join()
        self._socket.close()

    def _answer(self) -> None:
        connection, _ = self._socket.accept()
        with connection:
            while b"}" not in connection.recv(65536):
                pass
            head = f"HTTP/1.1 302 Found\r\nLocation: {self._target}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            connection.sendall(head.encode())
