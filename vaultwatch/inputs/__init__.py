"""The logs that a user names: files in folders and archives, compressed or not, in any encoding."""

STDIN = "-"
"""What a user writes for stdin in place of a name."""
CHECK = "vaultwatch check"
"""What a hint gives a log to, unless another command has found it: that command, as it reads stdin."""
