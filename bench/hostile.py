"""Measures the worst lines, in a process of its own: `python -m bench.hostile` prints figures as JSON.

Each line is evaluated in a child of its own, followed by an ordinary entry that must raise its alert. Memory is what
the child takes beyond what it had before, with the line itself, until the alerts are made. The longest lines are
evaluated as `evaluate` does it, within its limits: one process fetches them, and a child of it evaluates them.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import vaultwatch.detection.server
import vaultwatch.store.encoding  # noqa: F401  not by each child
from bench.shapes import HEAD, NAMED, TAIL, Shape, searched
from vaultwatch.alerts import alert_of
from vaultwatch.batches import EncodedFrame
from vaultwatch.detection.detector import Detector
from vaultwatch.detection.evaluator import Ruleset
from vaultwatch.frames import Frame, Records, Reference, encode
from vaultwatch.isolated_batches import IsolatedEvaluation
from vaultwatch.isolation import Limits, Patience
from vaultwatch.rules.pack import shipped_rules
from vaultwatch.settings import Settings

MIB = 1 << 20
SIZE_BYTES, QUICK_SIZE_BYTES = 8 * MIB, 3 * MIB
LONGEST_BYTES, QUICK_LONGEST_BYTES = 100 * MIB, 10 * MIB
EVALUATE_MIB = Settings().evaluate_memory_mib
TAG = b"@prod/vault-1/file "
TRIES = 60
FOLLOWING = HEAD.replace(b'"id":"a"', b'"id":"following"') + b"0" + TAIL + b"\n"


class Use(NamedTuple):
    """What one line took: CPU seconds, and memory, with its own, in bytes per byte of it."""

    seconds: float
    bytes_per_byte: float


def evaluated(shape: Shape, size: int, rules: Ruleset) -> Use:
    """Evaluate the line of a shape in a child process.

    Args:
        shape: The shape.
        size: Bytes of its line.
        rules: The rules, which the child shares with this process.

    Raises:
        SystemExit: The line ended the child, was not counted, or suppressed the alert on the entry after it.
    """
    return Use(*_in_child(partial(_evaluate, shape, size, rules), f"a line of {size} bytes: {shape}"))


def peaks(size: int, rules: Ruleset) -> dict[str, float]:
    """Return for each named shape the MiB that `evaluate` has at most, in both of its processes, for one such line.

    Args:
        size: Bytes of the line.
        rules: The rules.

    Raises:
        SystemExit: A line was not evaluated within the limits of `evaluate`.
    """
    return {
        name: _in_child(partial(_evaluate_by_reference, shape, size, rules), f"a line of {size} bytes: {name}")[0] / MIB
        for name, shape in NAMED.items()
    }


def _in_child(measure: Callable[[], tuple[float, ...]], what: str) -> list[float]:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(writing, json.dumps(measure()).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answers:
        answer = answers.read()
    os.waitpid(pid, 0)
    if not answer:
        raise SystemExit(f"not evaluated: {what}")
    found: list[float] = json.loads(answer)
    return found


def _evaluate_by_reference(shape: Shape, size: int, rules: Ruleset) -> tuple[float]:
    held = [TAG + shape.line(size) + b"\n"]
    now, process = datetime.now(UTC), UUID(int=1)
    contents: list[Reference | Records] = [Reference("bucket", "oversize/line", len(held[0]), 1, "0" * 64)]
    contents.append(Records(TAG + FOLLOWING))
    batch = [
        EncodedFrame(str(number), encode(Frame("audit", "log-1", process, number, now, now, content)))
        for number, content in enumerate(contents)
    ]
    limits = Limits(EVALUATE_MIB * MIB * 5 // 8, 60)
    evaluation = IsolatedEvaluation(rules, None, claim=lambda _: held.pop(), limits=limits, patience=Patience(600))
    _forget_peak()
    keys = {alert.event_key for alerts in evaluation.frames(batch) for alert in alerts}
    if evaluation.findings.unreadable or "following" not in keys:
        raise SystemExit(1)
    # Both processes are counted in full, although they share what was there before the child.
    return (_resident("VmHWM") + 1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss,)


def _evaluate(shape: Shape, size: int, rules: Ruleset) -> Use:
    line = shape.line(size) + b"\n"
    detector = Detector(rules)
    before = _resident("VmRSS") - len(line)
    _forget_peak()
    began = time.process_time()
    verdicts = detector.feed([line, FOLLOWING]) + detector.flush()
    alerts = [alert_of(verdict, _fail) for verdict in verdicts]
    seconds = time.process_time() - began
    counts = detector.counts
    if counts.audit + counts.server + counts.rejected < 2 or "following" not in {one.event_key for one in alerts}:
        raise SystemExit(1)
    return Use(seconds, (_resident("VmHWM") - before) / len(line))


def _resident(name: str) -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition(f"{name}:")[2].split()[0]) * 1024


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _fail(_: str, error: Exception) -> None:
    raise error


def growth(found: Mapping[Shape, Use], measure: Callable[[Shape], Use]) -> dict[str, float]:
    """Return for each named shape how many times as long a line of twice the size takes."""
    return {name: measure(shape).seconds / found[shape].seconds for name, shape in NAMED.items()}


def main() -> int:
    """Run the command, whose output is one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m bench.hostile")
    parser.add_argument("--rounds", type=int, default=5)
    rounds = min(parser.parse_args().rounds, 2)
    size, tries = (SIZE_BYTES, TRIES) if rounds > 1 else (QUICK_SIZE_BYTES, 0)
    rules = Ruleset(shipped_rules())

    def use(shape: Shape, times: int = 1) -> Use:
        return min(evaluated(shape, times * size, rules) for _ in range(rounds))

    found = searched(use, tries)
    largest = max(found, key=lambda shape: found[shape].bytes_per_byte)
    slowest = max(found, key=lambda shape: found[shape].seconds)
    report = {
        "memory": found[largest].bytes_per_byte,
        "milliseconds_per_mib": 1000 * found[slowest].seconds * MIB / size,
        "growth": growth(found, partial(use, times=2)),
        "peak_mib": peaks(LONGEST_BYTES if rounds > 1 else QUICK_LONGEST_BYTES, rules),
        "largest": _described(largest),
        "slowest": _described(slowest),
    }
    print(json.dumps(report))
    return 0


def _described(shape: Shape) -> str:
    return repr(tuple(part[:40] for part in shape))


if __name__ == "__main__":
    raise SystemExit(main())
