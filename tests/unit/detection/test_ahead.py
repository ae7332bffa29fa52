"""What a detector that reads ahead looks up decides whether its results count."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from tests.unit.detection.records import SEAL, request
from tests.unit.detection.test_absences import event, expecting
from tests.unit.detection.test_firsts import learning, use
from vaultwatch.detection import absences, ahead
from vaultwatch.detection.ahead import Asked, NotingWaiting, follows, take_over
from vaultwatch.detection.detector import Detector
from vaultwatch.detection.firsts import Firsts

RULES = [SEAL]


def read(*lines: bytes) -> ahead.Ahead:
    waiting = NotingWaiting()
    detector = Detector(RULES, unwrap=True, waiting=waiting)
    detector.feed(lines)
    return waiting.leave(detector)


def read_by(detector: Detector, lines: Iterable[bytes]) -> ahead.Ahead:
    detector.waits = waiting = NotingWaiting()
    detector.feed(lines)
    return waiting.leave(detector)


def test_every_event_that_was_read_was_looked_up() -> None:
    found = read(request("a", path="p"), request("b"), request("c", kind="response"))
    assert [key for key in "abcd" if found.asked.has_any([key])] == ["a", "b", "c"]
    assert [verdict.event_key for verdict in found.waiting] == ["b"] * len(found.waiting)


def test_many_keys_are_kept_in_a_map(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "_MAX_NUMBERS", 5)
    found = read(*[request(f"e{number}", path="p") for number in range(33)])
    assert found.asked.bits
    assert all(found.asked.has_any([f"e{number}"]) for number in range(33))
    assert not Asked(b"", b"").has_any(["another"])
    assert not Asked(found.asked.numbers, bytes(len(found.asked.bits))).has_any([f"e{number}" for number in range(33)])


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


def of_firsts(detector: Detector, most: int) -> Detector:
    detector.correlator.firsts = Firsts(most)
    return detector


def test_results_count_unless_combinations_were_given_up_or_would_be() -> None:
    """Which ones are given up depends on what precedes the part, and every one that is counts."""
    lines, rules = [use(number, 9, f"u{number}") for number in range(6)], learning()
    part = read_by(of_firsts(Detector(rules), 4), lines[2:])
    before = of_firsts(Detector(rules), 6)
    before.feed(lines[:2])
    assert follows(before, part)
    assert not follows(of_firsts(Detector(rules), 3), part)
    before.feed([use(9, 9, "bob")])
    assert not follows(before, part)
    assert not follows(Detector(rules), read_by(of_firsts(Detector(rules), 4), lines))


def test_results_count_unless_expected_events_were_given_up_or_would_be(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = expecting()
    days = [event(48 * number) for number in range(5)]
    part = read_by(Detector(rules), days[:2])
    before = Detector(rules)
    before.feed(days[3:])
    assert follows(before, part)
    monkeypatch.setattr(absences, "MAX_RUNS", 3)
    assert not follows(before, part)
    assert follows(Detector(rules), part)
    assert not follows(Detector(rules), read_by(Detector(rules), days))
    monkeypatch.setattr(absences, "MAX_GROUPS", 1)
    assert follows(Detector(rules), part)
    assert not follows(before, read_by(Detector(rules), [event(0, b"@test/vault-1/file ")]))
