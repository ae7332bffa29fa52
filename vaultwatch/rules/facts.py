"""The facts about a rule that alerts, dispatch and notifications use."""

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
        """0 for informational to 4 for critical."""
        return _RANK[self]


_RANK = {level: rank for rank, level in enumerate(Level)}


class RuleFacts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The facts about a rule, which its alerts repeat.

    Attributes:
        staged: Alerts are counted and archived, but nobody is notified.
        denied_title: The title for a request that was denied or failed, if it differs.
        denied_level: The level for such a request, if it differs.
        unanswered_title: The title for a request without a response in the log, if it differs.
        group_by: The fields that replace the path in the alert group.
        window_seconds: The rule's own suppression window.
        same_as: Rules that match on the same fact, and share one notification with this one.
        silenced_by: If it matches only what a file silences, so that this is counted: the file. Its name is then
            `RULE silenced by FILE`.
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
    silenced_by: str = ""

    @property
    def silenced_rule(self) -> str:
        """The name of the rule whose matches are silenced."""
        return self.name.removesuffix(silenced_name("", self.silenced_by))


def silenced_name(rule: str, file: str) -> str:
    """Return the name of a rule that matches what a file silences of another rule."""
    return f"{rule} silenced by {file}"
