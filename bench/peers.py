"""Compares `check` with rsigma, a Sigma engine in Rust, and with SQL in DuckDB, on the same rules and lines.

`python -m bench.peers` measures only this, and replaces these rows of results.json. `tools/peers` installs both.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bench.corpus import Traffic
from bench.measure import FOUND, GOALS, Bench, counting_rules
from bench.processes import ROOT, BenchError, Usage, measure, python
from bench.results import Result, ratios, rounded, table

ENTRIES = 60_000
RSIGMA = "0.23.0"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vaultwatch-bench"
AHEAD: tuple[Traffic, ...] = ("quiet", "busy")
"""The corpora on which `check` is to take less CPU time than each peer."""
Match = tuple[str, str]
"""A rule and the id of a call; of a rule that counts, there is no id to compare."""


@dataclass(frozen=True)
class Peer:
    """A program to compare with: its command for a corpus, and what a line of its output says."""

    name: str
    command: Callable[[Path], list[str]]
    match_of: Callable[[str], Match]


def peers(folder: Path) -> tuple[list[Peer], list[str]]:
    """Return the peers that are installed, and a line about each that is not.

    Args:
        folder: Where their rules are.
    """
    found, missing = list[Peer](), list[str]()
    rsigma = CACHE / f"rsigma-{RSIGMA}" / "bin" / "rsigma"
    if rsigma.exists():
        rules = ("--rules", str(folder / "rsigma"), "--pipeline", str(folder / "rsigma.yml"))
        options = ("engine", "eval", *rules, "--input-format", "json", "--include-event", "--event")
        found.append(Peer("rsigma", lambda path: [str(rsigma), *options, f"@{path}"], match_of_rsigma))
    else:
        why = "tools/peers builds it" if shutil.which("cargo") else "building it needs cargo"
        missing.append(f"rsigma {RSIGMA} is not installed, so it is not measured: {why}")
    duckdb = with_duckdb()
    if duckdb:
        script, query = ROOT / "bench" / "in_duckdb.py", folder / "duckdb.sql"
        found.append(Peer("duckdb", lambda path: [str(duckdb), str(script), str(query), str(path)], match_of_duckdb))
    else:
        missing.append("duckdb is not installed, so it is not measured: tools/peers installs it")
    return found, missing


def with_duckdb() -> Path | None:
    """Return the Python of the environment with DuckDB, if there is one."""
    path = ROOT / ".peers" / "bin" / "python"
    return path if path.exists() and any(path.parent.parent.glob("lib/python*/site-packages/duckdb")) else None


def match_of_rsigma(line: str) -> Match:
    """Return what a line of rsigma's output found: it has the title of the rule and the entry."""
    found = json.loads(line)
    return found["rule_title"], found["event"]["request"]["id"]


def match_of_duckdb(line: str) -> Match:
    """Return what a line from `in_duckdb` found."""
    rule, call = json.loads(line)
    return rule, call


def match_of_alert(line: str) -> Match:
    """Return what an alert of `check` found."""
    alert = json.loads(line)
    return alert["rule"], alert["event_key"]


def compared(bench: Bench, measured: dict[str, Any]) -> list[Result]:
    """Compare `check` with each peer that is installed, on each corpus.

    Raises:
        BenchError: A peer does not find the same calls.
    """
    folder = bench.folder / "peers"
    measure(python("-m", "bench.peer_rules", folder))
    said = json.loads((folder / "peers.json").read_text())
    found, missing = peers(folder)
    for line in missing:
        print(f"bench: {line}", file=sys.stderr)
    results = []
    for peer in found:
        for traffic, *_ in GOALS:
            path = bench.corpus(ENTRIES if bench.rounds > 1 else 5_000, traffic).path
            used, matches = _in_turns(bench, peer, folder, path)
            said[peer.name][traffic] = {"matches": matches} | {
                name: median(usage.cpu_seconds for usage in usages) for name, usages in used.items()
            }
            theirs, ours = ([sum(pair) for pair in _pairs(used[name])] for name in (peer.name, "check"))
            title = f"{peer.name}, {traffic} corpus, against check with the same rules"
            goal = 1 if traffic in AHEAD else None
            results.append(Result(title, ratios(theirs, ours), "times", "at_least", goal))
    measured["peers"] = said
    return results


def _in_turns(bench: Bench, peer: Peer, folder: Path, corpus: Path) -> tuple[dict[str, list[Usage]], int]:
    options = ("check", "--jobs", "1", "--format", "json")
    ours = Peer(
        "check",
        lambda path: python("-m", "bench.with_pack", folder / f"{peer.name}.json", *options, path),
        match_of_alert,
    )
    used: dict[str, list[Usage]] = {"check": [], peer.name: []}
    names = rule_names(folder / f"{peer.name}.json")
    matches: Counter[Match] = Counter()
    for _ in range(bench.rounds):  # twice each, in both orders, as the others
        matched = []
        for one in (ours, peer, peer, ours):
            output = bench.folder / "found.jsonl"
            used[one.name].append(measure(one.command(corpus), stdout=output, allowed=(0, FOUND)))
            matched.append(calls(map(one.match_of, output.read_text().splitlines()), names))
        for other in matched[1:]:
            if other != matched[0]:
                differ = sorted({rule for rule, _ in (other - matched[0]) + (matched[0] - other)})
                raise BenchError(f"{peer.name} and check do not find the same calls: {', '.join(differ)}")
        matches = matched[0]
    return used, matches.total()


def rule_names(pack: Path) -> dict[str, str]:
    """Return the names of the rules of a pack by their titles, which is what rsigma prints."""
    return {rule["title"]: rule["name"] for rule in json.loads(pack.read_text())["rules"]}


def calls(matches: Iterable[Match], names: dict[str, str]) -> Counter[Match]:
    """Return each call once for each rule, whether the rule matched its request, its response or both."""
    named = [(names.get(rule, rule), call) for rule, call in matches]
    counting = counting_rules()
    return Counter(sorted({one for one in named if one[0] not in counting})) + Counter(
        (rule, "") for rule, _ in named if rule in counting
    )


def _pairs(used: list[Usage]) -> list[tuple[float, float]]:
    return [(a.cpu_seconds, b.cpu_seconds) for a, b in zip(used[::2], used[1::2], strict=True)]


def main() -> int:
    """Run the command; return its exit status."""
    bench, path, measured = Bench(ROOT / ".bench", rounds=5), ROOT / "bench" / "results.json", dict[str, Any]()
    bench.folder.mkdir(exist_ok=True)
    try:
        results = compared(bench, measured)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    if not results:
        return 1
    document = json.loads(path.read_text())
    rows = [row for row in document["results"] if not row["name"].startswith(tuple(measured["peers"]))]
    rows += [rounded(asdict(result) | {"median": result.median, "met": result.met}) for result in results]
    document["results"] = rows
    document["measured"] |= rounded(measured)
    path.write_text(json.dumps(document, indent=1) + "\n")
    print(table(results))
    return 0 if all(result.met for result in results) else 1


if __name__ == "__main__":
    raise SystemExit(main())
