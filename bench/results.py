"""The results: ratios with their goals, their table, and `results.json`."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, Literal

LIBRARIES = ("msgspec", "orjson", "google-re2", "zstandard")


@dataclass(frozen=True)
class Result:
    """One figure, measured once per round. `goal` is the minimum (`at_least`) or maximum (`at_most`) of its median.

    Without a goal it is shown and not judged.
    """

    name: str
    values: tuple[float, ...]
    unit: Literal["times", "ms", "thousand/s", "USD", "MiB", "calls", "units", "errors"]
    direction: Literal["at_least", "at_most"] = "at_least"
    goal: float | None = None

    @property
    def median(self) -> float:
        """The median, which is what the goal applies to."""
        return median(self.values)

    @property
    def met(self) -> bool:
        """Whether the goal is reached; true without a goal."""
        if self.goal is None:
            return True
        return self.median >= self.goal if self.direction == "at_least" else self.median <= self.goal


def ratios(above: list[float], below: list[float]) -> tuple[float, ...]:
    """Return one ratio per round, of what ran in the same round."""
    return tuple(a / b for a, b in zip(above, below, strict=True))


def table(results: list[Result]) -> str:
    """Return the table for people, one line per figure."""
    width = max(len(result.name) for result in results)
    lines = [f"{'':{width}}    median   (min .. max)          goal"]
    for result in results:
        spread = f"({min(result.values):.2f} .. {max(result.values):.2f})"
        sign = ">=" if result.direction == "at_least" else "<="
        verdict = "" if result.met else "   MISSED"
        goal = result.unit if result.goal is None else f"{sign} {result.goal:g} {result.unit}"
        lines.append(f"{result.name:{width}}  {result.median:8.2f}   {spread:20}  {goal}{verdict}")
    return "\n".join(lines)


def write(path: Path, corpus: dict[str, Any], results: list[Result], measured: dict[str, Any]) -> None:
    """Write the figures, the machine, and the medians they come from; no names of hosts or folders."""
    machine = {
        "python": platform.python_version(),
        "processor": platform.machine(),
        "cpus": os.cpu_count(),
        "libraries": {name: version(name) for name in LIBRARIES},
    }
    figures = [asdict(result) | {"median": result.median, "met": result.met} for result in results]
    document = {"machine": machine, "corpus": corpus, "results": figures, "measured": measured}
    path.write_text(json.dumps(rounded(document), indent=1) + "\n")


def rounded(value: Any) -> Any:
    """Return a value with its numbers rounded to four decimals, however nested."""
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, list | tuple) else value
