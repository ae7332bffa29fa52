"""The log server: the real syslog-ng with the configuration in `assets/syslog-ng`, and its handlers."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from testbed.errors import TestbedError
from testbed.processes import Children, children, end, start
from vaultwatch.rules.facts import Service

ASSETS = Path(__file__).parents[1] / "assets" / "syslog-ng"
VAULTWATCH = Path(sys.executable).with_name("vaultwatch")
SERVICES: tuple[Service, ...] = ("audit", "server")
TAGS = {"audit": b"@demo/vault-1/socket ", "server": b"@demo/vault-1/server "}
DEFAULT_PORTS = {"audit": 1515, "server": 1514}
_FILES = {"audit": "audit", "server": "messages"}
_START_SECONDS = 20.0
_DRAIN_SECONDS = 15.0


class LogServer:
    """A log server that runs while its context is open, on `ports`.

    Args:
        folder: The folder for all its files.
        options: Further options of the handlers, which must log to `watch.log` or `ship.log` in `folder`.
        handler: The command that syslog-ng runs for each log.
        environment: The environment variables of syslog-ng and its handlers, besides PATH.
        more: Text to append to the configuration.
        search: The folders of programs, as in PATH.
    """

    def __init__(
        self,
        folder: Path,
        options: str,
        *,
        handler: Literal["watch", "ship"] = "watch",
        environment: Mapping[str, str] | None = None,
        more: str = "",
        search: str = "",
    ) -> None:
        self.ports = _free_ports()
        self.state = folder / "state"
        self.logs = folder / "log"
        self.control = folder / "control"
        self._folder = folder
        self._options = options
        self._handler = handler
        self._environment = environment or {}
        self._more = more
        self._search = search or search_path()
        self._output = folder / "syslog-ng.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> LogServer:
        program = shutil.which("syslog-ng", path=self._search)
        if program is None:
            raise TestbedError("syslog-ng is not installed; please run: apt-get install syslog-ng-core")
        self.state.mkdir(mode=0o700)
        self.logs.mkdir(mode=0o750)
        try:
            while not self._starts(self._start(program)):
                self.ports = _free_ports()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> int:
        """End syslog-ng and let its handlers drain; return how many of them had to be killed."""
        if self._process is None:
            return 0
        process, self._process = self._process, None
        handlers = Children(process.pid)
        try:
            end(process)
        finally:
            killed = handlers.end(_DRAIN_SECONDS)
        return killed

    def archive(self, service: Service) -> Path:
        """Return the file with the bare lines of a log."""
        return self.logs / _FILES[service]

    def alert_log(self, service: Service) -> Path:
        """Return the file to which a handler appends its alerts."""
        return self.logs / f"{_FILES[service]}.alert"

    def handlers(self) -> list[int]:
        """Return the process ids of the running handlers."""
        return children(self._process.pid) if self._process else []

    def stats(self, service: Service) -> dict[str, Any]:
        """Return the counters of a handler."""
        return dict(json.loads((self.state / f"{service}.stats").read_bytes()))

    def _starts(self, process: subprocess.Popen[bytes]) -> bool:
        """Wait until it is ready; return False if it ended because another process took one of its ports."""
        self._process = process
        try:
            _wait_until(lambda: self._is_ready(process), "syslog-ng and its handlers did not start in time", self._said)
        except TestbedError as error:
            if process.poll() is None or "Address already in use" not in str(error):
                raise
            return False
        return True

    def _start(self, program: str) -> subprocess.Popen[bytes]:
        configuration = self._folder / "syslog-ng.conf"
        configuration.write_text(self._configuration())
        own = [
            f"--persist-file={self._folder / 'persist'}",
            f"--control={self.control}",
            f"--pidfile={self._folder / 'pid'}",
        ]
        command = [program, "--foreground", "--no-caps", f"--cfgfile={configuration}", *own]
        output = os.open(self._output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        try:
            return start(command, output, {**self._environment, "PATH": self._search}, self._folder)
        finally:
            os.close(output)

    def _configuration(self) -> str:
        settings = {
            "cluster": "demo",
            "node": "vault-1",
            "listen": "127.0.0.1",
            "audit-port": self.ports["audit"],
            "server-port": self.ports["server"],
            "logs": self.logs,
            "state": self.state,
            "buffers": self.state,
            "program": VAULTWATCH,
            "options": self._options,
        }
        defines = "".join(f'@define vaultwatch-{name} "{_quotable(value)}"\n' for name, value in settings.items())
        files = (ASSETS / name for name in ("vaultwatch.conf", f"vaultwatch-{self._handler}.conf"))
        includes = "".join(f'@include "{_quotable(file)}"\n' for file in files)
        return f"@version: 3.38\n{defines}{includes}{self._more}"

    def _is_ready(self, process: subprocess.Popen[bytes]) -> bool:
        if process.poll() is not None:
            raise TestbedError(f"syslog-ng ended while it was starting: {self._said()}")
        return all(map(self._reads, SERVICES)) and all(map(_accepts, self.ports.values()))

    def _reads(self, service: Service) -> bool:
        if self._handler == "ship":
            log = self._folder / "ship.log"
            return log.exists() and f"sending {service} lines" in log.read_text()
        figures = self.state / f"{service}.stats"
        return figures.exists() and figures.stat().st_size > 0

    def _said(self) -> str:
        said = [self._output, self._folder / f"{self._handler}.log"]
        lines = [line for file in said if file.exists() for line in file.read_text(errors="replace").splitlines()]
        return " / ".join(lines[-3:]) or "it logged nothing"


def search_path() -> str:
    """Return PATH with the folders of Debian's syslog-ng, which are not in an ordinary user's PATH."""
    return f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin"


def _free_ports() -> dict[Service, int]:
    return {service: free_port(DEFAULT_PORTS[service]) for service in SERVICES}


def free_port(preferred: int = 0) -> int:
    """Return a free port on loopback.

    Args:
        preferred: The port to return if it is free.

    Returns:
        The port.

    Raises:
        TestbedError: If there is none.
    """
    for port in (preferred, 0):
        try:
            with socket.create_server(("127.0.0.1", port)) as server:
                return int(server.getsockname()[1])
        except OSError:
            continue
    raise TestbedError("there is no free TCP port on loopback")


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _quotable(value: object) -> str:
    text = str(value)
    if set(text) & set('"\\`$\n'):
        raise TestbedError(f"syslog-ng's configuration cannot hold the path {text!r}")
    return text


def _wait_until(holds: Callable[[], bool], failure: str, said: Callable[[], str]) -> None:
    for _ in _ticks(_START_SECONDS, 0.02):
        if holds():
            return
    raise TestbedError(f"{failure}: {said()}")


def _ticks(seconds: float, every: float) -> Iterator[None]:
    end_at = time.monotonic() + seconds
    while time.monotonic() < end_at:
        yield
        time.sleep(every)
