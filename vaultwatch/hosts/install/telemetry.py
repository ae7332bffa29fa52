"""What a node reports of its Vault: whether it is sealed or active, and the few figures of its telemetry that matter.

Vault counts since it started. CloudWatch gets what was added since the last report, so that an alarm ends by itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import msgspec

from vaultwatch.aws import metrics
from vaultwatch.errors import InstallError
from vaultwatch.hosts.install.figures import Figure
from vaultwatch.hosts.install.host import Host

ACTIVE, SEALED = 200, 503
"""What `sys/health` answers on the active node, and on a sealed one."""
_KEPT = "/run/vaultwatch-ready/counters.json"
# As Vault's telemetry names them in Prometheus's format (seen on OpenBao 2.6.2).
_COUNTERS = {
    metrics.VAULT_AUDIT_FAILURES: ("vault_audit_log_request_failure", "vault_audit_log_response_failure"),
    metrics.VAULT_LEADERSHIP_LOST: ("vault_core_leadership_lost_count",),
}
_ENTRIES, _MILLISECONDS = "AuditedEntries", "AuditedMilliseconds"
# Of a summary: how many entries all devices together took, and for how long requests waited for that.
_AUDITING = {
    _ENTRIES: ("vault_audit_log_request_count", "vault_audit_log_response_count"),
    _MILLISECONDS: ("vault_audit_log_request_sum", "vault_audit_log_response_sum"),
}
_LEASES = "vault_expire_num_leases"


class Telemetry:
    """The telemetry of a node, read once.

    Args:
        host: A node.

    Raises:
        InstallError: Vault does not answer.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._status = host.vault_status("/v1/sys/health")
        self._text = host.telemetry() if self._status != SEALED else ""

    @property
    def is_active(self) -> bool:
        """Whether this is the active node of the cluster."""
        return self._status == ACTIVE

    def figures(self) -> Iterator[Figure]:
        """Yield the figures of this node; what the cluster has is known on its active node."""
        yield Figure(metrics.VAULT_SEALED, float(self._status == SEALED))
        before, now = _load(self._host), self._counters()
        since = {name: added(before.get(name, 0.0), count) for name, count in now.items()}
        for name in _COUNTERS:
            if name in since:
                yield Figure(name, since[name])
        if since.get(_ENTRIES):
            yield Figure(metrics.VAULT_AUDIT_SECONDS, since[_MILLISECONDS] / since[_ENTRIES] / 1000, "Seconds")
        if self.is_active:
            yield Figure(metrics.VAULT_LEASES, _sum(self._text, (_LEASES,)), of_cluster=True)
            yield Figure(metrics.VAULT_ACTIVE_NODE, 1.0, of_cluster=True)

    def keep(self) -> None:
        """Remember the counters, once CloudWatch has them."""
        if found := self._counters():
            self._host.write(_KEPT, msgspec.json.encode(found).decode())

    def _counters(self) -> dict[str, float]:
        """Return the counters; a sealed node has none."""
        named = {**_COUNTERS, **_AUDITING}
        return {name: _sum(self._text, sources) for name, sources in named.items()} if self._text else {}


def added(before: float, now: float) -> float:
    """Return what was added to a counter; one that is smaller than before has started again at zero."""
    return now - before if now >= before else now


def _load(host: Host) -> Mapping[str, float]:
    text = host.read(_KEPT)
    try:
        return msgspec.json.decode(text, type=dict[str, float]) if text else {}
    except msgspec.DecodeError as error:
        raise InstallError(f"{_KEPT}: {error}") from error


def _sum(text: str, names: tuple[str, ...]) -> float:
    """Return the sum of metrics in Prometheus's text format, over all their labels."""
    pattern = rf"^(?:{'|'.join(names)})(?:\{{[^\n]*\}})? ([0-9.e+-]+)$"
    return sum(map(float, re.findall(pattern, text, re.MULTILINE)))
