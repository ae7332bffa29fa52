"""The metrics of a comparison, for `--metrics FILE`."""

from __future__ import annotations

import time
from collections.abc import Iterator

from vaultwatch.exposition import Family, Sample, encode_metrics, single
from vaultwatch.reconcile.report import Report


def metrics_of(found: Report, *, complete: bool) -> bytes:
    """Return what a comparison found, in Prometheus's text format.

    Args:
        found: What it found.
        complete: Whether every log could be read to its end.
    """
    return encode_metrics(_families(found, complete=complete), {"command": "reconcile"})


def _families(found: Report, *, complete: bool) -> Iterator[Family]:
    ended = "When the last comparison ended."
    yield single("vaultwatch_reconcile_timestamp_seconds", "gauge", ended, time.time())
    whole = "Whether every log could be read to its end."
    yield single("vaultwatch_reconcile_complete", "gauge", whole, int(complete))
    read = _sides(found.left["entries"], found.right["entries"])
    yield Family("vaultwatch_reconcile_entries", "gauge", "Entries of each side.", read)
    rejected = _sides(found.left["rejected"], found.right["rejected"])
    yield Family("vaultwatch_reconcile_rejected_lines", "gauge", "Lines that are no audit entries.", rejected)
    missing = _sides(found.missing_left.count, found.missing_right.count)
    yield Family("vaultwatch_reconcile_missing_entries", "gauge", "Entries that only the other side has.", missing)
    differing = "Entries that differ beyond salted hashes."
    yield single("vaultwatch_reconcile_differing_entries", "gauge", differing, found.differing.count)
    unanswered = "Requests of which neither side has the response."
    yield single("vaultwatch_reconcile_unanswered_requests", "gauge", unanswered, found.without_response.count)
    alone = "Responses of which neither side has the request."
    yield single("vaultwatch_reconcile_lone_responses", "gauge", alone, found.without_request.count)


def _sides(left: int, right: int) -> list[Sample]:
    return [({"side": "left"}, left), ({"side": "right"}, right)]
