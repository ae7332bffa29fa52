"""Kinesis (and S3) on loopback that fails on demand: moto behind a small proxy."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from io import BytesIO
from random import Random
from threading import Condition, Event, Thread
from typing import Any
from uuid import UUID

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

from tests.support.waiting import HUNG_SECONDS
from vaultwatch.frames import Frame, Records, decode

MAX_RECORDS, MAX_RECORD_BYTES, MAX_CALL_BYTES = 500, 1024 * 1024, 5 * 1024 * 1024


@dataclass(frozen=True)
class Rejected:
    """The call succeeds, but a random share of its entries (0 to 1) is rejected."""

    share: float
    code: str = "ProvisionedThroughputExceededException"


@dataclass(frozen=True)
class Answered:
    """The whole call fails."""

    code: str
    status: int = 400


@dataclass(frozen=True)
class Silent:
    """The caller never gets an answer, whether its records were accepted or not."""

    taken: bool


Fault = Rejected | Answered | Silent | None


_moto = DomainDispatcherApplication(create_backend_app)


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:
        """Log nothing."""


@dataclass
class Kinesis:
    """Start with `with`; `fault` decides what happens to the n-th PutRecords call, counted from 0."""

    fault: Callable[[int], Fault] = lambda call: None
    denied_keys: set[str] = field(default_factory=set)
    calls: list[list[tuple[str, bytes]]] = field(default_factory=list)
    taken: list[tuple[str, bytes]] = field(default_factory=list)
    broken_limits: list[str] = field(default_factory=list)
    changed: Condition = field(default_factory=Condition)
    port: int = 0

    def __enter__(self) -> Kinesis:
        self._released, self._chance = Event(), Random(4)
        self._server = make_server("127.0.0.1", self.port, self._application, threaded=True, request_handler=_Quiet)
        self.port = self._server.server_port
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def wait_for(self, condition: Callable[[], object]) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, HUNG_SECONDS), "it never happened"

    def _application(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        operation = environ.get("HTTP_X_AMZ_TARGET", "").rpartition(".")[2]
        if any(f"Credential={key}/" in environ.get("HTTP_AUTHORIZATION", "") for key in self.denied_keys):
            return self._answer(start_response, 400, {"__type": "AccessDeniedException", "message": "denied"})
        if operation != "PutRecords":
            answer: Iterable[bytes] = _moto(environ, start_response)
            return answer
        body = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
        records = [(record["PartitionKey"], base64.b64decode(record["Data"])) for record in body["Records"]]
        with self.changed:
            fault = self.fault(len(self.calls))
            self.calls.append(records)
            self.changed.notify_all()
        if limit := self._limit(records):
            self.broken_limits.append(limit)
            return self._answer(start_response, 400, {"__type": "InvalidArgumentException", "message": limit})
        return self._put(environ, start_response, body, records, fault)

    def _put(self, environ: dict[str, Any], start_response: Any, body: Any, records: Any, fault: Fault) -> list[bytes]:
        if isinstance(fault, Answered):
            return self._answer(start_response, fault.status, {"__type": fault.code, "message": "injected by the test"})
        if isinstance(fault, Silent) and not fault.taken:
            self._released.wait()
            return self._answer(start_response, 500, {})
        share = fault.share if isinstance(fault, Rejected) else 0.0
        rejected = {n for n in range(len(records)) if self._chance.random() < share}
        answers = self._forward(environ, body, [n for n in range(len(records)) if n not in rejected])
        if isinstance(fault, Silent):
            self._released.wait()
        error = {"ErrorCode": fault.code, "ErrorMessage": "injected by the test"} if isinstance(fault, Rejected) else {}
        results = [error if n in rejected else answers.pop(0) for n in range(len(records))]
        return self._answer(start_response, 200, {"FailedRecordCount": len(rejected), "Records": results})

    def _forward(self, environ: dict[str, Any], body: Any, numbers: list[int]) -> list[Any]:
        """Put the records with these numbers into moto's stream."""
        if not numbers:
            return []
        sent = json.dumps(body | {"Records": [body["Records"][n] for n in numbers]}).encode()
        forwarded = environ | {"wsgi.input": BytesIO(sent), "CONTENT_LENGTH": str(len(sent))}
        answer = json.loads(b"".join(_moto(forwarded, lambda status, headers, exc_info=None: None)))
        with self.changed:
            self.taken += [
                (body["Records"][n]["PartitionKey"], base64.b64decode(body["Records"][n]["Data"])) for n in numbers
            ]
            self.changed.notify_all()
        results: list[Any] = answer["Records"]
        return results

    @staticmethod
    def _limit(records: list[tuple[str, bytes]]) -> str:
        sizes = [len(key) + len(data) for key, data in records]
        if len(records) > MAX_RECORDS:
            return f"{len(records)} records"
        return (
            f"{max(sizes)}, {sum(sizes)} bytes" if max(sizes) > MAX_RECORD_BYTES or sum(sizes) > MAX_CALL_BYTES else ""
        )

    @staticmethod
    def _answer(start_response: Any, status: int, body: Any) -> list[bytes]:
        text = json.dumps(body).encode()
        headers = [("Content-Type", "application/x-amz-json-1.1"), ("Content-Length", str(len(text)))]
        start_response(f"{status} As the test says", headers)
        return [text]

    def frames(self) -> list[Frame]:
        """Return all accepted frames, each once, by process (in order of appearance) and sequence number."""
        with self.changed:
            decoded = [decode(data) for _, data in self.taken]
        order: dict[UUID, int] = {}
        for frame in decoded:
            order.setdefault(frame.process, len(order))
        unique = {(order[frame.process], frame.sequence): frame for frame in decoded}
        return [unique[key] for key in sorted(unique)]

    def lines(self) -> bytes:
        """Return the lines of all accepted frames, each once, in the order of their sequence numbers."""
        return b"".join(frame.content.lines for frame in self.frames() if isinstance(frame.content, Records))
