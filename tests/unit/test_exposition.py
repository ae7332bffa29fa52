"""Metrics are text that Prometheus reads, whatever a label contains."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from tests.support.exposition import read_metrics
from vaultwatch.exposition import Family, encode_metrics, single
from vaultwatch.printable import one_line

TAKEN = 'a"b\\c\nd\r\0\x1b[31m\u202e\ud800é'


def test_the_text_is_that_of_the_format() -> None:
    families = [
        single("a_seconds", "gauge", "Says something.", 1764366117.5),
        Family("b_total", "counter", "Counts.", [({"node": 'v"1'}, 3), ({"node": ""}, 0)]),
        Family("empty_total", "counter", "Has no series.", []),
    ]
    assert encode_metrics(families, {"command": "watch"}) == (
        b"# HELP a_seconds Says something.\n"
        b"# TYPE a_seconds gauge\n"
        b'a_seconds{command="watch"} 1764366117.5\n'
        b"# HELP b_total Counts.\n"
        b"# TYPE b_total counter\n"
        b'b_total{command="watch",node="v\\"1"} 3\n'
        b'b_total{command="watch",node=""} 0\n'
    )


def test_a_hostile_label_adds_no_line_and_no_series() -> None:
    found = read_metrics(encode_metrics([Family("a", "gauge", "Is.", [({"node": TAKEN}, 1)])], {}))
    (labels,) = found["a"]
    assert labels == {("node", one_line(TAKEN))}


@given(st.lists(st.tuples(st.text(max_size=20), st.floats(-1e9, 1e9)), unique_by=lambda it: one_line(it[0])))
def test_every_value_and_label_comes_back(series: list[tuple[str, float]]) -> None:
    family = Family("a", "gauge", "Is.", [({"node": text}, number) for text, number in series])
    read = re.compile(r'a\{node="((?:[^"\\\n]|\\["\\n])*)"\} (\S+)\n')
    found = read.findall(encode_metrics([family], {}).decode())
    escapes = {r"\\": "\\", r"\"": '"', r"\n": "\n"}
    plain = [(re.sub(r"\\.", lambda it: escapes[it[0]], text), float(number)) for text, number in found]
    assert plain == [(one_line(text), number) for text, number in series]


def test_a_long_label_is_cut() -> None:
    assert len(encode_metrics([Family("a", "gauge", "Is.", [({"node": "n" * 10_000}, 1)])], {})) < 500
