"""What detection, dispatch and notifications need to know about a rule."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

import msgspec

Service = Literal["audit", "server"]


class Level(StrEnum):
    """How much an alert matters, by Sigma's names; `rank` orders them."""

    INFORMATIONAL = "informational"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """From 0 for informational to 4 for critical."""
        return _RANK[self]


_RANK = {level: rank for rank, level in enumerate(Level)}


class RuleFacts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an alert takes from its rule.

    `staged` rules are evaluated, counted and archived, and notify nobody. `denied_title` and `denied_level` are for a
    request that was denied or failed, `unanswered_title` for one without a response in the log: each empty where the
    rule's own holds as well. `group_by` names fields whose values make an act a different act, in place of the path;
    `window_seconds` is the rule's own suppression window; `same_as` names rules that match on the same fact and share
    its notification.
    """

    name: str
    title: str
    level: Level
    service: Service
    staged: bool = False
    runbook: str = ""
    denied_title: str = ""
    denied_level: Level | None = None
    unanswered_title: str = ""
    group_by: tuple[str, ...] = ()
    window_seconds: int | None = None
    same_as: tuple[str, ...] = ()
