"""`watch` under the real syslog-ng: lines arrive over TCP, and no alert is lost, whichever process is killed."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.waiting import HUNG_SECONDS, eventually
from tests.support.watching import alerts_in, entry, harmless, numbers

SEARCH = f"{os.environ['PATH']}:/usr/local/sbin:/usr/sbin:/sbin"
SYSLOG_NG, CONTROL = (shutil.which(name, path=SEARCH) for name in ("syslog-ng", "syslog-ng-ctl"))
pytestmark = pytest.mark.skipif(SYSLOG_NG is None or CONTROL is None, reason="syslog-ng is not installed")

CONFIGURATION = """@version: 3.38
source s {{ network(ip("127.0.0.1") port({port}) transport("tcp") flags(no-parse) log-msg-size(100663296)); }};
destination d {{
    program("exec {python} -m vaultwatch watch --source audit --state {folder}/state --alert-log {folder}/alerts \
--rejected {folder}/rejected --stats {folder}/stats --log-file {folder}/log"
        template("@prod/vault-1/socket ${{MSG}}\\n") keep-alive(yes) inherit-environment(yes)
        disk-buffer(reliable(yes) disk-buf-size(67108864) mem-buf-size(33554432) dir("{folder}")));
}};
log {{ source(s); destination(d); flags(flow-control); }};
"""


class LogServer:
    """syslog-ng with one handler, and all files in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        text = CONFIGURATION.format(port=self.port, python=sys.executable, folder=folder)
        (folder / "syslog-ng.conf").write_text(text)
        files = {"-f": "syslog-ng.conf", "--persist-file": "p", "--control": "ctl", "--pidfile": "pid"}
        command = [str(SYSLOG_NG), "-F", "--no-caps"]
        command += [word for option, name in files.items() for word in (option, str(folder / name))]
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
        environment = {name: value for name, value in environment.items() if not name.startswith("COV")}
        self.process = subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.DEVNULL)
        eventually(lambda: self.starts() == 1)

    def starts(self) -> int:
        """Return how many handlers have started so far."""
        log = self.folder / "log"
        return log.read_text().count("evaluating audit lines") if log.exists() else 0

    def handler(self) -> int:
        """Return the process id of the running handler."""
        pids: list[int] = []

        def found() -> bool:
            children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
            pids[:] = [int(pid) for pid in children if b"watch" in Path(f"/proc/{pid}/cmdline").read_bytes()]
            return len(pids) == 1

        eventually(found)
        return pids[0]

    def send(self, data: bytes) -> None:
        with socket.create_connection(("127.0.0.1", self.port), timeout=HUNG_SECONDS) as connection:
            connection.sendall(data)

    def notified(self) -> set[int]:
        """Return the numbers of the entries in the alert log."""
        return set(numbers(alerts_in(self.folder / "alerts")))

    def control(self, verb: str) -> None:
        subprocess.run(
            [str(CONTROL), verb, "-c", str(self.folder / "ctl")], check=True, capture_output=True, timeout=20
        )

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(HUNG_SECONDS)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@contextmanager
def log_server(folder: Path) -> Iterator[LogServer]:
    server = LogServer(folder)
    handlers = {server.handler()}
    try:
        yield server
        if server.process.poll() is None:
            handlers.add(server.handler())
    finally:
        if server.process.poll() is None:
            server.stop()
        try:
            eventually(lambda: not any(map(is_running, handlers)))
        except AssertionError:
            for pid in filter(is_running, handlers):
                os.kill(pid, signal.SIGKILL)
            raise


def test_alerts_have_the_origin_of_their_tag(tmp_path: Path) -> None:
    with log_server(tmp_path) as server:
        server.send(b"".join(map(harmless, range(100, 600))) + entry(1) + bytes(range(11, 256)) + b"\n" + entry(2))
        eventually(lambda: server.notified() == {1, 2})
        (alert, _) = alerts_in(tmp_path / "alerts")
        assert (alert["cluster"], alert["node"], alert["lane"]) == ("prod", "vault-1", "socket")
        eventually((tmp_path / "rejected").read_bytes)


def test_a_killed_handler_is_restarted_and_loses_no_alert_that_it_had_found(tmp_path: Path) -> None:
    with log_server(tmp_path) as server:
        for number in range(3):
            server.send(entry(number) + entry(100 + number, kind="request"))
            eventually(lambda: number in server.notified())  # noqa: B023
            os.kill(server.handler(), signal.SIGKILL)
            eventually(lambda: server.starts() == number + 2)  # noqa: B023
        server.send(entry(9))
        eventually(lambda: server.notified() == {0, 1, 2, 9, 100, 101, 102})


def test_a_reload_keeps_the_handler(tmp_path: Path) -> None:
    with log_server(tmp_path) as server:
        before = server.handler()
        server.send(entry(1))
        eventually(lambda: server.notified() == {1})
        server.control("reload")
        server.send(entry(2))
        eventually(lambda: server.notified() == {1, 2})
        assert (server.handler(), server.starts()) == (before, 1)


def test_when_syslog_ng_stops_the_handler_reads_to_the_end_and_leaves_no_orphan(tmp_path: Path) -> None:
    with log_server(tmp_path) as server:
        handler = server.handler()
        server.send(b"".join(map(harmless, range(100, 3000))) + entry(1, kind="request"))
        waiting = tmp_path / "state" / "audit.waiting"
        eventually(lambda: waiting.exists() and waiting.stat().st_size)
        server.stop()
        eventually(lambda: not is_running(handler))
    assert server.notified() == {1}
    assert "exiting: all notifications are sent" in (tmp_path / "log").read_text()


def test_notifications_that_were_unsent_when_it_stopped_are_sent_after_the_next_start(tmp_path: Path) -> None:
    with log_server(tmp_path) as server:
        server.send(entry(1))
        eventually(lambda: server.notified() == {1})  # a notification that was not marked as sent yet is sent again
        (tmp_path / "alerts").unlink()
        (tmp_path / "alerts").mkdir()
        server.send(entry(2))
        eventually(lambda: "alerts: Is a directory" in (tmp_path / "log").read_text())
    (tmp_path / "alerts").rmdir()
    (tmp_path / "log").unlink()
    with log_server(tmp_path) as server:
        eventually(lambda: 2 in server.notified())
