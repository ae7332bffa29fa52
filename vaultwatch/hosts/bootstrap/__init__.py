"""Bootstrap of a fresh cluster: recovery keys, audit devices, a first administrator, and no root token.

It may be run any number of times, and killed at any instruction: each run does what the earlier ones have left undone.
"""

from vaultwatch.hosts.bootstrap.api import VaultApi
from vaultwatch.hosts.bootstrap.attempt import Attempt
from vaultwatch.hosts.bootstrap.keys import Keys, LocalKeys, Secret, SecretKeys
from vaultwatch.hosts.bootstrap.plan import SNAPSHOT, AuditDevice, NodeLogin, Plan, audit_devices
from vaultwatch.hosts.bootstrap.steps import bootstrap

__all__ = [
    "SNAPSHOT",
    "Attempt",
    "AuditDevice",
    "Keys",
    "LocalKeys",
    "NodeLogin",
    "Plan",
    "Secret",
    "SecretKeys",
    "VaultApi",
    "audit_devices",
    "bootstrap",
]
