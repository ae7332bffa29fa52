"""What a person at the terminal sees."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Sequence

from testbed.log_server import SERVICES, LogServer
from testbed.session import Session
from testbed.slack import SlackStandIn
from vaultwatch.alerts import Alert
from vaultwatch.printable import one_line
from vaultwatch.rules.facts import Level

_COLORS = {Level.CRITICAL: "1;31", Level.HIGH: "31", Level.MEDIUM: "33", Level.LOW: "36"}


def introduce(session: Session, server: LogServer, slack: SlackStandIn) -> None:
    """What goes in where, and where to look."""
    ports = " and ".join(f"{server.ports[service]} ({service})" for service in SERVICES)
    print(f"{session.title}, by TCP to syslog-ng on ports {ports}")
    print(f"a stand-in for Slack shows what people are told, while this runs: {slack.page_url}", flush=True)


def say(text: str) -> None:
    """What happens next."""
    print(f"\n{one_line(text)}", flush=True)


def show(alerts: Sequence[Alert]) -> None:
    """A line for each alert."""
    width = max(60, shutil.get_terminal_size((160, 24)).columns)
    for alert in alerts:
        level = f"{alert.level:13}"
        if sys.stdout.isatty():
            level = f"\x1b[{_COLORS.get(alert.level, '0')}m{level}\x1b[0m"
        late = "late: " if alert.late else ""
        print(f"  {level} {late}{one_line(alert.summary, width - 17 - len(late))}", flush=True)


def conclude(table: Iterable[str], problems: Iterable[str], all_well: str) -> int:
    """The figures, and what went wrong; the exit status."""
    wrong = list(problems)
    print("\n" + "\n".join(table))
    if wrong:
        print("\nwhat went wrong:\n" + "\n".join(f"  {one_line(text)}" for text in wrong), flush=True)
        return 1
    print(all_well, flush=True)
    return 0
