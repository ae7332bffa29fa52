"""Full disks and folders that go: reading stops only where it must, nothing ends, and once repaired nothing is lost."""

from __future__ import annotations

import json
import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from testbed.slack import SlackStandIn
from tests.support.waiting import HUNG_SECONDS, eventually
from tests.support.watching import Watching, alerts_in, entry, harmless, numbers, options, start, unread
from vaultwatch.watch.options import WatchOptions
from vaultwatch.watch.slack_options import WEBHOOK_VARIABLE

ROOM = 8 * 2**20


@pytest.fixture
def watched(tmp_path: Path) -> WatchOptions:
    return options(tmp_path, rejected=tmp_path / "rejected", stats=tmp_path / "stats")


class Handler:
    """A process whose files may grow up to a limit, as on a disk that is full, and whose limit can be lifted."""

    def __init__(self, options: WatchOptions) -> None:
        self.reading, self.writing = os.pipe()
        self.process: subprocess.Popen[bytes] = start(options, self.reading)

    def write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self.writing, data) :]

    def files_of_at_most(self, size: int) -> None:
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    def end(self) -> None:
        os.close(self.writing)
        self.writing = -1
        assert self.process.wait(HUNG_SECONDS) == 0


@contextmanager
def running(options: WatchOptions) -> Iterator[Handler]:
    handler = Handler(options)
    try:
        yield handler
    finally:
        handler.process.kill()
        handler.process.wait()
        assert handler.process.stderr is not None
        handler.process.stderr.close()
        for descriptor in (handler.reading, handler.writing):
            if descriptor >= 0:
                os.close(descriptor)


def told(options: WatchOptions) -> list[int]:
    """The numbers of the entries whose alerts are in the alert log, each once; lines that were torn are passed over."""
    assert options.alert_log is not None
    alerts = []
    for line in options.alert_log.read_bytes().splitlines() if options.alert_log.exists() else ():
        try:
            alerts.append(json.loads(line.lstrip(b"\0")))
        except ValueError:
            continue
    return sorted(set(numbers(alerts)))


@pytest.mark.parametrize("size", [0, 100, 5000, 20_000])
def test_with_every_disk_full_it_stands_still_and_then_goes_on(watched: WatchOptions, size: int) -> None:
    """Store, journal, alert log, rejected lines, figures and its own log: nothing more fits anywhere."""
    with running(watched) as handler:
        handler.write(entry(1))
        eventually(lambda: told(watched) == [1])
        handler.files_of_at_most(size)
        handler.write(b"nonsense\n" + entry(2, kind="request") + entry(3))
        eventually(lambda: not unread(handler.reading))
        handler.write(b"nonsense\n" + entry(4))
        assert unread(handler.reading) == len(b"nonsense\n" + entry(4)) or size > 100
        assert handler.process.poll() is None
        handler.files_of_at_most(resource.RLIM_INFINITY)
        eventually(lambda: told(watched) == [1, 2, 3, 4])
        handler.write(entry(5) + b"last\n")
        handler.end()
    assert told(watched) == [1, 2, 3, 4, 5]
    assert watched.stats is not None
    figures = json.loads(watched.stats.read_bytes())
    assert (figures["audit"], figures["rejected"], figures["alerts"], figures["ended"]) == (5, 3, 5, True)
    assert b'"last"' in Path(str(watched.rejected)).read_bytes().splitlines()[-1]


@pytest.mark.parametrize("name", ["alert_log", "rejected", "log_file"])
def test_one_full_file_holds_up_nothing_else(watched: WatchOptions, name: str) -> None:
    """The file is as large as its disk already; all others have room."""
    path: Path = getattr(watched, name)
    with path.open("wb") as file:
        file.truncate(ROOM)
    with SlackStandIn(interval_seconds=0) as slack:
        environment = {WEBHOOK_VARIABLE: slack.webhook_url}
        with running(replace(watched, environment=environment)) as handler:
            handler.files_of_at_most(ROOM)
            handler.write(b"nonsense\n" + entry(1) + b"".join(map(harmless, range(1000, 3000))))
            slack.wait_for(1)
            eventually(lambda: not unread(handler.reading))
            assert (told(watched) == []) is (name == "alert_log")
            handler.files_of_at_most(resource.RLIM_INFINITY)
            handler.write(entry(2) + b"nonsense\n")
            eventually(lambda: told(watched) == [1, 2])
            handler.end()
    assert watched.stats is not None
    assert json.loads(watched.stats.read_bytes())["rejected"] == 2


def test_an_alert_log_whose_folder_goes_and_comes_back_has_every_alert(watched: WatchOptions, tmp_path: Path) -> None:
    folder = tmp_path / "alerts"
    folder.mkdir()
    moved = replace(watched, alert_log=folder / "audit.alert")
    with Watching(moved) as watching:
        watching.write(entry(1))
        watching.wait_for_alerts(1)
        folder.rename(tmp_path / "old")
        watching.write(entry(2))
        watching.wait_for_log("No such file or directory")
        watching.write(entry(3))
        watching.wait_until_read()
        folder.mkdir()  # the first is told again if the folder went while it was written
        eventually(lambda: {2, 3} <= set(numbers(alerts_in(folder / "audit.alert"))))


def test_what_an_alert_log_lacked_at_the_end_it_gets_after_the_next_start(
    watched: WatchOptions, tmp_path: Path
) -> None:
    folder = tmp_path / "alerts"
    folder.mkdir()
    moved = replace(watched, alert_log=folder / "audit.alert")
    with Watching(moved) as watching:
        watching.write(harmless(1))
        watching.wait_until_read()
        folder.rename(tmp_path / "old")
        watching.write(entry(2))
    folder.mkdir()
    with Watching(moved):
        pass
    assert numbers(alerts_in(folder / "audit.alert")) == [2]
