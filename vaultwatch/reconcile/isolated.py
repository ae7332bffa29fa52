"""Compare two copies in a child process, so that nothing in them can end the function that compares them.

The child has no connection of its own: it asks this process for the bytes of one segment after the other. What it
finds comes twice, first without the texts of entries: to show them it reads segments again, for which the time may be
too short.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import msgspec

from vaultwatch import isolation
from vaultwatch.errors import ArchiveError, ChildEnded
from vaultwatch.isolation import Channel, Content, Limits, Patience
from vaultwatch.reconcile.comparison import Window
from vaultwatch.reconcile.report import Report, report, totals
from vaultwatch.reconcile.rows import Reader
from vaultwatch.reconcile.run import Log, reconcile

Fetch = Callable[[str], Generator[bytes, None, None]]
Unpack = Callable[[Iterable[bytes]], Iterator[bytes]]


class Copies(NamedTuple):
    """The names of the segments of both sides."""

    left: Sequence[str]
    right: Sequence[str]


class Found(msgspec.Struct, frozen=True):
    """What a comparison found.

    Attributes:
        report: The numbers, and the first differences of each kind.
        unreadable_count: How many segments could not be read to their end.
        unreadable: Why, by their names, for the first of them.
        without_texts: Why no difference is shown; "" if they are.
    """

    report: Report
    unreadable_count: int
    unreadable: dict[str, str]
    without_texts: str = ""


_decode = msgspec.json.Decoder(Found).decode
_Question = tuple[int, bool]
"""The index of a segment, and whether its first bytes are asked for."""


def compare(
    copies: Copies,
    window: Window,
    *,
    fetch: Fetch,
    unpack: Unpack,
    limit: int,
    limits: Limits,
    seconds_left: Callable[[], float],
) -> Found:
    """Compare both sides.

    Args:
        copies: The segments.
        window: Which entries are reported.
        fetch: Yields the bytes of a segment; called in this process, which lets its exceptions pass.
        unpack: Decompresses them; called in the child.
        limit: How many differences of each kind, and how many segments that cannot be read, are shown.
        limits: What the child may use.
        seconds_left: Returns how long it may still take.

    Raises:
        ChildEnded: The comparison did not come to its end, for want of memory, disk or time.
        OSError: No process can be started.
    """
    found: Found | None = None
    # The folder is removed here: a child that is killed leaves its files.
    with (
        TemporaryDirectory(prefix="vaultwatch-reconcile-") as folder,
        closing(_Segments([*copies.left, *copies.right], fetch, seconds_left)) as segments,
    ):
        work = partial(_work, copies, window, unpack, limit, Path(folder))
        try:
            for message in isolation.run(work, limits, segments.patience, segments.answer):
                found = _decode(message)
        except ChildEnded as ended:
            if found is None:
                raise
            return msgspec.structs.replace(found, without_texts=ended.reason)
    if found is None:
        raise ChildEnded("it sent nothing", isolation.NO_MARK)
    return found


class _Segments:
    """Answers the child's questions. One segment is open at a time; its time includes that for S3."""

    def __init__(self, names: Sequence[str], fetch: Fetch, seconds_left: Callable[[], float]) -> None:
        self.patience = Patience(seconds_left())
        self._names = names
        self._fetch = fetch
        self._seconds_left = seconds_left
        self._open: Generator[bytes, None, None] | None = None

    def answer(self, question: Content) -> bytes:
        """Return the next bytes of a segment; none at its end."""
        index, from_start = msgspec.msgpack.decode(question, type=_Question)
        if from_start or self._open is None:
            self.close()
            self._open = self._fetch(self._names[index])
        chunk = next(filter(None, self._open), b"")
        self.patience.seconds_left = self._seconds_left()
        return chunk

    def close(self) -> None:
        """Close the segment that is open."""
        if self._open is not None:
            self._open.close()


def _work(copies: Copies, window: Window, unpack: Unpack, limit: int, folder: Path, channel: Channel) -> None:
    unreadable = dict[str, str]()

    def read(index: int, name: str) -> Iterator[bytes]:
        try:
            for piece in unpack(_asked(channel, index)):
                channel.beat(len(piece))
                yield piece
        except ArchiveError as error:
            unreadable[name] = str(error)

    names = [*copies.left, *copies.right]
    logs = [Log(name, partial(read, index, name)) for index, name in enumerate(names)]
    left, right, reader = logs[: len(copies.left)], logs[len(copies.left) :], Reader()
    comparison = reconcile(left, right, reader, window, limit, folder=folder, progress=channel.beat)

    def send(found: Report) -> None:
        named = dict(islice(unreadable.items(), limit))
        channel.send(msgspec.json.encode(Found(found, len(unreadable), named)))

    send(totals(comparison))
    send(report(comparison, logs, reader))


def _asked(channel: Channel, index: int) -> Iterator[bytes]:
    chunk = channel.ask(msgspec.msgpack.encode((index, True)))
    while chunk:
        yield chunk
        chunk = channel.ask(msgspec.msgpack.encode((index, False)))
