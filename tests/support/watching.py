"""`vaultwatch watch` in a thread or in a process of its own, with a pipe as its input, and lines for it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict
from datetime import UTC
from pathlib import Path
from typing import Any

from tests.support.handlers import HandlerThread
from tests.support.waiting import eventually
from vaultwatch.rules.pack import shipped_rules
from vaultwatch.store.sqlite import SqliteStore
from vaultwatch.watch.handler import run
from vaultwatch.watch.options import Pace, WatchOptions

ROOT = Path(__file__).parents[2]
FAST = Pace(
    settings_retry_seconds=0.02,
    store_retry_seconds=0.02,
    lock_retry_seconds=0.02,
    wait_for_response_seconds=0.05,
    gather_seconds=0.0,
    drain_seconds=5.0,
    stats_seconds=0.02,
    slack_seconds=0.0,
    sink_pause_seconds=0.05,
)


def entry(number: int, path: str = "sys/audit/ops", *, kind: str = "response", principal: str = "alice") -> bytes:
    """Return an audit entry, each number another event; by default one that raises audit_device_enabled."""
    request = {"id": f"00000000-0000-4000-8000-{number:012d}", "operation": "update", "path": path}
    auth = {"display_name": principal, "entity_id": principal, "policies": ["default"]}
    fields: dict[str, Any] = {"time": "2026-11-21T07:00:00.000000001Z", "type": kind, "auth": auth, "request": request}
    if kind == "response":
        fields["response"] = {"mount_type": "system"}
    return json.dumps(fields).encode() + b"\n"


def harmless(number: int) -> bytes:
    """Return an audit entry that raises no alert."""
    return entry(number, "kv/data/app")


def request_id(alert: Mapping[str, Any]) -> str:
    """Return the event of an alert."""
    return str(alert["event_key"])


def numbers(alerts: list[dict[str, Any]]) -> list[int]:
    """Return the numbers of the entries that raised these alerts."""
    return [int(request_id(alert)[-12:]) for alert in alerts]


def alerts_in(path: Path) -> list[dict[str, Any]]:
    """Read an alert log, each line of which has to be an alert."""
    return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []


def options(folder: Path, **changes: Any) -> WatchOptions:
    """Return valid options, with all files in `folder`."""
    defaults: dict[str, Any] = {
        "source": "audit",
        "load_rules": shipped_rules,
        "load_zone": lambda: UTC,
        "state": folder / "state",
        "alert_log": folder / "audit.alert",
        "log_file": folder / "watch.log",
        "environment": {},
        "pace": FAST,
    }
    return WatchOptions(**(defaults | changes))


def unsent(options: WatchOptions, sink: str) -> int:
    """Return how many notifications a sink has not received; no handler may have the store open."""
    with closing(SqliteStore(options.store_file, owner=options.source)) as store:
        return len(store.unsent(sink, float("inf"), limit=100_000))


class Watching(HandlerThread):
    """`watch` in a thread."""

    def __init__(self, options: WatchOptions) -> None:
        super().__init__(lambda stdin: run(options, stdin))
        self.options = options

    def wait_for_alerts(self, count: int) -> None:
        """Wait until the alert log has this many alerts."""
        assert self.options.alert_log is not None
        path = self.options.alert_log
        eventually(lambda: path.exists() and path.read_bytes().count(b"\n") >= count)

    def wait_for_log(self, text: str) -> None:
        assert self.options.log_file is not None
        path = self.options.log_file
        eventually(lambda: path.exists() and text in path.read_text())


_PROGRAM = """
import sys
from datetime import UTC
from pathlib import Path
from vaultwatch.rules.pack import shipped_rules
from vaultwatch.watch.handler import run
from vaultwatch.watch.options import Pace, WatchOptions
given, pace = eval(sys.argv[1])
sys.exit(run(WatchOptions(load_rules=shipped_rules, load_zone=lambda: UTC, pace=Pace(**pace), **given)))
"""


def start(options: WatchOptions, stdin: int = subprocess.PIPE) -> subprocess.Popen[bytes]:
    """Start a handler as a process with the pace of `options`, as syslog-ng does."""
    given = {name: value for name, value in vars(options).items() if name not in ("load_rules", "load_zone", "pace")}
    code = repr((given, asdict(options.pace))).replace("PosixPath(", "Path(")
    return subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, code],
        stdin=stdin,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        bufsize=0,
        cwd=ROOT,
    )
