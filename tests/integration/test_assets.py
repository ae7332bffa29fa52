"""The configuration files for hosts, tested with the programs that read them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest

from testbed.log_server import LogServer
from testbed.syslog_ng import ASSETS, search_path
from tests.support.waiting import HUNG_SECONDS, eventually
from tests.support.watching import alerts_in, entry, harmless, numbers

LOGROTATE_ASSETS = ASSETS.parent / "logrotate"
SYSLOG_NG, CONTROL, LOGROTATE = (
    shutil.which(name, path=search_path()) for name in ("syslog-ng", "syslog-ng-ctl", "logrotate")
)
pytestmark = pytest.mark.skipif(not (SYSLOG_NG and CONTROL and LOGROTATE), reason="syslog-ng or logrotate is missing")


JOURNAL = """
source s_src {{ unix-dgram("{folder}/log-socket"); }};
@include "{assets}/vaultwatch-journal.conf"
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LogServer]:
    with LogServer(tmp_path, f"--log-file {tmp_path}/watch.log") as server:
        yield server


@contextmanager
def connected(server: LogServer) -> Iterator[socket.socket]:
    """Connect like Vault's socket device."""
    with socket.create_connection(("127.0.0.1", server.ports["audit"]), timeout=HUNG_SECONDS) as connection:
        yield connection


def evaluated(server: LogServer) -> int:
    return int(server.stats("audit")["audit"])


def complaints(configuration: Path) -> str:
    """Return what syslog-ng complains about, without times."""
    command = [str(SYSLOG_NG), "--no-caps", f"--cfgfile={configuration}", "--syntax-only"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return re.sub(r"^\[\S+\] ", "", done.stdout + done.stderr, flags=re.MULTILINE)


@pytest.mark.parametrize("handler", ["watch", "ship"])
def test_syslog_ng_reads_the_shipped_files_as_a_drop_in_without_a_warning(handler: str, tmp_path: Path) -> None:
    for name in ("vaultwatch-settings.conf", "vaultwatch.conf", f"vaultwatch-{handler}.conf"):
        shutil.copy(ASSETS / name, tmp_path)
    main, nothing = tmp_path / "main", tmp_path / "nothing"
    nothing.write_text("@version: 3.38\n")
    main.write_text(f'{nothing.read_text()}@include "{tmp_path}/*.conf"\n')
    assert complaints(main) == complaints(nothing)  # Ubuntu's 4.3 complains of itself
    command = [str(SYSLOG_NG), "--no-caps", f"--cfgfile={main}", f"--preprocess-into={tmp_path / 'read'}"]
    subprocess.run(command, capture_output=True, check=True)
    read = (tmp_path / "read").read_text()
    assert "port(1515)" in read
    assert '"@vault/vault-1/socket "' in read


@pytest.mark.parametrize("handler", ["watch", "ship"])
def test_every_setting_is_defined_and_used(handler: str) -> None:
    defined = re.findall(r"^@define (\S+)", (ASSETS / "vaultwatch-settings.conf").read_text(), re.MULTILINE)
    text = "".join((ASSETS / name).read_text() for name in ("vaultwatch.conf", f"vaultwatch-{handler}.conf"))
    used = re.findall(r"`(vaultwatch-[a-z-]+)`", text)
    assert sorted(defined) == sorted(set(used))


def test_the_archive_file_holds_what_was_sent_byte_for_byte(server: LogServer) -> None:
    lines = [
        b"  two spaces",
        b"<13>no header",
        b"\xff\xfe not UTF-8",
        b"@a/b/socket {",
        b"x" * 3_000_000,
        harmless(1)[:-1],
    ]
    with connected(server) as vault:
        vault.sendall(b"\n".join(lines) + b"\n")
    eventually(lambda: evaluated(server) == 1)
    assert server.archive("audit").read_bytes().splitlines() == lines
    assert server.stats("audit")["rejected"] == len(lines) - 1


def test_the_server_log_of_a_unit_comes_from_the_source_that_reads_the_journal(tmp_path: Path) -> None:
    options = f"--log-file {tmp_path}/watch.log"
    with LogServer(tmp_path, options, more=JOURNAL.format(folder=tmp_path, assets=ASSETS)) as server:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
            journal.connect(str(tmp_path / "log-socket"))
            journal.send(b"<30>Nov 21 07:29:38 sshd[7]: core: vault is sealed")
            journal.send(b"<30>Nov 21 07:29:39 vault[8]: 2026-11-21T07:29:39.356Z [INFO]  core: vault is sealed")
            journal.send(b"<30>Nov 21 07:29:40 vault[8]: 2026-11-21T07:29:40.356Z [INFO]  core: usage gauge")
        eventually(lambda: alerts_in(server.alert_log("server")))
        lines = server.archive("server").read_text().splitlines()
    assert [line.partition(" ")[0] for line in lines] == ["2026-11-21T07:29:39.356Z", "2026-11-21T07:29:40.356Z"]
    assert [alert["rule"] for alert in alerts_in(server.alert_log("server"))] == ["server_sealed"]


def test_a_handler_that_hangs_delays_neither_vault_nor_the_archive_file(server: LogServer) -> None:
    lines = [harmless(number)[:-2] + b', "padding": "' + b"x" * 1200 + b'"}\n' for number in range(20_000)]
    handlers = server.handlers()
    for handler in handlers:
        os.kill(handler, signal.SIGSTOP)
    try:
        with connected(server) as vault:
            vault.sendall(b"".join(lines))
        eventually(lambda: server.archive("audit").read_bytes().count(b"\n") == len(lines))
        assert evaluated(server) == 0
    finally:
        for handler in handlers:
            os.kill(handler, signal.SIGCONT)
    eventually(lambda: evaluated(server) == len(lines))
    assert server.handlers() == handlers


def logrotate_configuration(server: LogServer) -> str:
    """Return the shipped configuration with this server's folder and control socket."""
    text = (LOGROTATE_ASSETS / "vaultwatch").read_text()
    assert "/usr/sbin/syslog-ng-ctl reopen" in text
    reopen = f"{CONTROL} reopen --control={server.control}"
    return text.replace("/usr/sbin/syslog-ng-ctl reopen", reopen).replace("/var/log/vault", str(server.logs))


def test_logrotate_reads_the_shipped_file_without_a_warning() -> None:
    done = subprocess.run(
        [str(LOGROTATE), "--debug", LOGROTATE_ASSETS / "vaultwatch"], capture_output=True, text=True, check=True
    )
    said = done.stderr.splitlines()[1:]  # the first is about --debug itself
    assert [line for line in said if re.search("error:|warning|unknown", line)] == []
    assert "Handling 2 logs" in done.stderr


def unpacked(path: Path) -> bytes:
    if path.suffix != ".zst":
        return path.read_bytes()
    return subprocess.run(["zstd", "-dc", path], capture_output=True, check=True).stdout


def kept(server: LogServer, name: str) -> list[bytes]:
    """Return the lines of a log and of its rotated files, the oldest first."""
    rotated = sorted((server.logs / "archive").glob(f"{name}-2*"))
    return b"".join(map(unpacked, [*rotated, server.logs / name])).splitlines(keepends=True)


def wait_for_more(sent: list[bytes], count: int) -> None:
    enough = len(sent) + count
    eventually(lambda: len(sent) >= enough)


def rotate(configuration: Path) -> None:
    free = int(time.time()) + 1.05  # rotated files are named by the second, of a coarse clock
    eventually(lambda: time.time() > free)
    command = [str(LOGROTATE), "--force", f"--state={configuration}.state", str(configuration)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_rotation_under_a_stream_loses_no_line_and_no_alert(server: LogServer, tmp_path: Path) -> None:
    configuration = tmp_path / "logrotate.conf"
    configuration.write_text(logrotate_configuration(server))
    configuration.chmod(0o600)
    sent: list[bytes] = []
    stop = Event()

    def stream() -> None:
        with connected(server) as vault:
            while not stop.wait(0.001):
                number = len(sent)
                line = entry(number) if number % 50 == 0 else harmless(number)
                vault.sendall(line)
                sent.append(line)

    sender = Thread(target=stream)
    sender.start()
    try:
        for _ in range(3):
            wait_for_more(sent, 200)
            rotate(configuration)
        wait_for_more(sent, 200)
    finally:
        stop.set()
        sender.join()
    eventually(lambda: evaluated(server) == len(sent))
    server.stop()

    assert kept(server, "audit") == sent
    alerts = tmp_path / "alerts"
    alerts.write_bytes(b"".join(kept(server, "audit.alert")))
    assert set(numbers(alerts_in(alerts))) == set(range(0, len(sent), 50))
    archive = list((server.logs / "archive").iterdir())
    assert len([path for path in archive if path.name.startswith("audit-")]) == 3
    assert len([path for path in archive if path.suffix == ".zst" and path.name.startswith("audit-")]) == 2
