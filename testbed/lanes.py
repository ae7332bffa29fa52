"""A node and the log server of a deployment: two syslog-ng with the files of `assets/syslog-ng/hosts`, and TLS between.

Only their settings differ from those of a host: ports and folders of this machine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal

from testbed.certificates import Authority
from testbed.errors import TestbedError
from testbed.syslog_ng import ASSETS, SyslogNg, defines, free_port, quotable, search_path

Lane = Literal["socket", "file", "server"]
LANES: tuple[Lane, ...] = ("socket", "file", "server")
LOG_SERVER_NAME = "localhost"

_OPTIONS = "options { time-reopen(1); };\n"

# The journal of a host, as a port: a test sends what journald would have collected from Vault's unit.
_JOURNAL = """
source s_src {{
    channel {{
        source {{ network(ip("127.0.0.1") port({port}) flags(no-parse) log-msg-size(100663296)); }};
        rewrite {{ set("{unit}", value(".journald._SYSTEMD_UNIT")); }};
    }};
}};
"""

# Handlers that write what they are given, with its tags, into `audit.handled` and `server.handled`.
_RECORDING = """
destination d_vaultwatch_{service}_handler {{
    program("exec cat >>'{folder}/{service}.handled'" template("${{.vaultwatch.tag}}${{MSG}}\\n") keep-alive(yes)
        disk-buffer(reliable(yes) disk-buf-size(1073741824) mem-buf-size(134217728) dir("{folder}/state")));
}};
"""


class LogServerHost:
    """The log server's syslog-ng.

    Args:
        folder: The folder for its files; it is created.
        authority: Who signs its certificate.
        handlers: The configuration of its handlers; by default ones that write `*.handled` into the folder.
        settings: Further settings that the handlers need.
        environment: Environment variables of the handlers.
        search: The folders of programs, as in PATH.
        tree: The root of another system whose syslog-ng runs instead.
    """

    def __init__(
        self,
        folder: Path,
        authority: Authority,
        *,
        handlers: str = "",
        settings: Mapping[str, object] | None = None,
        environment: Mapping[str, str] | None = None,
        search: str = "",
        tree: Path | None = None,
    ) -> None:
        self.folder = folder
        self.logs = folder / "log"
        self.state = folder / "state"
        self.tls = folder / "tls"
        for made in (folder, self.logs, self.state):
            made.mkdir(mode=0o750)
        self.ports: dict[Lane, int] = {lane: free_port() for lane in LANES}
        self.syslog_ng = SyslogNg(folder, search or search_path(), environment, tree)
        self._handlers = handlers or "".join(
            _RECORDING.format(service=service, folder=quotable(folder)) for service in ("audit", "server")
        )
        self._settings = settings or {}
        authority.install(self.tls, authority.issue("log-server", [LOG_SERVER_NAME], usage=["server"]))

    def start(self, handlers_read: Callable[[], bool] = lambda: True, *logs: Path) -> None:
        """Start it, on the same ports as before.

        Args:
            handlers_read: Whether its handlers are ready.
            logs: The logs of its handlers, for the error if it does not start.

        Raises:
            TestbedError: If it cannot be started.
        """

        def is_ready() -> bool:
            return all(map(self.syslog_ng.listens, self.ports.values())) and handlers_read()

        if not self.syslog_ng.start(self.configuration(), is_ready, lambda: self.syslog_ng.said(*logs)):
            raise TestbedError("another process has taken a port of the log server")

    def configuration(self) -> str:
        """Return the text of its configuration file."""
        settings = {
            "cluster": "demo",
            "listen": "127.0.0.1",
            **{f"{lane}-lane-port": port for lane, port in self.ports.items()},
            "tls": self.tls,
            "logs": self.logs,
            "state": self.state,
            "buffers": self.state,
            **self._settings,
        }
        main = f'@include "{quotable(ASSETS / "hosts/log-server.conf")}"\n'
        return f"@version: 3.38\n{_OPTIONS}{defines(settings)}{main}{self._handlers}"

    def handled(self, service: Literal["audit", "server"]) -> list[bytes]:
        """Return the lines that a handler of the default kind was given, with their tags."""
        with suppress(FileNotFoundError):
            return (self.folder / f"{service}.handled").read_bytes().split(b"\n")[:-1]
        return []

    def kept(self, name: Literal["audit", "messages"]) -> list[bytes]:
        """Return the lines of a log file."""
        with suppress(FileNotFoundError):
            return (self.logs / name).read_bytes().split(b"\n")[:-1]
        return []


class Node:
    """A node's syslog-ng, and what Vault writes to on a node.

    Args:
        folder: The folder for its files; it is created.
        ports: The ports of the log server, by lane.
        buffer_bytes: The size of each disk buffer.
        mark_seconds: How often it writes a line on each lane.
        environment: Environment variables of its syslog-ng.
        tree: The root of another system whose syslog-ng runs instead.
        search: The folders of programs, as in PATH.
    """

    def __init__(
        self,
        folder: Path,
        ports: Mapping[Lane, int],
        *,
        buffer_bytes: int = 1024**3,
        mark_seconds: int = 60,
        environment: Mapping[str, str] | None = None,
        tree: Path | None = None,
        search: str = "",
    ) -> None:
        self.folder = folder
        self.tls = folder / "tls"
        self.buffers = folder / "buffers"
        for made in (folder, self.buffers):
            made.mkdir(mode=0o750)
        self.audit_file = folder / "audit.log"
        self.audit_port = free_port()
        self.journal_port = free_port()
        self.syslog_ng = SyslogNg(folder, search or search_path(), environment, tree)
        self._ports = ports
        self._buffer_bytes = buffer_bytes
        self._mark_seconds = mark_seconds

    def start(self) -> None:
        """Start it, on the same ports as before unless another process has taken one.

        Raises:
            TestbedError: If it cannot be started.
        """
        while not self.syslog_ng.start(self.configuration(), self._listens):
            self.audit_port, self.journal_port = free_port(), free_port()

    def configuration(self) -> str:
        """Return the text of its configuration file."""
        settings = {
            "log-server": LOG_SERVER_NAME,
            **{f"{lane}-lane-port": port for lane, port in self._ports.items()},
            "audit-port": self.audit_port,
            "audit-file": self.audit_file,
            "unit": "vault.service",
            "tls": self.tls,
            "buffers": self.buffers,
            "audit-buffer": self._buffer_bytes,
            "server-buffer": self._buffer_bytes,
            "mark-seconds": self._mark_seconds,
        }
        journal = _JOURNAL.format(port=self.journal_port, unit="vault.service")
        main = f'@include "{quotable(ASSETS / "hosts/node.conf")}"\n'
        return f"@version: 3.38\n{_OPTIONS}{defines(settings)}{journal}{main}"

    def _listens(self) -> bool:
        return self.syslog_ng.listens(self.audit_port) and self.syslog_ng.listens(self.journal_port)
