"""Delays before retries: exponential backoff, with and without jitter.

The terms are those of the AWS Architecture Blog ("Exponential Backoff And Jitter").
"""

from __future__ import annotations

import random
from dataclasses import dataclass

_MAX_DOUBLINGS = 30  # 2.0 ** 1024 is an OverflowError


@dataclass(frozen=True)
class Backoff:
    """Delays of `first_seconds` after the first failure, doubled after each further one up to `longest_seconds`.

    `failures` is how many attempts in a row have failed; without a failure the delay is 0.
    """

    first_seconds: float
    longest_seconds: float

    def seconds(self, failures: int) -> float:
        """Return the delay without jitter."""
        if failures < 1:
            return 0.0
        return min(self.longest_seconds, self.first_seconds * 2.0 ** min(failures - 1, _MAX_DOUBLINGS))

    def full_jitter(self, failures: int) -> float:
        """Return a random delay up to `seconds`: for many clients that compete for the same capacity or rows."""
        return random.uniform(0.0, self.seconds(failures))  # noqa: S311 (jitter, no secret)

    def equal_jitter(self, failures: int) -> float:
        """Return a random delay between half of `seconds` and all of it: for an endpoint that needs a rest."""
        return random.uniform(0.5, 1.0) * self.seconds(failures)  # noqa: S311 (jitter, no secret)
