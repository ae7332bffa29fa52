"""The calls of Vault's HTTP API that a bootstrap needs. Vault and OpenBao answer them alike.

Answers that depend on version or product (measured on Vault 1.14 and OpenBao 2.6) are handled in `steps`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import urllib3

from vaultwatch.errors import BootstrapError
from vaultwatch.printable import one_line

_CALL_SECONDS = 30.0  # initialising a cluster of five nodes takes seconds
_LARGEST_ANSWER_BYTES = 1 << 20
_PART_BYTES = 1 << 16


class Answer(msgspec.Struct, frozen=True):
    """What Vault answered: the HTTP status, and the JSON object in the body."""

    status: int
    body: dict[str, Any]

    @property
    def ok(self) -> bool:
        """Whether the call succeeded."""
        return 200 <= self.status < 300

    @property
    def errors(self) -> str:
        """Vault's own words about a failure, on one line."""
        listed = self.body.get("errors")
        texts = listed if isinstance(listed, list) else []
        return one_line("; ".join(str(text) for text in texts), 500) or "no reason given"


class VaultApi:
    """A client of one node. It verifies the node's certificate, uses no proxy and follows no redirect.

    Tokens travel only in a header, and no error quotes a request.

    Args:
        address: The node's address, such as `https://vault-1.vaultwatch.internal:8200`.
        authority: The certificate of the authority that signed the node's; None for plain HTTP on loopback.
        identity: The folder with the certificate by which the client is known, if it has one.
    """

    def __init__(self, address: str, authority: Path | None, *, identity: Path | None = None) -> None:
        logging.getLogger("urllib3.connectionpool").setLevel(logging.INFO)
        self._address = address.rstrip("/")
        options = {"cert_reqs": "CERT_REQUIRED", "ca_certs": str(authority)} if authority else {}
        if identity:
            options |= {"cert_file": str(identity / "host.pem"), "key_file": str(identity / "host.key")}
        timeout = urllib3.Timeout(connect=5.0, read=_CALL_SECONDS)
        self._pool = urllib3.PoolManager(timeout=timeout, retries=False, **options)  # type: ignore[arg-type]

    def get(self, path: str, token: str = "") -> Answer:
        """Read a path below `/v1/`.

        Raises:
            BootstrapError: Vault did not answer.
        """
        return self._call("GET", path, None, token)

    def put(self, path: str, body: dict[str, Any], token: str = "") -> Answer:
        """Write to a path below `/v1/`; see `get`."""
        return self._call("PUT", path, body, token)

    def stream(self, path: str, token: str) -> Iterator[bytes]:
        """Read a path below `/v1/` that returns something else than JSON, of any size, in parts.

        Raises:
            BootstrapError: Vault did not answer, refused, or ended in the middle.
        """
        with self._answer("GET", path, None, token) as response:
            if response.status != 200:
                refused = Answer(response.status, _object(response.read(_LARGEST_ANSWER_BYTES)))
                raise BootstrapError(f"{path}: {refused.status}: {refused.errors}")
            yield from response.stream(_PART_BYTES, decode_content=False)

    def _call(self, method: str, path: str, body: dict[str, Any] | None, token: str) -> Answer:
        with self._answer(method, path, body, token) as response:
            return Answer(response.status, _object(response.read(_LARGEST_ANSWER_BYTES, decode_content=True)))

    @contextmanager
    def _answer(
        self, method: str, path: str, body: dict[str, Any] | None, token: str
    ) -> Iterator[urllib3.BaseHTTPResponse]:
        data = msgspec.json.encode(body) if body is not None else None
        headers = {"X-Vault-Request": "true"} | ({"X-Vault-Token": token} if token else {})
        problem = ""
        try:
            response = self._pool.request(
                method, f"{self._address}/v1/{path}", body=data, headers=headers, redirect=False, preload_content=False
            )
            try:
                yield response
            finally:
                response.close()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            problem = type(error).__name__
        if problem:  # raised here: urllib3's exceptions quote the request
            raise BootstrapError(f"{self._address} did not answer {method} {path}: {problem}")


def _object(raw: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(raw) if raw else {}
    except msgspec.DecodeError:  # a proxy's page
        return {}
    return found if isinstance(found, dict) else {}
