"""The faults that `make faults` causes, each by the name of its row."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple

from botocore.exceptions import EndpointConnectionError

from testbed.certificates import Authority
from testbed.faults.chain import ENTRIES, Chain, Need, Volume
from testbed.lanes import LOG_SERVER_NAME, LogServerHost, Node
from testbed.moved_clock import may_move_clocks
from testbed.trees import may_mount

_EXPIRED = timedelta(seconds=-60)
_SLOW_BYTES_PER_SECOND = 100_000.0
_LARGE_BYTES = 99 * 1024 * 1024
_URGENT_ACTS = 6  # at a time; more than forty a minute are merged
_STEP_SECONDS = 45 * 60  # the certificates of this run are valid since an hour ago


class Fault(NamedTuple):
    """A fault.

    Attributes:
        cause: Causes it, and ends it.
        needs: What the chain needs for it.
        is_mixed: Whether it is caused at random among others.
    """

    cause: Callable[[Chain], None]
    needs: tuple[Need, ...] = ()
    is_mixed: bool = True


def _nothing(_chain: Chain) -> None:
    pass


def _while_down(chain: Chain, host: Node | LogServerHost, end: Callable[[], object]) -> None:
    end()
    chain.sender.send(ENTRIES)
    host.start()


def _hang_log_server(chain: Chain) -> None:
    _stop_log_server(chain)
    chain.sender.send(ENTRIES)
    chain.go_on()


def _signal_handlers(chain: Chain, number: signal.Signals) -> None:
    """End the handlers, which syslog-ng starts again."""
    for pid in chain.server.syslog_ng.programs():
        os.kill(pid, number)
    chain.sender.send(ENTRIES)


def _hang_handler(chain: Chain) -> None:
    _stop_handlers(chain)
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


def _renew_certificates(chain: Chain) -> None:
    """Give both hosts certificates with new keys, which they load as after a renewal, one after the other."""
    for host, pair in (
        (chain.node, chain.authority.issue("vault-1")),
        (chain.server, chain.authority.issue("log-server", [LOG_SERVER_NAME], usage=["server"])),
    ):
        _write([host.tls / name for name in ("host.pem", "host.key")], pair)
        host.syslog_ng.reload()
        chain.sender.send(ENTRIES)


def _write(files: list[Any], contents: Any) -> None:
    for file, content in zip(files, contents, strict=True):
        file.write_bytes(content)


def _while_hung(chain: Chain, volume: Volume, hang: Callable[[Chain], None]) -> None:
    """Fill a disk for buffers while nothing reads what they hold."""
    hang(chain)
    try:
        chain.fill(volume)
    finally:
        chain.go_on()


def _stop_log_server(chain: Chain) -> None:
    pid = chain.server.syslog_ng.pid
    if pid is not None:
        os.kill(pid, signal.SIGSTOP)


def _stop_handlers(chain: Chain) -> None:
    for pid in chain.server.syslog_ng.programs():
        os.kill(pid, signal.SIGSTOP)


def _slow_network(chain: Chain) -> None:
    """Carry less than is written."""
    for relay in chain.network.values():
        relay.bytes_per_second = _SLOW_BYTES_PER_SECOND
    chain.sender.send(4 * ENTRIES)
    _restore(chain)


def _cut_network(chain: Chain) -> None:
    """Drop all packets for a while, then end the connections, and refuse new ones for a while."""
    for end in ("freeze", "refuse"):
        for relay in chain.network.values():
            getattr(relay, end)()
        chain.sender.send(ENTRIES)
    _restore(chain)


def _restore(chain: Chain) -> None:
    for relay in chain.network.values():
        relay.restore()


def _step_clocks(chain: Chain) -> None:
    """Step the clock of the node's syslog-ng forward and the log server's back, then the reverse, then end it."""
    for seconds in (_STEP_SECONDS, -_STEP_SECONDS, 0):
        chain.node_clock.step(seconds)
        chain.server_clock.step(-seconds)
        chain.sender.send(ENTRIES)


def _large_entry(chain: Any) -> None:
    chain.sender.send_large(_LARGE_BYTES)


def _no_s3(chain: Chain) -> None:
    def unreachable(_call: Callable[[], Any]) -> Any:
        raise EndpointConnectionError(endpoint_url="https://s3")

    chain.sender.send(ENTRIES)
    chain.s3.fault = unreachable
    chain.follow()


def _lost_answer(chain: Chain) -> None:
    def unanswered(call: Callable[[], Any]) -> Any:
        call()
        raise EndpointConnectionError(endpoint_url="https://s3")

    chain.sender.send(ENTRIES)
    chain.s3.fault = unanswered
    chain.follow()


def _rotate(chain: Chain) -> None:
    now = int(time.time())
    while int(time.time()) == now:  # a rotated file is named by the second
        time.sleep(0.01)
    chain.rotate()


def _unavailable(service: str, *codes: str) -> Callable[[Any], None]:
    """Return what lets a service throttle, then fail, then refuse connections, while records flow, and work again."""

    def cause(chain: Any) -> None:
        for code in codes:
            chain.fail(service, code)
            chain.sender.send(ENTRIES)
            chain.follow()
        chain.end_outage()
        chain.relays[service].refuse()
        chain.sender.send(ENTRIES)
        chain.follow()
        chain.end_outage()

    return cause


def _slack_unavailable(chain: Any) -> None:
    """Let Slack throttle, fail, hang and refuse connections, each for a minute in which urgent acts are notified."""
    for behaviour in ("429", "500", "hang"):
        chain.fail_slack(behaviour, _URGENT_ACTS)
        chain.pass_a_minute()
    chain.end_outage()
    chain.relays["slack"].refuse()
    chain.sender.send_urgent(_URGENT_ACTS)
    chain.pass_a_minute()
    chain.end_outage()


def _remove_newest(chain: Any) -> None:
    chain.remove_newest_before_sweep()


def _restart_server(kind: str) -> Callable[[Any], None]:
    def cause(chain: Any) -> None:
        chain.sender.restart(kind)

    return cause


FAULTS: dict[str, Fault] = {
    "none": Fault(_nothing, is_mixed=False),
    "server: kill -9": Fault(_restart_server("KILL"), ("server",)),
    "server: TERM": Fault(_restart_server("TERM"), ("server",)),
    "node's syslog-ng: kill -9": Fault(lambda chain: _while_down(chain, chain.node, chain.node.syslog_ng.kill)),
    "node's syslog-ng: TERM": Fault(lambda chain: _while_down(chain, chain.node, chain.node.syslog_ng.stop)),
    "log server: kill -9": Fault(lambda chain: _while_down(chain, chain.server, chain.server.syslog_ng.kill)),
    "log server: TERM": Fault(lambda chain: _while_down(chain, chain.server, chain.server.syslog_ng.stop)),
    "log server hangs": Fault(_hang_log_server),
    "network slow": Fault(_slow_network, ("network",)),
    "network cut": Fault(_cut_network, ("network",)),
    "full: audit file": Fault(lambda chain: chain.fill("audit"), ("disks",)),
    "full: node's buffers": Fault(lambda chain: _while_hung(chain, "buffers", _stop_log_server), ("disks",)),
    "full: log server's files": Fault(lambda chain: chain.fill("logs"), ("disks",)),
    "full: handlers' buffers": Fault(lambda chain: _while_hung(chain, "state", _stop_handlers), ("disks",)),
    "entry of 99 MiB": Fault(_large_entry, ("simulated",), is_mixed=False),  # takes minutes
    "clocks step by 45 minutes": Fault(_step_clocks, ("clock",)),
    "certificate of a stranger": Fault(lambda chain: _refused_certificate(chain, Authority().issue("vault-1"))),
    "certificate expired": Fault(
        lambda chain: _refused_certificate(chain, chain.authority.issue("vault-1", lasts=_EXPIRED))
    ),
    "certificates renewed": Fault(_renew_certificates),
    "handlers: kill -9": Fault(lambda chain: _signal_handlers(chain, signal.SIGKILL)),
    "handlers: TERM": Fault(lambda chain: _signal_handlers(chain, signal.SIGTERM)),
    "handlers hang": Fault(_hang_handler),
    "S3 unreachable": Fault(_no_s3),
    "S3's answer is lost": Fault(_lost_answer),
    "rotation": Fault(_rotate),
    "AWS: none": Fault(_nothing, ("aws",), is_mixed=False),
    "AWS: handlers: kill -9": Fault(lambda chain: _signal_handlers(chain, signal.SIGKILL), ("aws",)),
    "AWS: handlers: TERM": Fault(lambda chain: _signal_handlers(chain, signal.SIGTERM), ("aws",)),
    "AWS: Kinesis unavailable": Fault(_unavailable("kinesis", "LimitExceededException", "InternalFailure"), ("aws",)),
    "AWS: S3 unavailable": Fault(_unavailable("s3", "SlowDown", "InternalError"), ("aws",)),
    "AWS: SNS unavailable": Fault(_unavailable("sns", "Throttling", "InternalFailure"), ("aws",)),
    "AWS: Slack unavailable": Fault(_slack_unavailable, ("aws",)),
    "AWS: newest segment gone": Fault(_remove_newest, ("aws",)),
}


def faults_of(*, live: bool) -> dict[str, Fault]:
    """Return the faults for a real server as the sender, or for the simulated one."""
    other: Need = "simulated" if live else "server"
    return {name: fault for name, fault in FAULTS.items() if other not in fault.needs}


def impossible() -> dict[str, str]:
    """Return why faults cannot be caused on this machine, by their names."""
    reasons: dict[Need, str] = {}
    if not may_mount():
        reasons["disks"] = "only root may mount a small disk"
    if not may_move_clocks():
        reasons["clock"] = "there is no C compiler for the library that moves a clock"
    if shutil.which("node") is None:
        reasons["aws"] = "the templates need Node.js"
    return {name: reasons[need] for name, fault in FAULTS.items() for need in fault.needs if need in reasons}
