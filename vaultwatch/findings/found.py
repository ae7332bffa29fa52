"""The alerts of a run, each once, in the order of their time.

Whatever a log contains, they take little memory: they are kept as JSON in a temporary file once they are many.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from io import BytesIO
from typing import IO, NamedTuple

import msgspec

from vaultwatch.alerts import Alert, alert_id, alert_of
from vaultwatch.contradictions import contradicts, under_own_id
from vaultwatch.detection.verdict import Verdict
from vaultwatch.findings.selection import Selection
from vaultwatch.reading.identity import parse_time
from vaultwatch.reading.records import Position
from vaultwatch.rules.facts import Level

_IN_MEMORY_BYTES = 32 * 1024 * 1024


class Source(msgspec.Struct, frozen=True):
    """The file and the line of an alert's record, from 1."""

    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        """Return it as programs write it: `audit.log:12`."""
        return f"{self.file}:{self.line}"


class Finding(Alert, frozen=True, kw_only=True):
    """An alert with its source."""

    source: Source = Source()


class Found(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """An alert, as it is found and kept.

    Attributes:
        key: Its id.
        rule: The name of its rule.
        staged: Whether its rule is.
        silenced_by: The file that silences it; "" if none does.
        hidden_by: The option because of which it is not shown; "" if there is none.
        time: Seconds since the epoch; None if it has no time.
        file: The log of its record.
        line: The line of its record.
        alert: The alert as JSON.
    """

    key: bytes
    rule: str
    staged: bool
    silenced_by: str
    hidden_by: str
    time: float | None
    file: str
    line: int
    alert: bytes


class _Kept(NamedTuple):
    """Where an alert is in the temporary file, in the order of the time that it has or that was read before it."""

    time: float
    start: int
    size: int


class Findings(AbstractContextManager["Findings"]):
    """Collects alerts.

    Attributes:
        count: How many are shown.
        staged: How many alerts of staged rules are not, by rule.
        silenced: How many would be shown, but for a filter, or because their rule is disabled; by rule and file.
    """

    def __init__(self, selection: Selection, on_error: Callable[[str, Exception], None]) -> None:
        """Make a collection without alerts.

        Args:
            selection: Which alerts are shown.
            on_error: Called with the name of a rule and the error of describing its match.
        """
        self.staged: Counter[str] = Counter()
        self.silenced: Counter[tuple[str, str]] = Counter()
        self._selection = selection
        self._on_error = on_error
        self._seen: dict[bytes, int] = {}  # the position in `_kept`, or -1
        self._copies: set[int] = set()
        self._hidden: dict[bytes, str] = {}
        self._kept: list[_Kept] = []
        self._time = 0.0
        self._end = 0
        self._file: IO[bytes] = BytesIO()

    def __exit__(self, *_: object) -> None:
        """Remove the temporary file."""
        self._file.close()

    @property
    def count(self) -> int:
        """How many alerts are shown."""
        return len(self._kept)

    @property
    def hidden(self) -> Counter[str]:
        """How many alerts of levels that notify somebody are not selected, by the option that says so."""
        return Counter(self._hidden.values())

    def add(self, verdicts: Iterable[Verdict]) -> None:
        """Add the alerts of verdicts, unless they were added before: another audit device may log an event, too."""
        for verdict in verdicts:
            if (copy := copy_of(verdict)) in self._copies:
                continue
            if found := find(verdict, key_of(verdict), self._selection, self._on_error):
                self.take(found)
                if not found.hidden_by:
                    self._copies.add(copy)

    def take(self, found: Found) -> None:
        """Add one alert, unless it was added before; one with the id of another act gets an id of its own."""
        if found.key in self._seen and (found := self._apart(found)).key in self._seen:
            return
        if found.hidden_by:
            self._hidden.setdefault(found.key, found.hidden_by)
            return
        self._hidden.pop(found.key, None)  # another device may have logged the event in the time that is selected
        self._seen[found.key] = -1
        if found.silenced_by:
            self.silenced[found.rule, found.silenced_by] += 1
        elif found.staged:
            self.staged[found.rule] += 1
        else:
            self._keep(found)

    def lines(self) -> Iterator[bytes]:
        """Yield all alerts as JSON, in the order of their time."""
        for kept in sorted(self._kept):
            yield self._line(kept)

    def __iter__(self) -> Iterator[Finding]:
        """Yield all alerts in the order of their time."""
        return map(msgspec.json.Decoder(Finding).decode, self.lines())

    def _apart(self, found: Found) -> Found:
        """Return an alert whose id is known under one of its own, if it contradicts that which was added before."""
        at = self._seen[found.key]
        if at < 0 or not found.alert:
            return found
        alert = msgspec.json.decode(found.alert, type=Alert)
        if not contradicts(alert, msgspec.json.decode(self._line(self._kept[at]), type=Alert)):
            return found
        own = under_own_id(alert)
        return msgspec.structs.replace(found, key=bytes.fromhex(own.id), alert=msgspec.json.encode(own))

    def _line(self, kept: _Kept) -> bytes:
        self._file.seek(kept.start)
        return self._file.read(kept.size)

    def _keep(self, found: Found) -> None:
        self._seen[found.key] = len(self._kept)
        self._time = self._time if found.time is None else found.time
        source = msgspec.json.encode(Source(found.file, found.line))
        line = found.alert[:-1] + b',"source":' + source + b"}"
        if self._end + len(line) > _IN_MEMORY_BYTES and isinstance(self._file, BytesIO):
            self._file = _on_disk(self._file)
        self._file.seek(self._end)
        self._file.write(line)
        self._kept.append(_Kept(self._time, self._end, len(line)))
        self._end += len(line)


def _on_disk(kept: BytesIO) -> IO[bytes]:
    from tempfile import TemporaryFile  # with all that it imports, a thirtieth of the start of `check`

    file = TemporaryFile()  # noqa: SIM115  the findings close it
    file.write(kept.getbuffer())
    return file


def key_of(verdict: Verdict) -> bytes:
    """Return the id of a verdict's alert."""
    return bytes.fromhex(alert_id(verdict.rule.name, verdict.event_key))


def copy_of(verdict: Verdict) -> int:
    """Return what verdicts on the same act share, whichever entry of the event it was, on whichever device."""
    parts = (verdict.rule.name, verdict.event_key, verdict.act, verdict.outcome, verdict.group_values)
    return hash((*parts, verdict.origin.cluster))


def find(
    verdict: Verdict, key: bytes, selection: Selection, on_error: Callable[[str, Exception], None]
) -> Found | None:
    """Return the alert of a verdict; None if it is not selected and would be no alert that anybody waits for.

    Args:
        verdict: The match of a rule.
        key: The alert's id.
        selection: Which alerts are shown.
        on_error: Called with the name of the rule and the error if the match cannot be described.
    """
    if verdict.rule.silenced_by:
        return _silenced(verdict, key, selection)
    alert = alert_of(verdict, on_error)
    hidden_by = selection.hidden_by(alert)
    if hidden_by and (alert.staged or alert.level is Level.INFORMATIONAL):
        return None
    time, source = parse_time(alert.time), verdict.origin.position or Position("", 0)
    moment = time.timestamp() if time else None
    text = b"" if hidden_by else msgspec.json.encode(alert)
    return Found(key, alert.rule, alert.staged, "", hidden_by, moment, source.log, source.line, text)


def _silenced(verdict: Verdict, key: bytes, selection: Selection) -> Found | None:
    """Return what is counted of a silenced match; None if its alert would not be selected. No alert is made of it."""
    rule = verdict.rule
    if not selection.would_take(verdict):
        return None
    return Found(
        key,
        rule.silenced_rule,
        staged=False,
        silenced_by=rule.silenced_by,
        hidden_by="",
        time=None,
        file="",
        line=0,
        alert=b"",
    )
