"""`make faults`: cause faults on the way of audit entries, and print what each cost.

Each row is one run with a new chain; with ROUNDS, one run has so many at random, the same ones for the same SEED.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from botocore.exceptions import EndpointConnectionError

from testbed.faults.chain import Chain, Outcome
from testbed.lanes import LogServerHost, Node

_ENTRIES = 400
_ROW = "{:28} {:>8} {:>12} {:>10} {:>6} {:>9} {:>12} {:>9}"
_HEAD = ("fault", "owed", "lost: socket", "fast way", "in all", "repeated", "longest wait", "drained")


def _nothing(_chain: Chain) -> None:
    pass


def _while_down(chain: Chain, host: Node | LogServerHost, end: Callable[[], object]) -> None:
    end()
    chain.sender.send(_ENTRIES)
    host.start()


def _hang_log_server(chain: Chain) -> None:
    pid = chain.server.syslog_ng.pid
    if pid is not None:
        os.kill(pid, signal.SIGSTOP)
    chain.sender.send(_ENTRIES)
    chain.go_on()


def _kill_handler(chain: Chain) -> None:
    for pid in chain.server.syslog_ng.programs():
        os.kill(pid, signal.SIGKILL)


def _hang_handler(chain: Chain) -> None:
    for pid in chain.server.syslog_ng.programs():
        os.kill(pid, signal.SIGSTOP)
    chain.sender.send(_ENTRIES)
    chain.go_on()


def _no_s3(chain: Chain) -> None:
    def unreachable(_call: Callable[[], Any]) -> Any:
        raise EndpointConnectionError(endpoint_url="https://s3")

    chain.s3.fault = unreachable
    chain.follow()


def _lost_answer(chain: Chain) -> None:
    def unanswered(call: Callable[[], Any]) -> Any:
        call()
        raise EndpointConnectionError(endpoint_url="https://s3")

    chain.s3.fault = unanswered
    chain.follow()


def _rotate(chain: Chain) -> None:
    now = int(time.time())
    while int(time.time()) == now:  # a rotated file is named by the second
        time.sleep(0.01)
    chain.rotate()


FAULTS: dict[str, Callable[[Chain], None]] = {
    "none": _nothing,
    "node's syslog-ng: kill -9": lambda chain: _while_down(chain, chain.node, chain.node.syslog_ng.kill),
    "node's syslog-ng: TERM": lambda chain: _while_down(chain, chain.node, chain.node.syslog_ng.stop),
    "log server: kill -9": lambda chain: _while_down(chain, chain.server, chain.server.syslog_ng.kill),
    "log server: TERM": lambda chain: _while_down(chain, chain.server, chain.server.syslog_ng.stop),
    "log server hangs": _hang_log_server,
    "handlers: kill -9": _kill_handler,
    "handlers hang": _hang_handler,
    "S3 unreachable": _no_s3,
    "S3's answer is lost": _lost_answer,
    "rotation": _rotate,
}


def run(name: str, faults: list[Callable[[Chain], None]]) -> Outcome:
    """Cause faults one after the other under load, and return what they cost.

    Args:
        name: The name of the row.
        faults: The faults.
    """
    with TemporaryDirectory(prefix="vaultwatch-faults-") as folder:
        chain = Chain(Path(folder))
        try:
            for fault in faults:
                chain.sender.send(_ENTRIES)
                chain.follow()
                fault(chain)
            chain.sender.send(_ENTRIES)
            return chain.outcome(name)
        finally:
            chain.stop()


def _outcomes(rounds: int, seed: int) -> Iterator[Outcome]:
    if rounds:
        chosen = random.Random(seed).choices(list(FAULTS), k=rounds)  # noqa: S311  the same for the same seed
        yield run(f"{rounds} at random, seed {seed}", [FAULTS[name] for name in chosen])
    else:
        yield from (run(name, [fault]) for name, fault in FAULTS.items())


def main() -> int:
    """Print a row for each run; return 1 if an entry is in neither copy of the archive, or in one of them twice."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(_ROW.format(*_HEAD))
    failed = False
    for it in _outcomes(options.rounds, options.seed):
        counts = (it.owed, it.lost_socket, it.lost_fast, it.lost, it.repeated)
        print(_ROW.format(it.fault, *counts, f"{it.longest_seconds:.3f} s", f"{it.drain_seconds:.1f} s"), flush=True)
        failed |= bool(it.lost or it.repeated)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
