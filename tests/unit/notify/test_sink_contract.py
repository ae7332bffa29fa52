"""The specification of a sink (`vaultwatch.notify.sink`), run over every sink."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import msgspec
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from testbed.slack import SlackStandIn
from testbed.slack.limits import texts
from tests.support.faults import raise_on
from tests.unit.notify.samples import a_group, a_message
from tests.unit.store.alerts import an_alert
from vaultwatch.dispatch.notification import ALL_DISPOSITIONS, NOTIFIED, Notification
from vaultwatch.errors import DeliveryError, SinkBusy, SinkMisconfigured, SinkRefused
from vaultwatch.notify import text
from vaultwatch.notify.alert_log import AlertLog
from vaultwatch.notify.sink import Sink, route
from vaultwatch.notify.slack.bot import SlackBot
from vaultwatch.notify.slack.webhook import SlackWebhook
from vaultwatch.notify.sns import SnsSink
from vaultwatch.notify.terminal import Terminal
from vaultwatch.rules.facts import Level
from vaultwatch.store.sqlite_threads import SqliteThreads

MARKUP = "<!channel> <https://evil.example|click> *EVIL* \x1b[31m\u202e"


@dataclass
class Receiver:
    """The receiver of a sink: `fail` makes it answer in one of `ways` until `recover`; `received` is what it has."""

    open_sink: Callable[..., Sink]
    ways: dict[str, Callable[[], object]]
    recover: Callable[[], object]
    received: Callable[[], str]
    secret: str = "no secret at all"
    markup: Callable[[], str] = field(default=lambda: "")
    """What of it is read as markup."""
    writer: tuple[object, str] = (text, "summary_line")
    """A function that writes each alert."""


@pytest.fixture(params=["alert-log", "slack-webhook", "slack-bot", "sns", "terminal"])
def receiver(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Receiver]:
    """Every sink with its receiver; add a new sink to `params`."""
    if request.param == "alert-log":
        yield alert_log(tmp_path / "log")
    elif request.param == "sns":
        yield sns()
    elif request.param == "terminal":
        with ExitStack() as opened:
            yield terminal(tmp_path / "screen", opened)
    else:
        with SlackStandIn(interval_seconds=0) as stand_in:
            yield slack(stand_in, tmp_path, bot=request.param == "slack-bot")


def alert_log(folder: Path) -> Receiver:
    folder.mkdir()
    path = folder / "alerts"
    return Receiver(
        open_sink=lambda **options: AlertLog(path, **options),
        ways={"unreachable": lambda: folder.rename(folder.with_name("gone"))},
        recover=lambda: folder.with_name("gone").rename(folder),
        received=lambda: path.read_text() if path.exists() else "",
        writer=(msgspec.json, "encode"),
    )


def terminal(path: Path, opened: ExitStack) -> Receiver:
    """An ASCII terminal; in the place of one that was closed, a user opens another."""

    def open_screen() -> TextIO:
        return opened.enter_context(path.open("a", encoding="ascii"))

    screens = [open_screen()]
    return Receiver(
        open_sink=lambda **options: Terminal(screens[-1], **options),
        ways={"refused": screens[0].close},
        recover=lambda: screens.append(open_screen()),
        received=path.read_text,
    )


def slack(stand_in: SlackStandIn, folder: Path, bot: bool) -> Receiver:
    common: dict[str, Any] = {"interval_seconds": 0, "timeout_seconds": 2.0}

    def open_sink(**options: Any) -> Sink:
        if not bot:
            return SlackWebhook(stand_in.webhook_url, **common, **options)
        threads = SqliteThreads(folder / "threads")
        return SlackBot(stand_in.token, stand_in.channel, threads, api_url=stand_in.api_url, **common, **options)

    return Receiver(
        open_sink=open_sink,
        ways={
            "busy": lambda: stand_in.behave("429"),
            "refused": lambda: stand_in.behave("invalid_blocks"),
            "misconfigured": lambda: stand_in.behave("channel_not_found"),
            "failed": lambda: stand_in.behave("500"),
            "unreachable": lambda: stand_in.behave("refuse"),
        },
        recover=lambda: stand_in.behave("ok"),
        received=lambda: "\n".join(text for post in stand_in.messages for text in texts(post.blocks)),
        secret=stand_in.token if bot else stand_in.webhook_url.rpartition("/")[2],
        markup=lambda: "\n".join(
            [post.text for post in stand_in.messages] + [str(b) for p in stand_in.messages for b in _mrkdwn(p.blocks)]
        ),
    )


def _mrkdwn(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        if value.get("type") == "mrkdwn":
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _mrkdwn(item)


class Topic:
    """The part of an SNS client that the sink uses; its errors quote a secret, as botocore's may."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.published: list[dict[str, Any]] = []

    def fail(self, error: Exception | None) -> None:
        self.error = error

    def publish(self, **arguments: Any) -> Any:
        if self.error is not None:
            raise self.error
        self.published.append(arguments)


def sns() -> Receiver:
    topic = Topic()

    def coded(code: str) -> Callable[[], None]:
        return lambda: topic.fail(ClientError({"Error": {"Code": code, "Message": "QUOTED"}}, "Publish"))

    return Receiver(
        open_sink=lambda **options: SnsSink(topic, "arn:aws:sns:x:1:y", interval_seconds=0, **options),
        ways={
            "busy": coded("Throttling"),
            "refused": coded("InvalidParameter"),
            "failed": coded("InternalError"),
            "unreachable": lambda: topic.fail(EndpointConnectionError(endpoint_url="https://QUOTED")),
        },
        recover=lambda: topic.fail(None),
        received=lambda: "\n".join(str(arguments["Message"]) for arguments in topic.published),
        secret="QUOTED",
        markup=lambda: "\n".join(str(arguments["Subject"]) for arguments in topic.published),
    )


EXPECTED: dict[str, type[DeliveryError]] = {
    "busy": SinkBusy,
    "refused": SinkRefused,
    "misconfigured": SinkMisconfigured,
    "failed": DeliveryError,
    "unreachable": DeliveryError,
}


def failing(receiver: Receiver, way: str) -> DeliveryError:
    """Return what the sink raises while its receiver answers in a certain way."""
    receiver.ways[way]()
    with pytest.raises(DeliveryError) as caught:
        receiver.open_sink().send(a_message())
    return caught.value


def test_it_has_a_name_a_level_and_dispositions_that_the_store_routes_by(receiver: Receiver) -> None:
    sink = receiver.open_sink(minimum_level=Level.HIGH)
    assert route(sink).sink == sink.name == receiver.open_sink().name
    assert receiver.open_sink().minimum_level is Level.LOW
    assert route(sink).minimum_level is Level.HIGH
    assert {"first"} <= sink.dispositions <= ALL_DISPOSITIONS
    assert "staged" not in sink.dispositions


def test_it_returns_once_the_receiver_has_the_whole_notification(receiver: Receiver) -> None:
    alerts = [an_alert(rule=f"rule_{n}", actions=(f"step {n}",)) for n in range(3)]
    receiver.open_sink().send(a_message(*alerts))
    for alert in alerts:
        assert alert.id in receiver.received()
        assert alert.actions[0] in receiver.received()


def test_a_sink_for_people_sends_summaries_too(receiver: Receiver) -> None:
    sink = receiver.open_sink()
    if sink.dispositions != NOTIFIED:
        pytest.skip("it is for machines")
    group = a_group("e1", 17)
    sink.send(a_message(merged=(group,), alerts=(), disposition="summary"))
    assert "17" in receiver.received()


@pytest.mark.parametrize("way", EXPECTED)
def test_its_error_says_what_to_do_and_it_sends_again_afterwards(receiver: Receiver, way: str) -> None:
    if way not in receiver.ways:
        pytest.skip("its receiver never answers so")
    error = failing(receiver, way)
    assert type(error) is EXPECTED[way]
    assert "\n" not in str(error)
    receiver.recover()
    receiver.open_sink().send(a_message())
    assert an_alert().id in receiver.received()


@pytest.mark.parametrize("way", EXPECTED)
def test_no_error_and_no_log_line_holds_its_secret(
    receiver: Receiver, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    if way not in receiver.ways:
        pytest.skip("its receiver never answers so")
    caplog.set_level(logging.DEBUG)
    error = failing(receiver, way)
    receiver.recover()
    said = "".join(traceback.format_exception(error)) + caplog.text + repr(receiver.open_sink())
    assert receiver.secret not in said


def test_it_may_be_sent_the_same_notification_again(receiver: Receiver) -> None:
    sink = receiver.open_sink()
    for _ in range(2):
        sink.send(a_message(group="a" * 32))
    assert an_alert().id in receiver.received()


def test_text_of_a_log_is_never_markup(receiver: Receiver) -> None:
    logged = dict.fromkeys(("principal", "path", "namespace", "summary", "remote_address", "cluster", "node"), MARKUP)
    evil: Notification = a_message(an_alert(**logged, actions=(MARKUP,)))
    receiver.open_sink().send(evil)
    assert "EVIL" in receiver.received()
    assert "EVIL" not in receiver.markup()
    assert "\x1b" not in receiver.received()


def test_an_alert_that_cannot_be_written_is_sent_without_its_texts_and_the_others_with_theirs(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    carol, mallory = (an_alert(name, principal=name, summary=f"{name} did it") for name in ("carol", "mallory"))
    raise_on(monkeypatch, *receiver.writer, "mallory")
    receiver.open_sink().send(a_message(carol, mallory, merged=(a_group("dave", summary="dave did it"),)))
    assert "carol did it" in receiver.received()
    assert "mallory" not in receiver.received()
    assert "the texts of this alert are left out" in receiver.received()
    assert "the texts of 1 of its alerts cannot be written" in caplog.text
