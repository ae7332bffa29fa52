"""Checks on a translated condition, beyond Sigma's grammar."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vaultwatch.errors import RuleError, did_you_mean
from vaultwatch.reading.view import AUDIT_DERIVED, SERVER_FIELDS
from vaultwatch.rules.conditions import And, Condition, Exists, FieldTest, Keyword, Never, Not, Or, Text, fields_of
from vaultwatch.rules.facts import Service

# The members of audit entries that Vault and OpenBao have logged since 2018; a map with any keys ends in ".*".
_MOUNT = "mount_{type,accessor,point,class,running_version,running_sha256,running_plugin_version,is_external_plugin}"
_AUTH = (
    "accessor client_token display_name policies token_policies identity_policies external_namespace_policies.* "
    "no_default_policy metadata.* entity_id entity_created num_uses remaining_uses token_type token_ttl "
    "token_issue_time policy_results.{allowed,granting_policies} "
    "policy_results.granting_policies.{name,namespace_id,namespace_path,type} authorization_details.*"
)
_REQUEST = (
    "id operation path request_uri data.* headers.* client_token client_token_accessor client_id "
    "client_certificate_serial_number namespace.{id,path} remote_address remote_port policy_override wrap_ttl "
    f"replication_cluster supplemental_audit_data.* {_MOUNT}"
)
_RESPONSE = (
    "data.* headers.* redirect warnings secret.lease_id supplemental_audit_data.* "
    f"wrap_info.{{ttl,token,accessor,creation_time,creation_path,wrapped_accessor}} {_MOUNT}"
)


def _spell_out(names: str, prefix: str) -> Iterator[str]:
    for name in names.split():
        head, brace, rest = name.partition("{")
        for part in rest.rstrip("}").split(",") if brace else [""]:
            yield f"{prefix}{head}{part}"


_AUDIT_FIELDS = frozenset(
    {"time", "type", "error", "auth", "request", "response", "forwarded", "forwarded_from"}
    | set(AUDIT_DERIVED - {"local"})
    | {"local.hour", "local.weekday"}
    | set(_spell_out(_AUTH, "auth."))
    | set(_spell_out(_REQUEST, "request."))
    | set(_spell_out(_RESPONSE, "response."))
    | set(_spell_out(_AUTH, "response.auth."))
)
_KNOWN = {
    "audit": _AUDIT_FIELDS,
    "server": frozenset({*(SERVER_FIELDS - {"local", "fields"}), "fields.*", "local.hour", "local.weekday"}),
}
_LISTS = re.compile(r"policies|warnings|undecided")
_ONLY_ON_RESPONSES = re.compile(r"(error|outcome|response(\..*)?)")


def check_fields(condition: Condition, service: Service) -> None:
    """Refuse a condition on a field that no record has.

    Raises:
        RuleError: Names the field.
    """
    for field in sorted(fields_of(condition)):
        check_field(field, service)


def check_field(field: str, service: Service) -> None:
    """Refuse a field that no record has.

    Raises:
        RuleError: Names the field.
    """
    parts = field.split(".")
    maps = {".".join([*parts[:n], "*"]) for n in range(1, len(parts))}
    is_map = f"{field}.*" in _KNOWN[service]
    if field not in _KNOWN[service] and not maps & _KNOWN[service] and not is_map:
        hint = did_you_mean(field, (name.removesuffix(".*") for name in _KNOWN[service]))
        raise RuleError(f"unknown field {field}: no {service} record has it{hint}", about=field)


def has_one_value(field: str, service: Service) -> bool:
    """Return whether a record has at most one value in a field: it is no list, and not below one."""
    return field in _KNOWN[service] and _LISTS.search(field) is None


def check_logged(field: str) -> None:
    """Refuse what is neither a field that audit entries have, nor an object of such fields.

    Raises:
        RuleError: Names the field.
    """
    logged = _AUDIT_FIELDS - AUDIT_DERIVED
    if any(name.startswith(f"{field}.") for name in logged if not name.startswith("local.")):
        return
    if field.partition(".")[0] in AUDIT_DERIVED:
        raise RuleError(f"unknown field {field}: no audit entry has it")
    check_field(field, "audit")


def check_negations(condition: Condition) -> None:
    """Refuse a negated `error`, `outcome` or `response.*` without `type: response`: a request entry has no outcome yet.

    Raises:
        RuleError: Names the field.
    """
    _check_negations(condition, negated=False, on_responses=False)


def _check_negations(condition: Condition, *, negated: bool, on_responses: bool) -> None:
    match condition:
        case And(parts):
            selects = not negated and any(_selects_responses(part) for part in parts)
            for part in parts:
                _check_negations(part, negated=negated, on_responses=on_responses or selects)
        case Or(parts):
            for part in parts:
                _check_negations(part, negated=negated, on_responses=on_responses)
        case Not(part):
            _check_negations(part, negated=not negated, on_responses=on_responses)
        case Never() | Keyword():
            pass
        case _:
            if not on_responses and _ONLY_ON_RESPONSES.fullmatch(condition.field):
                _refuse_negation(condition, negated=negated)


def _refuse_negation(test: FieldTest, *, negated: bool) -> None:
    asks_for_absence = isinstance(test, Exists) and not test.wanted
    if negated != asks_for_absence:
        text = f"negates {test.field} without selecting type: response; a request entry has no outcome yet"
        raise RuleError(text, about=test.field)


def _selects_responses(condition: Condition) -> bool:
    match condition:
        case Text("type", "eq" | "suffix", value):
            return value.endswith("response")
        case And(parts):
            return any(_selects_responses(part) for part in parts)
        case Or(parts):
            return all(_selects_responses(part) for part in parts)
        case _:
            return False
