"""The Vault of this host, as far as it answers without a token: its health and its telemetry."""

from __future__ import annotations

from pathlib import Path

import urllib3

from vaultwatch.errors import InstallError

_AUTHORITY = Path("/etc/vaultwatch/tls/authority.pem")
_SECONDS = 5.0
_LARGEST_BYTES = 8 * 1024 * 1024  # of telemetry; a server with a thousand mounts writes two


class LocalVault:
    """A client of the server on this host, by the name in its certificate.

    Args:
        name: The DNS name of this host.
        authority: The certificate of the authority.
        port: The port of the API.
        telemetry_port: The port of the telemetry, which is open on loopback only.
    """

    def __init__(
        self, name: str, authority: Path = _AUTHORITY, *, port: int = 8200, telemetry_port: int = 8210
    ) -> None:
        self._name, self._authority, self._port, self._telemetry_port = name, authority, port, telemetry_port

    def status(self, path: str) -> int:
        """Return the HTTP status of a path of the API.

        Raises:
            InstallError: It does not answer.
        """
        return self._get(self._port, path)[0]

    def telemetry(self) -> str:
        """Return the telemetry in Prometheus's text format.

        Raises:
            InstallError: It does not answer, or refuses.
        """
        status, text = self._get(self._telemetry_port, "/v1/sys/metrics?format=prometheus")
        if status != 200:
            raise InstallError(f"Vault's telemetry cannot be read: status {status}")
        return text

    def _get(self, port: int, path: str) -> tuple[int, str]:
        pool = urllib3.HTTPSConnectionPool(
            "127.0.0.1",
            port,
            ca_certs=str(self._authority),
            cert_reqs="CERT_REQUIRED",
            server_hostname=self._name,
            assert_hostname=self._name,
            timeout=urllib3.Timeout(_SECONDS),
            retries=False,
        )
        try:
            answer = pool.request("GET", path, redirect=False, preload_content=False)
            return answer.status, answer.read(_LARGEST_BYTES, decode_content=True).decode(errors="replace")
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise InstallError(f"Vault does not answer: {type(error).__name__}") from error
        finally:
            pool.close()
