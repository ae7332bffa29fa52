"""Which audit entries have no partner: Vault writes two entries for a request, and for a few only one."""

from __future__ import annotations

from typing import Any

_NEVER_ANSWERED = frozenset({"sys/seal", "sys/step-down", "sys/audit/test"})
_AUDIT_DEVICES = "sys/audit/"
_ANSWERED_ERROR = "permission denied"


def stands_alone(path: Any, operation: Any, error: Any, *, is_response: bool) -> bool:
    """Return whether Vault writes no other entry for a request (measured on Vault 1.14 and OpenBao 2.6).

    A request that is refused before it is handled (a quota, a wrapping token that is not valid) has an error and no
    response; one that is denied has both entries. The request that enables the first audit device precedes that device,
    and the response to the removal of the last one has no device left.

    Args:
        path: The path of the request, as logged.
        operation: Its operation.
        error: The error in the entry.
        is_response: Whether the entry is a response.
    """
    is_device = isinstance(path, str) and path.startswith(_AUDIT_DEVICES)
    if is_response:
        return is_device and operation == "update"
    return is_refused(error) or path in _NEVER_ANSWERED or (is_device and operation == "delete")


def is_refused(error: Any) -> bool:
    """Return whether the error of a request's entry says that it was refused before it was handled."""
    return isinstance(error, str) and error != "" and _ANSWERED_ERROR not in error
