"""An unexpected exception rejects the record that raised it, once, and no other."""

from __future__ import annotations

import pytest

from tests.support.faults import raise_on
from tests.unit.detection.records import HEAD, SEAL, SERVER, VALUE, found, request, response
from vaultwatch.detection import audit, server
from vaultwatch.detection import line_reader as detecting
from vaultwatch.detection.detector import Detector
from vaultwatch.detection.evaluator import Ruleset
from vaultwatch.detection.line_reader import Source
from vaultwatch.detection.sifting import INDEX
from vaultwatch.reading import server_line, server_log
from vaultwatch.reading.records import Rejected

Patch = pytest.MonkeyPatch
FAULT = "fault"
ENTRIES = [request("e1"), request("e2", "kv/a"), response("e1"), request(FAULT), request("e3", "kv/b"), response("e4")]
RAISED = [("seal", "e1", "succeeded"), ("seal", "e4", "succeeded")]


class Reading:
    """A detector that has read these lines to their end."""

    def __init__(self, lines: list[bytes], source: Source = "auto", ruleset: Ruleset | None = None) -> None:
        self.rejected: list[Rejected] = []
        detector = Detector(ruleset or [SEAL, SERVER], source=source, on_rejected=self.rejected.append)
        self.verdicts = detector.feed(lines) + detector.flush()
        self.counts = detector.counts


def test_without_a_fault_every_line_is_an_entry() -> None:
    read = Reading(ENTRIES)
    assert (read.counts.audit, read.counts.server, read.counts.rejected) == (6, 0, 0)
    assert found(read.verdicts) == [*RAISED, ("seal", FAULT, "unknown")]


def test_an_exception_in_the_index_is_counted_even_if_every_line_can_be_read(monkeypatch: Patch) -> None:
    ruleset = Ruleset([SEAL, SERVER])
    raise_on(monkeypatch, ruleset.index, "sift", FAULT)
    read = Reading(ENTRIES, ruleset=ruleset)
    assert (read.counts.audit, read.counts.rejected) == (6, 0)
    assert read.counts.rule_errors == {INDEX: 1}
    assert found(read.verdicts) == [*RAISED, ("seal", FAULT, "unknown")]


class TestAnEntry:
    @pytest.mark.parametrize("source", ["auto", "audit"])
    @pytest.mark.parametrize(
        ("module", "name"), [(detecting, "read_audit_entry"), (audit, "audit_view"), (audit, "on_entry")]
    )
    def test_that_raises_counts_once_and_as_rejected(
        self, module: object, name: str, source: Source, monkeypatch: Patch
    ) -> None:
        raise_on(monkeypatch, module, name, FAULT)
        read = Reading(ENTRIES, source)
        assert (read.counts.audit, read.counts.server, read.counts.rejected) == (5, 0, 1)
        assert [(one.raw, one.reason) for one in read.rejected] == [(ENTRIES[3].strip(), "raised ZeroDivisionError")]
        assert found(read.verdicts) == RAISED

    @pytest.mark.parametrize("position", range(len(ENTRIES)))
    def test_that_raises_in_the_index_counts_once_at_any_position(self, position: int, monkeypatch: Patch) -> None:
        """The index skips many lines before it reports them; each must be counted exactly once."""
        ruleset = Ruleset([SEAL, SERVER])
        lines = [request(f"e{number}", "kv/a") for number in range(len(ENTRIES))]
        lines[position] = request(FAULT, "kv/a")
        raise_on(monkeypatch, ruleset.index, "_decode", FAULT)
        raise_on(monkeypatch, detecting, "read_audit_entry", FAULT)
        read = Reading([b"\n", *lines, b"\n"], ruleset=ruleset)
        assert (read.counts.audit, read.counts.server, read.counts.rejected) == (len(lines) - 1, 0, 1)
        assert [one.raw for one in read.rejected] == [lines[position].strip()]

    def test_that_raises_in_the_index_only_is_read_without_it(self, monkeypatch: Patch) -> None:
        ruleset = Ruleset([SEAL, SERVER])
        raise_on(monkeypatch, ruleset.index, "sift", FAULT)
        read = Reading(ENTRIES, ruleset=ruleset)
        assert (read.counts.audit, read.counts.rejected) == (6, 0)
        assert found(read.verdicts) == [*RAISED, ("seal", FAULT, "unknown")]

    def test_that_raises_as_a_response_leaves_its_request_waiting(self, monkeypatch: Patch) -> None:
        raise_on(monkeypatch, audit, "completed", FAULT)
        read = Reading([request(FAULT), response(FAULT), request("e1"), response("e1")])
        assert (read.counts.audit, read.counts.rejected) == (3, 1)
        assert found(read.verdicts) == [("seal", "e1", "succeeded"), ("seal", FAULT, "unknown")]

    def test_too_large_for_this_process_raises_a_memory_error(self, monkeypatch: Patch) -> None:
        raise_on(monkeypatch, detecting, "read_audit_entry", FAULT, MemoryError)
        with pytest.raises(MemoryError):
            Detector([SEAL], fatal=(MemoryError,)).feed(ENTRIES)
        assert Reading(ENTRIES).counts.rejected == 1


class TestAMessage:
    LINES = (HEAD % 1, HEAD.replace(b"siem", b"fault") % 2, *VALUE, HEAD % 3, HEAD % 4)

    @pytest.mark.parametrize("source", ["auto", "server"])
    @pytest.mark.parametrize(
        ("module", "name"), [(server_log, "read_text"), (server, "server_view"), (server, "on_message")]
    )
    def test_that_raises_counts_once_and_as_rejected_with_all_its_lines(
        self, module: object, name: str, source: Source, monkeypatch: Patch
    ) -> None:
        raise_on(monkeypatch, module, name, FAULT)
        read = Reading([*self.LINES], source)
        assert (read.counts.audit, read.counts.server, read.counts.rejected) == (0, 3, 1)
        assert [one.raw for one in read.rejected] == [b"".join(self.LINES[1:6]).strip(b"\n")]
        assert [verdict.time[17:19] for verdict in read.verdicts] == ["41", "43", "44"]

    def test_whose_line_raises_ends_nothing(self, monkeypatch: Patch) -> None:
        raise_on(monkeypatch, server_line, "ServerLine", FAULT)
        read = Reading([*self.LINES], "server")
        assert (read.counts.server, read.counts.rejected) == (3, 1)
