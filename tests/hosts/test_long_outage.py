"""A log server that is unreachable for an hour, by every clock there is (OUTAGE_SECONDS=n: for so long)."""

from __future__ import annotations

import os
import time
from functools import partial

import pytest

from testbed.machines.hosts import LOG_SERVER
from tests.support.booted import LOGS, Booted, names, names_in
from tests.support.waiting import eventually

SECONDS = int(os.environ.get("OUTAGE_SECONDS", "3600"))
ROTATIONS = "--unit=vaultwatch-rotate"

pytestmark = pytest.mark.long


def test_an_hour_without_the_log_server_stops_no_request_rotates_no_file_and_loses_no_entry_in_all(
    booted: Booted,
) -> None:
    """Entries come at an even pace. Those in the kernels when the connections end are only in the node's own file."""
    booted.node.run("systemctl", "start", "vaultwatch-rotate.service")  # from now on, the next one is due in an hour
    deadline, asked, after = time.monotonic() + SECONDS, list[str](), names("after-the-hour", 20)
    booted.hosts.network.cut(LOG_SERVER, off=True)
    try:
        while time.monotonic() < deadline:
            asked += (some := names(f"hour-{len(asked)}", 20))
            booted.request(*some)
            time.sleep(3.0)  # the pace
        booted.node.run("systemctl", "start", "vaultwatch-rotate.service")
        files = booted.node.run("find", LOGS, "-maxdepth", "1", "-name", "audit.log*").split()
    finally:
        booted.hosts.network.cut(LOG_SERVER, off=False)
    booted.request(*after)

    assert files == [f"{LOGS}/audit.log"]
    assert SECONDS < 3600 or "not rotated: syslog-ng has" in booted.node.journal(ROTATIONS)
    assert booted.names_on_node() >= {*asked, *after}
    for lane in ("socket", "file"):
        eventually(partial(booted.has_brought, lane, set(after)))
        missing = set(asked) - names_in(booted.arrived(lane))
        began = set(asked[: len(asked) // 4])
        assert missing <= began, f"{lane}: {len(missing):,} of {len(asked):,} requests did not arrive"
