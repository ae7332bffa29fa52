"""Runs all benchmarks, prints the ratios, and writes bench/results.json; exit status 1 if a goal is missed."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from bench import measure, peers, results
from bench.processes import ROOT, BenchError
from cost import page as cost

FULL, QUICK = 300_000, 5_000


def run(bench: measure.Bench, count: int, output: Path, *, with_peers: bool = False) -> list[results.Result]:
    """Measure on a corpus of `count` entries, `with_peers` if asked for, and write the results to `output`.

    Raises:
        BenchError: If what is measured gives a wrong result.
    """
    bench.folder.mkdir(parents=True, exist_ok=True)
    corpus = bench.corpus(count)
    measured: dict[str, Any] = {}
    found = []
    for part in (
        measure.processes,
        measure.parsing,
        measure.shapes,
        measure.many_rules,
        measure.memory,
        measure.frames,
        measure.shipping,
    ):
        found += part(bench, corpus, measured)
    for part_without_corpus in (
        measure.start,
        measure.server_log,
        measure.hostile_lines,
        measure.floods,
        measure.cold_start,
    ):
        found += part_without_corpus(bench, measured)
    if with_peers:
        found += peers.compared(bench, measured)
    found += cost.results(measured["frames"])
    described = {"entries": count, "bytes": corpus.path.stat().st_size, "seed": bench.seed, "layout": "mixed"}
    results.write(output, described | {"worth_an_alert": sum(corpus.expected.values())}, found, measured)
    return found


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="measure once, on a small corpus, and judge nothing")
    parser.add_argument("--peers", action="store_true", help="compare with rsigma and DuckDB, too: see tools/peers")
    parser.add_argument(
        "--folder", type=Path, default=ROOT / ".bench", help="where to put the corpus and other generated files"
    )
    parser.add_argument(
        "--output", type=Path, help="where to write the results (default: bench/results.json; in FOLDER with --quick)"
    )
    given = parser.parse_args(arguments)
    default = given.folder / "results.json" if given.quick else ROOT / "bench" / "results.json"
    bench = measure.Bench(given.folder, rounds=1 if given.quick else 5)
    try:
        found = run(bench, QUICK if given.quick else FULL, given.output or default, with_peers=given.peers)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    print(results.table(found))
    return 0 if given.quick or all(result.met for result in found) else 1


if __name__ == "__main__":
    raise SystemExit(main())
