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
    """What an alert takes from its rule.

    `staged`: evaluated, counted and archived, no notification. `denied_title`, `denied_level`: title and level when
    the request was denied or failed. `group_by`: fields whose values make an act a different act, beside principal and
    namespace. `window_seconds`: the rule's own suppression window. `same_as`: names of rules that raise on the same
    fact, whose alerts share one notification.
    """

    name: str
    title: str
    level: Level
    service: Service
    staged: bool = False
    runbook: str = ""
    denied_title: str = ""
    denied_level: Level | None = None
    group_by: tuple[str, ...] = ()
    window_seconds: int | None = None
    same_as: tuple[str, ...] = ()
