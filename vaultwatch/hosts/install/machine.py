"""The host that this program runs on."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from typing import IO, Any
from urllib.request import urlopen

import urllib3

from vaultwatch.errors import InstallError
from vaultwatch.hosts.canary import send_canary
from vaultwatch.hosts.install.host import Host, run_program
from vaultwatch.hosts.install.local_vault import LocalVault
from vaultwatch.hosts.logins import node_api
from vaultwatch.hosts.values import read_values

_TLS = Path("/etc/vaultwatch/tls")
_METADATA = "http://169.254.169.254/latest"
_SECONDS, _DOWNLOAD_SECONDS = 5.0, 60.0


def this_host(values: Path, assets: Path) -> Host:
    """Return the host that this program runs on.

    Args:
        values: The file with its values.
        assets: The folder of the assets.

    Raises:
        SettingError: The values cannot be used.
    """
    given = read_values(values)
    os.environ.setdefault("AWS_DEFAULT_REGION", given["region"])
    # botocore asks once, and waits for a second: on a host that boots, that is not always enough.
    os.environ |= {"AWS_METADATA_SERVICE_NUM_ATTEMPTS": "5", "AWS_METADATA_SERVICE_TIMEOUT": f"{_SECONDS:.0f}"}
    vault = LocalVault(f"{given['name']}.{given.get('domain', '')}")
    metadata, own = cache(_metadata), (vault.status, vault.telemetry, lambda: send_canary(node_api(given, _TLS)))
    return Host(given, run_program, _client, metadata, _download, *own, assets=assets)


def uptime_seconds() -> float:
    """Return for how long this machine has been running."""
    return float(Path("/proc/uptime").read_text().split()[0])


def _client(service: str) -> Any:
    import boto3

    return boto3.session.Session().client(service)  # type: ignore[call-overload]


def _download(url: str) -> AbstractContextManager[IO[bytes]]:
    opened: AbstractContextManager[IO[bytes]] = urlopen(url, timeout=_DOWNLOAD_SECONDS)  # noqa: S310  HTTPS only
    return opened


def _metadata(path: str) -> str:
    """Return a value of the instance's metadata (IMDSv2), by its path below `meta-data/`."""
    pool = urllib3.PoolManager(timeout=urllib3.Timeout(_SECONDS), retries=urllib3.Retry(5, backoff_factor=0.5))
    try:
        lifetime = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
        token = pool.request("PUT", f"{_METADATA}/api/token", headers=lifetime).data.decode()
        answer = pool.request("GET", f"{_METADATA}/meta-data/{path}", headers={"X-aws-ec2-metadata-token": token})
    except urllib3.exceptions.HTTPError as error:
        raise InstallError(f"the metadata service does not answer: {type(error).__name__}") from error
    if answer.status != 200:
        raise InstallError(f"the metadata service has no {path}: status {answer.status}")
    return answer.data.decode()
