"""The page docs/cost.md, generated from bench/results.json."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from bench.results import Result
from cost import prices as usd
from cost.attack import ALERTS_A_SECOND, Flood, records_a_second
from cost.hosts import SIZES, crossing, lanes_gib, parts
from cost.model import COUNTING, DAYS, HOURS, SECONDS, WINDOW_SECONDS, Assumptions, Model, read
from cost.prices import PRICES, SOURCES
from vaultwatch.aws.counting import MAX_SHARED
from vaultwatch.dispatch.limits import NOTIFICATIONS_A_MINUTE
from vaultwatch.store.first_seen import MAX_JUDGED

RATES = (10, 100, 1_000, 10_000)
GOAL_RATE, GOAL_USD = 1_000, 150
COUNTING_GOAL_USD = 20
_COMBINATIONS, _LOOKED_UP = 1_000, 20
"""How many combinations of values are used every day, and how often each is looked up in the table."""
SHOWN_FROM_USD = 0.05
"""The smallest change that the sensitivity table shows."""


def results(frames: Mapping[str, Any]) -> list[Result]:
    """Calculate the variable cost at the rate that has a goal, from what `bench.frames` measured."""
    cost = sum(Model(read(frames)).variable(GOAL_RATE).values())
    return [Result(f"variable cost of {GOAL_RATE:,} records/s, a month", (cost,), "USD", "at_most", GOAL_USD)]


def page(document: Mapping[str, Any]) -> str:
    """Return the text of docs/cost.md.

    Args:
        document: The contents of results.json.
    """
    model = Model(read(document["measured"]["frames"]))
    totals = _totals(model, document["measured"]["floods"])
    sums = (_introduction(), totals, _parts(model), _archive(model), _hosts(model))
    reasons = (
        _attack(model, document["measured"]),
        _weights(model),
        _sizes(model),
        _assumptions(model),
        _prices(),
        _left_out(),
    )
    return "\n".join(line for part in (*sums, *reasons) for line in part) + "\n"


def _introduction() -> Iterator[str]:
    yield "# What it costs on AWS"
    yield ""
    yield (
        "All figures are USD per month (730 hours) in us-east-1 for the stacks `archive` and `alerting` with default "
        "settings and Slack, without tax and free tiers. `python -m cost` generates this page from "
        "`bench/results.json`: sizes and CPU times are measured on a generated corpus (`bench/README.md`); everything "
        "else is an assumption, listed below."
    )
    yield ""
    yield (
        "A *record* is one audit entry. Both audit devices are enabled, so each record is on the stream twice (socket "
        "and file), in the archive twice (from the log server and from the node), and evaluated four times."
    )


def _totals(model: Model, floods: Mapping[str, Any]) -> Iterator[str]:
    fixed = sum(model.fixed().values())
    yield from _heading("Total")
    yield (
        "*Fixed* is what you pay without any record; *variable* is what records add. The storage of the archive is a "
        "row of its own: it grows during the first year, and the row shows the month at the end of it."
    )
    yield ""
    variable = [sum(model.variable(rate).values()) for rate in RATES]
    stored = [sum(model.stored(rate).values()) for rate in RATES]
    yield from _table("records per second", [f"{rate:,}" for rate in RATES])
    yield _row("fixed", [fixed] * len(RATES))
    yield _row("**variable**", variable)
    yield _row("archive", stored)
    yield _row("total", [fixed + a + b for a, b in zip(variable, stored, strict=True)])
    yield ""
    cost = variable[RATES.index(GOAL_RATE)]
    judgement = "reached" if cost <= GOAL_USD else "missed"
    yield f"Goal: at most {GOAL_USD} USD variable at {GOAL_RATE:,} records per second: {cost:.2f}, {judgement}."
    yield ""
    yield from _counting(model)
    yield ""
    yield from _remembering(floods)


def _counting(model: Model) -> Iterator[str]:
    cost, assumed = model.variable(GOAL_RATE)[COUNTING], model.assumed
    judgement = "reached" if cost <= COUNTING_GOAL_USD else "missed"
    attack, windows = MAX_SHARED * 3600 * usd.WRITE.usd, 2 * SECONDS / WINDOW_SECONDS
    groups = assumed.counted_groups * GOAL_RATE
    yield (
        f"Counting for correlations is {cost:.2f} of these (goal: at most {COUNTING_GOAL_USD}, {judgement}). "
        "The functions count in memory, and write a window of a group to the table each time it has grown by a quarter "
        f"of its threshold: {groups:g} groups, {windows:,.0f} windows of {WINDOW_SECONDS // 60} minutes a month, "
        f"{assumed.shares:g} writes each. One evaluation writes at most {MAX_SHARED} windows: a client who makes up "
        f"groups costs at most {attack:.2f} USD an hour with one evaluation a second."
    )


def _remembering(floods: Mapping[str, Any]) -> Iterator[str]:
    found, each = floods["remembered"], floods["alerts"]
    new, known, expected = (
        [found[kind][units] / each for units in ("write_units", "read_units")] for kind in ("new", "known", "expected")
    )
    a_day = known[0] * usd.WRITE.usd + _LOOKED_UP * known[1] * usd.READ.usd
    a_minute = HOURS * 60 * (expected[0] * usd.WRITE.usd + expected[1] * usd.READ.usd)
    attack = MAX_JUDGED * 3600 * (new[0] * usd.WRITE.usd + new[1] * usd.READ.usd)
    yield (
        f"Rules on what is new take {new[0]:.1f} write units and {new[1]:.1f} read units for a new combination of "
        f"values, and {known[0]:.1f} and {known[1]:.1f} for one that is used on the next day (measured like a flood, "
        f"below). {_COMBINATIONS:,} combinations that are used every day, and that {_LOOKED_UP // 2} processes look up "
        f"twice a day each, cost {_COMBINATIONS * DAYS * a_day:.2f} USD. One evaluation looks up at most "
        f"{MAX_JUDGED:,}: a client who makes up combinations costs at most {attack:.2f} USD an hour with one "
        f"evaluation a second. An event that is expected again takes {expected[0]:.1f} write units and "
        f"{expected[1]:.1f} read units: one a minute costs {a_minute:.2f} USD."
    )


def _parts(model: Model) -> Iterator[str]:
    yield from _heading("By service")
    yield from _table("", ["fixed", *(f"+ at {rate:,}/s" for rate in RATES)])
    fixed, variable = model.fixed(), [model.variable(rate) for rate in RATES]
    for name in fixed:
        yield _row(name, [fixed[name], *(costs[name] for costs in variable)])


def _archive(model: Model) -> Iterator[str]:
    settings = model.settings
    yield from _heading("Archive")
    yield (
        f"zstd compresses segments {model.measured.segment_ratio:.1f} times. They move to STANDARD_IA after "
        f"{settings.archive_infrequent_access_days} days and to GLACIER after {settings.archive_glacier_days}. "
        f"By default they are kept for {settings.archive_expiry_days} days; the table shows the month after day 365."
    )
    yield ""
    yield from _table("records per second", [f"{rate:,}" for rate in RATES])
    stored = [model.stored(rate) for rate in RATES]
    for name in stored[0]:
        yield _row(name, [costs[name] for costs in stored])


def _attack(model: Model, measured: Mapping[str, Any]) -> Iterator[str]:
    found, days = measured["floods"], model.settings.alert_memory_days
    floods = [Flood.read(found[name], found["alerts"]) for name in ("small", "large")]
    bills = [flood.an_hour(model.assumed) for flood in floods]
    yield from _heading("What an attack costs")
    yield (
        f"Somebody raises {ALERTS_A_SECOND:,} alerts a second, of one rule under as many names, so that no suppression "
        f"window counts them. Calls and units are those of {found['alerts']:,} alerts in batches of {found['batch']}, "
        f"measured with the code of `evaluate`, and of `digest` in the {found['digest_minutes']} minutes that follow, "
        "on a local AWS (moto), where units are counted as the DynamoDB developer guide describes "
        "(`testbed/aws/metered.py`); SNS and Firehose are stand-ins that accept everything. Records of large alerts "
        f"have {found['large_bytes'] // 1000} kB that hardly compress. Costs are USD per hour of such a flood, without "
        "the records themselves, which cost what all records cost."
    )
    yield ""
    yield from _table("", ["small alerts", "large alerts"])
    yield _row("API calls per second", [ALERTS_A_SECOND * flood.calls for flood in floods], 0)
    yield _row("DynamoDB write units per alert", [flood.write_units for flood in floods], 1)
    yield _row("DynamoDB read units per alert", [flood.read_units for flood in floods], 1)
    yield _row("bytes in the table per alert", [flood.stored_bytes for flood in floods], 0)
    for name in bills[0]:
        yield _row(f"{name}, USD per hour", [bill[name] for bill in bills])
    yield _row("**total, USD per hour**", [sum(bill.values()) for bill in bills])
    yield _row(f"kept in the table for {days} days, USD", [flood.kept(days) for flood in floods])
    yield ""
    yield (
        f"People get at most {NOTIFICATIONS_A_MINUTE} notifications a minute of alerts that are not critical. One "
        f"shard takes {records_a_second(found['large_bytes'] * 3 / 4):.0f} large records a second, because both audit "
        "devices send each of them; beyond that they wait in the log server's disk buffer. The busiest partition of "
        f"the table takes about {floods[0].limit_a_second():,.0f} small alerts a second; beyond that DynamoDB "
        "throttles, and frames wait on the stream."
    )


def _hosts(model: Model) -> Iterator[str]:
    yield from _heading("Hosts and network")
    yield (
        "The fixed cost of the stacks `network`, `log_server` and `vault` by the size of the deployment, in a VPC of "
        "its own. The last two rows add what the stacks `archive` and `alerting` cost with 100 records per second, and "
        "their archive after a year."
    )
    yield ""
    found = [parts(size.settings) for size in SIZES]
    rate = 100
    logging = sum(model.bill(rate).values()) + sum(model.stored(rate).values())
    yield from _table("", [size.name for size in SIZES])
    for name in found[0]:
        yield _row(name, [costs[name] for costs in found])
    yield _row("**hosts and network**", [sum(costs.values()) for costs in found])
    yield _row(f"archive, alerting at {rate}/s", [logging] * len(found))
    yield _row("everything", [sum(costs.values()) + logging for costs in found])
    yield ""
    yield from _crossing(model.measured.record_bytes)


def _crossing(record_bytes: float) -> Iterator[str]:
    yield (
        "The log server is in the zone of the first node, because both audit lanes go to it uncompressed, and AWS "
        "charges traffic between zones at both ends. A single node pays nothing for it. With three or five nodes the "
        "active one writes the audit log, and in another zone that costs:"
    )
    yield ""
    yield from _table("records per second", [f"{rate:,}" for rate in RATES])
    yield _row("both lanes, GiB", [lanes_gib(rate, record_bytes) for rate in RATES])
    yield _row("USD, if they cross zones", [crossing(rate, record_bytes) for rate in RATES])
    yield ""
    yield (
        "Where zones are crossed for long, make the node in the zone of the log server the active one: "
        "`vault operator step-down` on the others. An interface endpoint costs another "
        f"{usd.ENDPOINT_DATA.usd} USD per GB, and a NAT gateway {usd.GATEWAY_DATA.usd} per GB of what has no endpoint; "
        "the gateway endpoints of S3 and DynamoDB cost nothing. "
        "`zstd --long=27` would make archived segments 1.38 times smaller, and long matching at level 1 frames 1.25 "
        "times (both measured, neither is used)."
    )


def _weights(model: Model) -> Iterator[str]:
    yield from _heading("Sensitivity")
    base = sum(model.variable(GOAL_RATE).values())
    yield (f"What doubling one figure adds to the variable cost at {GOAL_RATE:,} records per second ({base:.2f} USD):")
    yield ""
    yield from _table("doubled", ["USD"])
    changes = {name: sum(other.variable(GOAL_RATE).values()) - base for name, other in _doubled(model)}
    for name, change in sorted(changes.items(), key=lambda item: -abs(item[1])):
        if abs(change) >= SHOWN_FROM_USD:
            yield f"| {name} | {change:+.2f} |"


def _doubled(model: Model) -> Iterator[tuple[str, Model]]:
    measured = model.measured
    samples = measured.samples
    yield (
        "measured: size of frames",
        _with(model, samples=tuple(replace(sample, bytes=2 * sample.bytes) for sample in samples)),
    )
    yield (
        "measured: CPU time to evaluate frames",
        _with(model, samples=tuple(replace(sample, cpu_ms=2 * sample.cpu_ms) for sample in samples)),
    )
    yield "measured: size of records", _with(model, record_bytes=2 * measured.record_bytes)
    yield "measured: size of alerts", _with(model, alert_bytes=2 * measured.alert_bytes)
    yield "measured: bytes that `evaluate` logs per invocation", _with(model, log_bytes=2 * measured.log_bytes)
    for each in fields(Assumptions):
        assumed = replace(model.assumed, **{each.name: 2 * getattr(model.assumed, each.name)})
        yield f"assumed: {each.metadata['meaning']}", replace(model, assumed=assumed)


def _with(model: Model, **changes: Any) -> Model:
    return replace(model, measured=replace(model.measured, **changes))


def _sizes(model: Model) -> Iterator[str]:
    measured = model.measured
    yield from _heading("Measurements")
    yield (
        f"A record has {measured.record_bytes:,.0f} bytes on average, an alert {measured.alert_bytes:,.0f}. A frame is "
        "closed after a second, or when it is full. No measured frame holds both copies of a record, which would "
        "compress better. CPU time is that of one invocation with one frame, on one core of an x86-64 machine."
    )
    yield ""
    yield from _table("records per second", ["lines per frame", "bytes per frame", "compression", "CPU ms"])
    for rate, sample in zip(RATES, measured.samples, strict=True):
        smaller = sample.lines * measured.record_bytes / sample.bytes
        yield f"| {rate:,} | {sample.lines:,.0f} | {sample.bytes:,.0f} | {smaller:.1f} | {sample.cpu_ms:.1f} |"


def _assumptions(model: Model) -> Iterator[str]:
    yield from _heading("Assumptions")
    for each in fields(Assumptions):
        yield f"- {getattr(model.assumed, each.name):g} {each.metadata['meaning']}"
    yield "- one invocation per frame"
    yield "- frames are distributed evenly over the shards"
    yield "- one segment per hour from the log server and one every five minutes from the node, or full ones of 64 MiB"


def _prices() -> Iterator[str]:
    yield from _heading("Prices")
    yield (
        "None of these prices was read on AWS's own pages; check them there before you rely on them. Sources: "
        + "; ".join(f"({key}) {text}, {date}" for key, (text, date) in SOURCES.items())
        + "."
    )
    yield ""
    yield "| item | USD | per | source | AWS's page |"
    yield "|---|---:|---|---|---|"
    for price in PRICES:
        amount = f"{price.amount:.10f}".rstrip("0").rstrip(".")
        yield f"| {price.name} | {amount} | {price.count} | {price.source} | {price.page} |"


def _left_out() -> Iterator[str]:
    yield from _heading("Not included")
    yield (
        "Other instance types than those above; what VPC flow logs and session logs add to CloudWatch Logs; the server "
        "log, which is small compared with the audit log; S3 access logs; X-Ray; retrieval from STANDARD_IA and "
        "GLACIER; earlier versions of KMS keys (one USD each for the first two, from the second year on); AWS Support."
    )


def _heading(text: str) -> Iterator[str]:
    yield from ("", f"## {text}", "")


def _table(first: str, rest: Sequence[str]) -> Iterator[str]:
    yield "| " + " | ".join((first, *rest)) + " |"
    yield "|---" + "|---:" * len(rest) + "|"


def _row(name: str, figures: Sequence[float], decimals: int = 2) -> str:
    return "| " + " | ".join((name, *(f"{figure:,.{decimals}f}" for figure in figures))) + " |"
