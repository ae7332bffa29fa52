"""A syslog-ng that runs on this machine with a configuration, files and a control socket of its own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from testbed.errors import TestbedError
from testbed.processes import Children, children, end, start
from testbed.trees import in_tree

ASSETS = Path(__file__).parents[1] / "assets" / "syslog-ng"
_START_SECONDS = 20.0
_DRAIN_SECONDS = 15.0


class SyslogNg:
    """One syslog-ng and the programs that it runs.

    Args:
        folder: The folder for its files.
        search: The folders of programs, as in PATH.
        environment: Environment variables for it and its programs, besides PATH.
        tree: The root of another system whose syslog-ng runs instead; it sees `folder` at the same path.
    """

    def __init__(
        self, folder: Path, search: str, environment: Mapping[str, str] | None = None, tree: Path | None = None
    ) -> None:
        self.folder = folder
        self.control = folder / "control"
        self._search = search
        self._environment = environment or {}
        self._tree = tree
        self._output = folder / "syslog-ng.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Its process id; None if it was not started or has been stopped."""
        return self._process.pid if self._process else None

    def programs(self) -> list[int]:
        """Return the process ids of the programs that it runs."""
        return children(self._process.pid) if self._process else []

    def start(self, configuration: str, is_ready: Callable[[], bool], said: Callable[[], str] | None = None) -> bool:
        """Start it and wait until it is ready.

        Args:
            configuration: The text of its configuration file.
            is_ready: Whether it is ready.
            said: What the error says if it is not; by default the end of its output.

        Returns:
            False if it ended because another process has one of its ports.

        Raises:
            TestbedError: If it cannot be started.
        """
        said = said or self.said
        self._process = process = self._run(configuration)
        for _ in ticks(_START_SECONDS):
            if process.poll() is not None:
                if "Address already in use" in self.said():
                    return False
                raise TestbedError(f"syslog-ng ended while it was starting: {said()}")
            if is_ready():
                return True
        raise TestbedError(f"syslog-ng and its handlers did not start in time: {said()}")

    def stop(self) -> int:
        """End it and let its programs drain; return how many of them had to be killed."""
        if self._process is None:
            return 0
        process, self._process = self._process, None
        programs = Children(process.pid)
        try:
            end(process)
        finally:
            killed = programs.end(_DRAIN_SECONDS)
        return killed

    def kill(self) -> None:
        """End it with SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def reload(self) -> None:
        """Make it read its configuration and its certificates again."""
        if self._process is not None:
            self._process.send_signal(signal.SIGHUP)

    def listens(self, port: int) -> bool:
        """Return whether it listens on a port on loopback; another process there does not count."""
        sockets = _listening(port)
        descriptors = Path(f"/proc/{self.pid}/fd")
        try:
            return any(str(one.readlink()) in sockets for one in descriptors.iterdir())
        except FileNotFoundError:  # it has just ended, or closed a descriptor
            return False

    def statistics(self) -> str:
        """Return its counters, as `syslog-ng-ctl stats` prints them."""
        command = [self._find("syslog-ng-ctl"), "stats", f"--control={self.control}"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def said(self, *more: Path) -> str:
        """Return the last lines of its output, and of further files."""
        files = [file for file in (self._output, *more) if file.exists()]
        lines = [line for file in files for line in file.read_text(errors="replace").splitlines()]
        return " / ".join(lines[-3:]) or "it logged nothing"

    def _run(self, configuration: str) -> subprocess.Popen[bytes]:
        file = self.folder / "syslog-ng.conf"
        file.write_text(configuration)
        own = [f"--persist-file={self.folder}/persist", f"--control={self.control}", f"--pidfile={self.folder}/pid"]
        options = ["--foreground", "--stderr", "--no-caps", "--worker-threads=64"]  # as in the units
        command = [self._find("syslog-ng"), *options, f"--cfgfile={file}", *own]
        output = os.open(self._output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        try:
            environment = {**self._environment, "PATH": self._search}
            return start(self._in_tree(command), output, environment, self.folder)
        finally:
            os.close(output)

    def _in_tree(self, command: Sequence[str]) -> Sequence[str]:
        if self._tree is None:
            return command
        scratch = self.folder / "tree"
        scratch.mkdir(exist_ok=True)
        seen = {folder: str(folder) for folder in (self.folder, ASSETS, Path("/dev"))}
        return in_tree(["/usr/sbin/syslog-ng", *command[1:]], seen, self._tree, scratch)

    def check_installed(self) -> None:
        """Raise `TestbedError` if syslog-ng is not installed."""
        self._find("syslog-ng")

    def _find(self, program: str) -> str:
        found = shutil.which(program, path=self._search)
        if found is None:
            raise TestbedError("syslog-ng is not installed; please run: apt-get install syslog-ng-core")
        return found


def search_path() -> str:
    """Return PATH with the folders of Debian's syslog-ng, which are not in an ordinary user's PATH."""
    return f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin"


def defines(settings: Mapping[str, object]) -> str:
    """Return the lines that define settings for the files in `assets/syslog-ng`."""
    return "".join(f'@define vaultwatch-{name} "{quotable(value)}"\n' for name, value in settings.items())


def quotable(value: object) -> str:
    """Return a value for a quoted text in a configuration file.

    Raises:
        TestbedError: If that cannot hold it.
    """
    text = str(value)
    if set(text) & set('"\\`$\n'):
        raise TestbedError(f"syslog-ng's configuration cannot hold the path {text!r}")
    return text


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


def _listening(port: int) -> set[str]:
    """Return the sockets that listen on a port, as links in /proc name them."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {f"socket:[{row[9]}]" for row in rows if row[3] == "0A" and int(row[1].partition(":")[2], 16) == port}


def ticks(seconds: float, every: float = 0.02) -> Iterator[None]:
    """Yield at short intervals until some seconds have passed."""
    end_at = time.monotonic() + seconds
    while time.monotonic() < end_at:
        yield
        time.sleep(every)
