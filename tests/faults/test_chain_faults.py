"""Faults on the whole way of audit entries, from the devices to both copies: `make faults` in a short form."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from testbed.faults.__main__ import run
from testbed.faults.faults import FAULTS, faults_of
from testbed.faults.table import faults_in
from testbed.syslog_ng import search_path

PAGE = Path(__file__).parents[2] / "docs/guarantee.md"
needs_syslog_ng = pytest.mark.skipif(
    shutil.which("syslog-ng", path=search_path()) is None, reason="syslog-ng is missing"
)


@needs_syslog_ng
def test_kills_of_both_hosts_a_cut_network_and_failures_of_s3_lose_nothing_of_both_copies_and_repeat_nothing() -> None:
    names = ("node's syslog-ng: kill -9", "S3's answer is lost", "log server: kill -9", "network cut", "rotation")
    found = run("short", [FAULTS[name] for name in names])
    assert found.lost_socket > 0, "without a loss on the socket, nothing was tried"
    assert (found.lost, found.repeated, found.missed) == (0, 0, 0)


@needs_syslog_ng
@pytest.mark.skipif(not (shutil.which("vault") or shutil.which("bao")), reason="neither vault nor bao is on PATH")
def test_kills_of_a_real_server_and_of_the_syslog_ng_of_its_node_lose_nothing_of_both_copies() -> None:
    names = ("node's syslog-ng: kill -9", "server: kill -9", "rotation")
    found = run("short", [FAULTS[name] for name in names], live=True)
    assert found.lost_socket > 0, "without a loss on the socket, nothing was tried"
    assert (found.lost, found.repeated, found.missed) == (0, 0, 0)


@pytest.mark.parametrize("live", [False, True])
def test_the_page_has_a_row_for_each_fault_that_is_caused(live: bool) -> None:
    assert faults_in(PAGE.read_text(), live=live) == list(faults_of(live=live))
