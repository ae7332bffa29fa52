"""The stand-in refuses what Slack refuses, so that Slack accepts whatever the stand-in accepts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from testbed.slack import SlackStandIn


@pytest.fixture
def slack() -> Iterator[SlackStandIn]:
    with SlackStandIn(interval_seconds=0) as slack:
        yield slack


def post(url: str, payload: Any) -> tuple[int, str]:
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    response = urllib3.request("POST", url, body=body, retries=False)
    response.close()
    return response.status, response.data.decode()


def section(text: str, kind: str = "plain_text") -> dict[str, Any]:
    return {"type": "section", "text": {"type": kind, "text": text}}


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        (b"{", "invalid_payload"),
        ([], "invalid_payload"),
        ({"blocks": [section("x")]}, "no_text"),
        ({"text": "x", "blocks": [section("x")] * 51}, "invalid_blocks"),
        ({"text": "x", "blocks": [section("x" * 3001)]}, "invalid_blocks"),
        ({"text": "x", "blocks": [section("")]}, "invalid_blocks"),
        ({"text": "x", "blocks": [section("x", "html")]}, "invalid_blocks"),
        ({"text": "x", "blocks": [section("x" * 151) | {"type": "header"}]}, "invalid_blocks"),
        ({"text": "x", "blocks": [{"type": "marquee"}]}, "invalid_blocks"),
        ({"text": "x", "blocks": [section("x" * 3000)] * 5}, "msg_blocks_too_long"),
        ({"text": "x" * 40_001}, "msg_too_long"),
    ],
)  # fmt: skip
def test_payloads_that_slack_refuses_are_refused(slack: SlackStandIn, payload: Any, error: str) -> None:
    assert post(slack.webhook_url, payload) == (400, error)
    assert slack.accepted == 0


def test_accepted_messages_can_be_waited_for(slack: SlackStandIn) -> None:
    assert post(slack.webhook_url, {"text": "x", "blocks": [section("x" * 3000)]}) == (200, "ok")
    assert [message.text for message in slack.wait_for(1, timeout=5)] == ["x"]
    with pytest.raises(TimeoutError):
        slack.wait_for(2, timeout=0)


def test_any_other_path_is_no_webhook(slack: SlackStandIn) -> None:
    assert post(slack.page_url + "services/x", {"text": "x"}) == (404, "no_service")


def test_one_message_a_second() -> None:
    with SlackStandIn(interval_seconds=60) as slack:
        assert post(slack.webhook_url, {"text": "1"}) == (200, "ok")
        response = urllib3.request("POST", slack.webhook_url, json={"text": "2"}, retries=False)
        response.close()
        assert (response.status, response.headers["Retry-After"]) == (429, "1")
        assert len(slack.messages) == 1


def test_it_fails_as_often_as_requested(slack: SlackStandIn) -> None:
    slack.behave("500", times=1)
    assert [post(slack.webhook_url, {"text": "x"})[0] for _ in range(2)] == [500, 200]


def test_the_page_shows_messages_newest_first_and_without_their_markup(slack: SlackStandIn) -> None:
    for text in ("older", "<script>newer</script>"):
        post(slack.webhook_url, {"text": "x", "blocks": [section(text)]})
    response = urllib3.request("GET", slack.page_url)
    response.close()
    page = response.data.decode()
    assert page.index("&lt;script&gt;newer") < page.index("older")
    assert "<script" not in page
    assert slack.webhook_url.rsplit("/", 1)[1] not in page
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]


class TestWebApi:
    """Tested with Slack's own client, so that the stand-in behaves like Slack."""

    def test_a_message_is_posted_answered_in_its_thread_and_updated(self, slack: SlackStandIn) -> None:
        client = web_client(slack)
        root = client.chat_postMessage(channel="#vault-alerts", text="one", blocks=[section("first")])
        assert root["channel"] == slack.channel
        client.chat_postMessage(channel=slack.channel, text="two", thread_ts=root["ts"], reply_broadcast=True)
        client.chat_update(channel=slack.channel, ts=root["ts"], text="one, updated")
        first, second = slack.messages
        assert (first.text, first.blocks, second.thread_ts) == ("one, updated", [section("first")], first.ts)
        assert first.edited_at > 0
        assert second.in_channel
        assert (slack.accepted, slack.updated) == (2, 1)

    @pytest.mark.parametrize(
        ("arguments", "error"),
        [
            ({"channel": "C0OTHER", "text": "x"}, "channel_not_found"),
            ({"channel": "C0FOREIGN", "text": "x"}, "not_in_channel"),
            ({"channel": "C0STANDIN", "text": "x" * 40_001}, "msg_too_long"),
            ({"channel": "C0STANDIN", "text": "x", "blocks": [section("x")] * 51}, "invalid_blocks"),
            ({"channel": "C0STANDIN", "text": "x", "thread_ts": "1.000001"}, "thread_not_found"),
        ],
    )
    def test_these_posts_are_refused(self, slack: SlackStandIn, arguments: dict[str, Any], error: str) -> None:
        with pytest.raises(SlackApiError) as caught:
            web_client(slack).chat_postMessage(**arguments)
        assert caught.value.response["error"] == error
        assert slack.accepted == 0

    def test_these_updates_are_refused(self, slack: SlackStandIn) -> None:
        post(slack.webhook_url, {"text": "by the webhook"})
        root = web_client(slack).chat_postMessage(channel=slack.channel, text="mine")
        wrong = {
            "message_not_found": {"channel": slack.channel, "ts": "1.000001", "text": "x"},
            "cant_update_message": {"channel": slack.channel, "ts": slack.messages[0].ts, "text": "x"},
            "channel_not_found": {"channel": "#vault-alerts", "ts": root["ts"], "text": "x"},
            "msg_too_long": {"channel": slack.channel, "ts": root["ts"], "text": "x" * 40_001},
        }
        for error, arguments in wrong.items():
            with pytest.raises(SlackApiError) as caught:
                web_client(slack).chat_update(**arguments)
            assert caught.value.response["error"] == error
        assert slack.updated == 0

    @pytest.mark.parametrize(("token", "error"), [("xoxb-wrong", "invalid_auth"), ("", "not_authed")])
    def test_only_its_token_is_accepted(self, slack: SlackStandIn, token: str, error: str) -> None:
        with pytest.raises(SlackApiError) as caught:
            WebClient(token, base_url=slack.api_url).chat_postMessage(channel=slack.channel, text="x")
        assert caught.value.response["error"] == error

    def test_one_message_a_second_and_fifty_updates_a_minute(self) -> None:
        with SlackStandIn(interval_seconds=60) as slack:
            client = web_client(slack)
            root = client.chat_postMessage(channel=slack.channel, text="1")
            with pytest.raises(SlackApiError) as caught:
                client.chat_postMessage(channel=slack.channel, text="2")
            assert (caught.value.response.status_code, caught.value.response["error"]) == (429, "ratelimited")
            assert caught.value.response.headers["Retry-After"] == "1"
            for number in range(50):
                client.chat_update(channel=slack.channel, ts=root["ts"], text=str(number))
            with pytest.raises(SlackApiError, match="ratelimited"):
                client.chat_update(channel=slack.channel, ts=root["ts"], text="50")

    def test_a_person_may_delete_a_message(self, slack: SlackStandIn) -> None:
        root = web_client(slack).chat_postMessage(channel=slack.channel, text="x")
        slack.delete(root["ts"])
        with pytest.raises(SlackApiError, match="message_not_found"):
            web_client(slack).chat_update(channel=slack.channel, ts=root["ts"], text="y")

    def test_the_page_shows_a_thread_below_its_message_and_what_was_updated(self, slack: SlackStandIn) -> None:
        client = web_client(slack)
        root = client.chat_postMessage(channel=slack.channel, text="the root")
        client.chat_postMessage(channel=slack.channel, text="another")
        client.chat_postMessage(channel=slack.channel, text="a reply", thread_ts=root["ts"], reply_broadcast=True)
        client.chat_update(channel=slack.channel, ts=root["ts"], text="the root, updated")
        page = slack.page()
        assert page.index("another") < page.index("the root, updated") < page.index("a reply")
        assert "(edited " in page
        assert "also sent to the channel" in page


def web_client(slack: SlackStandIn) -> WebClient:
    return WebClient(slack.token, base_url=slack.api_url)
