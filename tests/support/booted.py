"""A deployment whose hosts are booted machines: requests to its node, and the lines that arrive on the stream."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from testbed.machines.hosts import Hosts
from testbed.machines.machine import Machine
from testbed.machines.namespaces import inside_of
from tests.support.waiting import HUNG_SECONDS, eventually
from vaultwatch.archive.segments import unpack
from vaultwatch.authority.certificates import HOST_LIFE, certify_host
from vaultwatch.authority.kms_key import KmsKey
from vaultwatch.authority.names import Host
from vaultwatch.aws.keys import segments_of
from vaultwatch.frames import Records, decode

DOMAIN = "vaultwatch.internal"
LOGS = "/var/log/vault"
AUDIT_FILE = f"{LOGS}/audit.log"
TLS = "/etc/vaultwatch/tls"

_ROTATED_LONG_AGO = b"""logrotate state -- version 2
"/var/log/vault/audit" 2026-1-1-0:0:0
"/var/log/vault/messages" 2026-1-1-0:0:0
"""


@dataclass
class Booted:
    """The hosts, and what is known about them.

    Attributes:
        hosts: The hosts.
        log_server: The log server.
        node: The Vault node.
    """

    hosts: Hosts
    log_server: Machine
    node: Machine
    _sequences: dict[str, str] = field(default_factory=dict)
    _lines: list[bytes] = field(default_factory=list)

    def wait_for_signal(self, machine: Machine, boot: int = 1) -> str:
        """Return the status that a machine signals to its stack in its so-manieth complete boot."""
        instances: Any = self.hosts.deployment.aws.instances
        return str(instances.wait_for_signal(machine.instance, HUNG_SECONDS, boot=boot).status)

    def boots(self, machine: Machine) -> int:
        """Return how often a machine has signalled."""
        instances: Any = self.hosts.deployment.aws.instances
        return sum(signal.id.startswith(machine.instance) for signal in instances.signals)

    def states(self, machine: Machine, units: Sequence[str]) -> dict[str, str]:
        """Return the state of each unit: "active", or another one of systemd's."""
        return {unit: machine.properties(unit)["ActiveState"] for unit in units}

    def request(self, *names: str) -> None:
        """Send a request without a token for each name to Vault, which denies and logs it."""
        urls = [f"https://{self.node.name}.{DOMAIN}:8200/v1/secret/{name}" for name in names]
        self.node.run("curl", "--silent", "--show-error", "--cacert", "/etc/vault.d/tls/authority.pem", *urls)

    def arrived(self, lane: str) -> list[bytes]:
        """Return the lines of a lane of the node that are on the stream by now, each without its tag."""
        self._lines += self._new_lines()
        return self._of_lane(lane, self._lines)

    def tagged(self, lane: str) -> set[str]:
        """Return the names that entries of a lane are about whose tag has the name in the node's certificate."""
        return names_in(self._lines, tag=f"@vaultwatch/{self.node.name}/{lane} ".encode())

    def _of_lane(self, lane: str, lines: Iterable[bytes]) -> list[bytes]:
        """Return the lines without their tag, whose node may be an address in the first line of a connection."""
        tags = [f"@vaultwatch/{node}/{lane} ".encode() for node in (self.node.name, self.node.address)]
        return [line.removeprefix(tag) for line in lines for tag in tags if line.startswith(tag)]

    def has_brought(self, lane: str, names: set[str]) -> bool:
        """Return whether a lane has brought the entries about all these names."""
        return names_in(self.arrived(lane)) >= names

    def log_server_has(self, names: Sequence[str]) -> bool:
        """Return whether the log server's file has the entries about all these names."""
        lines = self.log_server.run("cat", f"{LOGS}/audit").encode().splitlines()
        return names_in(self._of_lane("socket", lines)) >= set(names)

    def rotate_on_log_server(self) -> None:
        """Let logrotate rotate both logs, as if the previous rotation had been long ago."""
        before = self._rotated()

        def rotated() -> bool:
            self.log_server.run("tee", "/var/lib/logrotate/status", given=_ROTATED_LONG_AGO)
            self.log_server.run("systemctl", "reset-failed", "logrotate.service")
            self.log_server.run("systemctl", "start", "logrotate.service", check=False)
            return self._rotated() != before

        eventually(rotated)  # the names have seconds: within the same one, logrotate fails

    def _rotated(self) -> str:
        """Return the names of the rotated files that are not compressed yet."""
        return self.log_server.run("find", LOGS, "-name", "audit-*", "-not", "-name", "*.zst")

    def upload(self, machine: Machine) -> None:
        """Let a machine upload its rotated files, as if they were an hour old."""
        machine.run("find", LOGS, "-name", "*-20*", "-exec", "touch", "-d-1hour", "{}", ";")
        machine.run("systemctl", "reset-failed", "vaultwatch-archive.service")  # it may start so often
        machine.run("systemctl", "start", "vaultwatch-archive.service")

    def archived(self, source: str, host: str) -> list[bytes]:
        """Return the lines of a source and a host that are in the archive."""
        s3, bucket = self.hosts.deployment.aws.client("s3"), self.hosts.deployment.bucket("Archive")
        found = s3.list_objects_v2(Bucket=bucket, Prefix=segments_of(source, host)).get("Contents", [])
        bodies = (s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read() for item in found)
        return [line for body in bodies for line in b"".join(unpack([body])).splitlines()]

    def names_on_node(self) -> set[str]:
        """Return the names in the file of the audit device, and in those that were rotated."""
        return names_in(self.node.run("sh", "-c", f"cat {AUDIT_FILE}*").encode().splitlines())

    def send(self, pair: Path, port: int, data: bytes) -> None:
        """Send data to the log server, from the node's address, and wait until it answers or closes.

        Args:
            pair: The folder with `host.pem` and `host.key`.
            port: The port of a lane.
            data: The data.

        Raises:
            OSError: The log server has refused the certificate.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.load_cert_chain(pair / "host.pem", pair / "host.key")
        with inside_of(self.node.namespace):
            connection = socket.create_connection((self.log_server.address, port), HUNG_SECONDS)
        with context.wrap_socket(connection) as secure:
            secure.sendall(data)
            secure.recv(1)

    def issue_expired(self, name: str, folder: Path) -> None:
        """Write `host.pem` and `host.key` of a host whose certificate ended a minute ago; the authority issued it."""
        aws = self.hosts.deployment.aws
        key = KmsKey(aws.client("kms"), aws.physical_id("vaultwatch-log-server", "Authority/Key"))
        authority = x509.load_pem_x509_certificate(self.node.run("cat", f"{TLS}/authority.pem").encode())
        own = ec.generate_private_key(ec.SECP256R1())
        host = Host(name=name, dns=(f"{name}.{DOMAIN}",), usage=("client",))
        past = datetime.now(UTC).replace(microsecond=0) - HOST_LIFE - timedelta(minutes=1)
        made = certify_host(key, authority, host, own.public_key(), past)
        (folder / "host.pem").write_bytes(made.public_bytes(Encoding.PEM))
        (folder / "host.key").write_bytes(own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

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


def names(begin: str, count: int) -> list[str]:
    """Return so many different names."""
    return [f"{begin}-{number}" for number in range(count)]


def names_in(lines: Iterable[bytes], tag: bytes = b"") -> set[str]:
    """Return the names below `secret/` that audit entries are about; lines without the tag are none of them."""
    paths = (entry.get("request", {}).get("path", "") for entry in _entries(lines, tag))
    return {Path(path).name for path in paths if path.startswith("secret/")}


def _entries(lines: Iterable[bytes], tag: bytes) -> Iterator[dict[str, Any]]:
    for line in lines:
        if line.startswith(tag):
            with suppress(json.JSONDecodeError):  # an empty line, or one of which only a part is written so far
                yield json.loads(line.removeprefix(tag))
