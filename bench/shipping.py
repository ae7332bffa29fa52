"""Measures `vaultwatch ship` on a pipe: `python -m bench.shipping CORPUS FOLDER` prints CPU seconds as JSON.

A stand-in for Kinesis on loopback accepts everything at once. `cat`, which only reads the pipe, takes turns with `ship`
on an empty input, on lines of the corpus's mean size, and on lines of 1 KiB on average.
"""

from __future__ import annotations

import argparse
import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle, islice
from pathlib import Path
from threading import Thread
from typing import Any

from bench.frames import TAGS
from bench.processes import FUNCTION_ENVIRONMENT, BenchError, measure, vaultwatch
from vaultwatch.frames import Records, count_lines, decode

MEAN_BYTES = 1024


class Kinesis(ThreadingHTTPServer):
    """A stand-in for Kinesis that answers DescribeStreamSummary and PutRecords; `taken` is the data of all records."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.taken: list[str] = []

    @property
    def url(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self.server_port}"

    def lines(self) -> int:
        """Return how many lines have arrived since the last call."""
        frames = [decode(base64.b64decode(data)) for data in self.taken]
        self.taken.clear()
        return sum(count_lines(frame.content.lines) for frame in frames if isinstance(frame.content, Records))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Kinesis

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        records = body.get("Records", [])
        self.server.taken += [record["Data"] for record in records]
        taken = [{"SequenceNumber": "1", "ShardId": "shardId-000000000000"}] * len(records)
        summary = {"StreamDescriptionSummary": {"StreamStatus": "ACTIVE"}}
        answer = json.dumps({"FailedRecordCount": 0, "Records": taken} if records else summary).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


@contextmanager
def kinesis() -> Iterator[Kinesis]:
    """Run the stand-in inside a `with` statement."""
    with Kinesis() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def write_lines(corpus: Path, to: Path, mean_bytes: float | None) -> int:
    """Write as many tagged lines as the corpus has: all of them, or the shorter ones with this mean, repeatedly.

    The copies of a line are further apart than the window of zstd's level 1, except in a small corpus.
    """
    with corpus.open("rb") as file:
        lines = [tag + line for tag, line in zip(cycle(TAGS), file, strict=False)]
    longest = max(map(len, lines)) if mean_bytes is None else _longest(lines, mean_bytes)
    chosen = cycle([line for line in lines if len(line) <= longest])
    with to.open("wb") as file:
        file.writelines(islice(chosen, len(lines)))
    return len(lines)


def _longest(lines: list[bytes], mean_bytes: float) -> int:
    """Return the maximum size of the lines whose mean is nearest to this from below."""
    total, longest = 0, 0
    for count, size in enumerate(sorted(map(len, lines)), 1):
        total += size
        if total > mean_bytes * count:
            break
        longest = size
    return longest


def ship(server: Kinesis, folder: Path, lines: Path, expected: int) -> float:
    """Return the CPU seconds of `ship` for these lines from a pipe.

    Raises:
        BenchError: If the stand-in did not get every line.
    """
    command = vaultwatch("ship", "--source", "audit", "--stream", "bench", "--state", folder / "state")
    command += ["--log-file", str(folder / "ship.log")]
    environment = FUNCTION_ENVIRONMENT | {"AWS_ENDPOINT_URL": server.url}
    usage = measure(command, stdin=lines, piped=True, environment=environment)
    if (came := server.lines()) != expected:
        raise BenchError(f"vaultwatch ship: {came} of {expected} lines came")
    return usage.cpu_seconds


def rounds_of(corpus: Path, folder: Path, rounds: int) -> dict[str, Any]:
    """Return the CPU seconds of each, once per round, and the numbers of their lines."""
    inputs = {"empty": folder / "empty.jsonl", "corpus": folder / "ship.jsonl", "1 KiB": folder / "ship-1kib.jsonl"}
    inputs["empty"].write_bytes(b"")
    counts = {"empty": 0, "corpus": write_lines(corpus, inputs["corpus"], None)}
    counts["1 KiB"] = write_lines(corpus, inputs["1 KiB"], MEAN_BYTES)
    seconds: dict[str, list[float]] = {name: [] for name in (*inputs, "cat")}
    with kinesis() as server:
        for _ in range(rounds):
            seconds["cat"].append(measure(["cat"], stdin=inputs["1 KiB"], piped=True).cpu_seconds)
            for name, path in inputs.items():
                seconds[name].append(ship(server, folder, path, counts[name]))
    sizes = {name: path.stat().st_size / max(counts[name], 1) for name, path in inputs.items()}
    return {"lines": counts, "line_bytes": sizes, "seconds": seconds}


def main() -> int:
    """Run the command, whose output is one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m bench.shipping")
    parser.add_argument("corpus", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    print(json.dumps(rounds_of(given.corpus, given.folder, given.rounds)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
