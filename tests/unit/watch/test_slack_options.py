"""The Slack options of `watch`: a webhook or a bot, and errors that name the option and show no secret."""

from __future__ import annotations

import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from testbed.slack import SlackStandIn
from tests.support.watching import Watching, entry, options
from vaultwatch.audience import EVERYBODY
from vaultwatch.errors import SettingError
from vaultwatch.notify.slack.bot import SlackBot
from vaultwatch.notify.slack.webhook import SlackWebhook
from vaultwatch.rules.facts import Level
from vaultwatch.watch.slack_options import API_URL_VARIABLE, WEBHOOK_VARIABLE, SlackOptions

URL = "https://hooks.slack.com/services/T0/B0/SECRET"
TOKEN = "xoxb-1-SECRET"


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    return tmp_path / "token"


def sink(**given: Any) -> SlackWebhook | SlackBot | None:
    nothing: dict[str, Any] = {"webhook_file": None, "token_file": None, "channel": "", "environment": {}}
    found = SlackOptions(**(nothing | given))
    assert found.is_given == bool(given)
    return found.sink(Path("/nowhere/threads"), Level.HIGH, 0.0, EVERYBODY)


def test_without_any_of_them_there_is_no_sink() -> None:
    assert sink() is None


def test_a_webhook_comes_from_a_file_or_a_variable(tmp_path: Path) -> None:
    (tmp_path / "webhook").write_text(f"{URL}\n")
    for given in ({"webhook_file": tmp_path / "webhook"}, {"environment": {WEBHOOK_VARIABLE: URL}}):
        assert isinstance(sink(**given), SlackWebhook)


def test_a_token_and_a_channel_make_a_bot(token_file: Path) -> None:
    bot = sink(token_file=token_file, channel="C123")
    assert isinstance(bot, SlackBot)
    assert (bot.name, bot.minimum_level) == ("slack", Level.HIGH)


def test_a_token_file_takes_precedence_over_the_webhook_s_variable(token_file: Path) -> None:
    assert isinstance(sink(token_file=token_file, channel="C1", environment={WEBHOOK_VARIABLE: URL}), SlackBot)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"channel": "C1"}, "--slack-channel: needs --slack-token-file as well"),
        ({"token_file": "token"}, "--slack-token-file: needs --slack-channel as well"),
        (
            {"token_file": "token", "channel": "C1", "webhook_file": "token"},
            "--slack-token-file: cannot be used together with --slack-webhook-file",
        ),
        ({"token_file": "token", "channel": "<!channel>"}, "--slack-channel: is neither the id nor the name"),
        ({"token_file": "nothing", "channel": "C1"}, "--slack-token-file: {folder}/nothing: No such file or directory"),
        ({"token_file": "empty", "channel": "C1"}, "--slack-token-file: {folder}/empty: contains no token"),
        ({"token_file": "two", "channel": "C1"}, "--slack-token-file: {folder}/two: contains more than one token"),
        ({"token_file": "user", "channel": "C1"}, "--slack-token-file: {folder}/user: is not a Slack bot token"),
        (
            {"token_file": "token", "channel": "C1", "environment": {API_URL_VARIABLE: "http://slack.example/SECRET"}},
            "the URL of the Slack API must begin with https://",
        ),
    ],
)
def test_an_error_names_the_option_and_shows_no_secret(
    token_file: Path, tmp_path: Path, given: dict[str, Any], said: str
) -> None:
    for name, content in (("empty", " \n"), ("two", f"{TOKEN} {TOKEN}"), ("user", "xoxp-SECRET")):
        (tmp_path / name).write_text(content)
    files = {key: tmp_path / value for key, value in given.items() if key.endswith("_file")}
    with pytest.raises(SettingError) as caught:
        sink(**(given | files))
    assert str(caught.value).startswith(said.format(folder=tmp_path))
    assert "SECRET" not in "".join(traceback.format_exception(caught.value))


def test_a_handler_notifies_through_a_bot(tmp_path: Path, token_file: Path) -> None:
    with SlackStandIn(interval_seconds=0) as slack:
        token_file.write_text(slack.token)
        watched = replace(
            options(tmp_path, environment={API_URL_VARIABLE: slack.api_url}),
            slack_token_file=token_file,
            slack_channel=slack.channel,
        )
        with Watching(watched) as watching:
            watching.write(entry(1))
            slack.wait_for(1)
        assert [method for method, _ in slack.calls] == ["chat.postMessage"]
