"""What the hosts and their network cost per month: the stacks `network`, `log_server` and `vault`."""

from __future__ import annotations

from dataclasses import dataclass

from cost import prices as usd
from cost.model import GIB, HOURS, LANES, SECONDS
from cost.prices import Price
from stacks.services import INTERFACES
from vaultwatch.settings import Settings, read_settings

ROOT_GIB = 16
SNAPSHOT_GIB = 100 / 1024
ALARMS_OF_A_HOST, ALARMS_OF_A_NODE, ALARMS_OF_THE_AUTHORITY, ALARMS_OF_VAULT = 9, 4, 5, 7
METRICS_OF_A_HOST, METRICS_OF_A_NODE, METRICS_OF_VAULT = 8, 4, 5
"""Of a host: ready, disk, memory, rotated files, clock, dropped lines, days that its certificate lasts."""
_TYPES = {
    "m7g.large": usd.M7G_LARGE,
    "m7g.xlarge": usd.M7G_XLARGE,
    "t4g.medium": usd.T4G_MEDIUM,
    "t4g.nano": usd.T4G_NANO,
}


@dataclass(frozen=True)
class Size:
    """A size of deployment: its name, and the settings that make it."""

    name: str
    settings: Settings


SIZES = (
    Size("one node (default)", read_settings({})),
    Size("one node, no interface endpoints", read_settings({"interface_endpoints": False})),
    Size("three nodes", read_settings({"vault_nodes": 3})),
    Size(
        "five nodes, m7g.xlarge",
        read_settings({"vault_nodes": 5, "vault_instance_type": "m7g.xlarge", "nat": "gateway"}),
    ),
    Size("external nodes", read_settings({"vault": "external"})),
)


def parts(settings: Settings) -> dict[str, float]:
    """Return the fixed cost of the hosts and their network, by part.

    Args:
        settings: The settings of a deployment in a VPC of its own.

    Raises:
        KeyError: The price of an instance type is not known here.
    """
    nodes = 0 if settings.vault == "external" else settings.vault_nodes
    disks = settings.log_server_gib + settings.log_server_buffer_gib + ROOT_GIB
    disks += nodes * (settings.vault_data_gib + settings.vault_audit_gib + ROOT_GIB)
    return {
        "Vault nodes": nodes * _hours(_TYPES[settings.vault_instance_type]),
        "log server": _hours(_TYPES[settings.log_server_instance_type]),
        "volumes (gp3)": disks * usd.VOLUME.usd,
        "load balancer": _hours(usd.BALANCER) + _hours(usd.BALANCER_UNIT) if nodes else 0.0,
        "NAT": _nat(settings),
        "interface endpoints, one zone": len(INTERFACES) * _hours(usd.ENDPOINT) * settings.interface_endpoints,
        "snapshots of 100 MiB": _snapshots(settings) if nodes else 0.0,
        "keys, secrets, alarms, names": _rest(settings, nodes),
    }


def lanes_gib(rate: float, record_bytes: float) -> float:
    """Return how much both audit lanes carry from a node to the log server in a month, in GiB, uncompressed."""
    return LANES * rate * SECONDS * record_bytes / GIB


def crossing(rate: float, record_bytes: float) -> float:
    """Return what it costs if the lanes cross zones: both ends of the traffic are charged."""
    return lanes_gib(rate, record_bytes) * 2 * usd.CROSSING.usd


def _hours(price: Price) -> float:
    return HOURS * price.usd


def _nat(settings: Settings) -> float:
    if settings.nat == "instance":
        return _hours(usd.T4G_NANO) + _hours(usd.ADDRESS) + 8 * usd.VOLUME.usd
    return _hours(usd.GATEWAY) + _hours(usd.ADDRESS) if settings.nat == "gateway" else 0.0


def _snapshots(settings: Settings) -> float:
    """One every six hours, each kept in STANDARD."""
    return 4 * settings.snapshot_retention_days * SNAPSHOT_GIB * usd.STANDARD.usd


def _rest(settings: Settings, nodes: int) -> float:
    """Keys: disks and authority of the log server; disks and seal of Vault, whose recovery keys are two secrets."""
    keys, secrets = (4, 2) if nodes else (2, 0)
    alarms = ALARMS_OF_A_HOST * (nodes + 1) + ALARMS_OF_A_NODE * nodes + ALARMS_OF_THE_AUTHORITY
    alarms += (ALARMS_OF_VAULT if nodes else 0) + (settings.nat == "instance")
    metrics = METRICS_OF_A_HOST * (nodes + 1) + METRICS_OF_A_NODE * nodes + (METRICS_OF_VAULT if nodes else 0)
    paid = keys * usd.KEY.usd + secrets * usd.SECRET.usd + alarms * usd.ALARM.usd
    return paid + metrics * usd.METRIC.usd + usd.ZONE.usd
