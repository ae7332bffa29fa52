"""The output of the demo."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Sequence

from testbed.log_server import SERVICES
from testbed.session import Receiver, Session
from testbed.slack import SlackStandIn
from vaultwatch.alerts import Alert
from vaultwatch.printable import one_line
from vaultwatch.rules.facts import Level

_COLORS = {Level.CRITICAL: "1;31", Level.HIGH: "31", Level.MEDIUM: "33", Level.LOW: "36"}


def introduce(session: Session, server: Receiver, slack: SlackStandIn) -> None:
    """Print what is sent, to which ports, and the address of the Slack page."""
    ports = " and ".join(f"{server.ports[service]} ({service})" for service in SERVICES)
    print(f"{session.title}, sent to syslog-ng on TCP ports {ports}")
    print(f"Slack notifications appear, while the demo runs, on {slack.page_url}", flush=True)


def say(text: str) -> None:
    """Print what happens next."""
    print(f"\n{one_line(text)}", flush=True)


def show(alerts: Sequence[Alert]) -> None:
    """Print one line for each alert."""
    width = max(60, shutil.get_terminal_size((160, 24)).columns)
    for alert in alerts:
        level = f"{alert.level:13}"
        if sys.stdout.isatty():
            level = f"\x1b[{_COLORS.get(alert.level, '0')}m{level}\x1b[0m"
        delayed = "delayed: " if alert.late else ""
        shown = one_line(f"{alert.title}: {alert.summary}", width - 17 - len(delayed))
        print(f"  {level} {delayed}{shown}", flush=True)


def conclude(table: Iterable[str], problems: Iterable[str], success: str) -> int:
    """Print the figures and the problems.

    Args:
        table: The lines of the table.
        problems: The problems, one line each.
        success: The last line if there are no problems.

    Returns:
        The exit status.
    """
    found = list(problems)
    print("\n" + "\n".join(table))
    if found:
        print("\nproblems:\n" + "\n".join(f"  {one_line(text)}" for text in found), flush=True)
        return 1
    print(success, flush=True)
    return 0
