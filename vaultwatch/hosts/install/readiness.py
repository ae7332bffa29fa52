"""Whether a host does its work: its services run, and Vault answers."""

from __future__ import annotations

from collections.abc import Iterable

from vaultwatch.aws import metrics
from vaultwatch.errors import InstallError
from vaultwatch.hosts.install.figures import Figure, figures_of
from vaultwatch.hosts.install.host import Host, Step
from vaultwatch.hosts.install.services import SERVICES
from vaultwatch.hosts.install.signals import Signal, has_signalled

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
    """Write the metrics of this host: that it is ready, unless it is not, and how full its disks are.

    Raises:
        InstallError: It is not ready. An alarm fires when the metric has been missing for some minutes.
    """
    try:
        _check_whole(host)
    except InstallError:
        _write(host, figures_of(host))
        raise
    _write(host, [*figures_of(host), Figure(metrics.HOST_READY, 1.0, "Count")])


def _check_whole(host: Host) -> None:
    """Check that the host does its work, and that none of our units has failed that a timer starts."""
    if not has_signalled(host, Signal.SUCCESS):
        raise InstallError("vaultwatch-boot.service has not finished since the last boot")
    check_ready(host)
    failed = host.run("systemctl", "list-units", "--failed", "--plain", "--no-legend", "vaultwatch-*").split()
    if failed:
        raise InstallError(f"{failed[0]} has failed")


def _write(host: Host, figures: Iterable[Figure]) -> None:
    named = {"deployment": host.values["deployment"], "host": host.values["name"]}
    dimensions = [{"Name": name, "Value": value} for name, value in named.items()]
    data = [
        {"MetricName": figure.name, "Dimensions": dimensions, "Value": figure.value, "Unit": figure.unit}
        for figure in figures
    ]
    host.client("cloudwatch").put_metric_data(Namespace=metrics.NAMESPACE, MetricData=data)


def _check_vault(host: Host) -> None:
    status = host.status(f"https://{host.values['name']}.{host.values['domain']}:8200{_HEALTHY}")
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
