"""Two audit devices' logs side by side: what each lacks, what differs, and when one of them was silent.

Each device hashes with a salt of its own, and writes a time of its own: both are left out of the comparison. Entries
are divided by request id into files on the disk, and compared one such file after the other: the memory does not grow
with the number of entries.
"""

from __future__ import annotations

from vaultwatch.reconcile.comparison import LEFT, RIGHT, Comparison, Window
from vaultwatch.reconcile.run import Log, reconcile

__all__ = ["LEFT", "RIGHT", "Comparison", "Log", "Window", "reconcile"]
