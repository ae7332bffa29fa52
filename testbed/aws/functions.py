"""Runs functions as Lambda does: in a process with the real runtime client, within their time and memory limits."""

from __future__ import annotations

import atexit
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from werkzeug.wrappers import Request, Response

from testbed.aws.clock import Clock
from testbed.aws.server import Server
from testbed.aws.template import REGION, role_arn

_INIT_SECONDS = 60.0  # Lambda gives 10; a busy machine is slow, not wrong
_LOOK_SECONDS = 0.05  # how often the memory is measured
_MAX_RESPONSE_BYTES = 6 * 1024 * 1024
# The packages that Lambda's runtime contains.
_RUNTIME = [
    *("awslambdaric", "simplejson", "snapshot-restore-py"),
    *("boto3", "botocore", "jmespath", "python-dateutil", "s3transfer", "six", "urllib3"),
]


@dataclass(frozen=True)
class FunctionSpec:
    """A function as defined in a template; `role` is the name of its role."""

    name: str
    arn: str
    handler: str
    role: str
    memory_mib: int
    timeout_seconds: float
    environment: Mapping[str, str]

    def described(self) -> dict[str, Any]:
        """Return Lambda's `FunctionConfiguration`, whose environment is in clear for whoever may read it."""
        return {
            "FunctionName": self.name,
            "FunctionArn": self.arn,
            "Handler": self.handler,
            "Role": role_arn(self.role),
            "MemorySize": self.memory_mib,
            "Timeout": int(self.timeout_seconds),
            "Environment": {"Variables": dict(self.environment)},
        }


@dataclass(frozen=True)
class Outcome:
    """How an invocation ended: with a `payload`, or with an `error`."""

    function: str
    request_id: str
    payload: Any = None
    error: str = ""


class Function:
    """An execution environment: a process, started again after it has ended, with a Runtime API of its own.

    It processes one event at a time.

    Args:
        spec: The function.
        code: The folder of the bundle.
        log: The file for its standard output and standard error.
        clock: The time of the local AWS.
        environment: The variables by which its AWS clients find the local AWS.
    """

    def __init__(self, spec: FunctionSpec, code: Path, log: Path, clock: Clock, environment: Mapping[str, str]) -> None:
        self.spec, self.log = spec, log
        self.id = uuid.uuid4().hex
        self._code, self.clock, self._environment = code, clock, environment
        self._process: subprocess.Popen[bytes] | None = None

    def invoke(self, event: Any) -> Outcome:
        """Run the function on an event that can be encoded as JSON."""
        request_id = str(uuid.uuid4())
        process = self._process or self._start()
        self._deadline = time.monotonic() + _INIT_SECONDS
        self._events.put((request_id, json.dumps(event).encode()))
        kind, said = self._wait(process)
        if kind not in ("response", "error"):  # after an error in the handler, Lambda keeps the process
            self.close()
        if kind != "response":
            return Outcome(self.spec.name, request_id, error=f"{kind}: {said.decode(errors='replace')}")
        if len(said) > _MAX_RESPONSE_BYTES:
            return Outcome(self.spec.name, request_id, error=f"response: {len(said)} bytes are too many")
        return Outcome(self.spec.name, request_id, payload=json.loads(said or b"null"))

    def _start(self) -> subprocess.Popen[bytes]:
        self._events: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self._said: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self._server = Server(Request.application(self._runtime_api))
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-S", "-P", str(Path(__file__).with_name("moved_time.py")), self.spec.handler],
                cwd=self._code,
                env=self._variables(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # its children end with it, as in an execution environment
            )
        return self._process

    def _variables(self) -> dict[str, str]:
        """Return the variables of the process. As on Lambda, it imports only from the bundle and the runtime."""
        return {
            **self.spec.environment,
            **self._environment,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(self.spec.memory_mib),
            "AWS_LAMBDA_FUNCTION_NAME": self.spec.name,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/local/{self.spec.name}",
            "AWS_LAMBDA_LOG_STREAM_NAME": self.id,
            "AWS_LAMBDA_RUNTIME_API": self._server.address,
            "AWS_REGION": REGION,
            "AWS_SESSION_TOKEN": self.id,
            "LAMBDA_TASK_ROOT": str(self._code),
            "LANG": "en_US.UTF-8",
            "LOCAL_AWS_MOVED_BY": str(self.clock.file),
            "PATH": os.environ.get("PATH", os.defpath),
            "PYTHONDONTWRITEBYTECODE": "1",  # both folders are read-only there
            "PYTHONPATH": os.pathsep.join((str(self._code), str(_runtime()))),
            "TZ": ":UTC",
        }

    def _wait(self, process: subprocess.Popen[bytes]) -> tuple[str, bytes]:
        """Return the kind of the process's answer and the answer, or why there is none."""
        while True:
            ended = process.poll() is not None
            said: tuple[str, bytes] | None
            try:
                said = self._said.get(timeout=0 if ended else _LOOK_SECONDS)
            except queue.Empty:
                said = ("exit", f"status {process.returncode}".encode()) if ended else None
            if not ended and (used := _used_mib(process.pid)) > self.spec.memory_mib:
                return "memory", f"{used} MiB of {self.spec.memory_mib}".encode()
            if said:
                return said
            if self.clock.stopped or time.monotonic() > self._deadline:
                return "timeout", f"after {self.spec.timeout_seconds} s".encode()

    def _runtime_api(self, request: Request) -> Response:
        """Serve Lambda's Runtime API, 2018-06-01; the time limit starts when the process takes the event."""
        if request.method == "POST":
            kind = "init" if "/init/" in request.path else request.path.rpartition("/")[2]
            self._said.put((kind, request.get_data()))
            return Response("{}", 202)
        request_id, event = self._events.get()
        self._deadline = time.monotonic() + self.spec.timeout_seconds
        headers = {
            "Lambda-Runtime-Aws-Request-Id": request_id,
            "Lambda-Runtime-Deadline-Ms": str(int((self.clock.now() + self.spec.timeout_seconds) * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": self.spec.arn,
        }
        return Response(event, headers=headers, content_type="application/json")

    def kill(self) -> None:
        """End the process at once, whatever it is doing."""
        if self._process:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def close(self) -> None:
        """End the process and close its Runtime API."""
        if self._process:
            self.kill()
            self._events.put(("", b""))  # ends the request that waits for an event
            self._server.close()
            self._process = None


def _used_mib(pid: int) -> int:
    """Return the highest resident memory that a process has had, with what its children have beside that."""
    return _kib(pid, "status", "VmHWM:") // 1024 + sum(_own_mib(child) for child in _children(pid))


def _children(pid: int) -> Iterator[int]:
    """Yield the other processes of the group that a function leads."""
    for entry in Path("/proc").iterdir():
        with suppress(ValueError, ProcessLookupError):
            if int(entry.name) != pid and os.getpgid(int(entry.name)) == pid:
                yield int(entry.name)


def _own_mib(pid: int) -> int:
    """Return the memory of a forked process that it does not share with its parent."""
    return sum(_kib(pid, "smaps_rollup", name) for name in ("Private_Clean:", "Private_Dirty:")) // 1024


def _kib(pid: int, file: str, name: str) -> int:
    """Return a number of KiB from /proc, 0 if the process has ended."""
    try:
        found = Path(f"/proc/{pid}/{file}").read_text().partition(name)[2].split()
    except OSError:
        return 0
    return int(found[0]) if found else 0


@cache
def _runtime() -> Path:
    """Return a folder with links to the packages of Lambda's runtime, which all functions of this process share."""
    temporary = tempfile.TemporaryDirectory(prefix="local-aws-runtime-")
    atexit.register(temporary.cleanup)
    folder = Path(temporary.name)
    for package in map(metadata.distribution, _RUNTIME):
        for part in {path.parts[0] for path in package.files or ()} - {"..", "__pycache__"}:
            (folder / part).symlink_to(str(package.locate_file(part)))
    return folder
