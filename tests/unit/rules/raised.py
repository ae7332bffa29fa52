"""Which shipped rule must raise an alert for an act that the recordings in tests/data/recordings label."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# For each concept: the rules for an act whose path contains a text, the first one that it contains. Acts of other
# concepts raise no alert. Each request with the root policy raises audit_root_policy_used as well.
RAISED_BY: Mapping[str, Mapping[str, str]] = {
    "audit-device-disabled": {"": "audit_device_disabled"},
    "audit-device-enabled": {"/raw": "audit_device_weak", "/pre": "audit_device_weak", "": "audit_device_enabled"},
    "audit-hashing-weakened": {"": "audit_hashing_weakened"},
    "audited-headers-changed": {"": "audit_request_headers_changed"},
    "break-glass-used": {"": "audit_breakglass_namespace_used"},
    "break-glass-used!denied": {"": "audit_breakglass_namespace_used"},
    "denied:audit-device-disabled": {"": "audit_device_disabled"},
    "denied:policy-written": {"": "audit_policy_written"},
    "denied:probing": {"sys/raw/": "audit_raw_storage_used", "raft/snapshot": "audit_snapshot_taken"},
    "denied:seal": {"": "audit_seal_requested"},
    "denied:step-down": {"": "audit_step_down_requested"},
    "plugin-registered": {"": "audit_plugin_registered"},
    "plugin-deregistered": {"": "audit_plugin_changed"},
    "plugin-reloaded": {"": "audit_plugin_changed"},
    "policy-deleted": {"": "audit_policy_deleted"},
    "policy-written": {"": "audit_policy_written"},
    "raw-storage": {"": "audit_raw_storage_used"},
    "root-generation-cancelled": {"": "audit_root_generation_cancelled"},
    "root-generation-complete": {"": "audit_root_generation_completed"},
    "root-generation-progress": {"": "audit_root_generation_progress"},
    "root-generation-started": {"": "audit_root_generation_started"},
    "root-token-created": {"": "audit_root_token_created"},
    "sealed": {"": "audit_seal_requested"},
    "snapshot-restored": {"": "audit_snapshot_restored"},
    "snapshot-taken": {"": "audit_snapshot_taken"},
}


def rules_for(label: Mapping[str, Any]) -> list[str]:
    """Return the names of the rules that must raise an alert for a labelled act: none if it is in no audit log."""
    if not (label["request_id"] and label["entries"]):
        return []
    by_path = RAISED_BY.get(_concept(label), {})
    return next((rules.split() for part, rules in by_path.items() if part in label["path"]), [])


def _concept(label: Mapping[str, Any]) -> str:
    concept, operation = str(label["concept"]), label["operation"]
    return "plugin-deregistered" if (concept, operation) == ("plugin-registered", "delete") else concept
