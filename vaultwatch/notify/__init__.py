"""Notification texts, one module per sink, and the threads that send."""
