"""Audit entries by what the copies of both devices and of the archive have in common: request id and type."""

from __future__ import annotations

from collections.abc import Iterable

from testbed.session import key_of_line
from vaultwatch.detection.detector import Detector
from vaultwatch.rules.pack import shipped_rules


def name_of_entry(line: bytes) -> str:
    """Return the id of the request and the type of an entry; "" if it is cut off.

    Args:
        line: The entry, with or without a tag in front of it.
    """
    return key_of_line("audit", line[line.find(b"{") :])


def names_of_entries(lines: Iterable[bytes]) -> list[str]:
    """Return the names of the entries that are whole."""
    return [name for line in lines if (name := name_of_entry(line))]


def alerted(lines: list[bytes]) -> set[str]:
    """Return the ids of the requests on which the shipped rules raise an alert; an entry that is cut off has none."""
    detector = Detector(shipped_rules(), source="audit")
    return {verdict.event_key for verdict in detector.feed(lines) + detector.flush()}
