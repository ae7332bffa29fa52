"""The way of audit entries from a sender to both copies, and faults on it: what is lost, and what waits."""
