"""Writes docs/cost.md from bench/results.json: `python -m cost`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from bench.processes import ROOT
from cost.page import page


def main() -> int:
    """Write the page; the exit status is 0."""
    parser = argparse.ArgumentParser(prog="python -m cost", description=__doc__)
    parser.add_argument("--results", type=Path, default=ROOT / "bench" / "results.json")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "cost.md")
    given = parser.parse_args()
    given.output.write_text(page(json.loads(given.results.read_text())))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
