"""Slack: `webhook` and `bot` are the sinks, `layout` makes the messages of both, `http` and `answers` call Slack."""
