"""Faults on the whole way of audit entries, from the devices to both copies: `make faults` in a short form."""

from __future__ import annotations

import shutil

import pytest

from testbed.faults.__main__ import FAULTS, run
from testbed.syslog_ng import search_path

pytestmark = pytest.mark.skipif(shutil.which("syslog-ng", path=search_path()) is None, reason="syslog-ng is missing")


def test_kills_of_both_hosts_and_failures_of_s3_lose_nothing_of_both_copies_and_repeat_nothing() -> None:
    names = ("node's syslog-ng: kill -9", "S3's answer is lost", "log server: kill -9", "rotation")
    found = run("short", [FAULTS[name] for name in names])
    assert found.lost_socket > 0, "without a loss on the socket, nothing was tried"
    assert (found.lost, found.repeated) == (0, 0)
