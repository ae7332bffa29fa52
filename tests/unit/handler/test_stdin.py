"""A handler's input: read to its end, or waited for without being read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from threading import Thread

import pytest

from tests.support.waiting import HUNG_SECONDS
from vaultwatch.errors import SettingError
from vaultwatch.handler.stdin import READ_BYTES, EmptyInput, check_open, consume, is_pipe, pause, read_available


class Pipe:
    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()

    def close_writer(self) -> None:
        os.close(self.writing)
        self.writing = -1


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    os.close(made.reading)
    if made.writing >= 0:
        made.close_writer()


def test_a_pause_ends_after_its_time_while_the_writer_holds_the_pipe(pipe: Pipe) -> None:
    pause(pipe.reading, 0)


def test_a_pause_reads_nothing_and_continues_while_lines_are_left(pipe: Pipe) -> None:
    os.write(pipe.writing, b"x")
    pipe.close_writer()
    pause(pipe.reading, 0)
    assert os.read(pipe.reading, 10) == b"x"


def test_an_input_that_ended_empty_ends_a_pause_at_once(pipe: Pipe) -> None:
    pipe.close_writer()
    with pytest.raises(EmptyInput):
        pause(pipe.reading, HUNG_SECONDS)


def test_a_writer_that_closes_the_pipe_ends_a_pause(pipe: Pipe) -> None:
    raised: list[bool] = []

    def wait() -> None:
        with pytest.raises(EmptyInput):
            pause(pipe.reading, HUNG_SECONDS)
        raised.append(True)

    waiting = Thread(target=wait)
    waiting.start()
    pipe.close_writer()
    waiting.join(HUNG_SECONDS)
    assert raised == [True]


class Recorder:
    """A consumer that records its calls; `waits` are its answers to when something is due."""

    def __init__(self, *waits: float) -> None:
        self.calls: list[object] = []
        self._waits = iter(waits)

    def do_due(self) -> None:
        self.calls.append("due")

    @property
    def seconds_to_next(self) -> float:
        return next(self._waits, HUNG_SECONDS)

    def feed(self, chunk: bytes) -> None:
        self.calls.append(chunk)

    def finish(self) -> None:
        self.calls.append("finish")


def test_the_consumer_gets_all_of_the_input_and_then_its_end(pipe: Pipe) -> None:
    os.write(pipe.writing, b"one\ntwo")
    pipe.close_writer()
    recorder = Recorder()
    consume(pipe.reading, recorder)
    assert recorder.calls == ["due", b"one\ntwo", "due", "finish"]


def test_the_consumer_is_called_when_something_is_due_and_no_input_arrives(pipe: Pipe) -> None:
    recorder = Recorder(0.0, -1.0)
    end = Thread(target=pipe.close_writer)

    class EndsTheInput(Recorder):
        def do_due(self) -> None:
            super().do_due()
            if len(self.calls) == 3:
                end.start()

    recorder = EndsTheInput(0.0, -1.0)
    consume(pipe.reading, recorder)
    end.join()
    assert recorder.calls == ["due", "due", "due", "finish"]


def test_a_chunk_is_at_most_a_pipe_full(pipe: Pipe) -> None:
    os.write(pipe.writing, b"x" * READ_BYTES)
    assert read_available(pipe.reading) == b"x" * READ_BYTES


def test_a_pipe_that_was_made_non_blocking_has_not_ended(pipe: Pipe) -> None:
    os.set_blocking(pipe.reading, False)
    assert read_available(pipe.reading) is None
    pipe.close_writer()
    assert read_available(pipe.reading) == b""


def test_a_closed_input_is_a_setting_error(pipe: Pipe) -> None:
    check_open(pipe.reading)
    pipe.close_writer()
    with pytest.raises(SettingError, match="standard input is not open: Bad file descriptor"):
        check_open(1_000_000)


def test_a_pipe_is_distinguished_from_a_file_and_from_a_closed_descriptor(pipe: Pipe) -> None:
    with open(os.devnull) as file:  # noqa: PTH123 (a descriptor is what is wanted)
        assert [is_pipe(pipe.reading), is_pipe(file.fileno()), is_pipe(1_000_000)] == [True, False, False]
