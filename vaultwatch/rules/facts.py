"""What everything after a rule needs to know of it: its name, level, log source."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

import msgspec

Service = Literal["audit", "server"]


class Level(StrEnum):
    """How much an alert matters, in Sigma's words; `rank` orders them."""

    INFORMATIONAL = "informational"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 for informational to 4 for critical."""
        return _RANK[self]


_RANK = {level: rank for rank, level in enumerate(Level)}


class RuleFacts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an alert says of its rule. `staged`: evaluated, counted, kept, never told."""

    name: str
    title: str
    level: Level
    service: Service
    staged: bool = False
    runbook: str = ""
