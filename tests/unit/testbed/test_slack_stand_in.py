"""The stand-in refuses what Slack refuses, so that what passes it passes Slack."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3

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
def test_what_slack_does_not_take(slack: SlackStandIn, payload: Any, error: str) -> None:
    assert post(slack.webhook_url, payload) == (400, error)
    assert slack.accepted == 0


def test_what_it_takes_can_be_waited_for(slack: SlackStandIn) -> None:
    assert post(slack.webhook_url, {"text": "x", "blocks": [section("x" * 3000)]}) == (200, "ok")
    assert [message.text for message in slack.wait_for(1, timeout=5)] == ["x"]
    with pytest.raises(TimeoutError):
        slack.wait_for(2, timeout=0)


def test_another_path_is_no_webhook(slack: SlackStandIn) -> None:
    assert post(slack.page_url + "services/x", {"text": "x"}) == (404, "no_service")


def test_one_message_a_second() -> None:
    with SlackStandIn(interval_seconds=60) as slack:
        assert post(slack.webhook_url, {"text": "1"}) == (200, "ok")
        response = urllib3.request("POST", slack.webhook_url, json={"text": "2"}, retries=False)
        response.close()
        assert (response.status, response.headers["Retry-After"]) == (429, "1")
        assert len(slack.messages) == 1


def test_it_fails_as_often_as_told(slack: SlackStandIn) -> None:
    slack.behave("500", times=1)
    assert [post(slack.webhook_url, {"text": "x"})[0] for _ in range(2)] == [500, 200]


def test_the_page_shows_messages_newest_first_and_nothing_of_them_as_markup(slack: SlackStandIn) -> None:
    for text in ("older", "<script>newer</script>"):
        post(slack.webhook_url, {"text": "x", "blocks": [section(text)]})
    response = urllib3.request("GET", slack.page_url)
    response.close()
    page = response.data.decode()
    assert page.index("&lt;script&gt;newer") < page.index("older")
    assert "<script" not in page
    assert slack.webhook_url.rsplit("/", 1)[1] not in page
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
