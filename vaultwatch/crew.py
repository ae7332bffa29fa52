"""Child processes that do numbered pieces of work at the same time, whose results arrive in the order of the pieces.

The children are copies of their parent: they know what it had made before they began. One that ends before its work is
done ends the work of all: what is left out would not be seen in what the others have found.
"""

from __future__ import annotations

import signal
import struct
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from mmap import mmap
from multiprocessing import connection, get_context
from typing import Any

from vaultwatch.errors import ChildEnded

_AHEAD = 2
"""Pieces that each child has been given at most: one that it works on, and the next."""
_TICK_SECONDS = 0.2
_NUMBER = struct.Struct("<Q")
Advance = Callable[[int], None]
Work = Callable[[int, Advance], bytes]
"""Does one piece of work, calls a function with the size of each step that is done, and returns the result."""


class Crew(AbstractContextManager["Crew"]):
    """Some child processes. None of them outlives the `with` statement."""

    def __init__(self, work: Work, count: int) -> None:
        """Start the processes.

        Args:
            work: Does a piece of work in a child; must not raise.
            count: How many processes.

        Raises:
            OSError: A process cannot be started.
        """
        context = get_context("fork")
        self._done = memoryview(mmap(-1, 8 * count)).cast("Q")  # shared with the children
        self._children: list[_Child] = []
        for number in range(count):
            here, there = context.Pipe()
            process = context.Process(target=_serve, args=(there, work, self._done, number), daemon=True)
            process.start()
            there.close()
            self._children.append(_Child(process, here))

    def __exit__(self, *_: object) -> None:
        """End the processes."""
        for child in self._children:
            child.process.kill()
        for child in self._children:
            child.process.join()
            child.connection.close()

    @property
    def done(self) -> int:
        """The sum of all steps that are done."""
        return sum(self._done)

    def results(self, pieces: Iterable[int], tick: Callable[[], None] = lambda: None) -> Iterator[bytes]:
        """Yield the result of each piece, in the order of the pieces.

        Args:
            pieces: The numbers of the pieces; asked for the next one once a child can take it.
            tick: Called at least five times a second while this waits.

        Raises:
            ChildEnded: A child did not finish its work.
        """
        todo, order, found = enumerate(pieces), deque[int](), dict[int, bytes]()
        while True:
            self._give(todo, order, len(found))
            if not order:
                return
            while order[0] not in found:
                self._collect(found)
                self._give(todo, order, len(found))
                tick()
            yield found.pop(order.popleft())

    def _give(self, todo: Iterator[tuple[int, int]], order: deque[int], held: int) -> None:
        """Give pieces to the children that can take one, but not so many that results fill the memory.

        Args:
            todo: The pieces with their positions: the same piece may be asked for twice.
            order: Gets the positions of those that are given.
            held: How many results are kept.
        """
        while held + len(order) < 2 * _AHEAD * len(self._children):
            child = min(self._children, key=lambda child: len(child.pieces))
            if len(child.pieces) >= _AHEAD or (following := next(todo, None)) is None:
                return
            order.append(following[0])
            child.give(*following)

    def _collect(self, found: dict[int, bytes]) -> None:
        busy: dict[Any, _Child] = {child.connection: child for child in self._children if child.pieces}
        for ready in connection.wait(list(busy), _TICK_SECONDS):
            child = busy[ready]
            found[child.pieces[0][0]] = child.result()
            child.pieces.popleft()


class _Child:
    """One child process, and the pieces that it has been given."""

    def __init__(self, process: Any, channel: Any) -> None:
        self.process, self.connection = process, channel
        self.pieces: deque[tuple[int, int]] = deque()

    def give(self, position: int, piece: int) -> None:
        self.pieces.append((position, piece))
        with suppress(BrokenPipeError):  # it has ended: seen when its result is read
            self.connection.send_bytes(_NUMBER.pack(piece))

    def result(self) -> bytes:
        try:
            found: bytes = self.connection.recv_bytes()
        except (EOFError, ConnectionError):
            self.process.join()
            status = self.process.exitcode
            how = f"it was ended by signal {-status}" if status < 0 else f"it exited with status {status}"
            raise ChildEnded(how, self.pieces[0][1]) from None
        return found


def _serve(channel: Any, work: Work, done: Any, number: int) -> None:
    """Do what the parent asks for, until it has gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent gets it as well, and ends its children

    def advance(size: int) -> None:
        done[number] += size

    with suppress(EOFError, ConnectionError):
        while True:
            (piece,) = _NUMBER.unpack(channel.recv_bytes())
            channel.send_bytes(work(piece, advance))
