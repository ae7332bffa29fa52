"""Functions are killed before and after each of their AWS calls, and their events are delivered again.

In the end each alert is in the store once, every sink has accepted it at least once, and no count is inflated.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from botocore.exceptions import ConnectTimeoutError, ReadTimeoutError
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.dynamodb import all_rows
from tests.support.functions import ARCHIVE, Killed, World, entry, watching, world
from vaultwatch.dispatch.held import Held
from vaultwatch.dispatch.notification import Notification

READING = ("BatchGet", "Get", "Head", "List", "Query", "TransactGet")
ENTRIES = [entry(number, principal=f"p{number % 2}") for number in range(4)]


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with world(monkeypatch, few=True) as made:
        yield made


def settle(aws: World) -> list[Notification]:
    """Run digest until nothing is left to publish, and return everything that was published."""
    for _ in range(4):
        aws.now += 3700
        aws.digest()
    assert aws.unsent() == 0
    return aws.published()


def check(aws: World, events: int) -> None:
    """Compare the store with what was published, without repeats."""
    known = aws.alerts()
    assert len(known) == events
    once = {message.id: message for message in settle(aws)}.values()
    published = Counter(alert.id for message in once for alert in message.alerts)
    assert published == Counter(list(known))
    counted = sum(
        message.merged_count + (len(message.alerts) if message.disposition == "first" else 0) for message in once
    )
    assert counted + carried() == events


def carried() -> int:
    """Return how many repeats wait for the next notification of their rule."""
    held = [msgspec.json.decode(row["body"]["B"], type=Held) for row in all_rows() if row["sk"]["S"] == "held"]
    return sum(one.count for one in held)


def calls_of(run: Callable[[World], Any]) -> list[str]:
    with pytest.MonkeyPatch.context() as patch, world(patch, few=True) as aws, watching() as calls:
        run(aws)
    return calls.names


def changes_of(run: Callable[[World], Any]) -> list[int]:
    """Return the numbers of the calls that change something: who dies at another one leaves what the last of them left.

    Of an operation that is not known to read, it is assumed.
    """
    names = calls_of(run)
    return [at for at, name in enumerate(names) if not name.rpartition(".")[2].startswith(READING)]


def evaluate(aws: World) -> None:
    frames = [
        aws.frame(*ENTRIES[:2], sequence=0, at=0),
        b"no frame",
        aws.frame(*ENTRIES[2:], b"junk", sequence=1, at=0),
    ]
    aws.evaluate(*frames)


def digest(aws: World) -> None:
    """A digest that has windows to close, and notifications to send again."""
    aws.evaluate(aws.frame(*ENTRIES, sequence=0, at=0))
    aws.now += 3600
    aws.digest()


def sweep(aws: World) -> None:
    lines = b"".join(line.partition(b" ")[2] + b"\n" for line in ENTRIES)
    aws.sweep(ARCHIVE, aws.archive("1", lines))


def dies(at: int, after: bool, error: BaseException) -> Callable[[int, str, bool], None]:
    def judge(number: int, name: str, made: bool) -> None:
        if number == at and made == after:
            raise error

    return judge


@pytest.mark.parametrize("run", [evaluate, digest, sweep])
@pytest.mark.parametrize("after", [True, pytest.param(False, marks=pytest.mark.long)], ids=["after", "before"])
def test_a_kill_at_any_call_loses_and_repeats_nothing(run: Callable[[World], None], after: bool) -> None:
    for at in changes_of(run):
        with pytest.MonkeyPatch.context() as patch, world(patch, few=True) as aws:
            with watching(dies(at, after, Killed())), pytest.raises(Killed):
                run(aws)
            run(aws)
            check(aws, len(ENTRIES))


@pytest.mark.parametrize("error", [ConnectTimeoutError(endpoint_url="x"), ReadTimeoutError(endpoint_url="x")])
def test_a_call_that_times_out_loses_and_repeats_nothing(error: Exception) -> None:
    for at in range(len(calls_of(evaluate))):
        with pytest.MonkeyPatch.context() as patch, world(patch, few=True) as aws:
            with watching(dies(at, isinstance(error, ReadTimeoutError), error)):
                try:
                    evaluate(aws)
                except Exception:  # noqa: BLE001 - whatever it is, Lambda delivers the batch again
                    evaluate(aws)
            check(aws, len(ENTRIES))


@settings(max_examples=8)
@given(
    order=st.permutations([0, 1, 2, 3]),
    again=st.lists(st.integers(0, 3), max_size=3),
    cuts=st.lists(st.integers(1, 6), max_size=2),
)
def test_frames_in_any_order_and_more_than_once(order: list[int], again: list[int], cuts: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch, world(patch, few=True) as aws:
        frames = [aws.frame(line, sequence=number) for number, line in enumerate(ENTRIES)]
        sent = [frames[number] for number in (*order, *again)]
        edges = [0, *sorted(set(cuts)), len(sent)]
        for begin, end in pairwise(edges):
            if sent[begin:end]:
                aws.evaluate(*sent[begin:end])
        check(aws, len(ENTRIES))


def test_a_topic_unavailable_for_fifteen_minutes_loses_nothing(aws: World) -> None:
    def unavailable(number: int, name: str, made: bool) -> None:
        if name.startswith(("SNS", "Firehose")):
            raise ConnectTimeoutError(endpoint_url="https://aws")

    with watching(unavailable):
        for minute in range(15):
            aws.evaluate(aws.frame(entry(minute, principal=f"p{minute}"), entry(100 + minute, principal=f"p{minute}")))
            aws.now += 60
            aws.digest()
    assert aws.published() == []
    check(aws, 30)


def test_two_functions_that_write_the_same_rows_count_exactly(aws: World) -> None:
    """Whenever evaluate has read and not yet written, sweep records alerts of the same rule and group."""
    swept = iter(range(100, 103))
    busy = False

    def judge(number: int, name: str, made: bool) -> None:
        nonlocal busy
        if name == "DynamoDB.TransactWriteItems" and not made and not busy:
            busy = True
            for n in swept:
                aws.evaluate(aws.frame(entry(n, principal="p0")))
                break
            busy = False

    with watching(judge):
        aws.evaluate(aws.frame(*ENTRIES))
    check(aws, len(ENTRIES) + 3)
