"""What rules that count could not count."""

from __future__ import annotations

from vaultwatch.detection.evaluator import Counts


def uncounted(counts: Counts) -> list[str]:
    """Return which matches were not counted, and why, in sentences; none if all were."""
    found = {
        "matches not counted, because their records have no time": counts.undated,
        "matches not counted, because their times are more than an hour ahead": counts.future,
        "counts given up at a low number, because there were too many groups": counts.groups_dropped,
    }
    return [f"{what}: {count:,}" for what, count in found.items() if count]
