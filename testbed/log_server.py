"""The log server: the real syslog-ng with the configuration in `assets/syslog-ng`, and its handlers."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from testbed.syslog_ng import ASSETS, SyslogNg, defines, free_port, quotable, search_path
from vaultwatch.rules.facts import Service

VAULTWATCH = Path(sys.executable).with_name("vaultwatch")
SERVICES: tuple[Service, ...] = ("audit", "server")
TAGS = {"audit": b"@demo/vault-1/socket ", "server": b"@demo/vault-1/server "}
DEFAULT_PORTS = {"audit": 1515, "server": 1514}
FILES = {"audit": "audit", "server": "messages"}


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
        self._folder = folder
        self._options = options
        self._handler = handler
        self._more = more
        self._syslog_ng = SyslogNg(folder, search or search_path(), environment)
        self.control = self._syslog_ng.control

    def __enter__(self) -> LogServer:
        self._syslog_ng.check_installed()
        self.state.mkdir(mode=0o700)
        self.logs.mkdir(mode=0o750)
        try:
            while not self._syslog_ng.start(self._configuration(), self._is_ready, self._said):
                self.ports = _free_ports()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> int:
        """End syslog-ng and let its handlers drain; return how many of them had to be killed."""
        return self._syslog_ng.stop()

    def archive(self, service: Service) -> Path:
        """Return the file with the bare lines of a log."""
        return self.logs / FILES[service]

    def alert_log(self, service: Service) -> Path:
        """Return the file to which a handler appends its alerts."""
        return self.logs / f"{FILES[service]}.alert"

    def handlers(self) -> list[int]:
        """Return the process ids of the running handlers."""
        return self._syslog_ng.programs()

    def stats(self, service: Service) -> dict[str, Any]:
        """Return the counters of a handler."""
        return dict(json.loads((self.state / f"{service}.stats").read_bytes()))

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
            "metrics": self.state,
            "program": VAULTWATCH,
            "options": self._options,
        }
        files = (ASSETS / name for name in ("vaultwatch.conf", f"vaultwatch-{self._handler}.conf"))
        includes = "".join(f'@include "{quotable(file)}"\n' for file in files)
        return f"@version: 3.38\n{defines(settings)}{includes}{self._more}"

    def _is_ready(self) -> bool:
        return all(map(self._reads, SERVICES)) and all(map(self._syslog_ng.listens, self.ports.values()))

    def _reads(self, service: Service) -> bool:
        if self._handler == "ship":
            log = self._folder / "ship.log"
            return log.exists() and f"sending {service} lines" in log.read_text()
        figures = self.state / f"{service}.stats"
        return figures.exists() and figures.stat().st_size > 0

    def _said(self) -> str:
        return self._syslog_ng.said(self._folder / f"{self._handler}.log")


def _free_ports() -> dict[Service, int]:
    return {service: free_port(DEFAULT_PORTS[service]) for service in SERVICES}
