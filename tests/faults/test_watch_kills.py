"""kill -9 at any moment: every alert found before is sent and counted once, and the alert log stays readable."""

from __future__ import annotations

import json
import os
import random
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Thread

import msgspec
import pytest

from testbed.slack import SlackStandIn
from tests.support.handlers import unread
from tests.support.waiting import HUNG_SECONDS, eventually
from tests.support.watching import FAST, entry, harmless, options, start, unsent
from vaultwatch.dispatch.groups import Window
from vaultwatch.handler.stdin import READ_BYTES
from vaultwatch.watch.journal import Journal
from vaultwatch.watch.options import WatchOptions
from vaultwatch.watch.slack_options import WEBHOOK_VARIABLE

KILLS = 16
PORTION = 400
LINES = KILLS * PORTION
WORTHY = 7  # one in so many lines raises an alert, alternately a request alone and a response


@contextmanager
def running(options: WatchOptions, stdin: int) -> Iterator[subprocess.Popen[bytes]]:
    process = start(options, stdin)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


def stream() -> list[bytes]:
    lines = []
    for number in range(LINES):
        kind = "request" if number % (2 * WORTHY) else "response"
        line = entry(number, f"sys/policies/acl/p{number}", kind=kind, principal=f"p{number}")
        lines.append(line if number % WORTHY == 0 else harmless(number))
    return lines


def stored(options: WatchOptions) -> set[str]:
    """Return the ids of the alerts in the store."""
    if not options.store_file.exists():
        return set()
    with closing(sqlite3.connect(options.store_file)) as db:
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'alert'").fetchone():
            return set()
        return {row[0] for row in db.execute("SELECT id FROM alert")}


def logged(options: WatchOptions) -> tuple[Counter[str], int]:
    """Return how often each alert is in the alert log, and how many lines are torn."""
    assert options.alert_log is not None
    found: Counter[str] = Counter()
    torn = 0
    for line in options.alert_log.read_bytes().splitlines() if options.alert_log.exists() else ():
        try:
            found[json.loads(line)["id"]] += 1
        except ValueError:
            torn += 1
    return found, torn


@pytest.fixture
def slack() -> Iterator[SlackStandIn]:
    with SlackStandIn(interval_seconds=0) as slack:
        yield slack


def test_killed_again_and_again_it_sends_everything_it_had_found(slack: SlackStandIn, tmp_path: Path) -> None:
    """Each process continues where the last was killed; what that one had read and not evaluated is lost."""
    pace = replace(FAST, wait_for_response_seconds=0.2)
    watched = options(tmp_path, environment={WEBHOOK_VARIABLE: slack.webhook_url}, pace=pace)
    dice = random.Random(20261121)
    lines = stream()
    known: set[str] = set()
    reading, writing = os.pipe()
    try:
        for kill in range(KILLS):
            portion = b"".join(lines[kill * PORTION : (kill + 1) * PORTION])
            with running(watched, reading) as process:
                writer = Thread(target=_write, args=(writing, portion))
                writer.start()
                _wait_for_a_moment(dice, watched, len(known), reading)
                process.kill()
                process.wait()
                known |= _found(watched)
                with running(watched, reading):  # reads what the pipe has no room for
                    writer.join(HUNG_SECONDS)
        os.close(writing)
        writing = -1
        for _ in range(10):  # on a busy machine one has no time to send everything: the next one does
            with running(watched, reading) as process:
                assert process.wait(HUNG_SECONDS) == 0
            if not unsent(watched, "alert-log") + unsent(watched, "slack"):
                break
    finally:
        for descriptor in (reading, writing):
            if descriptor >= 0:
                os.close(descriptor)
    counts, torn = logged(watched)
    in_store = stored(watched)
    assert known <= in_store
    assert counts.keys() == in_store
    assert torn <= 2 * KILLS
    assert sum(counts.values()) - len(counts) <= 2 * KILLS, "at most one alert is sent twice for each kill"
    assert unsent(watched, "alert-log") == unsent(watched, "slack") == 0
    lost = len(lines) // WORTHY + 1 - len(in_store)
    assert 0 <= lost <= 2 * KILLS * (READ_BYTES // len(lines[0]) // WORTHY + 2), (
        "more than a read's worth for each kill"
    )


def _wait_for_a_moment(dice: random.Random, watched: WatchOptions, known: int, reading: int) -> None:
    moment = dice.choice(["starts", "reads", "waits", "stores", "stores much"])
    if moment == "reads":
        eventually(lambda: unread(reading) < 60_000)
    elif moment == "waits":
        eventually(lambda: watched.journal_file.exists() and watched.journal_file.stat().st_size)
    elif moment.startswith("stores"):
        more = 1 if moment == "stores" else dice.randrange(2, 12)
        eventually(lambda: len(stored(watched)) >= known + more)


def _found(watched: WatchOptions) -> set[str]:
    journal = Journal(watched.journal_file).read()[0]
    return stored(watched) | {alert.id for alert in journal} | logged(watched)[0].keys()


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def test_counts_are_exact_whatever_is_killed(slack: SlackStandIn, tmp_path: Path) -> None:
    """One group: the first alert is sent at once, all others are in the exact number of the summary."""
    watched = options(tmp_path, environment={WEBHOOK_VARIABLE: slack.webhook_url})
    for begin in range(0, 40, 10):
        reading, writing = os.pipe()
        with running(watched, reading) as process:
            os.write(writing, b"".join(entry(number) for number in range(begin, begin + 10)))
            eventually(lambda: len(stored(watched)) == begin + 10)  # noqa: B023
            process.kill()
        os.write(writing, entry(begin))  # and an old one again each time
        os.close(writing)
        with running(watched, reading) as process:
            assert process.wait(HUNG_SECONDS) == 0
        os.close(reading)
    assert len(logged(watched)[0]) == 40
    with closing(sqlite3.connect(watched.store_file)) as db:
        ((window,),) = db.execute("SELECT body FROM window").fetchall()
    tally = msgspec.json.decode(window, type=Window).tally
    assert tally is not None
    assert tally.count == 39
    assert len({json.dumps(post.payload) for post in slack.messages}) == 1
