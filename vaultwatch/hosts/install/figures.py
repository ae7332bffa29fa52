"""What a host reports besides that it is ready: disks, memory, rotated files, clock, and the queues of syslog-ng."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from vaultwatch.aws import metrics
from vaultwatch.errors import InstallError
from vaultwatch.hosts.install.host import Host
from vaultwatch.hosts.install.volumes import volumes_of
from vaultwatch.rotated_files import unarchived

_LOGS = ("/var/log/vault", "/var/log/vault/archive")
_TRACKING = 14  # fields of `chronyc -c tracking`
_OFFSET, _ROOT_DELAY, _ROOT_DISPERSION = 4, 10, 11


class Figure(NamedTuple):
    """A metric: its name, value and unit as CloudWatch names it, and whether it is of the cluster or of this host."""

    name: str
    value: float
    unit: str = "Count"
    of_cluster: bool = False


def figures_of(host: Host) -> Iterator[Figure]:
    """Yield what is known: nothing of chrony or syslog-ng while it does not run, and the host is not ready."""
    yield Figure(metrics.HOST_DISK_USED, _fullest_percent(host), "Percent")
    yield Figure(metrics.HOST_MEMORY_USED, memory_used_percent(host.read("/proc/meminfo")), "Percent")
    yield Figure(metrics.HOST_FILES_WAITING, sum(len(unarchived(host.path(folder))) for folder in _LOGS))
    try:
        # On loopback: chronyd's socket is for its own user only.
        tracking = host.run("chronyc", "-c", "-h", "127.0.0.1", "tracking")
        yield Figure(metrics.HOST_CLOCK_ERROR, clock_error_seconds(tracking), "Seconds")
        statistics = host.run("syslog-ng-ctl", "stats")
        yield Figure(metrics.HOST_DROPPED_LINES, float(dropped_lines(statistics)))
        yield Figure(metrics.HOST_QUEUED_LINES, float(queued_lines(statistics)))
    except InstallError:
        return


def put_figures(cloudwatch: Any, values: Mapping[str, str], figures: Iterable[Figure]) -> None:
    """Write metrics.

    Args:
        cloudwatch: boto3's client of CloudWatch.
        values: The values of host.json.
        figures: The metrics.
    """
    cluster = {"deployment": values["deployment"]}
    own = {**cluster, "host": values["name"]}
    data = [
        {
            "MetricName": figure.name,
            "Dimensions": [
                {"Name": name, "Value": value} for name, value in (cluster if figure.of_cluster else own).items()
            ],
            "Value": figure.value,
            "Unit": figure.unit,
        }
        for figure in figures
    ]
    cloudwatch.put_metric_data(Namespace=metrics.NAMESPACE_OF_HOSTS, MetricData=data)


def memory_used_percent(meminfo: str) -> float:
    """Return how much of the memory is used, from /proc/meminfo."""
    found = {name: int(kib) for name, kib in re.findall(r"^(\w+):\s+(\d+) kB$", meminfo, re.MULTILINE)}
    return 100.0 * (1 - found["MemAvailable"] / found["MemTotal"])


def clock_error_seconds(tracking: str) -> float:
    """Return by how much the clock may be wrong: its offset, and what chrony does not know about it.

    Without a source of time chrony reports 1.5 seconds, and after the loss of its source more with each second.

    Args:
        tracking: The output of `chronyc -c tracking`.

    Raises:
        InstallError: It has another form.
    """
    fields = tracking.strip().split(",")
    if len(fields) != _TRACKING:
        raise InstallError("chronyc: unknown output")
    return abs(float(fields[_OFFSET])) + float(fields[_ROOT_DISPERSION]) + float(fields[_ROOT_DELAY]) / 2


def dropped_lines(statistics: str) -> int:
    """Return how many lines our destinations dropped since syslog-ng started, from `syslog-ng-ctl stats`.

    Args:
        statistics: Its output: `SourceName;SourceId;SourceInstance;State;Type;Number`, a line each.
    """
    return _lines(statistics, "dropped")


def queued_lines(statistics: str) -> int:
    """Return how many lines wait in front of our destinations; `statistics` as for `dropped_lines`."""
    return _lines(statistics, "queued")


def _lines(statistics: str, kind: str) -> int:
    rows = (line.split(";") for line in statistics.splitlines())
    return sum(int(row[-1]) for row in rows if row[-2:-1] == [kind] and row[1].startswith("d_vaultwatch_"))


def _fullest_percent(host: Host) -> float:
    """Return how much of its fullest disk is used, in percent."""
    places = ["/", *(volume.mount for volume in volumes_of(host))]
    return max(_used_percent(host, place) for place in places)


def _used_percent(host: Host, place: str) -> float:
    """Return what df shows: blocks that are reserved for root are neither used nor available."""
    found = os.statvfs(host.path(place))
    used = found.f_blocks - found.f_bfree
    return 100.0 * used / (used + found.f_bavail) if used else 0.0
