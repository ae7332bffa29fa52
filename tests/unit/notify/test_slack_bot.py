"""The bot sink: an alert group is one message, updated in place, with its repeats in the thread."""

from __future__ import annotations

import inspect
import logging
import re
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from slack_sdk import WebClient
from slack_sdk.models.blocks import Block

from testbed.slack import Post, SlackStandIn
from testbed.slack.workspace import CHANNEL_NAME, FOREIGN_CHANNEL
from tests.unit.notify.samples import a_group, a_message
from tests.unit.store.alerts import an_alert
from vaultwatch.dispatch.notification import Notification
from vaultwatch.errors import DeliveryError, SettingError, SinkBusy, SinkMisconfigured, SinkRefused
from vaultwatch.notify.slack.bot import SlackBot
from vaultwatch.rules.facts import Level
from vaultwatch.store import StoreError
from vaultwatch.store.sqlite_threads import SqliteThreads
from vaultwatch.store.threads import Thread, Threads

HOUR = 3_600.0
GROUP = "a" * 32
Action = Callable[[], None]


class World:
    """A Slack, a clock, stored threads, and a bot that can be restarted."""

    def __init__(self, slack: SlackStandIn, folder: Path) -> None:
        self.slack = slack
        self.now = 1_700_000_000.0
        self.threads: Threads = SqliteThreads(folder / "threads", clock=lambda: self.now)

    def bot(self, **changes: Any) -> SlackBot:
        options: dict[str, Any] = {
            "token": self.slack.token,
            "channel": self.slack.channel,
            "threads": self.threads,
            "interval_seconds": 0,
            "timeout_seconds": 3.0,
            "api_url": self.slack.api_url,
            "clock": lambda: self.now,
        }
        return SlackBot(**(options | changes))

    def send(self, *notifications: Notification) -> None:
        bot = self.bot()
        for notification in notifications:
            bot.send(notification)
        bot.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with SlackStandIn(interval_seconds=0) as slack:
        yield World(slack, tmp_path)


class Hooked:
    """Stored threads with a hook that runs before a call: once, unless it raises."""

    def __init__(self, memory: Threads, on_get: Action | None = None, on_put: Action | None = None) -> None:
        self._memory = memory
        self._on_get = on_get
        self._on_put = on_put

    def get(self, group: str) -> Thread | None:
        if self._on_get is not None:
            self._on_get()
        return self._memory.get(group)

    def put(self, group: str, thread: Thread, replacing: Thread | None) -> bool:
        if self._on_put is not None:
            self._on_put()
            self._on_put = None
        return self._memory.put(group, thread, replacing)


def raising(error: BaseException) -> Action:
    def action() -> None:
        raise error

    return action


def a_first(event: str = "e1", **changes: Any) -> Notification:
    alert = an_alert(event, **{"summary": f"alice did {event}", **changes})
    return a_message(alert, group=GROUP)


def a_repeat(event: str = "s1", count: int = 5, **changes: Any) -> Notification:
    merged = replace(a_group(event, count, summary=f"alice did {event}"), group=GROUP)
    fields: dict[str, Any] = {"id": f"summary-{event}", "disposition": "summary", "alerts": (), "group": GROUP}
    return a_message(merged=(merged,), **(fields | changes))


def shown(post: Post) -> str:
    """Return the text of a message that a reader sees."""
    return "\n".join(_texts(post.blocks))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (text for key, text in value.items() if key == "text" and isinstance(text, str))
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _texts(item)


class TestAGroup:
    def test_begins_as_one_message_with_all_that_a_reader_needs(self, world: World) -> None:
        world.send(a_first())
        (root,) = world.slack.messages
        assert root.thread_ts == ""
        for part in ("HIGH: Root policy used", "alice did e1", "secret/data/app", "vault token revoke -accessor abc"):
            assert part in shown(root)

    def test_continues_in_its_thread_and_its_message_counts(self, world: World) -> None:
        world.send(a_first(), a_repeat("s1", 5), a_first("e2"))
        root, summary, again = world.slack.messages
        assert [reply.thread_ts for reply in (summary, again)] == [root.ts, root.ts]
        assert "alice did e1" in shown(root)
        assert "7 alerts in 3 notifications" in shown(root)
        assert "2024-05-06 07:08:09 UTC alice did e2" in shown(root)
        assert "alice did e2" in shown(again)

    def test_is_continued_by_a_new_process(self, world: World) -> None:
        world.send(a_first())
        world.send(a_first("e2"))
        root, reply = world.slack.messages
        assert reply.thread_ts == root.ts
        assert "2 alerts in 2 notifications" in shown(root)

    def test_is_separate_from_every_other_group(self, world: World) -> None:
        other = a_message(an_alert("o1"), group="b" * 32)
        world.send(a_first(), other, a_first("e2"))
        assert [post.thread_ts for post in world.slack.messages] == ["", "", world.slack.messages[0].ts]

    def test_counts_its_own_alerts_and_none_of_another_group(self, world: World) -> None:
        mixed = a_message(an_alert("e2"), group=GROUP, merged=(a_group("x1", 40),))
        world.send(a_first(), mixed)
        assert re.search(r"\b2 alerts in 2 notifications", shown(world.slack.messages[0]))

    def test_shows_its_highest_level(self, world: World) -> None:
        world.send(a_first(level=Level.MEDIUM), a_first("e2", level=Level.CRITICAL), a_first("e3", level=Level.LOW))
        assert world.slack.messages[0].text == "\U0001f534 CRITICAL: Root policy used"

    def test_a_notification_of_several_groups_is_a_message_of_its_own(self, world: World) -> None:
        several = a_repeat(group="")
        world.send(a_first(), several, several)
        assert [post.thread_ts for post in world.slack.messages] == ["", "", ""]
        assert world.slack.updated == 0


class TestANewMessage:
    @pytest.mark.parametrize(("seconds", "roots"), [(2 * HOUR - 1, 1), (2 * HOUR, 2)])
    def test_begins_after_two_hours_without_a_notification(self, world: World, seconds: float, roots: int) -> None:
        world.send(a_first())
        world.now += seconds
        world.send(a_first("e2"))
        assert [post.thread_ts for post in world.slack.messages].count("") == roots

    def test_begins_after_a_day_whatever_happens(self, world: World) -> None:
        for number in range(25):
            world.send(a_first(f"e{number}"))
            world.now += HOUR
        assert [n for n, post in enumerate(world.slack.messages) if not post.thread_ts] == [0, 24]

    def test_begins_if_the_clock_was_set_back(self, world: World) -> None:
        world.send(a_first())
        world.now -= HOUR
        world.send(a_first("e2"))
        assert [post.thread_ts for post in world.slack.messages] == ["", ""]

    def test_begins_if_a_person_deleted_the_old_one(self, world: World) -> None:
        world.send(a_first())
        world.slack.delete(world.slack.messages[0].ts)
        world.send(a_first("e2"), a_first("e3"))
        root, reply = world.slack.messages
        assert "alice did e2" in shown(root)
        assert reply.thread_ts == root.ts

    @pytest.mark.parametrize(
        ("word", "method"),
        [("edit_window_closed", "chat.update"), ("cant_update_message", "chat.update"),
         ("restricted_action_thread_locked", "chat.postMessage"), ("thread_not_found", "chat.postMessage")],
    )  # fmt: skip
    def test_begins_if_slack_no_longer_allows_changing_the_old_one(self, world: World, word: str, method: str) -> None:
        world.send(a_first())
        world.slack.behave(word, times=1, method=method)
        world.send(a_first("e2"))
        assert [post.thread_ts for post in world.slack.messages] == ["", ""]


class TestTheChannelSees:
    @pytest.mark.parametrize(("level", "seen"), [(Level.CRITICAL, True), (Level.HIGH, True), (Level.MEDIUM, False)])
    def test_repeats_that_are_sent_at_once_from_level_high_on(self, world: World, level: Level, seen: bool) -> None:
        world.send(a_first(level=level), a_first("e2", level=level))
        assert world.slack.messages[1].in_channel is seen

    def test_whatever_counts_alerts_of_other_groups(self, world: World) -> None:
        """Otherwise a client could let others' acts wait, and then let them be counted in the thread of his own."""
        others = a_message(an_alert("e2", level=Level.MEDIUM), merged=(a_group("e9", 1),), group=GROUP)
        world.send(a_first(level=Level.MEDIUM), others)
        assert world.slack.messages[1].in_channel

    def test_no_summary(self, world: World) -> None:
        world.send(a_first(), a_repeat())
        assert not world.slack.messages[1].in_channel

    def test_one_post_of_a_notification_that_needs_several(self, world: World) -> None:
        long = a_message(an_alert("e2", actions=tuple("x" * 2000 for _ in range(9))), group=GROUP)
        world.send(a_first(), long)
        replies = list(world.slack.messages)[1:]
        assert len(replies) > 1
        assert [reply.in_channel for reply in replies] == [True, *[False] * (len(replies) - 1)]


class TestARetry:
    @pytest.mark.parametrize("accepted", [0, 1, 2])
    def test_repeats_no_post_that_slack_has_accepted(self, world: World, accepted: int) -> None:
        long = a_message(an_alert(actions=tuple("x" * 2000 for _ in range(9))), group=GROUP)
        world.slack.behave("500", times=1, after=accepted)
        with pytest.raises(DeliveryError):
            world.send(long)
        assert world.slack.accepted == accepted
        world.send(long)
        texts = [post.text for post in world.slack.messages]
        assert len(texts) == len(set(texts)) > 2

    def test_after_a_failed_update_posts_the_reply_once(self, world: World) -> None:
        world.send(a_first())
        world.slack.behave("500", times=1, method="chat.update")
        with pytest.raises(DeliveryError):
            world.send(a_first("e2"))
        assert world.slack.accepted == 1
        world.send(a_first("e2"))
        world.send(a_first("e2"))
        assert world.slack.accepted == 2
        assert "2 alerts in 2 notifications" in shown(world.slack.messages[0])

    def test_after_a_crash_before_a_post_was_stored_repeats_only_that_post(self, world: World) -> None:
        world.send(a_first())
        memory = world.threads
        world.threads = Hooked(memory, on_put=raising(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            world.send(a_first("e2"))
        world.threads = memory
        world.send(a_first("e2"))
        assert world.slack.accepted == 3
        assert "2 alerts in 2 notifications" in shown(world.slack.messages[0])

    def test_two_processes_at_once_lose_no_count(self, world: World) -> None:
        world.send(a_first())
        memory = world.threads

        def other_process() -> None:
            world.threads = memory
            world.send(a_first("e3"))

        world.threads = Hooked(memory, on_put=other_process)
        world.send(a_first("e2"))
        world.send(a_first("e4"))
        assert "4 alerts in 4 notifications" in shown(world.slack.messages[0])

    def test_without_its_store_it_posts_twice_rather_than_not_at_all(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        full = raising(StoreError("disk full"))
        world.threads = Hooked(world.threads, on_get=full, on_put=full)
        world.send(a_first(), a_first("e2"))
        assert [post.thread_ts for post in world.slack.messages] == ["", ""]
        assert "disk full" in caplog.text


class TestAnswers:
    def test_it_passes_on_how_long_slack_asks_to_wait(self, world: World) -> None:
        world.slack.behave("429")
        with pytest.raises(SinkBusy, match="429 ratelimited") as caught:
            world.send(a_first())
        assert caught.value.retry_after_seconds == 1.0

    @pytest.mark.parametrize(
        "word", ["invalid_auth", "token_revoked", "token_expired", "account_inactive", "missing_scope",
                 "channel_not_found", "not_in_channel", "is_archived", "ekm_access_denied"],
    )  # fmt: skip
    def test_until_a_person_repairs_the_settings_nothing_is_lost(self, world: World, word: str) -> None:
        world.slack.behave(word)
        with pytest.raises(SinkMisconfigured, match=f"Slack answered 200 {word}"):
            world.send(a_first())
        world.slack.behave("ok")
        world.send(a_first())
        assert world.slack.accepted == 1

    @pytest.mark.parametrize("word", ["msg_too_long", "invalid_blocks", "no_text", "msg_blocks_too_long"])
    def test_a_notification_that_slack_will_never_accept_is_refused(self, world: World, word: str) -> None:
        world.slack.behave(word)
        with pytest.raises(SinkRefused, match=word):
            world.send(a_first())

    def test_a_notification_of_which_slack_refuses_the_texts_is_posted_without_them(self, world: World) -> None:
        world.slack.behave("invalid_blocks", times=1)
        world.send(a_first())
        assert "the texts of this alert are left out" in str(world.slack.messages[0])

    @pytest.mark.parametrize("word", ["500", "internal_error", "fatal_error", "never_heard_of", "hang", "refuse"])
    def test_everything_else_is_retried(self, world: World, word: str) -> None:
        world.slack.behave(word)
        with pytest.raises(DeliveryError) as caught:
            world.send(a_first())
        assert type(caught.value) is DeliveryError

    def test_a_channel_that_the_app_is_not_in_says_what_to_do(self, world: World) -> None:
        with pytest.raises(SinkMisconfigured, match="invite the app to the channel"):
            world.bot(channel=FOREIGN_CHANNEL).send(a_first())

    def test_a_channel_may_be_given_by_name(self, world: World) -> None:
        world.bot(channel=CHANNEL_NAME).send(a_first())
        world.bot(channel=CHANNEL_NAME).send(a_first("e2"))
        assert (world.slack.accepted, world.slack.updated) == (2, 1)


def test_it_keeps_its_calls_a_second_apart(tmp_path: Path) -> None:
    with SlackStandIn(interval_seconds=0.2) as slack:
        bot = World(slack, tmp_path).bot(interval_seconds=0.2)
        for event in ("e1", "e2", "e3"):
            bot.send(a_first(event))
        assert (slack.accepted, slack.turned_away) == (3, 0)


def test_slack_s_own_client_knows_every_argument_and_block(world: World) -> None:
    world.send(a_first(), a_first("e2"), a_repeat())
    methods = {"chat.postMessage": WebClient.chat_postMessage, "chat.update": WebClient.chat_update}
    assert [method for method, _ in world.slack.calls] == [
        "chat.postMessage", "chat.update", "chat.postMessage", "chat.update", "chat.postMessage",
    ]  # fmt: skip
    for method, arguments in world.slack.calls:
        assert arguments.keys() <= inspect.signature(methods[method]).parameters.keys()
        for block in Block.parse_all(arguments["blocks"]):
            block.validate_json()


class TestTheTokenIsASecret:
    @pytest.mark.parametrize("behaviour", ["500", "404", "refuse", "hang", "429", "invalid_auth"])
    def test_in_errors_and_logs(self, world: World, behaviour: str, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        world.slack.behave(behaviour)
        bot = world.bot()
        with pytest.raises(DeliveryError) as caught:
            bot.send(a_first())
        said = "".join(traceback.format_exception(caught.value)) + caplog.text + repr(bot)
        assert world.slack.token not in said

    @pytest.mark.parametrize("token", ["xoxp-SECRET", "SECRET", "", "xoxb-SECRET\r\nX: y", "xoxb-SECRET xoxb-SECRET"])
    def test_in_the_error_about_a_wrong_one(self, world: World, token: str) -> None:
        with pytest.raises(SettingError, match="begins with xoxb-") as caught:
            world.bot(token=token)
        assert "SECRET" not in "".join(traceback.format_exception(caught.value))

    def test_it_goes_to_https_and_this_machine_only(self, world: World) -> None:
        with pytest.raises(SettingError, match="URL of the Slack API must begin with https://"):
            world.bot(api_url="http://slack.example/api/")

    @pytest.mark.parametrize("channel", ["", "#", "two words", "<!channel>", "x" * 82])
    def test_a_channel_that_cannot_be_one_is_refused(self, world: World, channel: str) -> None:
        with pytest.raises(SettingError, match="name of a Slack channel"):
            world.bot(channel=channel)
