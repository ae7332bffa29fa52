"""check, watch, evaluate and sweep raise the same alerts on what is new, and on rules that match in order, once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.dynamodb import all_rows
from tests.support.functions import ARCHIVE, AUDIT_TAG, SOCKET_TAG, World, started, total, watching
from tests.support.watching import options
from tests.unit.detection.records import rule
from tests.unit.detection.test_absences import alerts as absent
from tests.unit.detection.test_absences import event, expecting, other
from tests.unit.detection.test_correlation import BEGIN, LOGGED, ids
from tests.unit.detection.test_firsts import BEFORE, DAY, alerts, learning, use
from tests.unit.detection.test_firsts import BEGIN as FIRST_LINE
from tests.unit.detection.test_ordered import TWO, read, write
from vaultwatch.aws.counting import SharedCounting
from vaultwatch.aws.first_seen import SharedFirsts
from vaultwatch.detection.evaluator import Ruleset
from vaultwatch.detection.server import MESSAGE_WAIT_SECONDS
from vaultwatch.rules.conditions import Never
from vaultwatch.rules.correlations import Correlation
from vaultwatch.rules.pack import Rule
from vaultwatch.store.absences import Absences
from vaultwatch.store.sqlite import SqliteStore
from vaultwatch.watch.evaluation import Evaluation
from vaultwatch.watch.recording import Recorder

LIVE = BEGIN.timestamp() - BEFORE * DAY
USES = [use(1, 1), use(2, 6, "bob"), use(3, 8, "carol"), use(4, 9, "carol"), use(5, 9, "bob"), use(6, 10, "dave")]
EXPECTED = {alert.id for alert in alerts([FIRST_LINE, *USES])}


def with_rules(aws: World, name: str, made: Sequence[Rule] = tuple(learning())) -> ModuleType:
    """Return a function that has these rules."""
    module, rules = aws._started(name), Ruleset(made)
    monkeypatch = aws.monkeypatch
    monkeypatch.setattr(module, "RULES", rules)
    monkeypatch.setattr(module, "COUNTING", SharedCounting(rules.correlations, module.COUNTING._open_counts))
    firsts = SharedFirsts(rules.rules, module.MEMORY, module.EXPECTATIONS, 90, of_archive=name == "sweep")
    monkeypatch.setattr(module, "FIRSTS", firsts)
    return module


@pytest.fixture
def live(aws: World) -> World:
    """Return a world in which the rules are live since the first line, as the digest of each minute notes."""
    aws.now = LIVE
    with_rules(aws, "evaluate").STORE().live_since({rule.name: rule.digest for rule in learning()}, LIVE)
    with_rules(aws, "sweep")
    aws.now = LIVE + 10 * DAY
    return aws


def test_there_is_something_to_find() -> None:
    assert len(EXPECTED) == 2


def test_evaluate_raises_what_check_raises_however_it_is_delivered(live: World) -> None:
    frames = [live.frame(*(tag + line for tag in (SOCKET_TAG, AUDIT_TAG))) for line in USES]
    for frame in (*frames, *frames[::-1]):
        live.evaluate(frame)
    assert set(live.alerts()) == EXPECTED
    assert len([one for one in live.published() if one.disposition == "first"]) == 2


def test_sweep_raises_what_evaluate_has_missed_and_nothing_twice(live: World) -> None:
    live.evaluate(live.frame(*(AUDIT_TAG + line for line in USES[:4])))
    assert len(live.alerts()) == 1
    segment = live.archive("00000001-20261121T070000", b"".join(USES))
    for _ in range(2):
        live.sweep(ARCHIVE, segment)
    assert set(live.alerts()) == EXPECTED
    with_rules(live, "evaluate")
    live.evaluate(live.frame(*(AUDIT_TAG + line for line in USES)))
    assert set(live.alerts()) == EXPECTED


def test_an_alert_that_could_not_be_stored_is_raised_when_the_batch_is_delivered_again(live: World) -> None:
    frame = live.frame(*(AUDIT_TAG + line for line in USES))

    def refuse(_number: int, name: str, made: bool) -> None:
        if name == "DynamoDB.TransactWriteItems" and not made:
            raise OSError

    with watching(refuse), pytest.raises(Exception, match="reached"):
        live.evaluate(frame)
    assert live.alerts() == {}
    live.evaluate(frame)
    assert set(live.alerts()) == EXPECTED


def test_while_the_memory_fails_other_alerts_go_on_and_what_was_left_out_is_counted(
    live: World, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = live.frame(*(AUDIT_TAG + line for line in USES))

    def refuse(_number: int, name: str, made: bool) -> None:
        if name == "DynamoDB.BatchGetItem" and not made:
            raise OSError

    with watching(refuse):
        live.evaluate(frame)
    assert total(capsys.readouterr().out, "GroupsDropped") == 4
    live.evaluate(frame)
    assert set(live.alerts()) == EXPECTED


def watched(folder: Path, rules: Sequence[Rule], parts: Iterable[bytes], between: Callable[[], None]) -> set[str]:
    """Return the ids of the alerts that `watch` has stored which is started again for each part."""
    made, stored = replace(options(folder), load_rules=lambda: list(rules)), set[str]()
    for part in parts:
        store = SqliteStore(made.store_file)
        one = Evaluation(made, Recorder(made, store, lambda: None), store, "")
        one.do_due()
        one.feed(part)
        one.finish()
        between()
        with store._database.reading() as db:
            stored = {id_ for (id_,) in db.execute("SELECT id FROM alert")}
        store.close()
    return stored


def test_watch_raises_what_check_raises_across_restarts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moments = [LIVE]
    monkeypatch.setattr("time.time", lambda: moments[-1])
    found = watched(tmp_path, learning(), [b"", *(2 * line for line in USES)], lambda: moments.append(LIVE + 10 * DAY))
    assert found == EXPECTED


class TestOrder:
    """Rules that match one after the other: the same alerts everywhere, in whatever order the records come."""

    LINES = (read(1, 10), write(2, 20), write(3, 610), read(4, 620), read(5, 900), write(6, 1250))
    EXPECTED = frozenset(ids(TWO, LINES))

    def test_there_is_something_to_find(self) -> None:
        assert len(self.EXPECTED) == 2

    def test_evaluate_and_sweep(self, aws: World) -> None:
        for name in ("evaluate", "sweep"):
            with_rules(aws, name, TWO)
        for line in reversed(self.LINES):
            aws.evaluate(aws.frame(AUDIT_TAG + line, SOCKET_TAG + line))
        assert set(aws.alerts()) == self.EXPECTED
        for name, part in (("00000001-20261121T070000", self.LINES[1::2]), ("00000002-20261121T070001", self.LINES)):
            aws.sweep(ARCHIVE, aws.archive(name, b"".join(part)))
        assert set(aws.alerts()) == self.EXPECTED

    def test_what_evaluate_and_sweep_have_each_seen_a_half_of(self, aws: World) -> None:
        for name in ("evaluate", "sweep"):
            with_rules(aws, name, TWO)
        aws.evaluate(aws.frame(*(AUDIT_TAG + line for line in self.LINES[1::2])))
        assert aws.alerts() == {}
        aws.sweep(ARCHIVE, aws.archive("00000001-20261121T070000", b"".join(self.LINES[::2])))
        assert set(aws.alerts()) == self.EXPECTED

    def test_watch(self, tmp_path: Path) -> None:
        assert watched(tmp_path, TWO, [b"".join(reversed(self.LINES))], lambda: None) == self.EXPECTED


@pytest.mark.every_rule
class TestAbsence:
    """What does not come: digest and watch raise it when it is due, with the id that check gives it."""

    LINES = (event(0), event(24), event(12))
    EXPECTED = frozenset(alert.id for alert in absent([*LINES, other(100)]))
    DUE = LIVE + 50 * 3600

    def raised(self, aws: World) -> list[str]:
        found = list(aws.alerts())
        aws.digest()
        return [id_ for id_ in aws.alerts() if id_ not in found]

    @pytest.fixture
    def ready(self, aws: World) -> World:
        rules = expecting()
        for name in ("evaluate", "sweep"):
            with_rules(aws, name, rules)
        digest = started("digest", few=False)
        aws.monkeypatch.setattr(digest, "ABSENCES", Absences(rules, digest.ABSENCES._expectations))
        aws.now = LIVE + 25 * 3600
        return aws

    def test_there_is_something_to_find(self) -> None:
        assert len(self.EXPECTED) == 1

    def test_digest_raises_it_once_in_the_minute_in_which_it_is_due(self, ready: World) -> None:
        for line in self.LINES:
            ready.evaluate(ready.frame(line, line.replace(b"/file", b"/socket")))
        ready.now = self.DUE - 1
        assert self.raised(ready) == []
        ready.now = self.DUE
        assert set(self.raised(ready)) == self.EXPECTED
        assert len([one for one in ready.published() if one.disposition == "first"]) == 1
        assert [row for row in all_rows() if row["sk"]["S"] == "expected" and "due_at" in row] == []
        ready.sweep(ARCHIVE, ready.archive("00000001-20261121T070000", b"".join(self.LINES), "audit"))
        ready.now += 60
        assert self.raised(ready) == []

    def test_what_only_sweep_has_seen_is_expected_too_and_what_comes_in_time_raises_nothing(self, ready: World) -> None:
        ready.sweep(ARCHIVE, ready.archive("00000001-20261121T070000", b"".join(self.LINES), "audit"))
        ready.now = self.DUE - 3600
        ready.evaluate(ready.frame(event(49)))
        ready.now = self.DUE
        assert self.raised(ready) == []
        ready.now = self.DUE + 25 * 3600
        assert len(self.raised(ready)) == 1

    def test_nothing_is_expected_of_a_cluster_that_the_archive_does_not_name(self, ready: World) -> None:
        untagged = b"".join(event(hour, tag=b"") for hour in (0, 12, 24))
        ready.sweep(ARCHIVE, ready.archive("00000001-20261121T070000", untagged, "audit-file"))
        assert [row for row in all_rows() if row["sk"]["S"] == "expected" and "due_at" in row] == []
        ready.evaluate(ready.frame(event(24, tag=b"@unknown/vault-1/file ")))  # a cluster may have this name
        assert len([row for row in all_rows() if row["sk"]["S"] == "expected" and "due_at" in row]) == 1

    def test_watch_raises_it_by_its_clock(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        moments = [LIVE + 25 * 3600]
        monkeypatch.setattr("time.time", lambda: moments[-1])
        parts = [b"".join(self.LINES), b"", b""]
        later = iter([self.DUE - 1, self.DUE, self.DUE + 60])
        found = watched(tmp_path, expecting(), parts[:2], lambda: moments.append(next(later)))
        assert found == set()
        assert watched(tmp_path, expecting(), parts[2:], lambda: moments.append(next(later))) == self.EXPECTED

    def test_watch_expects_also_what_the_last_message_of_the_server_log_says(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nothing marks the last line of a message, so it is complete once a second has passed without another."""
        clock, correlation = [0.0], Correlation(type="absence", rules=("logged",), threshold=0, timespan_seconds=86_400)
        rules = [LOGGED, rule(Never(), "missing", "server", correlation=correlation)]
        monkeypatch.setattr("time.monotonic", lambda: clock[0])
        made = replace(options(tmp_path), load_rules=lambda: rules, source="server")
        store = SqliteStore(made.store_file)
        one = Evaluation(made, Recorder(made, store, lambda: None), store, "")
        one.feed(datetime.now(UTC).isoformat().encode() + b" [ERROR] core: failed: x=1\n")
        assert store.due(math.inf) == []
        clock[0] += MESSAGE_WAIT_SECONDS
        one.do_due()
        assert [expected.rule for expected in store.due(math.inf)] == ["missing"]
