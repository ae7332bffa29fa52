"""Make the commands that revoke the tokens of an audited request.

They need the accessor in clear (`hmac_accessor=false` on the device), the command-line program of the product that
wrote the entry, and the namespace of the token itself: an accessor is looked up only there, wherever the token was
used (measured on OpenBao 2.6: `cannot lookup token in different namespace`, and the token remains valid).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from vaultwatch.redaction import SALTED, redacted_text

_SAFE_IN_A_SHELL = re.compile(r"\w[\w.+/=-]{0,199}", re.ASCII)  # not with a dash first: `-self` is an option
_PROGRAMS = {".bao": "bao", ".vault": "vault"}
_UNKNOWN_PROGRAM_NOTE = "  # on OpenBao: bao instead of vault"


def revocations(entry: dict[str, Any]) -> list[str]:
    """Return a command for each token of a request: the one that it created, and the one that made it.

    If the entry does not contain the path of a token's namespace, there is a note instead of the command. If it has
    only the hash of the accessor, the command disables the caller's entity, which refuses all its tokens (measured on
    OpenBao 2.6); in a namespace there is none, because the entity can be of another one.

    Args:
        entry: The audit entry, request or response.
    """
    response = _object(entry.get("response"))
    wrapped = _object(response.get("wrap_info")).get("wrapped_accessor")
    created = _object(response.get("auth")).get("accessor") or wrapped
    used = _object(entry.get("auth")).get("accessor")
    accessors = dict.fromkeys(found for found in (created, used) if isinstance(found, str))
    commands = [_command(accessor, entry) for accessor in accessors if _is_usable(accessor)]
    return commands + _disabling(entry) if isinstance(used, str) and used.startswith(SALTED) else commands


def _disabling(entry: dict[str, Any]) -> list[str]:
    entity = _object(entry.get("auth")).get("entity_id")
    if _object(_object(entry.get("request")).get("namespace")).get("path") or not isinstance(entity, str):
        return []
    program = program_of(entry)
    note = "refuses all tokens of the caller; the log has only a hash of the accessor"
    note += "" if program else f";{_UNKNOWN_PROGRAM_NOTE.removeprefix('  #')}"
    command = f"{program or 'vault'} write identity/entity/id/{entity} disabled=true  # {note}"
    return [command] if _is_usable(entity) else []


def _is_usable(accessor: str) -> bool:
    is_clear = not accessor.startswith(SALTED) and redacted_text(accessor) == accessor
    return is_clear and bool(_SAFE_IN_A_SHELL.fullmatch(accessor))


def _command(accessor: str, entry: dict[str, Any]) -> str:
    program = program_of(entry)
    _, _, namespace_id = accessor.partition(".")
    flag = ""
    if namespace_id:
        namespace = dict(_namespaces(entry)).get(namespace_id, "")
        if not _SAFE_IN_A_SHELL.fullmatch(namespace):
            return f"To revoke the token with accessor {accessor}, first find the path of its namespace {namespace_id}."
        flag = f"-namespace={namespace} "
    note = "" if program else _UNKNOWN_PROGRAM_NOTE
    return f"{program or 'vault'} token revoke {flag}-accessor {accessor}{note}"


def program_of(entry: dict[str, Any]) -> str:
    """Return the product's program, "" if the entry does not show which product wrote it.

    Both products log the version of a mount's plugin, which ends in the product's name. Only Vault before 1.12 logs a
    mount's type without a version. Requests to `sys/seal` and `sys/step-down` and refused wrapping tokens have neither.
    """
    request = _object(entry.get("request"))
    for part in (request, _object(entry.get("response"))):
        for name in ("mount_running_version", "mount_running_plugin_version"):
            version = part.get(name)
            for ending, program in _PROGRAMS.items():
                if isinstance(version, str) and version.endswith(ending):
                    return program
    return "vault" if request.get("mount_type") else ""


def program_of_message(program: str, message: str) -> str:
    """Return the product's program, "" if a message of the server log does not show which product wrote it.

    Args:
        program: The program in the syslog header, which is named after the unit or the container.
        message: The message without its fields. Most messages of OpenBao still say Vault's `vault is sealed`.
    """
    name = program.lower()
    if "bao" in name or (not name and "OpenBao" in message):
        return "bao"
    return "vault" if "vault" in name else ""


def _namespaces(entry: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield id and path of the namespaces in an entry: where the token was used, and where its policies are."""
    results = _object(_object(entry.get("auth")).get("policy_results")).get("granting_policies")
    for policy in results if isinstance(results, list) else ():
        yield _pair(_object(policy).get("namespace_id"), _object(policy).get("namespace_path"))
    used_in = _object(_object(entry.get("request")).get("namespace"))
    yield _pair(used_in.get("id"), used_in.get("path"))


def _pair(identifier: Any, path: Any) -> tuple[str, str]:
    both = isinstance(identifier, str) and isinstance(path, str)
    return (identifier, path) if both else ("", "")


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
