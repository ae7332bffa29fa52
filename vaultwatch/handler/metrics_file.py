"""`--metrics FILE`: a handler's metrics as a file for Prometheus, whatever its other threads wait for."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from vaultwatch.appending import replace_file
from vaultwatch.errors import SettingError
from vaultwatch.exposition import Family, single
from vaultwatch.exposition import encode_metrics as encode
from vaultwatch.handler.counters import Counters
from vaultwatch.outputs import metrics_by
from vaultwatch.printable import one_line
from vaultwatch.problem_log import ProblemLog

Collect = Callable[[], Iterable[Family]]


@contextmanager
def writing_metrics(
    path: Path | None, command: str, source: str, collect: Collect, every_seconds: float
) -> Iterator[None]:
    """Write the metrics once in a while as long as the context lasts, and once more at its end.

    Args:
        path: The file, which is replaced each time; None to write nothing.
        command: The name of the command, which becomes a label.
        source: The log that it reads, which becomes a label.
        collect: Returns the metrics; it is called by another thread.
        every_seconds: The time between two writes.
    """
    if path is None:
        yield
        return
    writer = _Writer(path, {"command": command, "source": source}, collect, every_seconds)
    writer.start()
    try:
        yield
    finally:
        writer.end()


def families_of_lines(counters: Counters) -> Iterator[Family]:
    """Yield the lines that were received, by cluster, node and lane; those of lines without a tag are empty."""
    rows = [
        ({"cluster": origin.cluster, "node": origin.node, "lane": origin.lane}, row)
        for origin, row in counters.by_origin()
    ]
    lines = "Lines received, by the cluster, node and lane that their tags name."
    yield Family("vaultwatch_lines_total", "counter", lines, [(labels, row.lines) for labels, row in rows])
    size = "Bytes of these lines."
    yield Family("vaultwatch_line_bytes_total", "counter", size, [(labels, row.bytes) for labels, row in rows])
    last = "When the last of these lines was received."
    yield Family("vaultwatch_last_line_timestamp_seconds", "gauge", last, [(labels, row.last) for labels, row in rows])
    canary = "When the last entry of the canary was received (`vaultwatch probe`); 0 if none was."
    seen = [(labels, row.last_canary) for labels, row in rows]
    yield Family("vaultwatch_last_canary_timestamp_seconds", "gauge", canary, seen)


class _Writer(threading.Thread):
    def __init__(self, path: Path, labels: dict[str, str], collect: Collect, every_seconds: float) -> None:
        super().__init__(name="writing metrics", daemon=True)
        self._path = path
        self._labels = labels
        self._collect = collect
        self._every_seconds = every_seconds
        self._started_at = time.time()
        self._ended = threading.Event()
        self._problems = ProblemLog()

    def run(self) -> None:
        while not self._ended.is_set():
            self._write()
            self._ended.wait(self._every_seconds)

    def end(self) -> None:
        """End the thread, and write the metrics once more."""
        self._ended.set()
        self.join()
        self._write()

    def _write(self) -> None:
        try:
            if why := metrics_by(self._labels["command"]).refusal(self._path):
                raise SettingError(why)
            replace_file(self._path, encode([*self._about_process(), *self._collect()], self._labels))
            self._problems.resolve("--metrics: the file is written again")
        except Exception as error:  # noqa: BLE001 - the thread's edge: metrics must not end a handler
            text = f"--metrics: {self._path}: {one_line(str(error), 200) or type(error).__name__}"
            self._problems.report("--metrics", logging.ERROR, text)

    def _about_process(self) -> Iterator[Family]:
        build = "The version of Vaultwatch."
        yield Family("vaultwatch_build_info", "gauge", build, [({"version": version("vaultwatch")}, 1)])
        yield single("vaultwatch_start_timestamp_seconds", "gauge", "When the process started.", self._started_at)
        written = "When this file was written: an old time means that the process was killed or hangs."
        yield single("vaultwatch_metrics_timestamp_seconds", "gauge", written, time.time())
        running = "1 while the process runs, 0 after it has read its input to the end."
        yield single("vaultwatch_running", "gauge", running, int(not self._ended.is_set()))
