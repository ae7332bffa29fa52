"""The records of a log that contain a text, as `check` reads them: taken out of envelopes, tables and base64."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC
from io import BytesIO
from itertools import islice

from vaultwatch.errors import ArchiveError
from vaultwatch.inputs.errors import Unreadable
from vaultwatch.inputs.logs import HEAD_BYTES
from vaultwatch.inputs.own import begins_as_own
from vaultwatch.reading.joined import is_whole
from vaultwatch.reading.plain import is_plain_message
from vaultwatch.reading.records import Origin, Rejected, read_audit_entry, split_tag
from vaultwatch.reading.view import View
from vaultwatch.rules.conditions import Never
from vaultwatch.rules.facts import Level
from vaultwatch.rules.pack import CompiledRule

_MOST_BYTES = 16 * 1024 * 1024
_WORD = re.compile(rb"[\w-]{12,}")
_UNESCAPED = re.compile(rb"[\w.:@-]+")
_DOCUMENT = re.compile(rb"\s*(?:\{|\[\s*[\[{\"])")
_SERVER = CompiledRule(name="server_searched", title="", level=Level.LOW, service="server", condition=Never())


class Beginning:
    """What the first bytes of a log say of the others.

    Attributes:
        is_wrapped: Whether its lines are no records as they are, but hold records in another form, or may do so.
        is_encoded: Whether what its records say may not be in its bytes, as in base64.
        first: The first line that cannot be read, if none of them can; None otherwise.
    """

    def __init__(self, head: bytes) -> None:
        """Look at the first bytes: at most `HEAD_BYTES`, or the whole log."""
        self.first: Rejected | None = None
        self.is_wrapped = self.is_encoded = False
        lines = BytesIO(head).readlines()
        if len(lines) > 1 and len(head) >= HEAD_BYTES:
            lines.pop()  # it may go on
        line = split_tag(next((one for one in lines if not one.isspace()), b""))[1]
        if is_plain_message(line) or is_whole(read_audit_entry(line.rstrip())) or begins_as_own(head):
            return
        records = _Records(head)
        found = records.read(lines) + records.end()
        if records.count:
            self.is_wrapped = not _are_lines(found, lines)
            self.is_encoded = not all(word[0] in head for one in found for word in islice(_WORD.finditer(one), 3))
        else:
            self.is_wrapped = self.is_encoded = _DOCUMENT.match(head) is not None
            self.first = records.first


def may_contain(wanted: bytes, pieces: Iterable[bytes]) -> bool:
    """Return whether a log that is not encoded may contain a text in a record.

    A log in another form is read record by record, which takes 30 times as long as to see that it need not be. JSON
    escapes some characters; and of a text that a shipper has cut, a half is whole.

    Args:
        wanted: The text.
        pieces: The bytes of the log.
    """
    if not _UNESCAPED.fullmatch(wanted):
        return True
    middle, before = len(wanted) // 2, b""
    for piece in pieces:
        if wanted[:middle] in (both := before + piece) or wanted[middle:] in both:
            return True
        before = piece[-middle - 1 :]
    return False


def _are_lines(found: Iterable[bytes], lines: Iterable[bytes]) -> bool:
    """Return whether each record is the end of a line of its own."""
    rest = iter(lines)
    return all(any(line.rstrip().endswith(one.partition(b"\n")[0].rstrip()) for line in rest) for one in found)


def records_with(wanted: bytes, batches: Iterable[list[bytes]], head: bytes) -> Iterator[bytes]:
    """Yield the records and the rejected lines that contain a text; if there are none, the lines that contain it.

    Of lines whose records do not contain it, those of the first 16 MiB are kept until that is known.

    Args:
        wanted: The text.
        batches: The lines of a log.
        head: Its first bytes.

    Raises:
        ArchiveError: The log is a damaged segment.
        Unreadable: It cannot be read to its end.
    """
    records, beside, size, has_found = _Records(head), list[bytes](), 0, False

    def matching(found: Iterable[bytes]) -> Iterator[bytes]:
        nonlocal has_found
        for one in found:
            if wanted in one:
                has_found = True
                yield one

    failed = list[Exception]()
    try:
        for lines in batches:
            yield from matching(records.read(lines))
            for line in () if has_found else lines:
                if wanted in line and (size := size + len(line)) <= _MOST_BYTES:
                    beside.append(line)
    except (Unreadable, ArchiveError) as error:
        failed.append(error)
    yield from matching(records.end())
    yield from () if has_found else beside
    for one in failed:
        raise one


class _Records:
    """Reads a log, and gives each of its records as text: an entry as its line, a message with all its lines.

    Attributes:
        count: How many records were read.
        first: The first line that was rejected; None if none was.
    """

    def __init__(self, head: bytes) -> None:
        """Begin a log that begins with these bytes."""
        from vaultwatch.detection.detector import Detector
        from vaultwatch.detection.views import observing

        self.first: Rejected | None = None
        self._found: list[bytes] = []
        observer = observing(_SERVER, self._add_message)
        self._detector = Detector([observer], zone=UTC, on_rejected=self._reject, unwrap=True, on_entries=self._add)
        self._detector.begin_log(head, name="log")

    @property
    def count(self) -> int:
        """How many records were read."""
        return self._detector.counts.audit + self._detector.counts.server

    def read(self, lines: list[bytes]) -> list[bytes]:
        """Read the next lines, and return the records and the rejected lines that end in them."""
        self._detector.feed(lines)
        return self._taken()

    def end(self) -> list[bytes]:
        """Return those that end with the log."""
        self._detector.flush()
        return self._taken()

    def _taken(self) -> list[bytes]:
        found, self._found = self._found, []
        return found

    def _add(self, lines: Sequence[bytes], _origin: Origin | None) -> None:
        self._found += lines

    def _add_message(self, view: View) -> bool:
        self._found.append(str(view["raw"]).encode("utf-8", "surrogateescape"))
        return False

    def _reject(self, line: Rejected) -> None:
        self.first = self.first or line
        self._found.append(line.raw)
