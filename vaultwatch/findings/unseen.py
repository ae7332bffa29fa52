"""What was not looked for."""

from __future__ import annotations

from collections.abc import Sequence

from vaultwatch.printable import counted
from vaultwatch.rules.facts import RuleFacts


def without_log(rules: Sequence[RuleFacts], audit: int, server: int) -> str:
    """Return how many rules had nothing to look at, because no record of their log was read; "" if none.

    Args:
        rules: The rules.
        audit: How many audit entries were read.
        server: How many messages of the server log.
    """
    lacking = [name for name, count in (("audit", audit), ("server", server)) if not count]
    count = sum(rule.service in lacking for rule in rules)
    if not count:
        return ""
    return f"No {' or '.join(lacking)} log was read: {counted(count, 'rule')} had nothing to look at."
