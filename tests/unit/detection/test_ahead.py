"""What a detector that reads ahead looks up decides whether its results count."""

from __future__ import annotations

import pytest

from tests.unit.detection.records import SEAL, request
from vaultwatch.detection import ahead
from vaultwatch.detection.ahead import Asked, NotingWaiting, follows, take_over
from vaultwatch.detection.detector import Detector

RULES = [SEAL]


def read(*lines: bytes) -> ahead.Ahead:
    waiting = NotingWaiting()
    detector = Detector(RULES, unwrap=True, waiting=waiting)
    detector.feed(lines)
    return waiting.leave(detector)


def test_every_event_that_was_read_was_looked_up() -> None:
    found = read(request("a", path="p"), request("b"), request("c", kind="response"))
    assert [key for key in "abcd" if key in found.asked] == ["a", "b", "c"]
    assert [verdict.event_key for verdict in found.waiting] == ["b"] * len(found.waiting)


def test_many_keys_are_kept_in_a_map(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "_MAX_NUMBERS", 5)
    found = read(*[request(f"e{number}", path="p") for number in range(33)])
    assert len(found.asked.numbers) <= 5
    assert all(f"e{number}" in found.asked for number in range(33))
    assert "another" not in Asked()


def test_results_count_unless_the_bound_of_waiting_requests_could_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    detector = Detector(RULES, unwrap=True)
    detector.feed([request("a")])
    part = read(request("b"), request("c"))
    assert follows(detector, part)
    assert not follows(detector, read(request("a", kind="response")))
    monkeypatch.setattr(ahead, "MAX_WAITING", 2)
    assert not follows(detector, part)
    assert follows(Detector(RULES), part)


def test_a_detector_continues_behind_what_was_read_ahead() -> None:
    detector = Detector(RULES, unwrap=True)
    take_over(detector, read(request("a")))
    assert detector.lines == detector.counts.audit == 1
    assert {verdict.outcome for verdict in detector.feed([request("a", kind="response")])} == {"succeeded"}
