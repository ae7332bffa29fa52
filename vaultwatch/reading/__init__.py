"""Bytes to records: lines, layouts, tags, syslog headers; what identifies an event, and what a rule sees of it."""
