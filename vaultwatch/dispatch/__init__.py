"""Decides who is notified of what, and when. Pure: it opens no file, asks no clock and calls no service.

    groups         which alerts belong together; the suppression window of a group
    tallies        how the alerts of a group are counted, and which of them a summary shows
    limits         how many notifications people get in a minute
    same_fact      rules that raise on the same fact share one notification
    decisions      what becomes of new alerts, of windows that end, and of what was held back
    drafts         a notification as it is stored
    routes         which notifications a sink gets

The promises, each with the place that keeps it:

- Every new alert is published in exactly one notification that carries it (`decisions.file_event`), with the
  disposition `first`, `suppressed` or `staged`. What no notification carried is counted exactly once: in a
  notification's `merged_count`, or in a row that waits for the next notification of its rule.
- A denied act never hides one that succeeded: the outcome is part of the group (`groups.group_key`).
- A critical act that succeeded, or whose outcome is unknown, is urgent: no rate limit for people holds it back, and
  its repeats are notified too. `limits` says what bounds a flood of them.
- A summary is sent only if it says something new (`tallies.is_news`). A smaller count stays with its rule and goes with
  the rule's next notification: each of its alerts was published as `suppressed` meanwhile.
"""
