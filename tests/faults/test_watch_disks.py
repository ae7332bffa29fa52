"""Full disks and missing directories: reading stops only where it must, and after the repair nothing is lost."""

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
from tests.support.handlers import unread
from tests.support.waiting import HUNG_SECONDS, eventually
from tests.support.watching import Watching, alerts_in, entry, harmless, numbers, options, start
from vaultwatch.watch.options import WatchOptions
from vaultwatch.watch.slack_options import WEBHOOK_VARIABLE

ROOM = 8 * 2**20


@pytest.fixture
def watched(tmp_path: Path) -> WatchOptions:
    return options(tmp_path, rejected=tmp_path / "rejected", stats=tmp_path / "stats")


class Handler:
    """A process whose files cannot grow above a limit, as on a full disk; the limit can be lifted."""

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


def logged(options: WatchOptions) -> list[int]:
    """Return the numbers of the entries with alerts in the alert log, each once; torn lines are skipped."""
    assert options.alert_log is not None
    alerts = []
    for line in options.alert_log.read_bytes().splitlines() if options.alert_log.exists() else ():
        try:
            alerts.append(json.loads(line.lstrip(b"\0")))
        except ValueError:
            continue
    return sorted(set(numbers(alerts)))


@pytest.mark.parametrize("size", [0, 100, 5000, 20_000])
def test_with_every_disk_full_it_stops_reading_and_then_continues(watched: WatchOptions, size: int) -> None:
    """Store, journal, alert log, rejected lines, figures and its own log: no room in any of them."""
    with running(watched) as handler:
        handler.write(entry(1))
        eventually(lambda: logged(watched) == [1])
        handler.files_of_at_most(size)
        handler.write(b"nonsense\n" + entry(2, kind="request") + entry(3))
        eventually(lambda: not unread(handler.reading))
        handler.write(b"nonsense\n" + entry(4))
        assert unread(handler.reading) == len(b"nonsense\n" + entry(4)) or size > 100
        assert handler.process.poll() is None
        handler.files_of_at_most(resource.RLIM_INFINITY)
        eventually(lambda: logged(watched) == [1, 2, 3, 4])
        handler.write(entry(5) + b"last\n")
        handler.end()
    assert logged(watched) == [1, 2, 3, 4, 5]
    assert watched.stats is not None
    figures = json.loads(watched.stats.read_bytes())
    assert (figures["audit"], figures["rejected"], figures["alerts"], figures["ended"]) == (5, 3, 5, True)
    assert b'"last"' in Path(str(watched.rejected)).read_bytes().splitlines()[-1]


@pytest.mark.parametrize("name", ["alert_log", "rejected", "log_file"])
def test_one_full_file_does_not_affect_the_others(watched: WatchOptions, name: str) -> None:
    """The file is at its limit; all others have room."""
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
            assert (logged(watched) == []) is (name == "alert_log")
            handler.files_of_at_most(resource.RLIM_INFINITY)
            handler.write(entry(2) + b"nonsense\n")
            eventually(lambda: logged(watched) == [1, 2])
            handler.end()
    assert watched.stats is not None
    assert json.loads(watched.stats.read_bytes())["rejected"] == 2


def test_an_alert_log_whose_directory_disappears_for_a_while_has_every_alert(
    watched: WatchOptions, tmp_path: Path
) -> None:
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
        folder.mkdir()  # the first is written again if the directory disappeared meanwhile
        eventually(lambda: {2, 3} <= set(numbers(alerts_in(folder / "audit.alert"))))


def test_an_alert_log_receives_what_is_missing_after_the_next_start(watched: WatchOptions, tmp_path: Path) -> None:
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
