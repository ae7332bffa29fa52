"""Evaluate records against rules, and return verdicts. This room knows nothing of files, streams or AWS."""
