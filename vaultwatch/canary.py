"""The canary: each minute a call with a token that can do nothing else, whose entry has to arrive by each lane.

Its entries are known by the policy of its token, which Vault writes in clear into each of them. A client that forges
one shows only what the canary shows: that entries arrive.
"""

from __future__ import annotations

from collections.abc import Iterable

CANARY = "vaultwatch-canary"
"""The name of the policy, and of the login by certificate that has it."""


def mark_of(policy: str = CANARY) -> bytes:
    """Return what is in each entry of a token with this policy."""
    return b'"%s"' % policy.encode()


def canaries(lines: Iterable[bytes], mark: bytes) -> int:
    """Return how many of the lines are entries of the canary."""
    return sum(mark in line for line in lines)
