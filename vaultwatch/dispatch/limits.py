"""How many notifications people get in a minute.

- One for a rule and principal. What is held back goes, with an exact count, into the rule's next notification.
- Twenty in all. Five of them are kept for summaries, so that a flood of new names under one rule cannot keep back what
  is counted for the others.
- An urgent alert (critical, and not denied) is exempt from both. Its repeats are notified too, whatever window is open:
  an act in the audit log each time, up to five in a window; from then on what follows goes into one notification a
  minute. A server log says the same thing again and again about one state, so a repeat of its lines is only counted
  until the window ends.
- Urgent notifications have a bound of their own, sixty a minute: Slack takes no more than one a second. What exceeds
  it goes, within a minute, into the rule's next notification, which is sooner than at the end of a queue.

So a flood of whatever kind costs people a bounded number of notifications, and nobody learns of an urgent act later
than a minute after it was found.
"""

from __future__ import annotations

import msgspec

MINUTE_SECONDS = 60.0
NOTIFICATIONS_A_MINUTE = 20
FIRSTS_A_MINUTE = 15
URGENT_A_MINUTE = 60
URGENT_REPEATS = 5
CLOCK_STEP_SECONDS = 60.0
"""A moment further in the future than this was written before the clock was set back, and counts no more."""


class Limit(msgspec.Struct, frozen=True):
    """When the notifications of the last minute were made."""

    moments: tuple[float, ...] = ()

    def has_room(self, now: float, size: int) -> bool:
        """Whether fewer than `size` were made within the last minute."""
        return len(self._recent(now)) < size

    def frees_at(self, now: float, size: int) -> float:
        """When there is room for one more at the earliest."""
        recent = self._recent(now)
        return now if len(recent) < size else recent[-size] + MINUTE_SECONDS

    def taken(self, now: float) -> Limit:
        """The limit with one more notification."""
        return Limit((*self._recent(now), now))

    def _recent(self, now: float) -> list[float]:
        return sorted(moment for moment in self.moments if is_recent(moment, now))


def is_recent(moment: float, now: float) -> bool:
    """Whether a moment lies within the last minute."""
    return now - MINUTE_SECONDS < moment <= now + CLOCK_STEP_SECONDS
