"""What a host reports besides that it is ready: how full its disks are, and how many lines syslog-ng dropped."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

from vaultwatch.aws import metrics
from vaultwatch.errors import InstallError
from vaultwatch.hosts.install.host import Host
from vaultwatch.hosts.install.volumes import volumes_of


class Figure(NamedTuple):
    """A metric of a host: its name, its value and CloudWatch's name of its unit."""

    name: str
    value: float
    unit: str


def figures_of(host: Host) -> Iterator[Figure]:
    """Yield what is known: without a running syslog-ng, nothing of it."""
    yield Figure(metrics.HOST_DISK_USED, _fullest_percent(host), "Percent")
    try:
        statistics = host.run("syslog-ng-ctl", "stats")
    except InstallError:
        return  # it does not run, so that the host is not ready
    yield Figure(metrics.HOST_DROPPED_LINES, float(dropped_lines(statistics)), "Count")


def dropped_lines(statistics: str) -> int:
    """Return how many lines our destinations dropped since syslog-ng started, from `syslog-ng-ctl stats`.

    Args:
        statistics: Its output: `SourceName;SourceId;SourceInstance;State;Type;Number`, a line each.
    """
    rows = (line.split(";") for line in statistics.splitlines())
    return sum(int(row[-1]) for row in rows if row[-2:-1] == ["dropped"] and row[1].startswith("d_vaultwatch_"))


def _fullest_percent(host: Host) -> float:
    """Return how much of its fullest disk is used, in percent."""
    places = ["/", *(volume.mount for volume in volumes_of(host))]
    return max(_used_percent(host, place) for place in places)


def _used_percent(host: Host, place: str) -> float:
    found = os.statvfs(host.path(place))
    return 100.0 * (1 - found.f_bavail / found.f_blocks) if found.f_blocks else 0.0
