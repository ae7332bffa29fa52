"""From alerts to people: groups and quiet periods, texts, sinks, and the threads that send.

`groups.file_alert` says how an alert is counted, `store.record` keeps it, `Sender.notify` wakes the threads that read
the store and call each sink; `messages` makes the texts.
"""
