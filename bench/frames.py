"""Measures the size of frames and the CPU time to encode, decode and evaluate them: `python -m bench.frames CORPUS`.

It runs in a process of its own and prints JSON. Lines are tagged as by syslog-ng and cut into frames as by `ship`. The
reference is the same frames with gzip at level 6 instead of zstd and the seal (gzip has a CRC-32): the same header, the
same checks. The consumer is that of `evaluate`: from the base64 text of Kinesis events to verdicts.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import json
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from datetime import UTC, datetime
from functools import partial
from io import BytesIO, StringIO
from itertools import cycle
from pathlib import Path
from statistics import mean, median
from types import SimpleNamespace
from typing import Any, TypeVar
from unittest.mock import patch
from uuid import UUID

import zstandard

from bench.corpus import entries
from bench.in_process import READ_BUFFER_BYTES, Method, Ready, evaluating, interleaved
from bench.processes import FUNCTION_ENVIRONMENT
from vaultwatch import frames
from vaultwatch.alerts import alert_of
from vaultwatch.batches import EncodedFrame, Evaluation
from vaultwatch.detection.detector import Detector
from vaultwatch.detection.evaluator import Ruleset
from vaultwatch.frames import Frame, Records, Reference
from vaultwatch.rules.pack import Rule, shipped_rules
from vaultwatch.ship import Pace
from vaultwatch.ship.framing import Framer
from vaultwatch.ship.gathering import Batch, LineGatherer
from vaultwatch.ship.outbox import StreamRecord
from vaultwatch.store.encoding import encode_alert

TAGS = (b"@production/vault-1.example.com/socket ", b"@production/vault-1.example.com/file ")
LINES_A_SECOND = (20, 200, 2_000)
"""Lines per frame at 10, 100 and 1,000 records per second on two lanes; at 10,000, frames are full before a second."""
PART = 40_000
"""How many lines are cut into frames of each size."""
PAYLOAD_BYTES = 6_000_000
"""The most that Lambda passes to one invocation, as text."""
SEAL_BYTES = 12  # docs/frames.md
SEGMENT_BYTES = 64 * 1024 * 1024
T = TypeVar("T")
_MOMENT = datetime(2026, 11, 20, 10, tzinfo=UTC)
_PROCESS = UUID(int=1)


def cut(corpus: Path) -> list[bytes]:
    """Return full frames, as when lines arrive faster than frames are closed; the lanes take turns."""
    made: list[StreamRecord] = []
    framer = Framer(("audit", "log-1", _PROCESS), _Nowhere(), LineGatherer(Pace()).middle, made.append)
    held = bytearray()
    with corpus.open("rb", buffering=READ_BUFFER_BYTES) as file:
        for tag, line in zip(cycle(TAGS), file, strict=False):
            held += tag + line
            if len(held) >= framer.target_bytes:
                framer.send(_batch(held))
                held.clear()
    if held:
        framer.send(_batch(held))
    return [record.data for record in made]


class _Nowhere:
    """A store for oversize lines, of which a corpus has none."""

    def keep(self, lines: bytes | bytearray, at: datetime) -> Reference:  # noqa: ARG002 (the protocol's name)
        raise SystemExit(f"{len(lines)} bytes do not fit into a frame")


def _batch(lines: bytes | bytearray) -> Batch:
    return Batch(bytes(lines), _MOMENT, _MOMENT)


def _frame(lines: bytes) -> Frame:
    return Frame("audit", "log-1", _PROCESS, 0, _MOMENT, _MOMENT, Records(lines))


def _lines(frame: Frame) -> bytes:
    if isinstance(frame.content, Records):
        return frame.content.lines
    raise SystemExit("a frame without lines")


def zip_frame(data: bytes) -> bytes:
    """Return the same frame with gzip."""
    return gzip.compress(_content(data), 6, mtime=0)


def _content(data: bytes) -> bytes:
    """Return the header and the lines."""
    return zstandard.ZstdDecompressor().decompress(data[SEAL_BYTES:])


def in_gzip(ready: Ready) -> Ready:
    """Do the same with frames in gzip."""

    def run(lines: Sequence[bytes]) -> None:
        with patch.multiple(frames, _unseal=lambda data: data, _unpack=lambda data, _: zlib.decompress(data, 31)):
            ready()(lines)

    return lambda: run


def each(function: Callable[[T], object], items: Sequence[T]) -> Ready:
    """Return a function that runs over these items instead of the lines that the others get."""

    def run(_: Sequence[bytes]) -> None:
        for item in items:
            function(item)

    return lambda: run


def consuming(rules: Sequence[Rule], events: Sequence[bytes], expected: int) -> Ready:
    """Run `evaluate` without parsing its event, metrics and AWS; each call gets as many frames as from Lambda."""
    calls = list(_calls(events))

    def ready() -> Method:
        ruleset = Ruleset(rules)

        def run(_: Sequence[bytes]) -> None:
            found = sum(consume(ruleset, call) for call in calls)
            if found != expected:
                raise SystemExit(f"evaluated {found} of {expected} lines")

        return run

    return ready


def consume(rules: Ruleset, events: Sequence[bytes]) -> int:
    """Evaluate the frames of one call; return how many records they hold."""
    evaluation = Evaluation(rules, UTC, claim=_refuse)
    for _ in evaluation.frames(EncodedFrame("", base64.b64decode(event)) for event in events):
        pass
    return evaluation.findings.records


def _refuse(reference: Reference) -> bytes:
    raise SystemExit("a reference among frames of lines")


def _calls(events: Sequence[bytes]) -> Iterator[list[bytes]]:
    call: list[bytes] = []
    for event in events:
        if call and sum(map(len, call)) + len(event) > PAYLOAD_BYTES:
            yield call
            call = []
        call.append(event)
    yield call


def split(packed: Sequence[bytes]) -> list[bytes]:
    """Yield the lines of frames."""
    return [line for data in packed for line in BytesIO(_lines(frames.decode(data)))]


def seconds(packed: Sequence[bytes], zipped: Sequence[bytes], rounds: int) -> dict[str, list[float]]:
    """Return the CPU seconds of each way to encode, decode and evaluate the whole corpus, once per round."""
    content = [_content(data) for data in packed]
    unpacked = [frames.decode(data) for data in packed]
    writing: dict[str, Ready] = {
        "write zstd": each(frames.encode, unpacked),
        "write gzip": each(lambda text: gzip.compress(text, 6, mtime=0), content),
    }
    found = interleaved(writing, (), rounds)
    count = sum(frames.count_lines(_lines(frame)) for frame in unpacked)
    del content, unpacked, writing
    reading = {"read zstd": each(frames.decode, packed), "read gzip": in_gzip(each(frames.decode, zipped))}
    found |= interleaved(reading, (), rounds)
    rules = shipped_rules()
    consumers: dict[str, Ready] = {
        "evaluate lines": partial(evaluating, rules),
        "evaluate zstd": consuming(rules, [*map(base64.b64encode, packed)], count),
        "evaluate gzip": in_gzip(consuming(rules, [*map(base64.b64encode, zipped)], count)),
    }
    return found | interleaved(consumers, split(packed), rounds)


def sizes(corpus: Path, packed: Sequence[bytes], zipped: Sequence[bytes]) -> dict[str, float]:
    """Return the bytes of the corpus, its tagged lines, their frames with zstd and gzip, a record and an alert."""
    blocks = [_lines(frames.decode(data)) for data in packed]
    raw, count = corpus.stat().st_size, sum(map(frames.count_lines, blocks))
    with corpus.open("rb") as file:
        segment = file.read(SEGMENT_BYTES)
    return {
        "raw_bytes": raw,
        "tagged_bytes": sum(map(len, blocks)),
        "zstd_bytes": sum(map(len, packed)),
        "gzip_bytes": sum(map(len, zipped)),
        "frames": len(packed),
        "record_bytes": raw / count,
        "segment_ratio": len(segment) / len(zstandard.ZstdCompressor(level=3).compress(segment)),
        "alert_bytes": mean(len(encode_alert(alert_of(one))) for one in Detector(shipped_rules()).feed(split(packed))),
    }


def per_frame(packed: Sequence[bytes], rounds: int) -> list[dict[str, float]]:
    """Return the mean bytes of frames of each number of lines, full ones last, and the CPU ms to evaluate one."""
    lines, rules, found = split(packed)[:PART], Ruleset(shipped_rules()), []
    cuts = [
        [b"".join(lines[at : at + size]) for at in range(0, len(lines) - size + 1, size)] for size in LINES_A_SECOND
    ]
    for made in [[frames.encode(_frame(block)) for block in blocks] for blocks in cuts] + [_full(packed)]:
        calls = each(lambda event: consume(rules, [event]), [*map(base64.b64encode, made)])
        spent = median(interleaved({"": calls}, (), rounds)[""])
        count = sum(frames.count_lines(_lines(frames.decode(data))) for data in made)
        found.append({"lines": count / len(made), "bytes": mean(map(len, made)), "cpu_ms": 1000 * spent / len(made)})
    return found


def _full(packed: Sequence[bytes]) -> list[bytes]:
    """Return some frames but the first, before which the compression ratio is unknown, and the last."""
    return list(packed[1:-1][:20] or packed)


_CONTEXT = SimpleNamespace(memory_limit_in_mb="1024", get_remaining_time_in_millis=lambda: 120_000)


def logged() -> dict[str, int]:
    """Return how many bytes `evaluate` logs in one call without an alert, and how many metrics those contain."""
    os.environ.update(FUNCTION_ENVIRONMENT)
    from lambdas import evaluate

    lines = b"".join(tag + line for tag, (_, line) in zip(cycle(TAGS), entries(200, 1, alert_rate=0), strict=False))
    data = base64.b64encode(frames.encode(_frame(lines))).decode()
    with redirect_stdout(StringIO()) as written:
        evaluate.handler(
            {"Records": [{"eventID": "shard:1", "kinesis": {"data": data, "approximateArrivalTimestamp": 0.0}}]},
            _CONTEXT,
        )
    sets = [json.loads(line)["_aws"]["CloudWatchMetrics"] for line in written.getvalue().splitlines()]
    names = sum(len(one["Metrics"]) for found in sets for one in found)
    return {"log_bytes": len(written.getvalue()), "metrics": names}


def main() -> int:
    """Run the command, whose output is one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m bench.frames")
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    packed = cut(given.corpus)
    zipped = [zip_frame(data) for data in packed]
    measured: dict[str, Any] = {"sizes": sizes(given.corpus, packed, zipped), "logged": logged()}
    measured["per_frame"] = per_frame(packed, given.rounds)
    measured["seconds"] = seconds(packed, zipped, given.rounds)
    print(json.dumps(measured))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
