"""Why lines were rejected: how often for which reason, and what a user can do about it."""

from __future__ import annotations

import re
from collections import Counter
from typing import IO

from vaultwatch.reading.records import Rejected
from vaultwatch.reading.rejected import encode_rejected

_WHERE = re.compile(r" at byte \d+ of \d+")


class Rejects:
    """Counts rejected lines by their reasons, and writes them to a file.

    Attributes:
        reasons: How often each reason occurred.
        first: The first line that was rejected in the log that is being read; None if none was.
    """

    def __init__(self, keep: IO[bytes] | None) -> None:
        """Count from zero.

        Args:
            keep: The file; None to keep no lines.
        """
        self.reasons: Counter[str] = Counter()
        self.first: Rejected | None = None
        self._keep = keep

    def add(self, line: Rejected) -> None:
        """Count a rejected line."""
        self.first = self.first or line
        self.reasons[_WHERE.sub("", line.reason)] += 1
        if self._keep:
            self._keep.writelines(encode_rejected(line))

    def commonest(self) -> str:
        """Return the commonest reason, and that there are others; "" if no line was rejected."""
        if not self.reasons:
            return ""
        reason = self.reasons.most_common(1)[0][0]
        return reason if len(self.reasons) == 1 else f"most often: {reason}"
