"""docs/cost.md, made of bench/results.json: `python -m cost.page` writes it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from bench.processes import ROOT
from bench.results import Result
from cost.model import Assumptions, Model, read
from cost.prices import PRICES, SOURCES

RATES = (10, 100, 1_000, 10_000)
GOAL_RATE, GOAL_USD = 1_000, 150
TOLD_FROM_USD = 0.05
"""Assumptions that change less are listed without a figure."""


def results(frames: Mapping[str, Any]) -> list[Result]:
    """The variable cost at the rate that has a goal, from what `bench.frames` measured."""
    cost = sum(Model(read(frames)).variable(GOAL_RATE).values())
    return [Result(f"variable cost of {GOAL_RATE:,} records/s, a month", (cost,), "USD", "at_most", GOAL_USD)]


def page(document: Mapping[str, Any]) -> str:
    """docs/cost.md, from what results.json holds."""
    model = Model(read(document["measured"]["frames"]))
    parts = (_introduction(), _totals(model), _parts(model), _archive(model), _weights(model), _sizes(model))
    return "\n".join(line for part in (*parts, _assumptions(model), _prices(), _left_out()) for line in part) + "\n"


def _introduction() -> Iterator[str]:
    yield "# What it costs on AWS"
    yield ""
    yield (
        "USD a month (730 hours) in us-east-1, for the stacks `archive` and `alerting` with default settings, without "
        "tax and free tiers. Made by `python -m cost.page` of `bench/results.json`: sizes and CPU times are measured, "
        "on the generated corpus (`bench/README.md`), all else is assumed and listed below."
    )
    yield ""
    yield (
        "A *record* is one audit entry. Both audit devices are on, so each comes twice on the stream (socket and "
        "file), twice into the archive (by the log server and by the node), and is evaluated four times."
    )


def _totals(model: Model) -> Iterator[str]:
    fixed = sum(model.fixed().values())
    yield from _heading("In all")
    yield (
        "*Fixed* is what is paid while no record comes at all; *variable* is what records add to that, but for the "
        "storage of the archive, which is shown apart: it grows through its first year, and this is the month at its "
        "end."
    )
    yield ""
    variable = [sum(model.variable(rate).values()) for rate in RATES]
    stored = [sum(model.stored(rate).values()) for rate in RATES]
    yield from _table("records a second", [f"{rate:,}" for rate in RATES])
    yield _row("fixed", [fixed] * len(RATES))
    yield _row("**variable**", variable)
    yield _row("a year of archive", stored)
    yield _row("all", [fixed + a + b for a, b in zip(variable, stored, strict=True)])
    yield ""
    cost = variable[RATES.index(GOAL_RATE)]
    verdict = "reached" if cost <= GOAL_USD else "missed"
    yield f"Goal: at most {GOAL_USD} USD variable at {GOAL_RATE:,} records a second; {verdict}, with {cost:.2f}."


def _parts(model: Model) -> Iterator[str]:
    yield from _heading("Where it goes")
    yield from _table("", ["fixed", *(f"+ at {rate:,}/s" for rate in RATES)])
    fixed, variable = model.fixed(), [model.variable(rate) for rate in RATES]
    for name in fixed:
        yield _row(name, [fixed[name], *(costs[name] for costs in variable)])


def _archive(model: Model) -> Iterator[str]:
    settings = model.settings
    yield from _heading("A year of archive")
    yield (
        f"zstd packs a segment {model.measured.segment_ratio:.1f} times. Segments move to STANDARD_IA after "
        f"{settings.archive_infrequent_access_days} days and to GLACIER after {settings.archive_glacier_days}. "
        f"By default they are kept {settings.archive_expiry_days} days; the month after the first 365 is shown."
    )
    yield ""
    yield from _table("records a second", [f"{rate:,}" for rate in RATES])
    stored = [model.stored(rate) for rate in RATES]
    for name in stored[0]:
        yield _row(name, [costs[name] for costs in stored])


def _weights(model: Model) -> Iterator[str]:
    yield from _heading("What matters most")
    base = sum(model.variable(GOAL_RATE).values())
    yield (
        f"Each figure doubled by itself changes the variable cost at {GOAL_RATE:,} records a second "
        f"({base:.2f} USD) by:"
    )
    yield ""
    yield from _table("doubled", ["USD"])
    changes = {name: sum(other.variable(GOAL_RATE).values()) - base for name, other in _doubled(model)}
    for name, change in sorted(changes.items(), key=lambda item: -abs(item[1])):
        if abs(change) >= TOLD_FROM_USD:
            yield f"| {name} | {change:+.2f} |"


def _doubled(model: Model) -> Iterator[tuple[str, Model]]:
    measured = model.measured
    samples = measured.samples
    yield (
        "measured: bytes of frames",
        _with(model, samples=tuple(replace(sample, bytes=2 * sample.bytes) for sample in samples)),
    )
    yield (
        "measured: CPU time to evaluate frames",
        _with(model, samples=tuple(replace(sample, cpu_ms=2 * sample.cpu_ms) for sample in samples)),
    )
    yield "measured: bytes of records", _with(model, record_bytes=2 * measured.record_bytes)
    yield "measured: bytes of alerts", _with(model, alert_bytes=2 * measured.alert_bytes)
    yield "measured: bytes that `evaluate` logs of a call", _with(model, log_bytes=2 * measured.log_bytes)
    for each in fields(Assumptions):
        assumed = replace(model.assumed, **{each.name: 2 * getattr(model.assumed, each.name)})
        yield f"assumed: {each.metadata['meaning']}", replace(model, assumed=assumed)


def _with(model: Model, **changes: Any) -> Model:
    return replace(model, measured=replace(model.measured, **changes))


def _sizes(model: Model) -> Iterator[str]:
    measured = model.measured
    yield from _heading("Measured")
    yield (
        f"A record has {measured.record_bytes:,.0f} bytes on average, an alert {measured.alert_bytes:,.0f}. A frame "
        "closes after a second, or when it is full; its lines here never hold both copies of a record, which would "
        "pack better. CPU time is that of one call with one frame, on one core of an x86-64 machine."
    )
    yield ""
    yield from _table("records a second", ["lines in a frame", "bytes in a frame", "times smaller", "CPU ms"])
    for rate, sample in zip(RATES, measured.samples, strict=True):
        smaller = sample.lines * measured.record_bytes / sample.bytes
        yield f"| {rate:,} | {sample.lines:,.0f} | {sample.bytes:,.0f} | {smaller:.1f} | {sample.cpu_ms:.1f} |"


def _assumptions(model: Model) -> Iterator[str]:
    yield from _heading("Assumed")
    for each in fields(Assumptions):
        yield f"- {getattr(model.assumed, each.name):g} {each.metadata['meaning']}"
    yield "- each frame is a call of its own, and waits for nothing but its CPU"
    yield "- frames spread over shards evenly"
    yield "- segments: by the log server one an hour, by the node one in five minutes, or full ones of 64 MiB"


def _prices() -> Iterator[str]:
    yield from _heading("Prices")
    yield (
        "None of these was read on AWS's own page, which is named to check them against. Sources: "
        + "; ".join(f"({key}) {text}, {date}" for key, (text, date) in SOURCES.items())
        + "."
    )
    yield ""
    yield "| what | USD | for | source | to check against |"
    yield "|---|---:|---|---|---|"
    for price in PRICES:
        amount = f"{price.amount:.10f}".rstrip("0").rstrip(".")
        yield f"| {price.name} | {amount} | {price.count} | {price.source} | {price.page} |"


def _left_out() -> Iterator[str]:
    yield from _heading("Not in it")
    yield (
        "The hosts of Vault and the log server, their disks and networks; the server log (small beside the audit log); "
        "S3's access logs; X-Ray; what S3 asks to read from STANDARD_IA and GLACIER; what KMS asks for the earlier "
        "versions of a key (a USD each for the first two, from the second year on); AWS Support."
    )


def _heading(text: str) -> Iterator[str]:
    yield from ("", f"## {text}", "")


def _table(first: str, rest: Sequence[str]) -> Iterator[str]:
    yield "| " + " | ".join((first, *rest)) + " |"
    yield "|---" + "|---:" * len(rest) + "|"


def _row(name: str, costs: Sequence[float]) -> str:
    return "| " + " | ".join((name, *(f"{cost:,.2f}" for cost in costs))) + " |"


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m cost.page", description=__doc__)
    parser.add_argument("--results", type=Path, default=ROOT / "bench" / "results.json")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "cost.md")
    given = parser.parse_args()
    given.output.write_text(page(json.loads(given.results.read_text())))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
