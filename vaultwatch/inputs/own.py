"""Logs that Vaultwatch itself has written: alerts and rejected lines, which often lie beside the logs themselves."""

from __future__ import annotations

from vaultwatch.outputs import ALERTS, REJECTED

_KINDS = (ALERTS, REJECTED)


def own_output(head: bytes) -> str:
    """Return what of its own output a log has; "" if it is no such log.

    All lines must have the form, not only the first: a client of Vault or of the log server may write one that has.

    Args:
        head: Its first bytes.
    """
    *whole, last = head.split(b"\n")
    lines = [line for line in (whole or [last]) if line.strip()]
    return next((kind.name for kind in _KINDS if lines and all(map(kind.begins.match, lines))), "")
