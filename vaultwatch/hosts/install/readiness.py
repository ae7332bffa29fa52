"""Whether a host does its work: its services run, and Vault answers."""

from __future__ import annotations

import logging

from vaultwatch.aws import metrics
from vaultwatch.errors import InstallError, VaultwatchError
from vaultwatch.hosts.cluster import ATTEMPT
from vaultwatch.hosts.install.figures import Figure, figures_of, put_figures
from vaultwatch.hosts.install.host import Host, Step
from vaultwatch.hosts.install.services import SERVICES
from vaultwatch.hosts.install.signals import Signal, has_signalled
from vaultwatch.hosts.install.telemetry import Telemetry

# A standby is ready: it forwards requests to the active node.
_HEALTHY = "/v1/sys/health?standbyok=true&perfstandbyok=true"
_WAIT_SECONDS, _PAUSE_SECONDS = 120, 5
_STATES = {501: "is not initialised", 503: "is sealed"}


def check_ready(host: Host) -> None:
    """Check that the host does its work.

    Raises:
        InstallError: It does not; the text says why.
    """
    for service in SERVICES[host.values["role"]]:
        if not host.succeeds("systemctl", "is-active", "--quiet", service):
            raise InstallError(f"{service} is not active")
    if host.values["role"] == "node":
        _check_vault(host)


def report_ready(host: Host) -> None:
    """Write the metrics of this host: that it is ready, unless it is not, and the figures that are known.

    Raises:
        InstallError: It is not ready. An alarm fires when the metric has been missing for some minutes.
    """
    figures, telemetry, problem = [*figures_of(host)], None, None
    try:
        _check_signalled(host)
        if host.values["role"] == "node":
            telemetry = Telemetry(host)
            figures += telemetry.figures()
        _check_whole(host)
        figures.append(Figure(metrics.HOST_READY, 1.0))
    except InstallError as error:
        problem = error
    put_figures(host.client("cloudwatch"), host.values, figures)
    if telemetry:
        telemetry.keep()
    if problem:
        raise problem
    if telemetry and telemetry.is_active:
        _send_canary(host)


def _send_canary(host: Host) -> None:
    """Make the call of the canary. A new cluster refuses it until it is set up; an alarm fires if that lasts."""
    try:
        host.canary()
    except VaultwatchError as error:
        logging.getLogger(__name__).warning("%s", error)


def _check_signalled(host: Host) -> None:
    if not has_signalled(host, Signal.SUCCESS):
        raise InstallError("vaultwatch-boot.service has not finished since the last boot")


def _check_whole(host: Host) -> None:
    """Check that the host does its work, and that none of our units has failed that a timer starts."""
    check_ready(host)
    failed = host.run("systemctl", "list-units", "--failed", "--plain", "--no-legend", "vaultwatch-*").split()
    if failed:
        raise InstallError(f"{failed[0]} has failed")


def _check_vault(host: Host) -> None:
    if host.path(str(ATTEMPT)).exists():  # the nodes that are created next must not join a cluster without keys
        raise InstallError("the recovery keys of the cluster are not stored")
    status = host.vault_status(_HEALTHY)
    if status != 200:
        raise InstallError(f"Vault {_STATES.get(status, f'answers with status {status}')}")


def _is_ready(host: Host) -> bool:
    try:
        check_ready(host)
    except InstallError:
        return False
    return True


def _wait(host: Host) -> None:
    """Wait until the host is ready: a new cluster is initialised meanwhile, and a node joins its cluster."""
    for _ in range(_WAIT_SECONDS // _PAUSE_SECONDS):
        if _is_ready(host):
            return
        host.run("sleep", str(_PAUSE_SECONDS))
    check_ready(host)


READY = Step("ready", _is_ready, _wait)
