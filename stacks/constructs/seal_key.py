"""The key that seals Vault."""

from __future__ import annotations

from constructs import Construct

from stacks.constructs.alarms import Alarms
from stacks.constructs.encryption_key import EncryptionKey
from stacks.constructs.watched_calls import watch_calls


class SealKey(EncryptionKey):
    """A key for nothing but Vault's seal. Without it, no node can start again, and nobody can read Vault's data.

    Args:
        scope: The construct that holds the key.
        construct_id: The id within `scope`.
        alarms: Where the alarm on its deletion is added.
    """

    def __init__(self, scope: Construct, construct_id: str, *, alarms: Alarms) -> None:
        super().__init__(scope, construct_id, description="Seals Vault: without it, all of Vault's data is lost")
        watch_calls(
            self,
            "Ends",
            name="seal-key-ends",
            source="kms",
            calls=["DisableKey", "DisableKeyRotation", "PutKeyPolicy", "ScheduleKeyDeletion"],
            resource={"requestParameters": {"keyId": [self.key_arn, self.key_id]}},
            text="Somebody disabled the key that seals Vault, scheduled its deletion, or changed who may use it. "
            "Without this key no Vault node can start again, and nobody can ever read Vault's data. Cancel the "
            "deletion and enable the key at once, unless you meant it.",
            alarms=alarms,
        )
