"""Run work on hostile content in a forked child process, which may end in any way.

A line may exhaust the memory, loop without end, or crash an extension module, and no process can prevent all of that
for itself. So the child has a memory limit of its own and must show progress. If it ends early, its parent learns why
and at which mark, and is not affected otherwise. Only the parent calls AWS: connections cannot be shared with a child.
"""

from __future__ import annotations

import mmap
import os
import resource
import select
import signal
import socket
import struct
import time
import traceback
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import msgspec

from vaultwatch.errors import ChildEnded

MAX_MESSAGE_BYTES = 256 * 1024 * 1024
NO_MARK = -1
"""The mark of a child that has set none."""
SHORTEST_STALL_SECONDS = 1.0
SECONDS_PER_BYTE = 0.4 / (1 << 20)
"""The time that a child may take for each byte that it works on in one piece, besides that without progress.

Of the worst shapes, a MiB takes 0.2 s of CPU time, and a function of 1,024 MiB has 0.58 of a CPU.
"""
Content = bytes | bytearray
Answer = Callable[[Content], bytes]

_HEAD, _NUMBERS = struct.Struct("<cQ"), struct.Struct("<qqq")
_MESSAGE, _QUESTION, _FINISHED, _FAILED = b"m", b"q", b"f", b"e"
_LOOKS = 8  # how often a parent checks for progress, within the time after which a child is stalled
_NO_TIME_LEFT = "there was no time left for it"


class Limits(msgspec.Struct, frozen=True):
    """The limits of one child.

    Attributes:
        memory_bytes: Address space beyond what its parent has.
        stalled_seconds: The longest time without a message, a question, a new mark or a beat, besides the time for
            the bytes that a beat announced.
    """

    memory_bytes: int
    stalled_seconds: float

    def shorter(self) -> Limits:
        """Return the limits of a child that stalls in half the time: many stalls one after the other take little."""
        return Limits(self.memory_bytes, max(self.stalled_seconds / 2, self.shortest().stalled_seconds))

    def shortest(self) -> Limits:
        """Return the limits of a child that stalls in the shortest time: ordinary work shows progress far sooner."""
        return Limits(self.memory_bytes, min(self.stalled_seconds, SHORTEST_STALL_SECONDS))


class Patience:
    """The time that a parent may wait for its children in all; time that it works between messages does not count."""

    def __init__(self, seconds: float) -> None:
        self.seconds_left = seconds

    @property
    def is_exhausted(self) -> bool:
        """Whether no time is left."""
        return self.seconds_left <= 0


class Channel:
    """The child's side of the connection to its parent."""

    def __init__(self, connection: socket.socket, mark: _Mark) -> None:
        self._connection = connection
        self._mark = mark

    def send(self, message: bytes) -> None:
        """Send a message, which the parent's `run` yields."""
        _send(self._connection, _MESSAGE, message)

    def ask(self, question: bytes) -> bytes:
        """Return what the parent answers to a question."""
        _send(self._connection, _QUESTION, question)
        return bytes(_receive(self._connection)[1])

    def mark(self, number: int) -> None:
        """Set a mark. It shows progress, even if it is the same; the parent reads it if the child ends early."""
        _, beats, size = self._mark.numbers
        self._mark.numbers = number, beats + 1, size

    def beat(self, size: int = 0) -> None:
        """Show progress, without a new mark.

        Args:
            size: The bytes that are worked on until the next beat.
        """
        number, beats, _ = self._mark.numbers
        self._mark.numbers = number, beats + 1, size

    def finish(self) -> None:
        """Report that the work is done."""
        _send(self._connection, _FINISHED, b"")

    def fail(self, reason: str) -> None:
        """Report why the work ends early, if the parent can still be reached."""
        with suppress(OSError, MemoryError):
            _send(self._connection, _FAILED, reason.encode(errors="replace"))


def run(
    work: Callable[[Channel], None],
    limits: Limits,
    patience: Patience,
    answer: Answer = lambda question: b"",
) -> Generator[Content, None, None]:
    """Do work in a child process and yield its messages as they arrive. The child never outlives this generator.

    Args:
        work: Called in the child; changes that it makes to objects are lost.
        limits: The limits of the child.
        patience: How long all children that share it may take.
        answer: Answers the child's questions, in this process; its exceptions pass through.

    Raises:
        ChildEnded: The child did not finish its work.
        OSError: No process can be started.
    """
    here, there = socket.socketpair()
    mark = _Mark()
    with here, there, mark:
        pid = os.fork()
        if pid == 0:
            here.close()
            _work(work, Channel(there, mark), limits)
        there.close()
        parent = _Parent(here, mark, limits, patience)
        try:
            yield from parent.messages(answer)
        except _Gone:
            raise ChildEnded(_reason(_end(pid)), mark.number) from None
        except BaseException:
            _end(pid)
            raise
        _end(pid)


def _end(pid: int) -> int:
    """End a child, if it has not ended by itself, and return its wait status."""
    os.kill(pid, signal.SIGKILL)  # its id is not reused until it has been waited for
    return os.waitpid(pid, 0)[1]


def _reason(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"it was ended by signal {os.WTERMSIG(status)}"
    return f"it exited with status {os.waitstatus_to_exitcode(status)}"


class _Gone(Exception):
    """The child has closed its side of the connection without a report."""


class _Mark:
    """Numbers in shared memory: the child's last mark, how often it has shown progress, and the bytes it works on.

    The child writes them, and its parent can still read them after it has ended.
    """

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _NUMBERS.size)
        self.numbers = (NO_MARK, 0, 0)

    @property
    def numbers(self) -> tuple[int, int, int]:
        number, beats, size = _NUMBERS.unpack_from(self._memory)
        return number, beats, size

    @numbers.setter
    def numbers(self, numbers: tuple[int, int, int]) -> None:
        _NUMBERS.pack_into(self._memory, 0, *numbers)

    @property
    def number(self) -> int:
        return self.numbers[0]

    def __enter__(self) -> _Mark:
        return self

    def __exit__(self, *exception: object) -> None:
        self._memory.close()


class _Parent:
    """The parent's side of one child."""

    def __init__(self, connection: socket.socket, mark: _Mark, limits: Limits, patience: Patience) -> None:
        self._connection = connection
        self._mark = mark
        self._stalled_seconds = limits.stalled_seconds
        self._patience = patience
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)
        connection.settimeout(limits.stalled_seconds)  # for what this process sends

    def messages(self, answer: Answer) -> Iterator[Content]:
        while True:
            kind, content = self._receive()
            if kind == _MESSAGE:
                yield content
            elif kind == _QUESTION:
                self._answer(answer(content))
            elif kind == _FINISHED:
                return
            else:
                raise self._ended(content.decode(errors="replace") if kind == _FAILED else "it sent no message")

    def _receive(self) -> tuple[bytes, Content]:
        try:
            return _receive(self._connection, self._wait)
        except (EOFError, ConnectionError):
            raise _Gone from None

    def _answer(self, content: bytes) -> None:
        try:
            _send(self._connection, _MESSAGE, content)
        except ConnectionError:
            raise _Gone from None
        except TimeoutError:
            raise self._ended("it did not read an answer") from None

    def _wait(self) -> None:
        """Wait until the child has sent something; the time counts against the patience."""
        began = time.monotonic()
        try:
            self._wait_until(began + self._patience.seconds_left)
        finally:
            self._patience.seconds_left -= time.monotonic() - began

    def _wait_until(self, deadline: float) -> None:
        progress, mark = time.monotonic(), self._mark.numbers
        if progress >= deadline:  # also for a child that never makes its parent wait
            raise self._ended(_NO_TIME_LEFT)
        while not self._poll.poll(1000 * self._stalled_seconds / _LOOKS):
            now = time.monotonic()
            if mark != self._mark.numbers:
                progress, mark = now, self._mark.numbers
            allowed = self._stalled_seconds + mark[2] * SECONDS_PER_BYTE
            if now - progress >= allowed:
                raise self._ended(f"it made no progress for {allowed:.3g} s")
            if now >= deadline:
                raise self._ended(_NO_TIME_LEFT)

    def _ended(self, reason: str) -> ChildEnded:
        return ChildEnded(reason, self._mark.number)


def _work(work: Callable[[Channel], None], channel: Channel, limits: Limits) -> NoReturn:
    """Work in the child and end it, whatever happens: it must not continue with the code of its parent."""
    try:
        _limit(limits.memory_bytes)
        work(channel)
        channel.finish()
    except MemoryError:
        channel.fail("it ran out of memory")
    except BaseException as error:  # noqa: BLE001  the outermost edge of a process; reported to its parent
        channel.fail(f"it raised {type(error).__name__} in {_place(error)}")
    finally:
        os._exit(0)


def _place(error: BaseException) -> str:
    """Return where an exception was raised; its text may contain a secret."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(last.filename).name}, line {last.lineno}"


def _limit(memory_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    limit = used + memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit if most == resource.RLIM_INFINITY else min(limit, most), most))


def _send(connection: socket.socket, kind: bytes, content: bytes) -> None:
    connection.sendall(_HEAD.pack(kind, len(content)))
    connection.sendall(content)


def _receive(connection: socket.socket, wait: Callable[[], None] = lambda: None) -> tuple[bytes, Content]:
    kind, size = _HEAD.unpack(_receive_exactly(connection, _HEAD.size, wait))
    if size > MAX_MESSAGE_BYTES:
        raise EOFError
    return kind, _receive_exactly(connection, size, wait)


def _receive_exactly(connection: socket.socket, size: int, wait: Callable[[], None]) -> bytearray:
    content = bytearray(size)
    free = memoryview(content)
    while free:
        wait()
        count = connection.recv_into(free)
        if not count:
            raise EOFError
        free = free[count:]
    return content
