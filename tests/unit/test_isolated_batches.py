"""Frames evaluated in child processes: the same alerts and findings as in one process, and no frame can end it."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from itertools import cycle
from typing import Any
from unittest import mock
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.functions import entry
from tests.support.processes import children
from vaultwatch import batches, isolated_batches
from vaultwatch.alerts import Alert, alert_of
from vaultwatch.batches import (
    MAX_KEPT_BYTES,
    MAX_LINES,
    MIN_LINE_BYTES,
    SLICE_LINES,
    EncodedFrame,
    Evaluation,
    Findings,
)
from vaultwatch.detection import waiting
from vaultwatch.detection.evaluator import Ruleset
from vaultwatch.errors import ArchiveError, FrameError
from vaultwatch.frames import Counter, Frame, Heartbeat, Records, Reference, encode
from vaultwatch.isolated_batches import IsolatedEvaluation, IsolatedSweep
from vaultwatch.isolation import Limits, Patience
from vaultwatch.rules.conditions import Exists
from vaultwatch.rules.facts import Level
from vaultwatch.rules.pack import CompiledRule, Rule, shipped_rules

MIB = 1024 * 1024
LIMITS = Limits(memory_bytes=400 * MIB, stalled_seconds=0.5)
PROCESS = UUID("00000000-0000-4000-8000-00000000000a")
NOW = datetime(2026, 11, 21, 8, tzinfo=UTC)


def loop() -> None:
    while True:
        pass


def leave() -> None:
    raise SystemExit


ACTS: dict[str, Callable[[], Any]] = {
    "memory": lambda: [bytes(MIB) for _ in range(10**6)],
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "end": lambda: os._exit(0),
    "leave": leave,
    "loop": loop,
    "sleep": lambda: time.sleep(1000),
}


def hostile(view: Any) -> bool:
    """A rule that does what the path of an entry says."""
    if act := ACTS.get(str(view["request"]["path"]).removeprefix("hostile/")):
        act()
    return False


def hostile_message(view: Any) -> bool:
    """A rule that does what the last word of a message says."""
    if act := ACTS.get(str(view["raw"]).rpartition("hostile: ")[2].strip()):
        act()
    return False


_FACTS: Any = {"title": "Hostile", "level": Level.LOW, "condition": Exists("time", True)}
RULES = Ruleset(
    [
        *shipped_rules(),
        Rule(CompiledRule(name="audit_hostile", service="audit", **_FACTS), matches=hostile),
        Rule(CompiledRule(name="server_hostile", service="server", **_FACTS), matches=hostile_message),
    ]
)


def frame(content: Any, sequence: int = 0) -> EncodedFrame:
    encoded = encode(Frame("audit", "log-1", PROCESS, sequence, NOW, NOW, content))
    return EncodedFrame(hashlib.sha256(encoded).hexdigest(), encoded)


def lines(*some: bytes) -> Records:
    return Records(b"".join(line + b"\n" for line in some))


def good(number: int) -> EncodedFrame:
    return frame(lines(entry(number)), number)


def bad(act: str, number: int = 0) -> EncodedFrame:
    return frame(lines(entry(900 + number), entry(number, f"hostile/{act}")), 900 + number)


def refuse(reference: Reference) -> bytes:
    raise FrameError("reference: nothing is there")


@pytest.fixture(autouse=True)
def no_child_is_left() -> Iterator[None]:
    before = children()
    yield
    assert children() <= before


class Swept:
    """What an isolated sweep of a segment gave."""

    def __init__(self, *some: bytes, source: str = "file", damage: str = "", **more: Any) -> None:
        def chunks() -> Iterator[bytes]:
            yield from (line + b"\n" for line in some)
            if damage:
                raise ArchiveError(damage)

        sweep = IsolatedSweep(RULES, UTC, claim=refuse, limits=LIMITS, patience=more.get("patience", Patience(60)))
        found = sweep.segment("key", chunks, f"@unknown/vault-1/{source} ".encode(), "2026-11-21T07:00:00Z")
        self.ids = {alert.id for part in found for alert in part}
        self.findings = sweep.findings
        self.excluded = [json.loads(line) for line in sweep.findings.excluded_lines]
        self.given_up = [one.reason for one in sweep.findings.unreadable]


class Isolated:
    """What an isolated evaluation gave."""

    def __init__(self, frames: list[EncodedFrame], patience: Patience | None = None, **more: Any) -> None:
        evaluation = IsolatedEvaluation(
            RULES,
            UTC,
            claim=more.get("claim", refuse),
            limits=more.get("limits", LIMITS),
            patience=patience or Patience(60),
        )
        self.alerts = [alert for part in evaluation.frames(frames) for alert in part]
        self.findings = evaluation.findings

    @property
    def set_aside(self) -> list[EncodedFrame]:
        return [one.frame for one in self.findings.unreadable]


def in_this_process(frames: list[EncodedFrame], claim: Any = refuse) -> tuple[list[Alert], Findings]:
    evaluation = Evaluation(RULES, UTC, claim=claim, keeps_rejected=True)
    return [alert for part in evaluation.frames(frames) for alert in part], evaluation.findings


def keys(alerts: list[Alert]) -> set[str]:
    return {alert.event_key[-4:] for alert in alerts}


FRAMES = st.lists(
    st.one_of(
        st.integers(0, 99).map(good),
        st.binary(max_size=40).map(lambda data: EncodedFrame(data.hex(), data)),
        st.binary(max_size=40).map(lambda line: frame(lines(b"@prod/vault-1/server " + line.replace(b"\n", b"")))),
        st.just(frame(Heartbeat((Counter("prod", "vault-1", "file", 7, 700),)))),
        st.just(frame(Reference("bucket", "oversize/x", 1, 1, "0" * 64))),
    ),
    unique_by=lambda one: one.name,
    max_size=6,
)


class TestWithoutHostileFrames:
    @given(FRAMES)
    @settings(max_examples=25, deadline=None)
    def test_alerts_and_findings_are_those_of_one_process(self, frames: list[EncodedFrame]) -> None:
        alerts, findings = in_this_process(frames)
        isolated = Isolated(frames)
        assert msgspec.json.encode(isolated.alerts) == msgspec.json.encode(alerts)
        assert msgspec.structs.asdict(isolated.findings) == msgspec.structs.asdict(findings)

    def test_alerts_with_whatever_json_can_hold_arrive_as_the_store_would_return_them(self) -> None:
        odd = entry(1, data={"large": 10**40, "text": "\N{GRINNING FACE}\0"}) + b""
        lone = entry(2).replace(b'"alice"', b'"\\ud800"')
        assert len(Isolated([frame(lines(odd, lone))]).alerts) == 2

    def test_lines_in_s3_are_fetched_by_the_parent(self) -> None:
        body, asked = entry(1) + b"\n", list[int]()

        def claim(reference: Reference) -> bytes:
            asked.append(os.getpid())
            return body

        isolated = Isolated([frame(Reference("bucket", "oversize/x", len(body), 1, "0" * 64))], claim=claim)
        assert len(isolated.alerts) == 1
        assert asked == [os.getpid()]

    def test_a_line_of_96_mib_and_the_entry_behind_it_are_evaluated_in_the_memory_of_the_function(self) -> None:
        """A plain text, which takes little time; `make bench` measures all shapes, with both processes."""
        held = [entry(1, data={"x": "x" * (96 * MIB)})]
        reference = Reference("bucket", "oversize/x", len(held[0]), 1, "0" * 64)
        isolated = Isolated(
            [frame(reference, 1), good(2)],
            claim=lambda _: held.pop(),
            limits=Limits(memory_bytes=640 * MIB, stalled_seconds=600),
            patience=Patience(600),
        )
        assert not isolated.set_aside
        raised = {(alert.rule, alert.event_key[-4:]) for alert in isolated.alerts}
        expected = {
            ("audit_device_enabled", "0001"),
            ("audit_entry_over_budget", "0001"),
            ("audit_device_enabled", "0002"),
        }
        assert raised >= expected

    def test_a_failure_of_the_infrastructure_passes_through_and_sets_nothing_aside(self) -> None:
        def claim(reference: Reference) -> bytes:
            raise ConnectionResetError("S3")

        with pytest.raises(ConnectionResetError):
            Isolated([good(1), frame(Reference("bucket", "oversize/x", 1, 1, "0" * 64))], claim=claim)

    @pytest.mark.parametrize("line", [b"{}", b"x", b"", b'{"a":1}'])
    def test_a_frame_with_more_lines_than_any_log_has_is_set_aside(self, line: bytes) -> None:
        many = frame(Records((line + b"\n") * (MAX_LINES + 1)), 50)
        isolated = Isolated([good(1), many, good(2)])
        assert isolated.set_aside == [many]
        assert "more than any log has" in isolated.findings.unreadable[0].reason
        assert keys(isolated.alerts) == keys(in_this_process([good(1), good(2)])[0])

    def test_a_frame_with_as_many_lines_of_ordinary_size_is_evaluated(self) -> None:
        many = frame(Records((b"x" * (MIN_LINE_BYTES - 1) + b"\n") * (MAX_LINES + 1)), 50)
        evaluation = Evaluation(RULES, UTC, claim=refuse, limits_lines=True)
        assert not [alert for part in evaluation.frames([many]) for alert in part]
        assert not evaluation.findings.unreadable
        assert evaluation.findings.rejected == MAX_LINES + 1

    def test_a_frame_with_more_rejected_lines_than_are_kept_is_set_aside(self) -> None:
        noise = [frame(lines(*[b"x" * 900_000] * 15), number) for number in range(3)]
        isolated = Isolated([good(1), *noise])
        assert isolated.set_aside == noise[2:]
        assert len(isolated.alerts) == 1
        assert sum(len(one.lines) for one in isolated.findings.rejected_lines) <= MAX_KEPT_BYTES


class TestAHostileFrame:
    @pytest.mark.parametrize("act", ACTS)
    @pytest.mark.parametrize("place", [0, 3, 6])
    def test_is_set_aside_alone_with_the_reason_and_all_others_raise_their_alerts(self, act: str, place: int) -> None:
        frames = [good(number) for number in range(6)]
        frames.insert(place, bad(act, place))
        isolated = Isolated(frames)
        assert keys(isolated.alerts) >= {f"{number:04}" for number in range(6)}
        assert isolated.set_aside == [frames[place]]
        assert isolated.findings.unreadable[0].reason.startswith("evaluating it: it ")

    def test_leaves_the_findings_of_the_others_whole(self) -> None:
        others = [good(1), good(2), frame(Heartbeat(())), frame(lines(b"noise"), 7), EncodedFrame("x", b"no frame")]
        isolated = Isolated([*others[:2], bad("kill"), *others[2:]])
        found = msgspec.structs.replace(isolated.findings, unreadable=isolated.findings.unreadable[:1])
        assert msgspec.structs.asdict(found) == msgspec.structs.asdict(in_this_process(others)[1])

    def test_may_come_with_others(self) -> None:
        frames = [bad("kill", 1), good(1), bad("memory", 2), bad("loop", 3), good(2), bad("end", 4)]
        isolated = Isolated(frames)
        assert keys(isolated.alerts) >= {"0001", "0002"}
        assert isolated.set_aside == [frames[0], frames[2], frames[3], frames[5]]

    def test_sets_all_others_aside_too_when_no_time_is_left_for_them(self) -> None:
        frames = [good(1), *(bad("loop", number) for number in range(10)), good(2)]
        began = time.monotonic()
        isolated = Isolated(frames, Patience(1.2))
        assert time.monotonic() - began < 4
        assert len(isolated.set_aside) == len(frames)  # those that are left were not evaluated to their end
        assert keys(isolated.alerts) <= {"0001", "0002"}

    def test_takes_the_less_time_the_more_of_them_there_are(self) -> None:
        limits = Limits(400 * MIB, stalled_seconds=4.0)
        frames = [*(bad("loop", number) for number in range(4)), good(1)]
        began = time.monotonic()
        isolated = Isolated(frames, limits=limits)
        assert keys(isolated.alerts) >= {"0001"}
        assert isolated.set_aside == frames[:4]
        assert time.monotonic() - began < 4 + 2 + 1 + 1 + 4

    def test_is_set_aside_behind_the_harmless_ones_for_which_no_time_was_left(self) -> None:
        frames = [*(bad("loop", number) for number in range(10)), good(2)]
        isolated = Isolated(frames, Patience(1.2))
        assert isolated.set_aside.index(frames[-1]) < isolated.set_aside.index(frames[0])

    def test_is_no_frame_of_many_lines_which_shows_progress_again_and_again(self) -> None:
        progress = mock.Mock()
        many = frame(lines(*(entry(number) for number in range(10 * SLICE_LINES))))
        list(Evaluation(RULES, UTC, claim=refuse, progress=progress).frames([many]))
        assert progress.beat.call_count == 10

    def test_does_not_take_an_answer_with_it_that_was_waiting_for_its_request(self) -> None:
        request = frame(lines(entry(1, kind="request")), 1)
        answer = frame(lines(entry(1, "", kind="response", error="permission denied")), 8)
        isolated = Isolated([request, bad("kill", 5), answer])
        assert [alert.outcome for alert in isolated.alerts] == ["failed"]


def bare(line: bytes) -> bytes:
    return line.partition(b" ")[2]


AUDIT = [bare(entry(number, kind=kind)) for number in range(6) for kind in ("request", "response")]
SERVER = [
    b"==> Vault server configuration:",
    b"2026-11-21T07:59:58.000Z [ERROR] core: failed to unseal:",
    b"  error=",
    b"  | first cause",
    b"2026-11-21T08:00:00.000Z [INFO]  core: vault is unsealed",
    b"==> Vault shutdown triggered",
    b"==> Vault shutdown triggered",
]


@pytest.fixture
def undescribable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Describing a match on a request whose number is 13 ends the process."""

    def describes(verdict: Any, on_error: Any) -> Alert:
        if verdict.event_key.endswith("0013"):
            os.kill(os.getpid(), signal.SIGKILL)
        return alert_of(verdict, on_error)

    monkeypatch.setattr(batches, "alert_of", describes)


@pytest.mark.usefixtures("undescribable")
class TestARequestWithoutAResponse:
    def test_that_ends_the_last_step_is_set_aside_with_its_frame_alone(self) -> None:
        frames = [frame(lines(entry(number, kind="request")), number) for number in (11, 12, 13, 14, 15)]
        isolated = Isolated(frames)
        assert isolated.set_aside == [frames[2]]
        assert keys(isolated.alerts) == {"0011", "0012", "0014", "0015"}

    def test_that_must_wait_no_longer_is_set_aside_with_its_own_frame(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(waiting, "MAX_WAITING", 2)
        frames = [frame(lines(entry(number, kind="request")), number) for number in (13, 11, 12, 14, 15)]
        isolated = Isolated(frames)
        assert isolated.set_aside == [frames[0]]
        assert keys(isolated.alerts) == {"0011", "0012", "0014", "0015"}

    def test_is_excluded_alone_from_its_segment(self) -> None:
        swept = Swept(*(bare(entry(number, kind="request")) for number in range(11, 20)))
        assert len(swept.ids) == 8
        assert [b"0013" in row["line"].encode() for row in swept.excluded] == [True]
        assert swept.given_up == []


class TestARecordOfASegment:
    @pytest.mark.parametrize(("act", "place"), list(zip(ACTS, cycle([0, 5, len(AUDIT)]))))
    def test_that_ends_its_child_is_excluded_alone_with_the_reason(self, act: str, place: int) -> None:
        line = bare(entry(900, f"hostile/{act}"))
        swept = Swept(*AUDIT[:place], line, *AUDIT[place:])
        assert swept.ids == Swept(*AUDIT).ids
        [row] = swept.excluded
        assert row["line"].encode() == line
        assert row["reason"].startswith("evaluating it: it ")
        assert (swept.findings.records, swept.findings.rejected, swept.given_up) == (len(AUDIT), 1, [])

    @pytest.mark.parametrize(
        ("message", "place"),
        [
            *((b"[INFO]  core: hostile: kill", place) for place in (1, len(SERVER))),
            *((b"[INFO]  core: odd:\n  a=\n  | hostile: loop", place) for place in (4, 5)),
        ],
    )
    def test_may_be_a_message_and_ends_neither_the_line_behind_it_nor_identities(
        self, message: bytes, place: int
    ) -> None:
        lines = [*SERVER[:place], *(b"2026-11-21T07:59:59.000Z " + message).split(b"\n"), *SERVER[place:]]
        harmless = [line.replace(b"hostile", b"harmless") for line in lines]
        swept = Swept(*lines, source="server")
        assert swept.ids
        assert swept.ids == Swept(*harmless, source="server").ids
        assert [row["line"].encode().endswith(message[-8:]) for row in swept.excluded] == [True]

    def test_may_come_with_others(self) -> None:
        some = [bare(entry(900 + number, "hostile/end")) for number in range(5)]
        mixed = [line for pair in zip(AUDIT, [*some, *[b""] * 7], strict=True) for line in pair]
        swept = Swept(*mixed)
        assert swept.ids == Swept(*AUDIT).ids
        assert [row["line"].encode() for row in swept.excluded] == some

    def test_may_come_too_often(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(isolated_batches, "MAX_EXCLUDED", 5)
        some = [bare(entry(900 + number, "hostile/end")) for number in range(6)]
        swept = Swept(*AUDIT, *some)
        assert swept.ids == Swept(*AUDIT).ids
        assert swept.given_up == ["evaluating it: it exited with status 0"]

    def test_may_come_fifty_times(self) -> None:
        some = [bare(entry(900 + number, "hostile/end")) for number in range(50)]
        swept = Swept(*some, *AUDIT)
        assert swept.ids == Swept(*AUDIT).ids
        assert len(swept.excluded) == 50

    def test_may_take_all_the_time(self) -> None:
        some = [bare(entry(900 + number, "hostile/loop")) for number in range(20)]
        began = time.monotonic()
        assert len(Swept(*AUDIT, *some, patience=Patience(2)).given_up) == 1
        assert time.monotonic() - began < 5

    def test_leaves_the_damage_behind_it_reported(self) -> None:
        swept = Swept(*AUDIT, bare(entry(900, "hostile/end")), damage="cut off")
        assert swept.given_up == ["cut off"]
        assert len(swept.excluded) == 1


class TestFramesSwept:
    def test_lose_a_hostile_record_alone(self) -> None:
        sweep = IsolatedSweep(RULES, UTC, claim=refuse, limits=LIMITS, patience=Patience(60))
        frames = [good(1), frame(lines(entry(2), entry(3, "hostile/kill"), entry(4)), 5), EncodedFrame("x", b"none")]
        found = [alert for part in sweep.frames(frames) for alert in part]
        assert keys(found) == {"0001", "0002", "0004"}
        assert [one.frame for one in sweep.findings.unreadable] == [frames[2]]
        assert len(sweep.findings.excluded_lines) == 1


def test_no_child_is_left_when_nobody_wants_more() -> None:
    evaluation = IsolatedEvaluation(RULES, UTC, claim=refuse, limits=LIMITS, patience=Patience(60))
    with closing(evaluation.frames([good(1), frame(Reference("b", "oversize/x", 1, 1, "0" * 64))])) as found:
        next(found)
