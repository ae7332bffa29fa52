"""The meaning of requests: which path and operation are which act, in the words of a sentence."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from vaultwatch.patterns import on_first_use

AUTH = "auth"
"""The mount type of acts of any auth method, whose first group is the path of the method."""


class Act(NamedTuple):
    """The meaning of requests to a path: `{}` in `what` is the pattern's group. `mount_type` is "" for whole paths."""

    operations: str
    path: Callable[[], re.Pattern[str]]
    present: str
    past: str
    what: str
    mount_type: str = ""

    @property
    def is_of_an_engine(self) -> bool:
        """Whether the engine's path must be named: what the act is done to can have the same name in others."""
        return self.mount_type not in ("", AUTH)


def _act(operations: str, path: str, verbs: str, what: str, mount_type: str = "") -> Act:
    present, _, past = verbs.partition("/")
    return Act(operations, on_first_use(path, re.DOTALL), present, past, what, mount_type)


_REKEY = "(?:rekey|rekey-recovery-key|rotate/root|rotate/recovery)"
_OIDC = "(key|client|provider|assignment|scope|role)"
_WRITE = "create update patch"
_ACTS = (
    _act("create update patch", r"sys/polic(?:y|ies/(?:acl|rgp|egp))/(.+)", "write/wrote", "policy {}"),
    _act("delete", r"sys/polic(?:y|ies/(?:acl|rgp|egp))/(.+)", "delete/deleted", "policy {}"),
    _act("update", r"sys/audit/(.+)", "enable/enabled", "audit device {}"),
    _act("delete", r"sys/audit/(.+)", "disable/disabled", "audit device {}"),
    _act("update", r"sys/(?:auth|mounts)/(.+)/tune", "tune/tuned", "the mount {}"),
    _act("update", r"sys/auth/(.+)", "enable/enabled", "auth method {}"),
    _act("delete", r"sys/auth/(.+)", "disable/disabled", "auth method {}"),
    _act("update", r"sys/mounts/(.+)", "enable/enabled", "secrets engine {}"),
    _act("delete", r"sys/mounts/(.+)", "disable/disabled", "secrets engine {}"),
    _act("update patch", r"sys/namespaces/([^/]+/?)", "write/wrote", "namespace {}"),
    _act("delete", r"sys/namespaces/([^/]+/?)", "delete/deleted", "namespace {}"),
    _act("update", r"sys/generate-root(?:-token)?/attempt", "start generating/started generating", "a root token"),
    _act("delete", r"sys/generate-root(?:-token)?/attempt", "cancel/cancelled", "the generation of a root token"),
    _act("update", r"sys/generate-root(?:-token)?/update", "submit/submitted", "a key share for a root token"),
    _act("update", f"sys/{_REKEY}/init", "start/started", "a rekey"),
    _act("update", f"sys/{_REKEY}/(?:update|verify)", "submit/submitted", "a key share for a rekey"),
    _act("delete", f"sys/{_REKEY}/(?:init|verify)", "cancel/cancelled", "a rekey"),
    _act("update", r"sys/rotate(?:/keyring)?", "rotate/rotated", "the encryption key"),
    _act("update", r"sys/rotate/root", "rotate/rotated", "the root key"),
    _act("update", r"sys/rotate(?:/keyring)?/config", "change/changed", "the rotation of the encryption key"),
    _act("update", r"sys/seal", "seal/sealed", "the server"),
    _act("update", r"sys/step-down", "make/made", "the active node step down"),
    _act("read", r"sys/storage/raft/snapshot", "take/took", "a snapshot of the storage"),
    _act("update create", r"sys/storage/raft/snapshot", "restore/restored", "a snapshot of the storage"),
    _act("update create", r"sys/storage/raft/snapshot-force", "restore/restored", "a snapshot of the storage by force"),
    _act("update", r"sys/storage/raft/remove-peer", "remove/removed", "a node from the raft cluster"),
    _act("update", r"sys/storage/raft/demote", "demote/demoted", "a node of the raft cluster"),
    _act("update", r"sys/storage/raft/promote", "promote/promoted", "a node of the raft cluster"),
    _act("update", r"sys/plugins/catalog/(.+)", "register/registered", "plugin {}"),
    _act("delete", r"sys/plugins/catalog/(.+)", "deregister/deregistered", "plugin {}"),
    _act("update", r"sys/(?:leases/)?revoke-(?:prefix|force)/(.+)", "revoke/revoked", "all leases below {}"),
    _act("update", r"sys/wrapping/unwrap", "unwrap/unwrapped", "a wrapped response"),
    _act("update read", r"sys/wrapping/lookup", "look up/looked up", "a wrapped response"),
    _act("update", r"sys/wrapping/rewrap", "rewrap/rewrapped", "a wrapped response"),
    _act("update", r"sys/storage/raft/autopilot/configuration", "change/changed", "the settings of autopilot"),
    _act("update", r"sys/config/auditing/request-headers/(.+)", "set/set", "the audit of request header {}"),
    _act("delete", r"sys/config/auditing/request-headers/(.+)", "end/ended", "the audit of request header {}"),
    _act("update", r"sys/audit-hash/(.+)", "compute/computed", "a hash of audit device {}"),
    _act("update", r"sys/config/cors", "change/changed", "CORS"),
    _act("delete", r"sys/config/cors", "disable/disabled", "CORS"),
    _act("update", r"sys/config/ui/headers/(.+)", "set/set", "header {} of the web interface"),
    _act("delete", r"sys/config/ui/headers/(.+)", "reset/reset", "header {} of the web interface"),
    _act("update", r"sys/loggers", "change/changed", "the log level"),
    _act("update", r"sys/loggers/(.+)", "change/changed", "the log level of {}"),
    _act("delete", r"sys/loggers(?:/.+)?", "reset/reset", "the log level"),
    _act("update", r"sys/quotas/(rate-limit|lease-count)/(.+)", "set/set", "{} quota {}"),
    _act("delete", r"sys/quotas/(rate-limit|lease-count)/(.+)", "remove/removed", "{} quota {}"),
    _act("update", r"sys/quotas/config", "change/changed", "the settings of quotas"),
    _act(_WRITE, r"sys/policies/password/(.+)", "write/wrote", "password policy {}"),
    _act("delete", r"sys/policies/password/(.+)", "delete/deleted", "password policy {}"),
    _act("update", r"sys/remount", "move/moved", "a mount"),
    _act("update", r"sys/namespaces/api-lock/lock/(.+)", "lock/locked", "namespace {}"),
    _act("update", r"sys/namespaces/api-lock/unlock/(.+)", "unlock/unlocked", "namespace {}"),
    _act("update", r"sys/namespaces/(.+)/seal", "seal/sealed", "namespace {}"),
    _act("update", r"sys/namespaces/(.+)/unseal", "unseal/unsealed", "namespace {}"),
    _act("update", r"sys/locked-users/[^/]+/unlock/(.+)", "unlock/unlocked", "user {}"),
    _act("update", r"sys/plugins/reload/.+", "reload/reloaded", "a plugin"),
    _act("update", r"identity/entity/merge", "merge/merged", "entities"),
    _act("update", r"identity/entity/batch-delete", "delete/deleted", "entities"),
    _act(_WRITE, r"identity/entity-alias(?:/id/.+)?", "write/wrote", "the alias of an entity"),
    _act("delete", r"identity/entity-alias/id/.+", "delete/deleted", "the alias of an entity"),
    _act(_WRITE, r"identity/group-alias(?:/id/.+)?", "write/wrote", "the alias of a group"),
    _act("delete", r"identity/group-alias/id/.+", "delete/deleted", "the alias of a group"),
    _act(_WRITE, r"identity/entity", "write/wrote", "an entity"),
    _act(_WRITE, r"identity/group", "write/wrote", "a group"),
    _act(_WRITE, r"identity/(entity|group)/(?:id|name)/(.+)", "write/wrote", "{} {}"),
    _act("delete", r"identity/(entity|group)/(?:id|name)/(.+)", "delete/deleted", "{} {}"),
    _act(_WRITE, r"identity/mfa/login-enforcement/(.+)", "write/wrote", "MFA enforcement {}"),
    _act("delete", r"identity/mfa/login-enforcement/(.+)", "delete/deleted", "MFA enforcement {}"),
    _act("update", r"identity/mfa/method/totp/admin-generate", "generate/generated", "the TOTP secret of a user"),
    _act("update", r"identity/mfa/method/totp/admin-destroy", "destroy/destroyed", "the TOTP secret of a user"),
    _act(_WRITE, r"identity/mfa/method/([^/]+)(?:/.+)?", "write/wrote", "an MFA method of type {}"),
    _act("delete", r"identity/mfa/method/([^/]+)/.+", "delete/deleted", "an MFA method of type {}"),
    _act("update", r"identity/oidc/key/([^/]+)/rotate", "rotate/rotated", "OIDC key {}"),
    _act(_WRITE, f"identity/oidc/{_OIDC}/([^/]+)", "write/wrote", "OIDC {} {}"),
    _act("delete", f"identity/oidc/{_OIDC}/([^/]+)", "delete/deleted", "OIDC {} {}"),
    _act("update", r"identity/oidc/config", "change/changed", "the issuer of OIDC tokens"),
    _act("update create", r"(login(?:/.*)?)", "log in/logged in", "at auth/{}/{}", AUTH),
    _act("update", r"auth/token/create(?:-orphan|/.+)?", "create/created", "a token"),
    _act("update", r"auth/token/revoke(?:-self|-orphan|-accessor)?", "revoke/revoked", "a token"),
    _act(_WRITE, r"auth/token/roles/(.+)", "write/wrote", "token role {}"),
    _act("delete", r"auth/token/roles/(.+)", "delete/deleted", "token role {}"),
    _act(_WRITE, r"users/([^/]+)/password", "set/set", "the password of user {1} of auth method {0}", AUTH),
    _act(_WRITE, r"users/([^/]+)(?:/policies)?", "write/wrote", "user {1} of auth method {0}", AUTH),
    _act("delete", r"users/([^/]+)", "delete/deleted", "user {1} of auth method {0}", AUTH),
    _act(_WRITE, r"cel/role/([^/]+)", "write/wrote", "role {1} of auth method {0}", AUTH),
    _act("delete", r"cel/role/([^/]+)", "delete/deleted", "role {1} of auth method {0}", AUTH),
    _act(_WRITE, r"crls/([^/]+)", "write/wrote", "revocation list {1} of auth method {0}", AUTH),
    _act("delete", r"crls/([^/]+)", "delete/deleted", "revocation list {1} of auth method {0}", AUTH),
    _act("update", r"role/([^/]+)/secret-id", "create/created", "a secret id of role {1} of auth method {0}", AUTH),
    _act("update", r"role/([^/]+)/custom-secret-id", "set/set", "a secret id of role {1} of auth method {0}", AUTH),
    _act(_WRITE, r"role/([^/]+)(?:/(?!secret-id)[^/]+)?", "write/wrote", "role {1} of auth method {0}", AUTH),
    _act("delete", r"role/([^/]+)", "delete/deleted", "role {1} of auth method {0}", AUTH),
    _act(_WRITE, r"groups/([^/]+)", "write/wrote", "group {1} of auth method {0}", AUTH),
    _act("delete", r"groups/([^/]+)", "delete/deleted", "group {1} of auth method {0}", AUTH),
    _act(_WRITE, r"certs/([^/]+)", "write/wrote", "certificate {1} of auth method {0}", AUTH),
    _act("delete", r"certs/([^/]+)", "delete/deleted", "certificate {1} of auth method {0}", AUTH),
    _act(_WRITE, r"config(?:/.+)?", "configure/configured", "auth method {}", AUTH),
    _act("update", r"(?:issuer/[^/]+/)?issue/(.+)", "issue/issued", "a certificate with role {}", "pki"),
    _act("update", r"(?:issuer/[^/]+/)?sign/(.+)", "sign/signed", "a certificate with role {}", "pki"),
    _act("read", r"export/[^/]+/([^/]+).*", "export/exported", "transit key {}", "transit"),
    _act("update", r"keys/([^/]+)/trim", "delete/deleted", "old versions of transit key {}", "transit"),
    _act("update", r"keys/([^/]+)/config", "change/changed", "the settings of transit key {}", "transit"),
    _act("update", r"keys/([^/]+)", "create/created", "transit key {}", "transit"),
    _act("delete", r"keys/([^/]+)", "delete/deleted", "transit key {}", "transit"),
    _act("delete", r"keys/([^/]+)/soft-delete", "soft-delete/soft-deleted", "transit key {}", "transit"),
    _act("update", r"keys/([^/]+)/soft-delete-restore", "restore/restored", "transit key {}", "transit"),
    _act("update", r"restore/(.+)", "restore/restored", "transit key {}", "transit"),
    _act("update", r"keys/([^/]+)/import(?:_version)?", "import/imported", "transit key {}", "transit"),
    _act("read", r"byok-export/[^/]+/([^/]+).*", "export/exported", "transit key {}", "transit"),
    _act("read", r"backup/(.+)", "back up/backed up", "transit key {}", "transit"),
    _act("update", r"(?:root|issuer/[^/]+)/sign-(?:intermediate|self-issued)", "sign/signed", "a CA", "pki"),
    _act("update", r"(?:root/(?:generate|rotate)|issuers/generate/root)/.+", "generate/generated", "a root CA", "pki"),
    _act(
        "update",
        r"(?:intermediate/generate|issuers/generate/intermediate)/.+",
        "generate/generated",
        "an intermediate CA",
        "pki",
    ),
    _act("delete", r"root", "delete/deleted", "all issuers and keys", "pki"),
    _act("delete", r"(issuer|key)/([^/]+)", "delete/deleted", "{} {}", "pki"),
    _act(_WRITE, r"issuer/([^/]+)", "change/changed", "issuer {}", "pki"),
    _act("update", r"issuer/([^/]+)/revoke", "revoke/revoked", "issuer {}", "pki"),
    _act("update", r"config/ca|issuers/import/.+|keys/import", "import/imported", "a CA or its key", "pki"),
    _act("update", r"config/issuers", "change/changed", "the default CA", "pki"),
    _act("update", r"(?:issuer/[^/]+/)?sign-verbatim(?:/.+)?", "sign/signed", "a certificate without a role", "pki"),
    _act(_WRITE, r"(?:cel/)?roles/(.+)", "write/wrote", "PKI role {}", "pki"),
    _act("delete", r"(?:cel/)?roles/(.+)", "delete/deleted", "PKI role {}", "pki"),
    _act(_WRITE, r"config/(.+)", "change/changed", "the setting {} of the PKI engine", "pki"),
    _act("update", r"config/ca", "write/wrote", "the SSH CA", "ssh"),
    _act("delete", r"config/ca", "delete/deleted", "the SSH CA", "ssh"),
    _act(_WRITE, r"roles/(.+)", "write/wrote", "SSH role {}", "ssh"),
    _act("delete", r"roles/(.+)", "delete/deleted", "SSH role {}", "ssh"),
    _act(_WRITE, r"config/(.+)", "configure/configured", "database connection {}", "database"),
    _act("delete", r"config/(.+)", "delete/deleted", "database connection {}", "database"),
    _act(_WRITE, r"roles/(.+)", "write/wrote", "database role {}", "database"),
    _act("delete", r"roles/(.+)", "delete/deleted", "database role {}", "database"),
    _act("update", r"rotate-root/(.+)", "rotate/rotated", "the root credentials of {}", "database"),
    _act("update", r"destroy/(.+)", "destroy/destroyed", "versions of secret {}", "kv"),
    _act(_WRITE, r"metadata/(.+)", "change/changed", "the settings of secret {}", "kv"),
    _act("delete", r"metadata/(.+)", "delete/deleted", "secret {} with all its versions", "kv"),
    _act("update create", r"config", "change/changed", "the settings of the engine", "kv"),
)
ACTS_OF = {
    operation: tuple(act for act in _ACTS if operation in act.operations.split())
    for operation in {operation for act in _ACTS for operation in act.operations.split()}
}
