"""The output of the demo."""

from __future__ import annotations

from collections.abc import Iterable

from testbed.log_server import SERVICES
from testbed.session import Receiver, Session
from testbed.slack import SlackStandIn
from vaultwatch.printable import one_line


def introduce(session: Session, server: Receiver, slack: SlackStandIn) -> None:
    """Print what is sent, to which ports, and the address of the Slack page."""
    ports = " and ".join(f"{server.ports[service]} ({service})" for service in SERVICES)
    print(f"{session.title}, sent to syslog-ng on TCP ports {ports}")
    print(f"Slack notifications appear, while the demo runs, on {slack.page_url}", flush=True)


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
