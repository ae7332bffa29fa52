"""The logs that a user names: files in folders and archives, compressed or not, in any encoding."""

STDIN = "-"
"""What a user writes for stdin in place of a name."""
