"""Metrics in Prometheus's text format, which node_exporter's textfile collector reads from files.

The format: https://prometheus.io/docs/instrumenting/exposition_formats/. Names end in `_total` for counters, and in the
base unit (`_seconds`, `_bytes`) where there is one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from vaultwatch.printable import one_line

_MAX_LABEL = 300
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})

Sample = tuple[Mapping[str, str], float]
"""The labels of one time series, and its value."""


class Family(NamedTuple):
    """All time series of one name.

    Attributes:
        name: The name.
        kind: Whether the value only grows until the process ends, or also falls.
        text: What it says, as one sentence without a line end.
        samples: Its series; no two have the same labels.
    """

    name: str
    kind: Literal["counter", "gauge"]
    text: str
    samples: Sequence[Sample]


def single(name: str, kind: Literal["counter", "gauge"], text: str, value: float) -> Family:
    """Return a family with one series that has no labels of its own."""
    return Family(name, kind, text, [({}, value)])


def encode_metrics(families: Iterable[Family], common: Mapping[str, str]) -> bytes:
    """Return families as the text of a file; those without a series are left out.

    Args:
        families: The families; no two have the same name.
        common: Labels that each series gets before its own.
    """
    return "".join(line for family in families if family.samples for line in _lines(family, common)).encode()


def _lines(family: Family, common: Mapping[str, str]) -> Iterator[str]:
    yield f"# HELP {family.name} {family.text}\n# TYPE {family.name} {family.kind}\n"
    for labels, value in family.samples:
        shown = ",".join(f'{name}="{_label(text)}"' for name, text in {**common, **labels}.items())
        yield f"{family.name}{{{shown}}} {value}\n"


def _label(text: str) -> str:
    """Return a value for a label; it may come from a log, so it is made visible before it is escaped."""
    return one_line(text, _MAX_LABEL).translate(_ESCAPES)
