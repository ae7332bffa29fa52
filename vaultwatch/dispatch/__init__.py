"""Decide who is notified of what, and when. Pure: it opens no file, reads no clock and calls no service.

    groups         assigns alerts to groups, and gives each group its suppression window
    portions       divides the alerts of one call among decisions
    held           collects the alerts that a rule holds for its next notification
    tallies        counts the alerts of a group, and decides which of them a summary shows
    limits         limits how many notifications people get in a minute
    same_fact      lets rules that match on the same fact share one notification
    decisions      decides about new alerts, windows that end, and held alerts
    drafts         a notification as it is stored
    soundness      recognises stored state that dispatch cannot have made
    routes         decides which notifications a sink gets

Its promises, each with the function that keeps it:

- Every new alert is published in exactly one notification that contains it (`decisions.file_event`), with the
  disposition `first`, `suppressed` or `staged`. An alert about which people are not notified one by one is counted
  exactly once: in a notification's `merged_count`, or in a row that waits for the next notification of its rule.
- A denied act never hides one that succeeded: the outcome is part of the group (`groups.group_key`).
- A critical act that succeeded, or whose outcome is unknown, is urgent: no rate limit holds it back, and its repeats
  are notified too. `limits` describes the bound on a flood of them.
- A summary is sent only if it says something new (`tallies.says_something_new`). A smaller count is added to the rule's
  next notification: each of its alerts was published as `suppressed` meanwhile.
"""
