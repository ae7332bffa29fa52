"""A child process may end in every way: its parent learns how, waits for it, and loses nothing else."""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import os
import resource
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.processes import children, open_files
from vaultwatch import isolation
from vaultwatch.errors import ChildEnded
from vaultwatch.isolation import NO_MARK, Channel, Limits, Patience, run

MIB = 1024 * 1024
LIMITS = Limits(memory_bytes=256 * MIB, stalled_seconds=5)


def messages(work: Callable[[Channel], None], limits: Limits = LIMITS, seconds: float = 30) -> list[bytes]:
    return [bytes(message) for message in run(work, limits, Patience(seconds))]


def how_it_ends(work: Callable[[Channel], None], limits: Limits = LIMITS, seconds: float = 30) -> ChildEnded:
    with pytest.raises(ChildEnded) as raised:
        messages(work, limits, seconds)
    return raised.value


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """After each test there is no child, dead or alive, and no open file more than before."""
    before, files = children(), open_files()
    yield
    gc.collect()
    assert children() <= before
    assert open_files() == files


def use_memory(channel: Channel) -> None:
    held = []
    while True:
        held.append(bytes(MIB))


def use_memory_without_python(channel: Channel) -> None:
    faulthandler.disable()  # or the child's stack stands among the results of the tests
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    while libc.malloc(ctypes.c_size_t(MIB)):
        pass
    libc.abort()


def loop(channel: Channel) -> None:
    while True:
        pass


def read_nothing(channel: Channel) -> None:
    faulthandler.disable()
    ctypes.string_at(0)


def recurse(channel: Channel) -> None:
    recurse(channel)


def raise_zero_division(channel: Channel) -> None:
    raise ZeroDivisionError


def leave(channel: Channel) -> None:
    raise SystemExit(0)


def exit_at_once(channel: Channel) -> None:
    os._exit(0)


def kill_itself(channel: Channel) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def stop_itself(channel: Channel) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def close_everything_and_sleep(channel: Channel) -> None:
    os.closerange(3, 1000)
    time.sleep(1000)


class TestAChildThatDoesItsWork:
    def test_sends_messages_of_any_size_in_order(self) -> None:
        sizes = [0, 1, 65_535, 64 * MIB, 7]

        def work(channel: Channel) -> None:
            for size in sizes:
                channel.send(bytes(size))

        assert [len(message) for message in messages(work)] == sizes

    @given(st.lists(st.binary(max_size=2000), max_size=5))
    @settings(max_examples=10, deadline=None)
    def test_sends_any_bytes(self, contents: list[bytes]) -> None:
        def work(channel: Channel) -> None:
            for content in contents:
                channel.send(content)

        assert messages(work) == contents

    def test_asks_its_parent_which_alone_speaks_to_others(self) -> None:
        asked = list[bytes]()

        def answer(question: bytes | bytearray) -> bytes:
            asked.append(bytes(question))
            return b"x" * 3 * MIB

        work = lambda channel: channel.send(b"%d" % len(channel.ask(b"lines?")))  # noqa: E731
        assert [*run(work, LIMITS, Patience(30), answer)] == [b"3145728"]
        assert asked == [b"lines?"]

    def test_changes_nothing_in_its_parent(self) -> None:
        changed = list[int]()
        messages(lambda channel: changed.append(1))
        assert changed == []

    def test_may_be_slow_while_its_marks_move_on(self) -> None:
        def work(channel: Channel) -> None:
            for number in range(8):
                channel.mark(number)
                time.sleep(0.1)
            channel.send(b"done")

        assert messages(work, Limits(256 * MIB, stalled_seconds=0.4)) == [b"done"]

    def test_has_more_time_for_many_bytes_that_it_works_on_in_one_piece(self) -> None:
        def work(channel: Channel) -> None:
            channel.beat(100 * MIB)
            time.sleep(1)
            channel.send(b"done")

        assert messages(work, Limits(256 * MIB, stalled_seconds=0.2)) == [b"done"]

    def test_may_wait_for_a_parent_that_is_busy_with_its_messages(self) -> None:
        def work(channel: Channel) -> None:
            for _ in range(3):
                channel.send(bytes(MIB))

        patience, sizes = Patience(1.0), list[int]()
        for message in run(work, Limits(256 * MIB, stalled_seconds=0.2), patience):
            sizes.append(len(message))
            time.sleep(0.4)
        assert sizes == [MIB] * 3
        assert patience.seconds_left > 0

    def test_has_its_memory_limit_beyond_what_its_parent_uses(self) -> None:
        inherited = bytes(300 * MIB)
        work = lambda channel: channel.send(b"%d" % len(bytes(64 * MIB) + inherited[:1]))  # noqa: E731
        assert messages(work) == [b"67108865"]


class TestAChildThatEndsEarly:
    @pytest.mark.parametrize(
        ("work", "reason"),
        [
            (use_memory, "it ran out of memory"),
            (use_memory_without_python, "it was ended by signal 6"),
            (read_nothing, "it was ended by signal 11"),
            (recurse, "it raised RecursionError in test_isolation.py, line"),
            (raise_zero_division, "it raised ZeroDivisionError in test_isolation.py, line"),
            (leave, "it raised SystemExit in test_isolation.py, line"),
            (exit_at_once, "it exited with status 0"),
            (kill_itself, "it was ended by signal 9"),
            (close_everything_and_sleep, "it was ended by signal 9"),
        ],
    )
    def test_ends_itself_alone_and_says_how(self, work: Callable[[Channel], None], reason: str) -> None:
        def marked(channel: Channel) -> None:
            channel.mark(7)
            work(channel)

        ended = how_it_ends(marked)
        assert ended.reason.startswith(reason)
        assert ended.mark == 7

    @pytest.mark.parametrize("work", [loop, stop_itself, lambda channel: time.sleep(1000)])
    def test_is_ended_when_it_makes_no_progress(self, work: Callable[[Channel], None]) -> None:
        ended = how_it_ends(work, Limits(256 * MIB, stalled_seconds=0.2))
        assert ended.reason == "it made no progress for 0.2 s"
        assert ended.mark == NO_MARK

    def test_is_ended_when_all_children_together_took_too_long(self) -> None:
        def work(channel: Channel) -> None:
            for number in range(1000):
                channel.mark(number)
                time.sleep(0.01)

        patience = Patience(0.5)
        with pytest.raises(ChildEnded, match="no time left"):
            [*run(work, Limits(256 * MIB, stalled_seconds=0.2), patience)]
        assert patience.is_exhausted

    def test_is_ended_when_it_sends_without_a_pause_for_too_long(self) -> None:
        def work(channel: Channel) -> None:
            while True:
                channel.send(b"x" * MIB)

        with pytest.raises(ChildEnded, match="no time left"):
            for _ in run(work, LIMITS, Patience(0.1)):
                pass

    def test_loses_no_message_that_it_sent_before(self) -> None:
        def work(channel: Channel) -> None:
            channel.send(b"an alert")
            kill_itself(channel)

        found = list[bytes]()
        with pytest.raises(ChildEnded):
            found += map(bytes, run(work, LIMITS, Patience(30)))  # map: what came before the exception counts
        assert found == [b"an alert"]

    def test_in_the_middle_of_a_message_loses_that_message_alone(self) -> None:
        def work(channel: Channel) -> None:
            channel.send(b"whole")
            channel._connection.sendall(isolation._HEAD.pack(b"m", 1000) + b"half")

        found = list[bytes]()
        with pytest.raises(ChildEnded):
            found.extend(map(bytes, run(work, LIMITS, Patience(30))))
        assert found == [b"whole"]

    @pytest.mark.parametrize(("kind", "size"), [(b"?", 0), (b"m", 2**40)])
    def test_and_says_what_no_child_says_is_not_believed(self, kind: bytes, size: int) -> None:
        def work(channel: Channel) -> None:
            channel._connection.sendall(isolation._HEAD.pack(kind, size))
            time.sleep(1000)

        how_it_ends(work)

    def test_that_reads_no_answer_is_ended(self) -> None:
        def work(channel: Channel) -> None:
            isolation._send(channel._connection, b"q", b"")
            time.sleep(1000)

        with pytest.raises(ChildEnded, match="did not read an answer"):
            [*run(work, Limits(256 * MIB, 0.2), Patience(30), lambda question: bytes(8 * MIB))]

    def test_leaves_no_text_of_the_exception_which_may_quote_a_log(self) -> None:
        def work(channel: Channel) -> None:
            raise ValueError("hvs.secret")

        assert "secret" not in str(how_it_ends(work))


class TestItsParent:
    def test_ends_it_when_nobody_wants_more_of_its_messages(self) -> None:
        def work(channel: Channel) -> None:
            channel.send(b"%d" % os.getpid())
            loop(channel)

        with closing(run(work, LIMITS, Patience(30))) as found:
            pid = int(next(found))
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

    @pytest.mark.parametrize("error", [ConnectionRefusedError, EOFError, TimeoutError, MemoryError])
    def test_ends_it_when_an_answer_raises_and_does_not_blame_it(self, error: type[Exception]) -> None:
        def answer(question: bytes | bytearray) -> bytes:
            raise error

        with pytest.raises(error):
            [*run(lambda channel: channel.send(channel.ask(b"")), LIMITS, Patience(30), answer)]

    def test_keeps_its_own_memory_limit(self) -> None:
        before = resource.getrlimit(resource.RLIMIT_AS)
        how_it_ends(use_memory)
        assert resource.getrlimit(resource.RLIMIT_AS) == before

    def test_writes_no_core_dump(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        how_it_ends(use_memory_without_python)
        assert [*tmp_path.iterdir()] == []
