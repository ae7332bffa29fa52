"""The host that is set up: its values, its file system, its programs and AWS."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

from vaultwatch.errors import InstallError
from vaultwatch.printable import one_line


class Programs(Protocol):
    """Runs programs."""

    def __call__(self, *command: str, environment: Mapping[str, str] | None = None) -> str:
        """Run a program to its end, and return its standard output.

        Args:
            command: The program and its arguments.
            environment: Variables in addition to those of this process.

        Raises:
            InstallError: It could not be started, or failed.
        """
        ...


@dataclass(frozen=True)
class Host:
    """A host.

    Attributes:
        values: The values of host.json.
        run: Runs programs.
        client: Returns boto3's client of a service.
        metadata: Returns a value of the instance's metadata, by its path below `meta-data/`.
        download: Opens what an HTTPS address has.
        vault_status: Returns the HTTP status with which this host's Vault answers a path of its API.
        telemetry: Returns the telemetry of this host's Vault, in Prometheus's text format.
        canary: Makes the call of the canary on this host's Vault.
        root: The root of its file system.
        assets: The folder of the assets.
    """

    values: Mapping[str, str]
    run: Programs
    client: Callable[[str], Any]
    metadata: Callable[[str], str]
    download: Callable[[str], AbstractContextManager[IO[bytes]]]
    vault_status: Callable[[str], int]
    telemetry: Callable[[], str]
    canary: Callable[[], None]
    root: Path = Path("/")
    assets: Path = Path("/opt/vaultwatch/assets")

    def path(self, absolute: str) -> Path:
        """Return where a path of the host is."""
        return self.root / absolute.lstrip("/")

    def read(self, absolute: str) -> str:
        """Return the contents of a file, "" if there is none."""
        path = self.path(absolute)
        return path.read_text() if path.is_file() else ""

    def write(self, absolute: str, text: str) -> None:
        """Write a file: it has the old contents or the new ones, whenever this is killed."""
        path = self.path(absolute)
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f".{path.name}.new")
        new.write_text(text)
        new.replace(path)

    def succeeds(self, *command: str) -> bool:
        """Return whether a program exits with status 0."""
        try:
            self.run(*command)
        except InstallError:
            return False
        return True


class Step(NamedTuple):
    """A step of the installation.

    Attributes:
        name: Its name, for people.
        done: Whether the host needs nothing more of it.
        run: Does it.
    """

    name: str
    done: Callable[[Host], bool]
    run: Callable[[Host], None]


def run_program(*command: str, environment: Mapping[str, str] | None = None) -> str:
    """Run a program of this machine; see `Programs`."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env={**os.environ, **(environment or {})}
        )
    except OSError as error:
        raise InstallError(f"{command[0]}: {error.strerror}") from error
    if done.returncode:
        lines = done.stderr.strip().splitlines() or done.stdout.strip().splitlines() or ["no output"]
        raise InstallError(f"{command[0]}: exit status {done.returncode}: {one_line(lines[-1], 200)}")
    return done.stdout
