"""Gathered lines become batches on time, undivided, and in order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from vaultwatch.ship.gathering import Arrival, Batch, LineGatherer, MessageGatherer
from vaultwatch.ship.options import Pace

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
HEAD, MORE = b"2026-11-21T07:29:43.682Z [ERROR] audit: backend failed\n", b"  error=\n"
PACE = Pace(close_after_seconds=1.0, settle_seconds=0.2, message_seconds=2.0)


def at(seconds: float) -> Arrival:
    return Arrival(100.0 + seconds, NOON + timedelta(seconds=seconds))


@pytest.mark.parametrize("kind", [LineGatherer, MessageGatherer])
def test_nothing_is_due_without_lines(kind: type[LineGatherer | MessageGatherer]) -> None:
    assert kind(PACE).due is None


@pytest.mark.parametrize("kind", [LineGatherer, MessageGatherer])
def test_lines_are_due_one_second_after_the_first(kind: type[LineGatherer | MessageGatherer]) -> None:
    gatherer = kind(PACE)
    gatherer.add(HEAD, at(0.0))
    gatherer.add(HEAD, at(0.7))
    assert gatherer.due == 101.0
    assert gatherer.size == 2 * len(HEAD)
    assert gatherer.take(at(1.0)) == Batch(HEAD * 2, NOON, NOON + timedelta(seconds=0.7))
    assert gatherer.size == 0
    assert gatherer.take(at(9.0)) is None


def test_a_message_that_may_continue_is_held_back() -> None:
    gatherer = MessageGatherer(PACE)
    gatherer.add(HEAD * 2, at(0.0))
    gatherer.add(MORE, at(0.95))
    assert gatherer.take(at(1.0)) == Batch(HEAD, NOON, NOON)
    assert gatherer.size == len(HEAD + MORE)
    assert gatherer.due == pytest.approx(101.2)
    gatherer.add(MORE, at(1.1))
    assert gatherer.take(at(1.2)) is None
    assert gatherer.take(at(1.4)) == Batch(HEAD + MORE * 2, NOON, NOON + timedelta(seconds=1.1))


def test_an_endless_message_is_divided_after_a_limited_time() -> None:
    gatherer = MessageGatherer(PACE)
    gatherer.add(HEAD, at(0.0))
    gatherer.add(MORE, at(1.99))
    assert gatherer.take(at(2.0)) == Batch(HEAD + MORE, NOON, NOON + timedelta(seconds=1.99))


def test_everything_is_taken_at_the_end() -> None:
    gatherer = MessageGatherer(PACE)
    gatherer.add(HEAD, at(0.0))
    assert gatherer.take(at(0.0)) is None
    assert gatherer.take(at(0.0), everything=True) == Batch(HEAD, NOON, NOON)


@pytest.mark.parametrize(
    ("lines", "cut"),
    [(b"a\nb\n", 2), (b"aaaa\nb\n", 5), (b"a\nbbbbbb\n", 2), (b"a\nb", 2), (b"a\n", 0), (b"a", 0), (b"\n\n", 1)],
)
def test_audit_lines_are_divided_near_their_middle(lines: bytes, cut: int) -> None:
    assert LineGatherer(PACE).middle(lines) == cut


@pytest.mark.parametrize(
    ("lines", "cut"),
    [
        (HEAD + MORE + HEAD, len(HEAD + MORE)),
        (HEAD * 4, len(HEAD * 2)),
        (HEAD + MORE * 9 + HEAD * 2, len(HEAD + MORE * 9)),
        (HEAD + MORE * 9, 0),
    ],
)
def test_server_lines_are_divided_between_messages(lines: bytes, cut: int) -> None:
    assert MessageGatherer(PACE).middle(lines) == cut
