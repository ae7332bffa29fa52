"""Measures what needs all lines in memory, in a process of its own, and prints CPU seconds as JSON.

`compare` times orjson.loads and the evaluator over the same lines; `packs` the evaluator under each of several packs;
`shapes` the evaluator over its lines in each common shape.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

import orjson

from bench.common_shapes import common_shapes
from vaultwatch.detection.detector import Detector
from vaultwatch.rules.pack import Rule, decode_pack, shipped_rules

READ_BUFFER_BYTES = 1 << 20
SHAPED = 20_000
"""How many lines are measured in each shape."""
Method = Callable[[Sequence[bytes]], None]
Ready = Callable[[], Method]


def parse_only() -> Method:
    """Return the reference method, which only parses every line."""

    def run(lines: Sequence[bytes]) -> None:
        loads = orjson.loads
        for line in lines:
            loads(line)

    return run


def evaluating(rules: Sequence[Rule], instead: Sequence[bytes] = ()) -> Method:
    """Return a method that evaluates every line, or other ones instead, with a new evaluator."""
    detector = Detector(rules, source="auto" if instead else "audit")

    def run(lines: Sequence[bytes]) -> None:
        lines = instead or lines
        detector.feed(lines)
        detector.flush()
        if detector.counts.audit != len(lines):
            raise SystemExit(f"evaluated {detector.counts.audit} of {len(lines)} lines")

    return run


def interleaved(
    methods: dict[str, Callable[[], Method]], lines: Sequence[bytes], rounds: int
) -> dict[str, list[float]]:
    """Return the CPU seconds of each method in each round, without its preparation; the methods take turns to begin."""
    names = list(methods)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            run = methods[name]()
            began = time.process_time()
            run(lines)
            seconds[name].append(time.process_time() - began)
    return seconds


def main() -> int:
    """Run the command, whose output is one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m bench.in_process")
    parser.add_argument("what", choices=("compare", "packs", "shapes"))
    parser.add_argument("corpus", type=Path)
    parser.add_argument("packs", type=Path, nargs="*", help="compiled packs")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    packs = {path.stem: decode_pack(path.read_bytes(), path.name) for path in given.packs}
    methods: dict[str, Ready] = {name: partial(evaluating, rules) for name, rules in packs.items()}
    if given.what == "compare":
        methods = {"orjson": parse_only, "evaluator": partial(evaluating, shipped_rules())}
    with given.corpus.open("rb", buffering=READ_BUFFER_BYTES) as file:
        lines = list(file) if given.what != "shapes" else list(islice(file, SHAPED))
    if given.what == "shapes":
        shapes = common_shapes(lines)
        methods = {name: partial(evaluating, shipped_rules(), shaped) for name, shaped in shapes.items()}
    print(json.dumps(interleaved(methods, lines, given.rounds)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
