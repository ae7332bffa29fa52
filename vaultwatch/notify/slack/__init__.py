"""Slack: `webhook` and `bot` are the sinks, `layout` arranges what both send, `http` and `answers` speak to Slack."""
