"""The logs that a user names: files in folders and archives, compressed or not, in any encoding."""
