"""An entry without its end, as a line longer than `log-msg-size` is, still says who did what."""

from __future__ import annotations

import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.reading.test_budget import HEAD, MEMORY_FACTOR, ORDINARY, SHAPES, SIZE, TAIL
from vaultwatch.alerts import alert_of
from vaultwatch.detection.detector import Detector
from vaultwatch.reading.cut_off import beginning_of
from vaultwatch.reading.lenient import decode
from vaultwatch.reading.records import Rejected, read_audit_entry
from vaultwatch.rules.pack import shipped_rules

ESCAPED = b'{"%s":1}' % (b"\\u003c" * (SIZE // 6))
shape = pytest.mark.parametrize(
    "data",
    [*(pytest.param(make(SIZE), id=name) for name, make in SHAPES.items()), pytest.param(ESCAPED, id="one name")],
)


def cut(data: bytes) -> bytes:
    """Return an entry that ends within these data."""
    return HEAD + data[:-2]


@shape
def test_the_act_raises_its_alert_with_an_unknown_outcome_and_what_follows_is_evaluated(data: bytes) -> None:
    detector = Detector(shipped_rules())
    verdicts = detector.feed([cut(data) + b"\n", ORDINARY + b"\n"]) + detector.flush()
    alerts = {(alert.rule, alert.event_key): alert for alert in map(alert_of, verdicts)}
    assert set(alerts) == {
        ("audit_device_disabled", "a"),
        ("audit_entry_over_budget", "a"),
        ("audit_device_disabled", "b"),
    }
    act = alerts["audit_device_disabled", "a"]
    assert (act.principal, act.path, act.outcome) == ("eve", "sys/audit/file", "unknown")


@pytest.mark.parametrize("data", [ESCAPED, SHAPES["empty objects"](SIZE)], ids=["one name", "empty objects"])
def test_the_memory_of_a_line_is_at_most_six_times_its_bytes(data: bytes) -> None:
    line = cut(data)
    tracemalloc.start()
    try:
        read_audit_entry(line)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < MEMORY_FACTOR * len(line)


@pytest.mark.parametrize("end", [b'"response":{"data":{"error":"', b'"response":{"data":{"a":1},"x":"'])
def test_a_response_without_its_end_does_not_show_how_the_request_ended(end: bytes) -> None:
    line = b'{"type":"response","auth":{},"request":{"id":"a","operation":"delete","path":"sys/audit/file"},' + end
    detector = Detector(shipped_rules())
    verdicts = detector.feed([line + b"x" * SIZE]) + detector.flush()
    assert {verdict.outcome for verdict in verdicts} == {"unknown"}


def test_the_rest_of_the_line_is_rejected() -> None:
    assert isinstance(read_audit_entry(SHAPES["many keys"](2 * SIZE)[SIZE:] + TAIL), Rejected)


@pytest.mark.parametrize("line", [ORDINARY[:-20], b"{" + b"[" * SIZE, b'{"a":1}' + b" " * SIZE + b"x", b"[" * SIZE])
def test_what_is_no_long_entry_is_rejected_without_its_end(line: bytes) -> None:
    assert isinstance(read_audit_entry(line), Rejected)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


@given(st.dictionaries(st.text(max_size=8), JSON, min_size=1), st.floats(0, 1, exclude_max=True))
def test_the_beginning_of_any_object_can_be_decoded_and_has_complete_values_only(
    whole: dict[str, object], cut_at: float
) -> None:
    text = json.dumps(whole).encode()
    found = beginning_of(text[: 1 + int(cut_at * (len(text) - 1))])
    assert found is not None
    inner, complete = decode(found.text), decode(text)
    for name in (None, *found.open_path):
        inner, complete = (inner, complete) if name is None else (inner[name], complete[name])
        if not isinstance(inner, dict):
            return
        assert all(complete[one] == value for one, value in inner.items() if one not in found.open_path)


def test_a_complete_object_has_no_beginning() -> None:
    assert beginning_of(b'{"a":1}') is None
