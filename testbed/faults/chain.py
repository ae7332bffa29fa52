"""A sender, the syslog-ng of a node and of the log server with TLS between them, and the archive of the node."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

from testbed.certificates import Authority
from testbed.errors import TestbedError
from testbed.faults.entries import alerted, names_of_entries
from testbed.faults.sender import Sender, SimulatedSender
from testbed.lanes import LogServerHost, Node
from testbed.memory_s3 import MemoryS3
from testbed.moved_clock import MovedClock
from testbed.relay import Relay
from vaultwatch.archive.follow import Follower
from vaultwatch.archive.segments import unpack
from vaultwatch.archive.waiting import audit_file_log
from vaultwatch.hosts.rotation import Limits, Rotation, unsent_lines

_DRAIN_SECONDS = 300.0
_SOCKET = "d_vaultwatch_socket"
_OF_THE_LOG_SERVER = ("d_vaultwatch_audit_file", "d_vaultwatch_audit_handler")
_DISK_BYTES = 1024**3
ENTRIES = 400
"""How many entries are sent before and during a fault."""
_ROOM_BYTES = 64 * 1024

Volume = Literal["audit", "buffers", "logs", "state"]
"""Of the node: of the audit file, of its disk buffers; of the log server: of its files, of the handlers' buffers."""
Need = Literal["disks", "network", "clock", "aws", "server", "simulated"]
"""What a chain has for faults: disks of its own (only root can mount them), a network, clocks (a C compiler),
the functions on a local AWS with Slack, a real server as the sender, or the simulated one."""


class Outcome(NamedTuple):
    """What became of the entries of one fault.

    Attributes:
        fault: Its name.
        owed: How many entries were written.
        lost_socket: How many of them the handler did not get by the socket lane.
        lost_fast: How many it got by neither lane.
        lost: How many are in neither copy of the archive, or were accepted by the file and are not in the node's copy.
        repeated: How many are in the copy of the node more than once.
        late: How many owed alerts the fast way did not raise, and the archive did.
        missed: How many neither raised, or did not reach Slack.
        again: How many were sent twice; None if nobody is notified.
        longest_seconds: The longest time that the sender waited.
        drain_seconds: How long it took after the last entry until both lanes had sent everything.
    """

    fault: str
    owed: int
    lost_socket: int
    lost_fast: int
    lost: int
    repeated: int
    late: int
    missed: int
    again: int | None
    longest_seconds: float
    drain_seconds: float


class Chain:
    """The whole way, which ends with `stop`.

    Args:
        folder: The folder for its files; it exists.
        needs: What it has for faults.

    Attributes:
        between_seconds: How long the sender waits between two entries.
        bucket: The archive bucket.
        removed: The entries in segments that a fault removed from the archive.
        not_notified: How many notifications did not reach the topic or Slack.
        notified_again: How many alerts and notifications were sent twice; None if nobody is notified.
    """

    between_seconds = 0.0005
    bucket = "archive"
    not_notified = 0
    notified_again: int | None = None

    def __init__(self, folder: Path, needs: Collection[Need] = ()) -> None:
        self.authority = authority = Authority()
        self.node_clock, self.server_clock = MovedClock(folder / "node-clock"), MovedClock(folder / "server-clock")
        clocks = [one.environment() if "clock" in needs else {} for one in (self.node_clock, self.server_clock)]
        self.server = self._log_server(folder / "server", authority, clocks[1])
        ports = self.server.ports
        self.network = {lane: Relay(partial(ports.__getitem__, lane)) for lane in ports} if "network" in needs else {}
        seen = {lane: self.network[lane].port if self.network else port for lane, port in ports.items()}
        self.node = Node(folder / "node", seen, environment=clocks[0])
        audit = self.node.folder / "audit"
        audit.mkdir()
        self.node.audit_file = audit / "audit.log"
        self.volumes: dict[Volume, Path] = {
            "audit": audit,
            "buffers": self.node.buffers,
            "logs": self.server.logs,
            "state": self.server.state,
        }
        self._mounted: list[Path] = []
        if "disks" in needs:
            for volume in self.volumes.values():
                _mount("-t", "tmpfs", "-o", f"size={_DISK_BYTES}", "tmpfs", str(volume))
                self._mounted.append(volume)
        authority.install(self.node.tls, authority.issue("vault-1"))
        self.s3: Any = MemoryS3()
        self.removed: set[str] = set()
        self.server.start()
        self.node.start()
        try:
            self.sender = self._sender(folder / "sender", live="server" in needs)
        except BaseException:
            self._end_hosts()
            raise

    def stop(self) -> None:
        """End everything that runs."""
        self.sender.stop()
        self._end_hosts()

    def _end_hosts(self) -> None:
        self.go_on()
        self.node.syslog_ng.kill()
        self.server.syslog_ng.kill()
        for relay in self.network.values():
            relay.close()
        for volume in self._mounted:
            subprocess.run(["umount", "--lazy", str(volume)], check=True)

    def fill(self, volume: Volume) -> None:
        """Send until a disk is full, send more, and give it room again.

        Args:
            volume: Which disk.

        Raises:
            TestbedError: It does not become full.
        """
        disk = self.volumes[volume]
        while not _shrink(disk):
            pass
        end = time.monotonic() + _DRAIN_SECONDS
        try:
            while os.statvfs(disk).f_bavail:
                if time.monotonic() > end:
                    raise TestbedError("the disk does not become full")
                self.sender.send(10)
            self.sender.send(ENTRIES)
            self.follow()
        finally:
            _mount("-o", f"remount,size={_DISK_BYTES}", str(disk))

    def go_on(self) -> None:
        """Let stopped processes continue."""
        for syslog_ng in (self.node.syslog_ng, self.server.syslog_ng):
            for pid in (*syslog_ng.programs(), syslog_ng.pid):
                if pid is not None:
                    os.kill(pid, signal.SIGCONT)

    def follow(self) -> bool:
        """Upload the file of the audit device once; return whether all of it could be."""
        follower = Follower(lambda: self.s3, self.bucket, "vault-1", settle_seconds=0)
        list(follower.run(self.node.audit_file.parent, [audit_file_log(self.node.audit_file.name)]))
        return not follower.failed

    def rotate(self) -> str:
        """Rotate the file of the audit device once, if syslog-ng has read and sent all of it."""
        return Rotation(
            self.node.audit_file,
            lambda: self.node.syslog_ng.pid,
            lambda: unsent_lines(self.node.syslog_ng.statistics(), "d_vaultwatch_file"),
            self.sender.reopen,
            Limits(size_bytes=1),
        ).run()

    def outcome(self, fault: str) -> Outcome:
        """Stop the sender, wait until both lanes have drained, and count.

        Args:
            fault: The name of the fault.
        """
        self.sender.stop()
        if self.sender.refused:
            raise TestbedError(f"{len(self.sender.refused)} calls failed, the first: {self.sender.refused[0]}")
        owed, in_file = self.sender.owed, self.sender.in_file
        seconds = self._drain(in_file[-1])
        if not self.follow():
            raise TestbedError("the node's file could not be uploaded")
        segments = lines_of(self.stored())
        stored = Counter(names_of_entries(segments))
        lanes = {lane: self._handled(lane) for lane in (b"socket", b"file")}
        kept = set(names_of_entries(self.server.kept("audit")))
        fast, slow = self.raised(segments)
        alerting = self.sender.alerting
        return Outcome(
            fault,
            len(owed),
            len(owed - lanes[b"socket"]),
            len(owed - lanes[b"socket"] - lanes[b"file"]),
            len(owed - kept - stored.keys() | set(in_file) - stored.keys() - self.removed),
            stored.total() - len(stored),
            len((alerting & slow) - fast),
            len(alerting - fast - slow) + self.not_notified,
            self.notified_again,
            self.sender.longest_seconds,
            seconds,
        )

    def delivered(self) -> list[bytes]:
        """Return the lines that the handler got, or the stream has, with their tags."""
        return self.server.handled("audit")

    def stored(self) -> list[bytes]:
        """Return the segments of the node in the archive."""
        return [body for body, _ in self.s3.objects.values()]

    def raised(self, segments: list[bytes]) -> tuple[set[str], set[str]]:
        """Return the ids of the requests of which the fast way raised an alert, and of which both copies do."""
        return alerted(self.delivered()), alerted([*self.server.kept("audit"), *segments])

    def _sender(self, folder: Path, live: bool) -> Sender:
        if live:
            from testbed.faults.live import LiveSender

            return LiveSender(folder, self.node, self.authority, self.between_seconds)
        return SimulatedSender(self.node.audit_file, lambda: self.node.audit_port, self.between_seconds)

    def _log_server(self, folder: Path, authority: Authority, environment: Mapping[str, str]) -> LogServerHost:
        return LogServerHost(folder, authority, environment=environment)

    def _drain(self, last: str) -> float:
        """Wait until the last entry has come by the file lane; what was lost before it does not come."""
        begin = time.monotonic()
        while (unsent := self._unsent()) or last not in self._handled(b"file"):
            if time.monotonic() - begin > _DRAIN_SECONDS:
                raise TestbedError(f"the lanes did not drain: {unsent or 'the last entry of the file did not come'}")
            time.sleep(0.05)
        return time.monotonic() - begin

    def _unsent(self) -> dict[str, int]:
        """Return how many lines wait, by destination."""
        node, server = self.node.syslog_ng.statistics(), self.server.syslog_ng.statistics()
        waiting = {_SOCKET: unsent_lines(node, _SOCKET)}
        waiting |= {name: unsent_lines(server, name) for name in _OF_THE_LOG_SERVER}
        return {name: count for name, count in waiting.items() if count}

    def _handled(self, lane: bytes) -> set[str]:
        lines = self.delivered()
        return set(names_of_entries(line for line in lines if line.partition(b" ")[0].endswith(b"/" + lane)))


def lines_of(segments: list[bytes]) -> list[bytes]:
    """Return the lines of stored segments."""
    return [line for body in segments for line in b"".join(unpack([body])).splitlines()]


def _shrink(disk: Path) -> bool:
    """Leave room for some entries; false if more than that were written meanwhile."""
    found = os.statvfs(disk)
    size = (found.f_blocks - found.f_bfree) * found.f_frsize + _ROOM_BYTES
    command = ["mount", "-o", f"remount,size={size}", str(disk)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)
