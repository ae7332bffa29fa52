"""Limit how many notifications people get in a minute.

- One for each rule and principal. Alerts that are held back are counted exactly in the rule's next notification.
- Twenty in all. Five of them are reserved for summaries, so that a flood of new names under one rule cannot delay the
  counts of other rules; fifteen once one has waited for more than a minute, so that a flood under many rules delays
  none by more than some minutes.
- An urgent alert (critical, and not denied) is exempt from both limits. Its repeats are notified even while a window is
  open: an act in the audit log each time, up to five in a window; further ones in one notification a minute. A server
  log repeats messages about one state, so repeats of its messages are only counted until the window ends.
- So are acts that differ only in what the log has as a hash (`groups.is_each_notified`), within the first two limits.
- Urgent notifications have limits of their own: forty a minute, which with the twenty others is sixty, and Slack
  accepts one post a second; ten for each rule and principal; thirty for audit entries without a response, because a
  client without a token may be able to cause those. Urgent alerts beyond these limits are in the rule's next
  notification within a minute, which is sooner than at the end of a queue.
- Of one call, at most fifty groups of a rule are decided one by one, the most important first. The alerts of the others
  are counted exactly in the rule's next notification.

So a flood of any kind causes a limited number of notifications, and people learn of each urgent act within a minute of
its detection.
"""

from __future__ import annotations

import msgspec

MINUTE_SECONDS = 60.0
NOTIFICATIONS_A_MINUTE = 20
FIRSTS_A_MINUTE = 15
FIRSTS_BESIDE_WAITING = 5
WAITING_SECONDS = 120.0
"""How long summaries have more room after one waited: a function looks for what is due once a minute."""
EARLY_SECONDS = 2.0
"""How much less than a minute may be between two of these looks, so that the second has the room of the first again."""
URGENT_A_MINUTE = 40
URGENT_UNKNOWN_A_MINUTE = 30
URGENT_OF_A_PRINCIPAL = 10
URGENT_REPEATS = 5
GROUPS_OF_A_RULE = 50
CLOCK_STEP_SECONDS = 60.0
"""A time further in the future than this was stored before the clock was set back, and is ignored."""


class Limit(msgspec.Struct, frozen=True):
    """The times of the last minute's notifications, and in which minute one last waited for more than a minute."""

    moments: tuple[float, ...] = ()
    waited_at: float | None = None

    def has_room(self, now: float, size: int) -> bool:
        """Return whether there were fewer than `size` notifications within the last minute."""
        return len(self._recent(now)) < size

    def has_room_for_first(self, now: float) -> bool:
        """Return whether a new alert may be notified at once: with less room while summaries wait."""
        at = self.waited_at
        is_waiting = at is not None and now - WAITING_SECONDS < at <= now + CLOCK_STEP_SECONDS
        return self.has_room(now, FIRSTS_BESIDE_WAITING if is_waiting else FIRSTS_A_MINUTE)

    def waited(self, now: float) -> Limit:
        """Return the limit after a summary waited for more than a minute; the same one for all of a minute."""
        return Limit(self.moments, now - now % MINUTE_SECONDS)

    def frees_at(self, now: float, size: int) -> float:
        """Return when there is room for one more at the earliest."""
        recent = self._recent(now)
        return now if len(recent) < size else recent[-size] + MINUTE_SECONDS

    def taken(self, now: float) -> Limit:
        """Return the limit with one more notification."""
        return Limit((*self._recent(now), now), self.waited_at)

    def _recent(self, now: float) -> list[float]:
        return sorted(moment for moment in self.moments if is_recent(moment, now))


def is_recent(moment: float, now: float) -> bool:
    """Return whether a time is within the last minute."""
    return now - MINUTE_SECONDS < moment <= now + CLOCK_STEP_SECONDS
