"""A deployment whose hosts are booted machines: requests to its node, and the lines that arrive on the stream."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from testbed.machines.hosts import LOG_SERVER, NODE, Hosts
from testbed.machines.machine import Machine
from tests.support.waiting import HUNG_SECONDS
from vaultwatch.frames import Records, decode

AUDIT_FILE = "/var/log/vault/audit.log"
API = f"https://{NODE}.vaultwatch.internal:8200"
TLS = "/etc/vaultwatch/tls"


@dataclass
class Booted:
    """The hosts, and what is known about them.

    Attributes:
        hosts: The hosts.
        crashes: The calls at which the node lost its power.
    """

    hosts: Hosts
    crashes: list[str]
    _sequences: dict[str, str] = field(default_factory=dict)
    _lines: list[bytes] = field(default_factory=list)

    @property
    def node(self) -> Machine:
        """The Vault node."""
        return self.hosts.machines[NODE]

    @property
    def log_server(self) -> Machine:
        """The log server."""
        return self.hosts.machines[LOG_SERVER]

    def wait_for_signal(self, machine: Machine, boot: int = 1) -> str:
        """Return the status that a machine signals to its stack in its so-manieth complete boot."""
        instances: Any = self.hosts.deployment.aws.instances
        return str(instances.wait_for_signal(machine.instance, HUNG_SECONDS, boot=boot).status)

    def request(self, *names: str) -> None:
        """Send a request without a token for each name to Vault, which denies and logs it."""
        urls = [f"{API}/v1/secret/{name}" for name in names]
        self.node.run("curl", "--silent", "--show-error", "--cacert", f"{TLS}/authority.pem", *urls)

    def arrived(self, lane: str) -> list[bytes]:
        """Return the lines of a lane of the node that are on the stream by now, each without its tag."""
        self._lines += self._new_lines()
        tag = f"@vaultwatch/{NODE}/{lane} ".encode()
        return [line.removeprefix(tag) for line in self._lines if line.startswith(tag)]

    def has_brought(self, lane: str, names: set[str]) -> bool:
        """Return whether a lane has brought the entries about all these names."""
        return names_in(self.arrived(lane)) >= names

    def _new_lines(self) -> Iterator[bytes]:
        kinesis, stream = self.hosts.deployment.aws.client("kinesis"), self.hosts.deployment.stream_name
        for shard in kinesis.list_shards(StreamName=stream)["Shards"]:
            for record in self._records(kinesis, stream, shard["ShardId"]):
                content = decode(record["Data"]).content
                if isinstance(content, Records):
                    yield from content.split

    def _records(self, kinesis: Any, stream: str, shard: str) -> Iterator[Any]:
        last = self._sequences.get(shard)
        after = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": last} if last else {}
        given = after or {"ShardIteratorType": "TRIM_HORIZON"}
        place = kinesis.get_shard_iterator(StreamName=stream, ShardId=shard, **given)["ShardIterator"]
        while found := kinesis.get_records(ShardIterator=place)["Records"]:
            yield from found
            self._sequences[shard] = last = found[-1]["SequenceNumber"]
            given = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": last}
            place = kinesis.get_shard_iterator(StreamName=stream, ShardId=shard, **given)["ShardIterator"]


def names_in(lines: list[bytes]) -> set[str]:
    """Return the names below `secret/` that audit entries are about."""
    entries = (json.loads(line) for line in lines)
    paths = (entry.get("request", {}).get("path", "") for entry in entries)
    return {Path(path).name for path in paths if path.startswith("secret/")}
