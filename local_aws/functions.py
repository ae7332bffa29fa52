"""Functions run as Lambda runs them: a process with the real runtime client, its time and memory held to."""

from __future__ import annotations

import atexit
import json
import os
import queue
import re
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from pathlib import Path
from threading import Lock, Thread
from typing import Any

from local_aws.clock import Clock
from local_aws.template import REGION

_INIT_SECONDS = 60.0  # Lambda gives 10; a busy machine is slow, not wrong
_LOOK_SECONDS = 0.05  # how often memory is looked at
_MAX_RESPONSE_BYTES = 6 * 1024 * 1024


@dataclass(frozen=True)
class FunctionSpec:
    """What the template says of a function; `role_arn` is who it is."""

    name: str
    arn: str
    handler: str
    role_arn: str
    memory_mib: int
    timeout_seconds: float
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Outcome:
    """How an invocation ended: with a `payload`, or with an `error` that says why not."""

    function: str
    request_id: str
    payload: Any = None
    error: str = ""


@dataclass
class Function:
    """Invocations of one function; those at the same time run in processes of their own, which are kept for the next.

    `code` is the bundle's folder, `scratch` one for logs; `credentials(environment)` are
    the variables that make the calls of a process known as its own.
    """

    spec: FunctionSpec
    code: Path
    scratch: Path
    clock: Clock
    credentials: Callable[[str], Mapping[str, str]]
    _idle: list[_Process] = field(default_factory=list)
    _all: dict[str, _Process] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    @property
    def log(self) -> Path:
        """What all its processes wrote to stdout and stderr."""
        return self.scratch / f"{self.spec.name}.log"

    def invoke(self, event: Any) -> Outcome:
        """Run it on an event, JSON-serializable."""
        process = self._take()
        outcome = process.invoke(json.dumps(event).encode())
        with self._lock:
            if process.alive:
                self._idle.append(process)
            else:
                del self._all[process.id]
        return outcome

    def _take(self) -> _Process:
        """One that is idle and alive, else a new one."""
        with self._lock:
            while self._idle:
                if (process := self._idle.pop()).alive:
                    return process
                process.close()
                del self._all[process.id]
            process = _Process(self)
            self._all[process.id] = process
            return process

    def kill(self, environment: str) -> None:
        """End one of its processes at once, whatever it is doing."""
        if process := self._all.get(environment):
            process.kill()

    def stop(self) -> None:
        """End all processes at once, and with them the invocations that run."""
        for process in list(self._all.values()):
            process.kill()

    def close(self) -> None:
        """Give everything back; nothing may run any more."""
        for process in self._all.values():
            process.close()


class _Process:
    """One execution environment: a process, and the Runtime API that it alone talks to."""

    def __init__(self, function: Function) -> None:
        self.id = uuid.uuid4().hex
        self._spec, self._clock = function.spec, function.clock
        self._events: queue.Queue[tuple[str, bytes] | None] = queue.Queue()
        self._said: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self._deadline = 0.0
        self._server = _RuntimeApi(self)
        self._thread = Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        with function.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-S", "-P", str(Path(__file__).with_name("moved_time.py")), self._spec.handler],
                cwd=function.code,
                env=self._environment(function),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _environment(self, function: Function) -> dict[str, str]:
        """As on Lambda: the bundle, and what the runtime brings with it, and nothing else that is installed here."""
        spec = self._spec
        return {
            **spec.environment,
            **function.credentials(self.id),
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(spec.memory_mib),
            "AWS_LAMBDA_FUNCTION_NAME": spec.name,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/local/{spec.name}",
            "AWS_LAMBDA_LOG_STREAM_NAME": self.id,
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self._server.server_port}",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "LAMBDA_TASK_ROOT": str(function.code),
            "LANG": "en_US.UTF-8",
            "LOCAL_AWS_MOVED_BY": str(function.clock.file),
            "PATH": os.environ.get("PATH", os.defpath),
            "PYTHONPATH": os.pathsep.join((str(function.code), str(_runtime()))),
            "PYTHONPYCACHEPREFIX": str(_runtime() / "compiled"),
            "TZ": ":UTC",
        }

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def invoke(self, event: bytes) -> Outcome:
        request_id = str(uuid.uuid4())
        self._deadline = time.monotonic() + _INIT_SECONDS
        self._events.put((request_id, event))
        kind, said = self._wait()
        if kind != "response":
            if kind != "error":  # an error that the handler raised leaves its process to the next event
                self.close()
            return Outcome(self._spec.name, request_id, error=f"{kind}: {said.decode(errors='replace')}")
        if len(said) > _MAX_RESPONSE_BYTES:
            return Outcome(self._spec.name, request_id, error=f"response: {len(said)} bytes are too many")
        return Outcome(self._spec.name, request_id, payload=json.loads(said or b"null"))

    def _wait(self) -> tuple[str, bytes]:
        """What the process says, or why it says nothing."""
        while True:
            ended = not self.alive
            said: tuple[str, bytes] | None
            try:
                said = self._said.get(timeout=0 if ended else _LOOK_SECONDS)
            except queue.Empty:
                said = ("exit", f"status {self._process.returncode}".encode()) if ended else None
            if not ended and (peak := _peak_mib(self._process.pid)) > self._spec.memory_mib:
                return "memory", f"{peak} MiB of {self._spec.memory_mib}".encode()
            if said:
                return said
            if time.monotonic() > self._deadline:
                return "timeout", f"after {self._spec.timeout_seconds} s".encode()

    def next_event(self) -> tuple[str, bytes] | None:
        """Wait for an event; its time begins now."""
        event = self._events.get()
        self._deadline = time.monotonic() + self._spec.timeout_seconds
        return event

    def say(self, kind: str, body: bytes) -> None:
        self._said.put((kind, body))

    @property
    def headers(self) -> dict[str, str]:
        """That go with an event."""
        return {
            "Lambda-Runtime-Deadline-Ms": str(int((self._clock.now() + self._spec.timeout_seconds) * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": self._spec.arn,
        }

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        self.kill()
        self._events.put(None)
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _RuntimeApi(ThreadingHTTPServer):
    """Lambda's Runtime API, 2018-06-01, for one process."""

    daemon_threads = False

    def __init__(self, process: _Process) -> None:
        self.process = process
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: _RuntimeApi
    protocol_version = "HTTP/1.1"
    # With Nagle's algorithm every event would wait 40 ms for a delayed acknowledgement.
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_GET(self) -> None:
        if event := self.server.process.next_event():
            request_id, body = event
            self._answer(200, body, {"Lambda-Runtime-Aws-Request-Id": request_id, **self.server.process.headers})
        else:
            self.close_connection = True

    def do_POST(self) -> None:
        body = self._read()
        self._answer(202, b"{}", {})
        self.server.process.say("init" if "/init/" in self.path else self.path.rpartition("/")[2], body)

    def _read(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


def _peak_mib(pid: int) -> int:
    """The most resident memory that a process ever had; 0 when it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    line = status.partition("VmHWM:")[2].split()
    return int(line[0]) // 1024 if line else 0


@cache
def _runtime() -> Path:
    """A folder for all functions of this process, with links to what Lambda's runtime brings: its client, and boto3."""
    temporary = tempfile.TemporaryDirectory(prefix="local-aws-runtime-")
    atexit.register(temporary.cleanup)
    folder = Path(temporary.name)
    wanted, seen = ["awslambdaric", "boto3"], set[str]()
    while wanted:
        if (name := wanted.pop()) in seen:
            continue
        seen.add(name)
        package = metadata.distribution(name)
        wanted += [re.split(r"[^\w.-]", need)[0] for need in package.requires or () if "extra ==" not in need]
        for part in {path.parts[0] for path in package.files or ()} - {"..", "__pycache__"}:
            if not (folder / part).exists():
                (folder / part).symlink_to(str(package.locate_file(part)))
    return folder
