"""Which shipped rule must raise an alert for an act that the recordings in tests/data/recordings label."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# For each concept: the rules for an act whose operation and path, as in `delete sys/audit/raw`, contain a text; the
# first one counts. Acts of other concepts raise no alert. Each request with the root policy raises
# audit_root_policy_used as well.
RAISED_BY: Mapping[str, Mapping[str, str]] = {
    "accessors-listed": {"": "audit_token_accessors_listed"},
    "audit-device-disabled": {"": "audit_device_disabled"},
    "audit-device-enabled": {"/raw": "audit_device_weak", "/pre": "audit_device_weak", "": "audit_device_enabled"},
    "audit-hash-used": {"": "audit_hash_computed"},
    "audit-hashing-weakened": {"": "audit_hashing_weakened"},
    "audited-headers-changed": {"": "audit_request_headers_changed"},
    "auth-config-changed": {"": "audit_auth_trust_changed"},
    "auth-method-enabled": {"": "audit_auth_method_enabled"},
    "auth-method-disabled": {"": "audit_auth_method_disabled"},
    "auth-method-tuned": {"": "audit_token_limits_changed"},
    "auth-role-changed": {
        "delete ": "audit_login_changed",
        "/password": "audit_login_changed",
        "": "audit_login_policies_changed",
    },
    "autopilot-changed": {"": "audit_raft_config_changed"},
    "barrier-rotated": {"": "audit_encryption_key_rotated"},
    "break-glass-used": {
        "sys/mounts/": "audit_breakglass_namespace_used audit_mount_enabled",
        "": "audit_breakglass_namespace_used",
    },
    "break-glass-used!denied": {"": "audit_breakglass_namespace_used"},
    "cors-changed": {"delete ": "audit_config_reset", "": "audit_cors_enabled"},
    "custom-secret-id": {"": "audit_login_changed"},
    "debug-endpoint": {"": "audit_debug_data_read"},
    "denied:audit-device-disabled": {"": "audit_device_disabled"},
    "denied:policy-written": {"": "audit_policy_written"},
    "denied:probing": {
        "sys/raw/": "audit_raw_storage_used",
        "raft/snapshot": "audit_snapshot_taken",
        "transit/export/": "audit_transit_key_exported",
        "update sys/auth/": "audit_auth_method_enabled",
        " sys/": "audit_privileged_path_refused",
        " auth/approle/role/": "audit_privileged_path_refused",
        " identity/": "audit_privileged_path_refused",
    },
    "denied:root-token": {"": "audit_token_policies_refused"},
    "denied:seal": {"": "audit_seal_requested"},
    "denied:step-down": {"": "audit_step_down_requested"},
    "identity-changed": {"alias": "audit_identity_alias_changed", "": "audit_identity_policies_attached"},
    "leases-listed": {"": "audit_leases_listed"},
    "leases-revoked": {"": "audit_leases_revoked"},
    "log-level-changed": {"delete ": "audit_config_reset", "": "audit_log_level_changed"},
    "long-lived-token": {"/wide": "audit_token_privileged", "": "audit_token_long_lived"},
    "mfa-changed": {"": "audit_mfa_changed"},
    "mount-added": {"": "audit_mount_enabled"},
    "mount-added!": {"": "audit_mount_enabled"},
    "mount-moved": {"": "audit_mount_moved"},
    "mount-removed": {"": "audit_mount_disabled"},
    "namespace-changed": {"delete ": "audit_namespace_deleted", "": "audit_namespace_changed"},
    "password-policy-written": {"": "audit_password_policy_changed"},
    "pki-intermediate-signed": {"": "audit_pki_intermediate_signed"},
    "pki-issuer-deleted": {"": "audit_pki_issuer_deleted"},
    "pki-root-generated": {"/exported": "audit_pki_ca_key_exported", "": "audit_pki_ca_created"},
    "pki-sign-verbatim": {"": "audit_pki_signed_verbatim"},
    "plugin-registered": {"delete ": "audit_plugin_changed", "": "audit_plugin_registered"},
    "plugin-reloaded": {"": "audit_plugin_changed"},
    "policy-deleted": {"": "audit_policy_deleted"},
    "policy-written": {"": "audit_policy_written"},
    "quota-changed": {"delete ": "audit_quota_removed", "": "audit_quota_changed"},
    "raw-storage": {"": "audit_raw_storage_used"},
    "rekey-cancelled": {"": "audit_rekey_cancelled"},
    "rekey-complete": {"": "audit_rekey_completed"},
    "rekey-progress": {"": "audit_rekey_progress"},
    "rekey-started": {"": "audit_rekey_started"},
    "root-generation-cancelled": {"": "audit_root_generation_cancelled"},
    "root-generation-complete": {"": "audit_root_generation_completed"},
    "root-generation-progress": {"": "audit_root_generation_progress"},
    "root-generation-started": {"": "audit_root_generation_started"},
    "root-token-created": {"": "audit_root_token_created"},
    "sealed": {"": "audit_seal_requested"},
    "secret-destroyed": {"": "audit_secret_destroyed"},
    "snapshot-restored": {"": "audit_snapshot_restored"},
    "snapshot-taken": {"": "audit_snapshot_taken"},
    "ssh-ca-configured": {"": "audit_ssh_ca_changed"},
    "token-role-changed": {"": "audit_token_role_changed"},
    "transit-deleted": {"": "audit_transit_key_deleted"},
    "transit-exported": {"": "audit_transit_key_exported"},
    "transit-weakened": {"": "audit_transit_key_weakened"},
    "ui-headers-changed": {"": "audit_ui_headers_changed"},
    "unwrap-failed": {"": "audit_wrapping_token_invalid"},
    "user-unlocked": {"": "audit_user_unlocked"},
}
# Logins of a locked user, which nothing but the answer distinguishes from those before.
LOCKED = "login-failed!brute-force"
# Written without a label during the setup: an exportable key, a role for any name, and one for SSH.
SETUP = {
    "transit/keys/app": "audit_transit_key_weakened",
    "pki/roles/web": "audit_pki_role_unrestricted",
    "ssh/roles/host": "audit_ssh_role_changed",
}


def rules_for(label: Mapping[str, Any]) -> list[str]:
    """Return the names of the rules that must raise an alert for a labelled act: none if it is in no audit log."""
    if not (label["request_id"] and label["entries"]):
        return []
    if label["concept"] == LOCKED:
        return ["audit_locked_login_refused"] if label["status"] == 403 else []
    by_act = RAISED_BY.get(label["concept"], {})
    act = f"{label['operation']} {label['path']}"
    return next((rules.split() for part, rules in by_act.items() if part in act), [])
