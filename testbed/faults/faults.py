"""The faults that `make faults` causes, each by the name of its row."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from botocore.exceptions import EndpointConnectionError

from testbed.certificates import Authority
from testbed.faults.chain import ENTRIES, Chain
from testbed.lanes import LogServerHost, Node

_EXPIRED = timedelta(seconds=-60)

Fault = Callable[[Chain], None]


def _nothing(_chain: Chain) -> None:
    pass


def _while_down(chain: Chain, host: Node | LogServerHost, end: Callable[[], object]) -> None:
    end()
    chain.sender.send(ENTRIES)
    host.start()


def _hang_log_server(chain: Chain) -> None:
    pid = chain.server.syslog_ng.pid
    if pid is not None:
        os.kill(pid, signal.SIGSTOP)
    chain.sender.send(ENTRIES)
    chain.go_on()


def _kill_handler(chain: Chain) -> None:
    for pid in chain.server.syslog_ng.programs():
        os.kill(pid, signal.SIGKILL)


def _hang_handler(chain: Chain) -> None:
    for pid in chain.server.syslog_ng.programs():
        os.kill(pid, signal.SIGSTOP)
    chain.sender.send(ENTRIES)
    chain.go_on()


def _refused_certificate(chain: Chain, pair: tuple[bytes, bytes]) -> None:
    """Restart the node with a certificate that the log server refuses, until it gets its own again."""
    files = [chain.node.tls / name for name in ("host.pem", "host.key")]
    right = [file.read_bytes() for file in files]
    chain.node.syslog_ng.stop()
    _write(files, pair)
    chain.node.start()
    chain.sender.send(ENTRIES)
    _write(files, right)
    chain.node.syslog_ng.reload()


def _write(files: list[Any], contents: Any) -> None:
    for file, content in zip(files, contents, strict=True):
        file.write_bytes(content)


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


FAULTS: dict[str, Fault] = {
    "none": _nothing,
    "node's syslog-ng: kill -9": lambda chain: _while_down(chain, chain.node, chain.node.syslog_ng.kill),
    "node's syslog-ng: TERM": lambda chain: _while_down(chain, chain.node, chain.node.syslog_ng.stop),
    "log server: kill -9": lambda chain: _while_down(chain, chain.server, chain.server.syslog_ng.kill),
    "log server: TERM": lambda chain: _while_down(chain, chain.server, chain.server.syslog_ng.stop),
    "log server hangs": _hang_log_server,
    "log server's disk is full": Chain.fill_disk,
    "certificate of a stranger": lambda chain: _refused_certificate(chain, Authority().issue("vault-1")),
    "certificate expired": lambda chain: _refused_certificate(chain, chain.authority.issue("vault-1", lasts=_EXPIRED)),
    "handlers: kill -9": _kill_handler,
    "handlers hang": _hang_handler,
    "S3 unreachable": _no_s3,
    "S3's answer is lost": _lost_answer,
    "rotation": _rotate,
}
NEEDS_ROOT = frozenset({"log server's disk is full"})
"""Faults that mount a small disk."""
