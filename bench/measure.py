"""The benchmarks, each a function from a corpus to results. This process itself stays small (see `processes`)."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from shutil import rmtree
from statistics import median
from typing import Any

from bench.corpus import Traffic
from bench.processes import FUNCTION_ENVIRONMENT, ROOT, BenchError, Usage, measure, python, vaultwatch
from bench.results import Result, ratios
from bench.rules import GENERATED

FOUND = 1  # exit status of `vaultwatch check` that showed alerts
SHIPPED_PACK = ROOT / "vaultwatch" / "rules" / "pack.json"  # importing vaultwatch would make this process larger
MANY_RULES = 1_000
GOALS: tuple[tuple[Traffic, float, float | None], ...] = (("quiet", 4, 2.5), ("busy", 2.5, 1.5), ("unique", 2, None))
"""How many times as fast as the stand-in `check` is to be on each corpus, and `watch`."""


@dataclass(frozen=True)
class Corpus:
    """A generated corpus on disk; `expected` is how many calls each shipped rule must match."""

    path: Path
    count: int
    expected: dict[str, int]


@dataclass(frozen=True)
class Bench:
    """Where generated files are, and how often everything is measured."""

    folder: Path
    rounds: int
    seed: int = 1

    def corpus(self, count: int, traffic: Traffic = "quiet") -> Corpus:
        """Return a corpus of `count` entries, generated once for these arguments and this generator."""
        path = self.folder / f"corpus-{_generator()}-{count}-{self.seed}-{traffic}.jsonl"
        expected = path.with_suffix(".expected.json")
        if not expected.exists():
            options = ("-n", str(count), "--seed", str(self.seed), "--traffic", traffic, "--expected", expected)
            measure(python("-m", "bench.corpus", *options, "-o", path))
        return Corpus(path, count, json.loads(expected.read_text()))

    def pack(self, total: int) -> Path:
        """Return a compiled pack of `total` rules."""
        path = self.folder / f"rules-{total}.json"
        measure(python("-m", "bench.rules", str(total), self.folder / f"rules-{total}", path))
        return path


def _generator() -> str:
    """Return a name for the generator, from its sources: a changed generator makes another corpus."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    kept = [path.read_bytes() for path in sources if path.stem in ("calls", "corpus", "world", "worthy")]
    return hashlib.sha256(b"\0".join(kept)).hexdigest()[:12]


def check(corpus: Corpus, output: Path, pack: Path | None = None) -> Usage:
    """Run `vaultwatch check` over a corpus, with another pack than the shipped one if one is given.

    Raises:
        BenchError: If its alerts are not those of the corpus, beside those of rules that count and of generated ones.
    """
    options = ("check", corpus.path, "--format", "json")
    command = python("-m", "bench.with_pack", pack, *options) if pack else vaultwatch(*options)
    usage = measure(command, stdout=output, allowed=(0, FOUND))
    rules = [json.loads(line)["rule"] for line in output.read_text().splitlines()]
    found = Counter(rule for rule in rules if rule not in counting_rules() and not rule.startswith(GENERATED))
    if found != corpus.expected:
        raise BenchError(f"vaultwatch check: alerts {dict(found)}, expected {corpus.expected}")
    return usage


@cache
def counting_rules() -> frozenset[str]:
    """Return the shipped rules that count: the generator does not know whom its traffic makes them name."""
    lines = SHIPPED_PACK.read_text().splitlines()
    return frozenset(json.loads(line.rstrip(","))["name"] for line in lines if '"correlation":{' in line)


def processes(bench: Bench, corpus: Corpus, measured: dict[str, Any]) -> list[Result]:
    """Compare `vaultwatch check`, and `watch` from a pipe, with the stand-in as whole processes on the same files."""
    results = []
    for traffic, least, least_of_watch in GOALS:
        each = corpus if traffic == "quiet" else bench.corpus(corpus.count, traffic)
        used = _whole_processes(bench, each)
        measured |= {f"{name}, {traffic}": _usage(usages) for name, usages in used.items()}
        theirs = _in_pairs(used["stand_in"])
        for name, goal in (("check", least), ("watch", least_of_watch)):
            title = f"{name}, {traffic} corpus, against the stand-in"
            results.append(Result(title, ratios(theirs, _in_pairs(used[name])), "times", "at_least", goal))
    return results


def _whole_processes(bench: Bench, corpus: Corpus) -> dict[str, list[Usage]]:
    used: dict[str, list[Usage]] = {"check": [], "stand_in": [], "watch": []}
    for _ in range(bench.rounds):  # twice each, in both orders: a single run varies by a tenth
        used["check"].append(check(corpus, bench.folder / "alerts.jsonl"))
        used["watch"].append(watch(corpus, bench.folder / "state"))
        used["stand_in"] += [measure(python("-m", "bench.stand_in"), stdin=corpus.path) for _ in range(2)]
        used["watch"].append(watch(corpus, bench.folder / "state"))
        used["check"].append(check(corpus, bench.folder / "alerts.jsonl"))
    return used


def watch(corpus: Corpus, state: Path) -> Usage:
    """Run `vaultwatch watch` over a corpus, through a pipe and with an empty state."""
    rmtree(state, ignore_errors=True)
    options = ("--source", "audit", "--state", state, "--alert-log", state.with_suffix(".jsonl"))
    return measure(vaultwatch("watch", *options), stdin=corpus.path, piped=True)


def _in_pairs(used: list[Usage]) -> list[float]:
    return [first.cpu_seconds + second.cpu_seconds for first, second in zip(used[::2], used[1::2], strict=True)]


def parsing(bench: Bench, corpus: Corpus, measured: dict[str, Any]) -> list[Result]:
    """Compare the evaluator and `orjson.loads` over lines in memory."""
    seconds = _in_process(bench, "compare", corpus)
    measured["in_process_cpu_seconds"] = {name: median(values) for name, values in seconds.items()}
    faster = ratios(seconds["orjson"], seconds["evaluator"])
    return [Result("evaluator, against orjson.loads alone", faster, "times", "at_least", 1.3)]


def shapes(bench: Bench, corpus: Corpus, measured: dict[str, Any]) -> list[Result]:
    """Compare entries in each common shape with plain ones, over lines in memory."""
    seconds = _in_process(bench, "shapes", corpus)
    measured["shapes_cpu_seconds"] = {name: median(values) for name, values in seconds.items()}
    plain = seconds.pop("plain")
    return [
        Result(f"entries with {name}, against plain ones", ratios(spent, plain), "times", "at_most", 3)
        for name, spent in seconds.items()
    ]


def many_rules(bench: Bench, corpus: Corpus, measured: dict[str, Any]) -> list[Result]:
    """Compare a thousand rules with the shipped ones, over lines in memory, and as whole processes on each corpus."""
    packs = {"shipped": SHIPPED_PACK, "many": bench.pack(MANY_RULES)}
    seconds = _in_process(bench, "packs", corpus, *packs.values())
    measured["rules_cpu_seconds"] = {name: median(seconds[path.stem]) for name, path in packs.items()}
    title = f"{MANY_RULES:,} rules, against the shipped ones"
    inside = ratios(seconds[packs["many"].stem], seconds[packs["shipped"].stem])
    results = [Result(f"{title}, in memory", inside, "times", "at_most", 1.2)]
    for traffic, *_ in GOALS:
        each = corpus if traffic == "quiet" else bench.corpus(corpus.count, traffic)
        used: dict[str, list[Usage]] = {name: [] for name in packs}
        for _ in range(bench.rounds):
            for name in ("shipped", "many", "many", "shipped"):
                used[name].append(check(each, bench.folder / "alerts.jsonl", packs[name]))
        measured |= {f"{name} rules, {traffic}": _usage(usages) for name, usages in used.items()}
        whole = ratios(_in_pairs(used["many"]), _in_pairs(used["shipped"]))
        results.append(Result(f"{title}, check, {traffic} corpus", whole, "times", "at_most", 1.3))
    return results


def memory(bench: Bench, corpus: Corpus, measured: dict[str, Any]) -> list[Result]:
    """Compare the peak memory on a corpus with that on one of a tenth of its length."""
    short, output = bench.corpus(corpus.count // 10), bench.folder / "alerts.jsonl"
    peaks = [[check(each, output).peak_kib for _ in range(bench.rounds)] for each in (short, corpus)]
    measured["peak_kib"] = {str(each.count): median(peak) for each, peak in zip((short, corpus), peaks, strict=True)}
    growth = tuple(long / small for small, long in zip(*peaks, strict=True))
    return [Result("peak memory, against a tenth of the file", growth, "times", "at_most", 1.1)]


def start(bench: Bench, measured: dict[str, Any]) -> list[Result]:
    """Compare `check` of an empty file with a Python that does nothing."""
    empty = bench.folder / "empty.jsonl"
    empty.write_bytes(b"")
    ours, bare = [], []
    for _ in range(2 * bench.rounds + 1):  # short runs, so more of them
        bare.append(measure(python("-c", "pass")))
        ours.append(measure(vaultwatch("check", empty, "--format", "json", "--allow-empty")))
    measured["start"] = {"check": _usage(ours), "python": _usage(bare)}
    more = tuple(1000 * (a.cpu_seconds - b.cpu_seconds) for a, b in zip(ours, bare, strict=True))
    return [Result("check of an empty file, beyond a bare Python", more, "ms", "at_most", 120)]


def frames(bench: Bench, corpus: Corpus, measured: dict[str, Any]) -> list[Result]:
    """Compare frames with raw lines and with gzip, in size and in CPU time."""
    found = _program(bench, "bench.frames", corpus.path)
    sizes, seconds = found["sizes"], found["seconds"]
    measured["frames"] = found | {"seconds": {name: median(values) for name, values in seconds.items()}}
    smaller = (sizes["raw_bytes"] / sizes["zstd_bytes"],)
    consumer = ratios(seconds["evaluate gzip"], seconds["evaluate zstd"])
    share = ratios(seconds["evaluate lines"], seconds["evaluate zstd"])
    return [
        Result("frames, smaller than the log", smaller, "times", "at_least", 7),
        Result("frames, smaller than in gzip", (sizes["gzip_bytes"] / sizes["zstd_bytes"],), "times"),
        Result("writing frames, against gzip", ratios(seconds["write gzip"], seconds["write zstd"]), "times"),
        Result("reading frames, against gzip", ratios(seconds["read gzip"], seconds["read zstd"]), "times"),
        Result("frames to verdicts, against gzip", consumer, "times", "at_least", 1.3),
        Result("frames to verdicts, against lines in memory", share, "times"),
    ]


def shipping(bench: Bench, corpus: Corpus, measured: dict[str, Any]) -> list[Result]:
    """Measure how many lines `ship` reads from a pipe per CPU second after its start, and how many `cat` does."""
    found = _program(bench, "bench.shipping", corpus.path, bench.folder)
    lines, seconds = found["lines"], found["seconds"]
    measured["ship"] = found | {"seconds": {name: median(values) for name, values in seconds.items()}}
    # Sending a small corpus takes less time than the start varies by.
    spent = {name: [max(a - b, 0.001) for a, b in zip(seconds[name], seconds["empty"], strict=True)] for name in lines}
    return [
        Result("ship, at 1 KiB", _thousands(lines["1 KiB"], spent["1 KiB"]), "thousand/s", "at_least", 100),
        Result("ship, at the corpus's mean size", _thousands(lines["corpus"], spent["corpus"]), "thousand/s"),
        Result("ship, against cat reading the same pipe", ratios(spent["1 KiB"], seconds["cat"]), "times"),
    ]


def _thousands(lines: int, seconds: list[float]) -> tuple[float, ...]:
    return tuple(lines / 1000 / each for each in seconds)


def server_log(bench: Bench, measured: dict[str, Any]) -> list[Result]:
    """Compare reading the server log with `json.loads`, and hostile text with hostile text of half its length."""
    seconds: dict[str, list[float]] = _program(bench, "bench.server_log")
    measured["server_log_cpu_seconds"] = {name: median(values) for name, values in seconds.items()}

    def against(above: str, below: str) -> tuple[float, ...]:
        return ratios(seconds[above], seconds[below])

    figures = [Result("server messages, against json.loads", against("ordinary", "json.loads"), "times", "at_most", 5)]
    for layout in ("standard", "JSON"):
        original = against(f"rules, {layout}", f"original, {layout}")
        many = against(f"many rules, {layout}", f"rules, {layout}")
        figures += [
            Result(f"server log, {layout}, against the original's patterns", original, "times", "at_most", 5),
            Result(f"server log, {layout}, 100 rules against 14", many, "times", "at_most", 1.2),
        ]
    for name in ("messages", "syslog headers", "lines"):
        twice = against(f"{name}, 2", f"{name}, 1")
        figures.append(Result(f"hostile {name}, twice as long", twice, "times", "at_most", 3))
    return figures


def hostile_lines(bench: Bench, measured: dict[str, Any]) -> list[Result]:
    """Measure the lines that take most memory and time for their bytes, found by a search."""
    found = _program(bench, "bench.hostile")
    measured["hostile_lines"] = found
    return [
        Result("memory of the worst line found, against its bytes", (found["memory"],), "times", "at_most", 6),
        Result("CPU time of the worst line found, per MiB", (found["milliseconds_per_mib"],), "ms", "at_most", 250),
        Result("hostile entries, twice as long", tuple(found["growth"].values()), "times", "at_most", 3),
        Result("peak of a line of 100 MiB, worst shape", (max(found["peak_mib"].values()),), "MiB", "at_most", 1024),
    ]


def floods(bench: Bench, measured: dict[str, Any]) -> list[Result]:
    """Measure what floods of alerts take of AWS, and whether many writers of one rule disturb each other."""
    found = _program(bench, "bench.floods")
    measured["floods"] = found
    figures = []
    for kind in ("small", "large"):
        calls, stored, settled = (
            found[kind][name] / found["alerts"] for name in ("calls", "write_units", "digest_write_units")
        )
        figures.append(Result(f"API calls per 1,000 {kind} alerts", (1_000 * calls,), "calls", "at_most", 100))
        figures.append(Result(f"write units per {kind} alert", (stored + settled,), "units", "at_most", 6))
    for count, crowd in found["writers"].items():
        calls = crowd["calls"] / max(1, crowd["stored"])
        figures.append(Result(f"API calls per alert with {count} writers", (calls,), "calls", "at_most", 4))
        figures.append(Result(f"store errors with {count} writers", (crowd["errors"],), "errors", "at_most", 0))
    return figures


def cold_start(bench: Bench, measured: dict[str, Any]) -> list[Result]:
    """Compare importing `evaluate` with its clients with a single client of boto3, without the start and end of Python.

    Once as on Lambda, with boto3 compiled and the bundle not; once with all modules compiled.
    """
    bundle = bench.folder / "bundle"
    measure(python("-c", _BUNDLE, bundle))
    asis = _starts(bundle, 2 * bench.rounds - 1)
    measure(python("-m", "compileall", "-q", bundle))
    compiled = _starts(bundle, 2 * bench.rounds - 1)
    named = (("as in the bundle", asis), ("compiled", compiled))
    measured["cold_start_ms"] = {
        name: {of: 1000 * median(values) for of, values in found.items()} for name, found in named
    }
    results = []
    for name, found in named:
        bare, ours = (
            [a - b for a, b in zip(found[of], found["python"], strict=True)] for of in ("boto3 sns", "evaluate")
        )
        results.append(Result(f"cold start of evaluate, {name}", ratios(ours, bare), "times", "at_most", 1.3))
    return results


_BUNDLE = """
import sys
from pathlib import Path
from stacks.bundling import Target, build_bundle
build_bundle(Target.running(), Path(sys.argv[1]))
"""
_STARTS = {"python": "", "boto3 sns": "import boto3; boto3.client('sns')", "evaluate": "import lambdas.evaluate"}
_END = "\nimport os; os._exit(0)"  # Lambda's processes do not take down what they built up


def _starts(bundle: Path, rounds: int) -> dict[str, list[float]]:
    environment = FUNCTION_ENVIRONMENT | {"PYTHONDONTWRITEBYTECODE": "1"}
    found: dict[str, list[float]] = {name: [] for name in _STARTS}
    for _ in range(rounds):
        for name, program in _STARTS.items():
            usage = measure(python("-c", program + _END), environment=environment, folder=bundle)
            found[name].append(usage.cpu_seconds)
    return found


def _program(bench: Bench, module: str, *arguments: str | Path) -> dict[str, Any]:
    output = bench.folder / "measured.json"
    measure(python("-m", module, *arguments, "--rounds", str(bench.rounds)), stdout=output)
    found: dict[str, Any] = json.loads(output.read_text())
    return found


def _in_process(bench: Bench, what: str, corpus: Corpus, *packs: Path) -> dict[str, list[float]]:
    return _program(bench, "bench.in_process", what, corpus.path, *packs)


def _usage(used: list[Usage]) -> dict[str, float]:
    return {"cpu_seconds": median(u.cpu_seconds for u in used), "peak_kib": median(u.peak_kib for u in used)}
