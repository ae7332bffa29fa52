"""The private name of the host, which follows it from instance to instance."""

from __future__ import annotations

from botocore.exceptions import BotoCoreError, ClientError

from vaultwatch.errors import InstallError
from vaultwatch.hosts.install.host import Host, Step

_TTL_SECONDS = 30
_SET = "/run/vaultwatch/address"
"""The address for which the name was set since the last boot."""


def _is_set(host: Host) -> bool:
    return host.read(_SET) == host.metadata("local-ipv4")


def _set(host: Host) -> None:
    values, address = host.values, host.metadata("local-ipv4")
    record = {
        "Name": f"{values['name']}.{values['domain']}",
        "Type": "A",
        "TTL": _TTL_SECONDS,
        "ResourceRecords": [{"Value": address}],
    }
    changes = [{"Action": "UPSERT", "ResourceRecordSet": record}]
    try:
        host.client("route53").change_resource_record_sets(
            HostedZoneId=values["zone_id"], ChangeBatch={"Changes": changes}
        )
    except (BotoCoreError, ClientError) as error:
        raise InstallError(f"the name {record['Name']} cannot be set: {' '.join(str(error).split())}") from error
    host.write(_SET, address)


NAME = Step("name", _is_set, _set)
