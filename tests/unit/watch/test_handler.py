"""`watch` evaluates a stream from its first byte to its last, and logs and stores its alerts."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from testbed.slack import SlackStandIn
from tests.support.faults import raise_on
from tests.support.handlers import unread
from tests.support.waiting import HUNG_SECONDS, eventually
from tests.support.watching import FAST, Watching, alerts_in, entry, harmless, numbers, options
from vaultwatch import alerts
from vaultwatch.alerts import alert_of
from vaultwatch.detection import line_reader
from vaultwatch.detection.detector import Detector
from vaultwatch.errors import SettingError
from vaultwatch.reading import server_log
from vaultwatch.rules.conditions import Exists
from vaultwatch.rules.facts import Level
from vaultwatch.rules.pack import CompiledRule, Rule, shipped_rules
from vaultwatch.watch.evaluation import MAX_GATHERED
from vaultwatch.watch.handler import run
from vaultwatch.watch.journal import Journal
from vaultwatch.watch.options import WatchOptions
from vaultwatch.watch.slack_options import WEBHOOK_VARIABLE

RECORDINGS = Path(__file__).parents[2] / "data" / "recordings"
SEALED = b"2026-11-21T07:29:38.191Z [INFO]  core: vault is sealed\n"
NEXT = b"2026-11-21T07:29:38.192Z [INFO]  core: stopping cluster listeners\n"


@pytest.fixture
def good(tmp_path: Path) -> WatchOptions:
    return options(tmp_path)


def alerts_of(good: WatchOptions, data: bytes) -> list[int]:
    """Run a handler on these bytes; return the numbers of the entries in the alert log."""
    with Watching(good) as watching:
        watching.write(data)
    assert good.alert_log is not None
    return numbers(alerts_in(good.alert_log))


def test_an_alert_is_in_the_log_while_the_stream_goes_on(good: WatchOptions) -> None:
    with Watching(good) as watching:
        watching.write(harmless(1) + entry(2) + harmless(3))
        watching.wait_for_alerts(1)
        watching.write(entry(4))
        watching.wait_for_alerts(2)
    assert good.alert_log is not None
    assert numbers(alerts_in(good.alert_log)) == [2, 4]


@pytest.mark.parametrize("log", sorted(RECORDINGS.glob("*/seal-and-return/[as]*")), ids=lambda path: path.name)
def test_check_gives_the_same_ids_for_the_same_lines(good: WatchOptions, log: Path) -> None:
    source = "server" if log.name.startswith("server") else "audit"
    with Watching(replace(good, source=source)) as watching:
        watching.write(log.read_bytes())
    reference = Detector(shipped_rules(), source="server" if source == "server" else "audit")
    found = [*map(alert_of, reference.feed(log.read_bytes().splitlines(keepends=True)) + reference.flush())]
    notified = {alert.id for alert in found if not alert.staged and alert.level is not Level.INFORMATIONAL}
    assert good.alert_log is not None
    assert {alert["id"] for alert in alerts_in(good.alert_log)} == notified


def test_a_line_that_arrives_in_pieces_is_one_line(good: WatchOptions) -> None:
    with Watching(good) as watching:
        for start in range(0, len(entry(1)), 50):
            watching.write(entry(1)[start : start + 50])
            watching.wait_until_read()
    assert good.alert_log is not None
    assert numbers(alerts_in(good.alert_log)) == [1]


def test_a_last_line_without_a_newline_counts(good: WatchOptions) -> None:
    assert alerts_of(good, harmless(1) + entry(2).rstrip(b"\n")) == [2]


def test_an_event_seen_twice_is_one_alert_even_after_a_restart(good: WatchOptions) -> None:
    assert alerts_of(good, entry(1) + entry(1)) == [1]
    assert alerts_of(good, entry(1) + entry(2)) == [1, 2]


def test_the_alert_on_a_request_waits_for_the_response_and_has_its_outcome(good: WatchOptions) -> None:
    with Watching(replace(good, pace=replace(FAST, wait_for_response_seconds=3600))) as watching:
        watching.write(entry(1, kind="request"))
        watching.wait_until_read()
        watching.write(entry(1))
        watching.wait_for_alerts(1)
    assert good.alert_log is not None
    assert [alert["outcome"] for alert in alerts_in(good.alert_log)] == ["succeeded"]


def test_the_alert_on_a_request_without_a_response_is_sent_after_its_wait(good: WatchOptions) -> None:
    with Watching(good) as watching:
        watching.write(entry(1, "sys/seal", kind="request"))
        watching.wait_for_alerts(1)
        assert good.alert_log is not None
        (alert,) = alerts_in(good.alert_log)
        assert (alert["rule"], alert["outcome"]) == ("audit_seal_requested", "unknown")
        eventually(lambda: good.journal_file.read_bytes() == b"")


def test_the_end_of_the_input_ends_the_wait(good: WatchOptions) -> None:
    assert alerts_of(replace(good, pace=replace(FAST, wait_for_response_seconds=3600)), entry(1, kind="request")) == [1]


def test_the_alert_on_a_server_message_is_sent_when_the_next_message_starts(good: WatchOptions) -> None:
    with Watching(replace(good, source="server")) as watching:
        watching.write(SEALED + NEXT)
        watching.wait_for_alerts(1)


def test_the_alert_on_a_server_message_is_sent_without_a_next_message(good: WatchOptions) -> None:
    with Watching(replace(good, source="server")) as watching:
        watching.write(SEALED)
        watching.wait_for_alerts(1)


def test_waiting_alerts_are_on_disk_and_sent_after_a_kill(good: WatchOptions) -> None:
    patient = replace(good, pace=replace(FAST, wait_for_response_seconds=3600))
    with Watching(patient) as watching:
        watching.write(entry(1, kind="request"))
        eventually(lambda: good.journal_file.exists() and good.journal_file.stat().st_size)
        left = good.journal_file.read_bytes()
    assert good.alert_log is not None
    good.alert_log.unlink()
    good.store_file.unlink()
    good.journal_file.write_bytes(left + b'{"torn')
    assert alerts_of(good, b"") == [1]
    assert Journal(good.journal_file).read() == ([], 0)
    assert "a kill left 1 alerts incomplete" in Path(str(good.log_file)).read_text()


def test_acts_within_a_second_of_an_alert_share_a_notification(good: WatchOptions) -> None:
    with SlackStandIn(interval_seconds=0) as slack:
        pace = replace(FAST, gather_seconds=3600, drain_seconds=HUNG_SECONDS)
        with Watching(replace(good, pace=pace, environment={WEBHOOK_VARIABLE: slack.webhook_url})) as watching:
            watching.write(entry(0, principal="bob"))
            watching.wait_for_alerts(1)
            for number in (1, 2, 3):
                watching.write(entry(number, f"sys/audit/p{number}"))
                watching.wait_until_read()
    assert [post.text.partition("MEDIUM: ")[2] for post in slack.messages] == [
        "Audit device enabled",
        "Audit device enabled and 2 more alerts",
    ]


def test_gathered_alerts_are_on_disk_and_stored_once_after_a_kill(good: WatchOptions) -> None:
    pace = replace(FAST, gather_seconds=3600, wait_for_response_seconds=3600)
    with Watching(replace(good, pace=pace)) as watching:
        watching.write(entry(1))
        watching.wait_for_alerts(1)
        watching.write(entry(2, kind="request") + entry(2))
        eventually(lambda: good.journal_file.exists() and good.journal_file.read_bytes().count(b"\n") == 2)
        left = good.journal_file.read_bytes()
    assert good.alert_log is not None
    good.alert_log.unlink()
    good.store_file.unlink()
    good.journal_file.write_bytes(left)
    assert alerts_of(good, b"") == [2]
    assert [alert["outcome"] for alert in alerts_in(good.alert_log)] == ["succeeded"]


def test_a_flood_of_alerts_is_stored_without_a_wait(good: WatchOptions) -> None:
    with Watching(replace(good, pace=replace(FAST, gather_seconds=3600))) as watching:
        watching.write(entry(0))
        watching.wait_for_alerts(1)
        watching.write(b"".join(entry(number) for number in range(1, 1 + MAX_GATHERED)))
        watching.wait_for_alerts(1 + MAX_GATHERED)


def bad_lines() -> Iterator[bytes]:
    yield b"\n\r\n \n"
    yield bytes(range(256)).replace(b"\n", b"") + b"\n"
    yield b"\0" * 5000 + b"\n"
    yield b'{"time":"2026-11-21T07:00:00Z","type":"requ\n'
    yield b"<json:object></json:object>\n"
    yield b"[" * 100_000 + b"\n"
    yield b'{"a":' * 100_000 + b"\n"
    yield b'{"time":1,"type":[],"request":{},"auth":7}\n'
    yield b'{"type":"response","request":{"id":"x","path":{"a":1}},"auth":{"policies":"odd"}}\n'
    yield '{"type":"response","request":{"path":"\ud800"}}\n'.encode("utf-8", "surrogatepass")
    yield b"@a/b/file \n@a/b/file {}\n@/ {}\n"
    yield b"x" * 1_000_000 + b"\n"


@pytest.mark.parametrize("source", ["audit", "server"])
def test_no_line_ends_the_handler_and_each_rejected_line_is_kept(
    good: WatchOptions, tmp_path: Path, source: str
) -> None:
    kept, stats = tmp_path / "rejected", tmp_path / "stats"
    worthy = entry(1) if source == "audit" else SEALED
    with Watching(replace(good, source=source, rejected=kept, stats=stats)) as watching:
        watching.write(b"".join(bad_lines()) + worthy)
    assert good.alert_log is not None
    deepest = "audit_entry_over_budget" if source == "audit" else "server_message_over_budget"
    rule = "audit_device_enabled" if source == "audit" else "server_sealed"
    assert sorted(alert["rule"] for alert in alerts_in(good.alert_log)) == sorted([deepest, deepest, rule])
    figures = json.loads(stats.read_bytes())
    rejected = [json.loads(line) for line in kept.read_bytes().splitlines()] if kept.exists() else []
    assert len(rejected) == figures["rejected"]
    assert all(line["reason"] for line in rejected)
    if source == "audit":
        assert any(line.get("line", "").startswith("<json:object>") for line in rejected)
        assert "x" * 1_000_000 in [line.get("line", "").rstrip("\n") for line in rejected]


def test_the_figures_count_everything_and_record_the_end(good: WatchOptions, tmp_path: Path) -> None:
    stats = tmp_path / "stats"
    counted = replace(good, stats=stats)
    with Watching(counted) as watching:
        watching.write(b"".join(map(harmless, range(500))) + entry(500) + b"nonsense\n")
        eventually(lambda: json.loads(stats.read_bytes() or b"{}").get("alerts"))
        figures = json.loads(stats.read_bytes())
        assert figures == {
            "audit": 501, "server": 0, "rejected": 1, "partial": 0, "undecided": {}, "undated": 0, "future": 0,
            "groups_dropped": 0, "unclear": 0,
                "rule_errors": {}, "alerts": 1,
                "ended": False}  # fmt: skip
    assert json.loads(stats.read_bytes())["ended"] is True


def raising(name: str, error: BaseException) -> Rule:
    def matches(_: object) -> bool:
        raise error

    facts = CompiledRule(name=name, title=name, level=Level.LOW, service="audit", condition=Exists("time", True))
    return Rule(facts, matches=matches)


def test_a_rule_that_raises_is_named_and_counted_and_affects_no_other(good: WatchOptions, tmp_path: Path) -> None:
    odd = replace(good, load_rules=lambda: [raising("odd", KeyError("x")), *shipped_rules()], stats=tmp_path / "stats")
    assert alerts_of(odd, entry(1) + entry(2)) == [1, 2]
    assert json.loads((tmp_path / "stats").read_bytes())["rule_errors"] == {"odd": 2}
    assert Path(str(good.log_file)).read_text().count("rule odd raised KeyError") == 1


def test_a_match_that_cannot_be_described_raises_a_bare_alert_and_is_counted_and_logged(
    good: WatchOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raise_on(monkeypatch, alerts, "sentence", "policy-2")
    counted = replace(good, stats=tmp_path / "stats")
    with Watching(counted) as watching:
        watching.write(entry(1) + entry(2, "sys/audit/policy-2") + entry(3))
    assert good.alert_log is not None
    found = alerts_in(good.alert_log)
    assert [set(alert["record"]) == {"vaultwatch"} for alert in found] == [False, True, False]
    assert json.loads((tmp_path / "stats").read_bytes())["rule_errors"] == {found[1]["rule"]: 1}
    assert f"rule {found[1]['rule']} raised ZeroDivisionError" in Path(str(good.log_file)).read_text()


def test_only_the_line_on_which_reading_raises_is_rejected(
    good: WatchOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raise_on(monkeypatch, line_reader, "read_audit_entry", "injected")
    kept = replace(good, rejected=tmp_path / "rejected", stats=tmp_path / "stats")
    assert alerts_of(kept, entry(1) + b"injected\n" + entry(2)) == [1, 2]
    rejected = json.loads((tmp_path / "rejected").read_bytes())
    assert (rejected["reason"], rejected["line"]) == ("raised ZeroDivisionError", "injected")
    figures = json.loads((tmp_path / "stats").read_bytes())
    assert (figures["audit"], figures["rejected"]) == (2, 1)


def test_a_response_on_which_reading_raises_does_not_reject_its_request(
    good: WatchOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    raise_on(monkeypatch, line_reader, "read_audit_entry", '"response"')
    assert alerts_of(good, entry(1, kind="request") + entry(1)) == [1]


def test_a_message_on_which_reading_raises_does_not_end_the_handler(
    good: WatchOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    raise_on(monkeypatch, server_log, "read_text", "sealed")
    with Watching(replace(good, source="server")) as watching:
        watching.write(SEALED + NEXT)
    assert "ZeroDivisionError" in Path(str(good.log_file)).read_text()


def test_a_pipe_that_was_made_non_blocking_has_not_ended(good: WatchOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other processes that have it open can do that at any time; poll may also wake up without a reason."""
    read = os.read
    raised: list[bool] = []

    def spurious(descriptor: int, size: int) -> bytes:
        if not raised:
            raised.append(True)
            raise BlockingIOError
        return read(descriptor, size)

    with Watching(good) as watching:
        os.set_blocking(watching.reading, False)
        monkeypatch.setattr("vaultwatch.handler.stdin.os.read", spurious)
        watching.write(entry(1))
        watching.wait_for_alerts(1)
    assert raised


def test_an_input_that_fails_ends_the_handler(good: WatchOptions, tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        assert run(good, descriptor) == 0
    finally:
        os.close(descriptor)
    assert "cannot read the input any more: Is a directory" in Path(str(good.log_file)).read_text()


def test_a_closed_input_is_an_error_and_no_other_file_is_read_in_its_place(good: WatchOptions) -> None:
    descriptor = os.open("/dev/null", os.O_RDONLY)
    os.close(descriptor)
    with pytest.raises(SettingError, match="standard input is not open"):
        run(good, descriptor)


class TestWaiting:
    def test_invalid_settings_are_waited_for_without_reading(self, good: WatchOptions, tmp_path: Path) -> None:
        wrong = replace(good, alert_log=tmp_path / "later" / "audit.alert")
        with Watching(wrong) as watching:
            watching.write(entry(1))
            watching.wait_for_log("--alert-log")
            assert unread(watching.reading) == len(entry(1))
            (tmp_path / "later").mkdir()
            watching.wait_for_alerts(1)
        log = Path(str(good.log_file)).read_text()
        assert log.count("No such file or directory: reading is paused until this is fixed") == 1
        assert "the settings are valid after" in log

    def test_an_input_that_ends_empty_ends_the_handler(self, good: WatchOptions, tmp_path: Path) -> None:
        with Watching(replace(good, alert_log=tmp_path / "later" / "audit.alert")) as watching:
            watching.wait_for_log("--alert-log")
        assert "exiting: the input ended empty, before anything was read" in Path(str(good.log_file)).read_text()

    def test_an_input_that_ends_with_lines_in_it_is_not_discarded(self, good: WatchOptions, tmp_path: Path) -> None:
        wrong = replace(good, alert_log=tmp_path / "later" / "audit.alert")
        with Watching(wrong) as watching:
            watching.write(entry(1))
            watching.end()
            watching.wait_for_log("--alert-log")
            (tmp_path / "later").mkdir()
            watching.wait()
        assert numbers(alerts_in(tmp_path / "later" / "audit.alert")) == [1]

    def test_a_state_that_another_process_holds_is_waited_for_without_reading(self, good: WatchOptions) -> None:
        with Watching(good) as first:
            first.write(entry(1))
            first.wait_for_alerts(1)
            with Watching(good) as second:
                second.write(entry(2))
                second.wait_for_log("reading is paused while another process holds")
                assert unread(second.reading) == len(entry(2))
                first.end()
                second.wait_for_alerts(2)
        assert good.alert_log is not None
        assert numbers(alerts_in(good.alert_log)) == [1, 2]

    def test_a_handler_that_waits_for_the_state_exits_when_its_input_ends_empty(self, good: WatchOptions) -> None:
        with Watching(good), Watching(good) as second:
            second.wait_for_log("reading is paused while another process holds")
            second.end()
            second.wait()

    def test_audit_and_server_share_a_state_directory(self, good: WatchOptions) -> None:
        with Watching(good) as audit, Watching(replace(good, source="server")) as server:
            server.write(SEALED + NEXT)
            server.wait_for_alerts(1)
            audit.write(entry(1))
            audit.wait_for_alerts(2)

    @pytest.mark.parametrize("how", ["store", "journal"])
    def test_a_state_that_fails_at_the_start_is_waited_for_without_reading(
        self, good: WatchOptions, how: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("vaultwatch.watch.handler.problems", lambda _: [])
        good.state_directory.mkdir()
        broken = good.store_file if how == "store" else good.journal_file
        broken.mkdir()
        with Watching(good) as watching:
            watching.write(entry(1))
            watching.wait_for_log("reading is paused until this is fixed")
            assert unread(watching.reading) == len(entry(1))
            broken.rmdir()
            watching.wait_for_alerts(1)
        assert "--state: can be used again after" in Path(str(good.log_file)).read_text()
