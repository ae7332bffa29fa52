"""`vaultwatch check`: its output, its files and its exit status."""

from __future__ import annotations

import base64
import bz2
import gc
import gzip
import json
import lzma
import os
import random
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import pytest
import zstandard

from tests.support.archives import tarred, zipped
from tests.support.faults import raise_on
from tests.unit.rules.sigma import sigma
from vaultwatch import alerts
from vaultwatch.cli import check_run, main
from vaultwatch.cli.check_output import FORMATS
from vaultwatch.cli.check_run import Run

DATA = Path(__file__).parents[2] / "data" / "recordings" / "vault-1.14.2"
AUDIT = DATA / "generate-root" / "audit.jsonl"
SEALED_TEXT = (
    '{"time":"2026-11-21T07:29:41Z","type":"request","request":{"id":"e1","path":"sys/seal","operation":"update"}}\n'
)
SERVER = DATA / "generate-root" / "server.log"
KEYS = {
    *("id", "rule", "title", "level", "service", "time", "event_key", "outcome", "summary", "principal"),
    *("path", "namespace", "remote_address", "cluster", "node", "record"),
}


class Ran(NamedTuple):
    status: int
    out: str
    err: str

    @property
    def alerts(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def records(self) -> list[dict[str, Any]]:
        """The alerts, wherever their records are."""
        return [{name: value for name, value in alert.items() if name != "source"} for alert in self.alerts]

    @property
    def rules(self) -> list[str]:
        return [alert["rule"] for alert in self.alerts]


Check = Callable[..., Ran]


@pytest.fixture
def check(capfd: pytest.CaptureFixture[str]) -> Iterator[Check]:
    """Runs the command in this process; its changes to the garbage collector are undone."""
    threshold = gc.get_threshold()

    def run(*arguments: object) -> Ran:
        status = main(["check", *map(str, arguments)])
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return Ran(status, out, err)

    yield run
    gc.set_threshold(*threshold)
    gc.unfreeze()


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder of rules: one for each level, one staged."""
    folder = tmp_path / "own"
    folder.mkdir()
    for level in ("informational", "low", "medium", "high", "critical"):
        text = sigma("s: {request.path: sys/seal}\ncondition: s", name=f"own_{level}")
        (folder / f"own_{level}.yml").write_text(text.replace("level: low", f"level: {level}"))
    staged = sigma("s: {request.path: sys/seal}\ncondition: s", name="own_staged", more="status: experimental\n")
    (folder / "own_staged.yml").write_text(staged.replace("level: low", "level: critical"))
    return folder


@pytest.fixture
def seal(tmp_path: Path) -> Path:
    path = tmp_path / "seal.jsonl"
    entry = {"time": "2026-11-21T07:29:41.1Z", "type": "request", "request": {"id": "e1", "path": "sys/seal"}}
    entry["request"] |= {"operation": "update"}  # type: ignore[operator]
    path.write_text(json.dumps(entry) + "\n")
    return path


class TestAlerts:
    def test_one_per_rule_and_event_however_many_files_contain_it(self, check: Check) -> None:
        once = check("--format", "json", AUDIT)
        twice = check("--format", "json", AUDIT, AUDIT, DATA / "generate-root" / "audit.jsonl")
        assert once.alerts == twice.alerts
        assert len({alert["id"] for alert in once.alerts}) == len(once.alerts) == 7
        assert once.status == 1

    def test_both_logs_are_recognised(self, check: Check) -> None:
        found = check("--format", "json", AUDIT, SERVER)
        assert {alert["service"] for alert in found.alerts} == {"audit", "server"}
        assert "0 rejected" in found.err

    def test_the_fields_of_json(self, check: Check) -> None:
        for alert in check("--format", "json", "--level", "informational", AUDIT, SERVER).alerts:
            assert alert.keys() >= KEYS
            assert isinstance(alert["record"], dict)
        entries = [json.loads(line) for line in AUDIT.read_text().splitlines()]
        logged = {(entry["request"]["id"], entry["time"], entry["request"]["path"]) for entry in entries}
        for alert in check("--format", "json", AUDIT).alerts:
            assert (alert["event_key"], alert["time"], alert["path"]) in logged

    def test_each_names_the_file_and_the_line_of_its_record(self, check: Check, tmp_path: Path) -> None:
        lines = AUDIT.read_text().splitlines() + SERVER.read_text().splitlines()
        (tmp_path / "both").write_text("\n\n" + "\n".join(lines) + "\n")
        for alert in check("--format", "json", tmp_path / "both").alerts:
            assert alert["source"]["file"] == f"{tmp_path}/both"
            text = lines[alert["source"]["line"] - 3]
            assert (alert["event_key"] in text) if alert["service"] == "audit" else (text == alert["record"]["raw"])
        assert "(both:" in check(tmp_path / "both").out.splitlines()[1]

    def test_are_in_the_order_of_their_time(self, check: Check, own: Path, tmp_path: Path) -> None:
        for name in "ab":
            entries = [(f"2026-11-21T0{hour}:00:00Z", f"{name}{hour}") for hour in (7, 5, 6)]
            text = '{"type":"response","time":"%s","request":{"id":"%s","path":"sys/seal"}}\n'
            (tmp_path / name).write_text("".join(text % entry for entry in entries))
        options = ("--rules", own, "--level", "critical", tmp_path / "a", tmp_path / "b")
        in_json = [alert["time"] for alert in check("--format", "json", *options).alerts]
        in_table = [line[:20] for line in check(*options).out.splitlines()[1:]]
        for found in (in_json, in_table):
            assert found == sorted(found)
            assert len(found) == 6

    def test_one_on_a_request_whose_response_is_in_the_next_file_names_the_file_of_the_request(
        self, check: Check, own: Path, seal: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "next").write_text(seal.read_text().replace("request", "response", 1))
        found = check("--rules", own, "--level", "critical", "--format", "json", seal, tmp_path / "next")
        assert [(alert["source"], alert["outcome"]) for alert in found.alerts] == [
            ({"file": str(seal), "line": 1}, "succeeded")
        ]

    def test_levels(self, check: Check, own: Path, seal: Path) -> None:
        names = ["informational", "low", "medium", "high", "critical"]
        for number, level in enumerate(names):
            found = check("--rules", own, "--level", level, "--format", "json", seal)
            assert sorted(found.rules) == sorted(f"own_{name}" for name in names[number:])
        assert sorted(check("--rules", own, "--format", "json", seal).rules) == sorted(
            f"own_{name}" for name in names[1:]
        )

    def test_levels_may_be_in_capitals(self, check: Check, own: Path, seal: Path) -> None:
        assert check("--rules", own, "--level", "HIGH", "--format", "json", seal).rules == ["own_critical", "own_high"]

    def test_nothing_to_show_is_status_0(self, check: Check, own: Path, seal: Path) -> None:
        for name in ("low", "medium", "high", "critical"):
            (own / f"own_{name}.yml").unlink()
        found = check("--rules", own, seal)
        assert (found.status, found.out) == (0, "")
        assert "1 audit entry, 0 server messages, 0 rejected lines, 0 alerts" in found.err

    def test_staged_rules_are_never_shown(self, check: Check, own: Path, seal: Path) -> None:
        assert "own_staged" not in check("--rules", own, "--level", "informational", seal).out

    def test_staged_rules_that_matched_are_named_before_the_closing_line(
        self, check: Check, own: Path, seal: Path, tmp_path: Path
    ) -> None:
        found = check("--rules", own, "--stats", tmp_path / "stats", seal, seal)
        note, closing = found.err.splitlines()
        assert note == "alerts not shown, because their rules are experimental: own_staged (1)"
        assert closing.startswith("2 audit entries, 0 server messages, 0 rejected lines, 4 alerts, ")
        assert json.loads((tmp_path / "stats").read_text())["alerts"] == 4

    def test_a_staged_rule_below_the_level_is_not_named(self, check: Check, own: Path, seal: Path) -> None:
        staged = own / "own_staged.yml"
        staged.write_text(staged.read_text().replace("level: critical", "level: low"))
        assert "not shown" in check("--rules", own, seal).err
        assert "experimental" not in check("--rules", own, "--level", "medium", seal).err

    def test_of_many_staged_rules_the_most_frequent_are_named(self, check: Check, own: Path, tmp_path: Path) -> None:
        for name in "abcdefg":
            detection = f"s: {{request.path|contains: {name}}}\ncondition: s"
            (own / f"{name}.yml").write_text(sigma(detection, name=name, more="status: experimental\n"))
        entries = [{"type": "request", "request": {"id": path, "path": path}} for path in ("abcdefg", "g")]
        log = tmp_path / "log"
        log.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
        named = "g (2), a (1), b (1), c (1), d (1), 2 more (2)"
        note = f"alerts not shown, because their rules are experimental: {named}"
        assert check("--rules", own, log).err.splitlines()[0] == note

    def test_several_directories_of_rules(self, check: Check, own: Path, seal: Path, tmp_path: Path) -> None:
        second = tmp_path / "second"
        second.mkdir()
        (second / "other.yml").write_text(sigma("s: {request.path|contains: seal}\ncondition: s", name="other"))
        (second / "mine.py").write_text(
            "from vaultwatch.rules.python_rules import rule\n"
            "@rule(title='Mine', level='low', service='audit')\n"
            "def mine(entry):\n    return entry['request']['id'] == 'e1'\n"
        )
        found = check("--rules", own, "--rules", second, "--level", "low", "--format", "json", seal)
        assert {"other", "mine", "own_low"} < set(found.rules)

    def test_a_rule_that_raises_is_named_and_the_others_continue(self, check: Check, own: Path, seal: Path) -> None:
        (own / "bad.py").write_text(
            "from vaultwatch.rules.python_rules import rule\n"
            "@rule(title='Bad', level='low', service='audit')\n"
            "def bad(entry):\n    raise ValueError('a\\x1b[31m\\nb')\n"
        )
        found = check("--rules", own, "--format", "json", seal)
        assert found.status == 2
        assert len(found.alerts) == 4
        assert r"rule bad raised on 1 record: ValueError: a\u001b[31m\nb" in found.err

    def test_a_match_that_cannot_be_described_is_shown_as_a_bare_alert_and_named(
        self, check: Check, own: Path, seal: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = check("--rules", own, "--format", "json", seal)
        raise_on(monkeypatch, alerts, "sentence", "")
        bare = check("--rules", own, "--format", "json", seal)
        assert [(alert["id"], alert["level"]) for alert in bare.alerts] == [
            (alert["id"], alert["level"]) for alert in whole.alerts
        ]
        assert all(alert["record"].keys() == {"vaultwatch"} for alert in bare.alerts)
        for rule in bare.rules:
            assert f"rule {rule} raised on 1 record: ZeroDivisionError" in bare.err

    def test_the_table_contains_no_terminal_sequence(self, check: Check, own: Path, tmp_path: Path) -> None:
        evil = "\x1b]0;x\x07\x1b[2J\u202e\r\n"
        entry = {
            "type": "request", "time": evil, "auth": {"display_name": evil},
            "request": {"id": evil, "path": "sys/seal", "remote_address": evil, "namespace": {"path": evil}},
        }  # fmt: skip
        path = tmp_path / "evil.jsonl"
        path.write_text(json.dumps(entry))
        found = check("--rules", own, path)
        assert found.status == 1
        assert all(line.isprintable() for line in found.out.splitlines())
        assert len(found.out.splitlines()) == 1 + 4
        assert r"\u001b[2J\u202e\r\n" in found.out

    def test_groups_have_counts_times_outcomes_and_paths_the_most_important_first(self, check: Check) -> None:
        changes = DATA / "audit-device-changes" / "audit.jsonl"
        shown = check("--groups", "--rule", "audit_device_disabled", changes).out.splitlines()
        assert shown[:4] == [
            "critical      Audit device disabled (audit_device_disabled)",
            shown[1],
            "              2026-11-21T07:29:43, first in audit.jsonl:23",
            "              on sys/audit/raw, sys/audit/pre, sys/audit/x",
        ]
        assert shown[1].startswith("              3 x by userpass-alice")
        assert shown[1].endswith("from 127.0.0.1: succeeded")
        assert "approle app" in shown[6]
        assert shown[6].endswith("denied or failed")

    def test_a_group_of_a_rule_that_counts_has_the_sentence_of_its_first_alert(self, check: Check) -> None:
        rule = ("--rule", "audit_secrets_read_in_bulk")
        read = DATA.parent / "openbao-2.6.2" / "mass-read" / "audit.jsonl"
        [alert] = check("--format", "json", *rule, read).out.splitlines()
        summary = json.loads(alert)["summary"]
        assert "at least 50 different paths in the 10 minutes from 2026" in summary
        shown = check("--groups", *rule, read).out.splitlines()
        assert shown[1].startswith("              1 x by userpass-alice")
        assert shown[2] == f"              {summary}"
        assert "first in audit.jsonl:" in shown[3]

    def test_groups_of_server_messages_have_no_outcome_and_may_have_no_time(self, check: Check) -> None:
        shown = check("--groups", DATA / "ordinary-restart" / "server.log").out.splitlines()
        assert shown[:3] == [
            "low           Server shut down (server_shutdown)",
            "              1 x on the server",
            "              without a time, first in server.log:1",
        ]

    @pytest.mark.parametrize("form", ["--groups", "--alerts", *(f"--format={form}" for form in FORMATS)])
    def test_how_many_rules_had_no_log_to_look_at_is_said_beside_any_format(self, check: Check, form: str) -> None:
        log = DATA / "ordinary-restart" / "server.log"
        found = check(form, "--level", "critical", log)
        assert re.fullmatch(r"No audit log was read: \d+ rules had nothing to look at\.", found.err.splitlines()[0])
        assert "had nothing to look at" not in found.out or form == "--format=html"
        assert "had nothing to look at" not in check(form, DATA / "audit-device-changes" / "audit.jsonl", log).err

    def test_only_rules_that_are_asked_for_had_nothing_to_look_at(self, check: Check) -> None:
        rules = ("--rule", "audit_device_disabled", "--rule", "server_sealed")
        assert "No server log was read: 1 rule had nothing to look at." in check(*rules, AUDIT).err
        assert "nothing to look at" not in check("--rule", "audit_*", AUDIT).err
        assert "nothing to look at" not in check("--exclude", "server_*", AUDIT).err
        assert "nothing to look at" not in check("-q", AUDIT).err

    def test_behind_groups_is_who_and_where(self, check: Check) -> None:
        shown = check("--groups", DATA / "audit-device-changes" / "audit.jsonl").out.splitlines()
        by, origin, on = shown[shown.index("", len(shown) - 6) + 1 :][:3]
        assert re.fullmatch(r"Alerts by     userpass-alice \(.*\) \(8\), approle app .*", by)
        assert origin == "Alerts from   127.0.0.1 (9)"
        assert on == "Alerts on     sys/ (9)"
        assert "Alerts by" not in check("--alerts", DATA / "audit-device-changes" / "audit.jsonl").out
        assert "Alerts by" not in check("--groups", SERVER).out

    def test_a_terminal_gets_colours_unless_no_color_is_set(
        self, check: Check, monkeypatch: pytest.MonkeyPatch, seal: Path
    ) -> None:
        monkeypatch.setattr("click.utils.should_strip_ansi", lambda *_: False)
        monkeypatch.delenv("NO_COLOR", raising=False)
        assert "\x1b[" in check("--groups", seal).out
        monkeypatch.setenv("NO_COLOR", "1")
        assert "\x1b[" not in check("--groups", seal).out

    def test_quiet_leaves_the_exit_status_and_errors(self, check: Check, seal: Path, tmp_path: Path) -> None:
        for option in ("-q", "--quiet"):
            assert check(option, seal) == (1, "", "")
            assert check(option, "--rule", "audit_device_disabled", seal) == (0, "", "")
        found = check("-q", tmp_path / "missing")
        assert (found.status, found.out, len(found.err.splitlines())) == (2, "", 1)

    def test_quiet_says_of_a_folder_only_why_its_status_is_2(self, check: Check, seal: Path, tmp_path: Path) -> None:
        folder = tmp_path / "folder"
        folder.mkdir()
        for number in range(12):
            (folder / f"notes-{number}").write_text("plain\n")
        (folder / "torn").write_text('{"type":\n' * 2 + seal.read_text())
        (folder / "own.alert").write_text(check("--format", "json", seal).out)
        (folder / "good").write_text(seal.read_text())
        assert len(check(folder).err.splitlines()) == 5  # the notes, what is torn, what is ours, the lack, the counts
        assert check("-q", folder) == (1, "", "")
        (folder / "cut.gz").write_bytes(gzip.compress(b"plain\n")[:-1])
        found = check("-q", folder)
        assert (found.status, found.err.splitlines()[1:]) == (2, [])
        assert found.err.startswith(f"vaultwatch: {folder}/cut.gz: ")
        for name in ("torn", "cut.gz", "good"):
            (folder / name).unlink()
        names = "notes-0, notes-1, notes-10, ..."
        said = f"vaultwatch: {folder}: nothing can be read of 12 files ({names}); their first lines: no JSON object in"
        found = check("-q", folder)
        assert (found.status, found.err.startswith(said), len(found.err.splitlines())) == (2, True, 1)

    def test_quiet_says_nothing_of_a_log_that_is_mostly_rejected_if_it_has_raised_an_alert(
        self, check: Check, seal: Path, tmp_path: Path
    ) -> None:
        torn = tmp_path / "torn"
        torn.write_text('{"type":\n' * 2 + seal.read_text())
        assert check("-q", torn) == (1, "", "")
        found = check("-q", "--rule", "audit_device_disabled", torn)
        assert (found.status, found.out, len(found.err.splitlines())) == (2, "", 1)
        assert found.err.startswith(f"vaultwatch: {torn}: only 1 record can be read, and 2 lines cannot; the first: ")
        found = check("-q", torn, tmp_path / "missing")
        assert (found.status, found.err.count("\n"), "torn" in found.err) == (2, 1, False)

    def test_html_is_the_page_of_report(self, check: Check, seal: Path) -> None:
        found = check("--format", "html", seal)
        assert found.status == 1
        assert found.out.startswith("<!doctype html>")
        assert "vaultwatch check --format html" in found.out

    def test_no_page_is_written_of_what_is_no_log(self, check: Check, tmp_path: Path) -> None:
        (tmp_path / "core").write_bytes(b"\x93\x00\n\xfe\n")
        assert check("--format", "html", tmp_path / "core")[:2] == (2, "")

    @pytest.mark.parametrize(
        ("address", "hint"),
        [
            ("https://example.org/a.log?x=1", "curl -fsSL 'https://example.org/a.log?x=1' | vaultwatch check"),
            ("gs://bucket/a.log", "download it first"),
        ],
    )
    def test_an_address_is_not_read(self, check: Check, address: str, hint: str) -> None:
        found = check(address)
        assert found.status == 2
        assert f"vaultwatch: {address}: addresses are not read; {hint}\n" in found.err

    @pytest.mark.parametrize("form", ["html", "sarif", "junit"])
    def test_what_cannot_be_read_is_no_log_without_alerts(self, check: Check, tmp_path: Path, form: str) -> None:
        found = check("--format", form, tmp_path / "missing.log")
        assert found.status == 2
        assert "missing.log: No such file or directory" in found.err
        if form == "html":
            assert found.out == ""
            assert found.err.splitlines()[-1] == "no page is written, because no log could be read"
        elif form == "sarif":
            (invocation,) = json.loads(found.out)["runs"][0]["invocations"]
            assert invocation["executionSuccessful"] is False
            assert "missing.log" in invocation["toolExecutionNotifications"][0]["message"]["text"]
        else:
            suite = ElementTree.fromstring(found.out)[0]
            assert (suite.get("errors"), suite.get("tests")) == ("1", str(len(suite)))
            assert "missing.log" in str(suite[0][0].text)

    def test_a_path_in_a_group_imitates_no_other(self, check: Check, tmp_path: Path) -> None:
        log = tmp_path / "log"
        entry = (DATA / "audit-device-changes" / "audit.jsonl").read_bytes().split(b"\n")[22]
        log.write_bytes(entry.replace(b'"path":"sys/audit/raw"', b'"path":"sys/audit/raw, x"') + b"\n")
        assert '              on "sys/audit/raw, x"' in check("--groups", log).out.splitlines()

    @pytest.mark.parametrize(
        ("options", "count"),
        [
            (["--rule", "audit_device_*"], 7),
            (["--exclude", "audit_*"], 0),
            (["--principal", "ALICE"], 8),
            (["--since", "2026-11-21T07:29:43.123Z"], 1),
            (["--since", "2026-11-21T07:29:43.123"], 1),
            (["--since", "2026-11-21 07:29", "--until", "2026-11-22"], 9),
            (["--until", "2026-11-21"], 0),
            (["--until", "2026-11-21T08:29:43.05+01:00"], 1),
        ],
    )
    def test_can_be_selected(self, check: Check, options: list[str], count: int) -> None:
        changes = DATA / "audit-device-changes" / "audit.jsonl"
        found = check("--format", "json", *options, changes)
        assert (len(found.alerts), found.status) == (count, int(count > 0))

    def test_what_is_not_selected_is_counted_in_one_line(self, check: Check) -> None:
        changes = DATA / "audit-device-changes" / "audit.jsonl"
        assert "2 more alerts not shown (--level)" in check("--level", "medium", changes).err.splitlines()
        found = check("--principal", "zzz", "--level", "critical", changes, changes).err.splitlines()
        (line,) = (line for line in found if "not shown" in line)
        assert line.startswith("9 alerts not shown (--level: ")
        assert "not shown" not in check(changes).err

    def test_what_is_not_selected_is_no_more_if_nothing_is_shown(self, check: Check) -> None:
        changes = DATA / "audit-device-changes" / "audit.jsonl"
        assert "9 alerts not shown (--principal)" in check("--principal", "zzz", changes).err.splitlines()

    def test_time_zones(self, check: Check, tmp_path: Path, seal: Path) -> None:
        (tmp_path / "hour.yml").write_text(sigma("s: {local.hour: 16, local.weekday: 6}\ncondition: s", name="hour"))
        assert check("--rules", tmp_path, "--timezone", "Asia/Tokyo", seal).status == 1
        assert check("--rules", tmp_path, seal).status == 0


class TestFiles:
    @pytest.mark.parametrize(
        ("name", "encode"),
        [
            ("log.txt", bytes),
            ("log.zst", bytes),
            ("log.gz", gzip.compress),
            ("log", gzip.compress),
            ("log.zst", gzip.compress),
            ("log", lambda data: gzip.compress(data[:999]) + gzip.compress(data[999:])),
            ("log.gz", lambda data: gzip.compress(data[:999]) + data[999:]),
            ("log.gz", lambda data: gzip.compress(data[:999]) + bytes(8) + gzip.compress(data[999:5999]) + data[5999:]),
            ("log.bz2", lambda data: bz2.compress(data[:-2]) + data[-2:]),
            ("log.xz", lambda data: lzma.compress(data[:999]) + data[999:]),
            ("log.zst", zstandard.compress),
            ("log.gz", zstandard.compress),
            ("log", lambda data: zstandard.compress(data[:999]) + zstandard.compress(data[999:])),
            ("log", lambda data: zstandard.ZstdCompressor(write_content_size=False).compress(data)),
            ("log.bz2", bz2.compress),
            ("log", lambda data: bz2.compress(data[:999]) + bz2.compress(data[999:])),
            ("log.xz", lzma.compress),
            ("log", lambda data: lzma.compress(data[:999]) + bytes(8) + lzma.compress(data[999:])),
            ("log.bz2.gz", lambda data: gzip.compress(bz2.compress(data))),
            ("log.zip", lambda data: zipped({"audit.log": data})),
            ("log.tgz", lambda data: gzip.compress(tarred({"audit.log": data}))),
            ("log.tar.xz", lambda data: lzma.compress(tarred({"a" * 200 + "/audit.log.gz": gzip.compress(data)}))),
            ("utf-16", lambda data: data.decode().encode("utf-16")),
            ("utf-16-be", lambda data: b"\xfe\xff" + data.decode().encode("utf-16-be")),
            ("utf-8", lambda data: b"\xef\xbb\xbf" + data),
        ],
    )
    def test_are_known_by_their_content(self, check: Check, tmp_path: Path, name: str, encode: Any) -> None:
        path = tmp_path / name
        path.write_bytes(encode(AUDIT.read_bytes()))
        assert check("--format", "json", path).records == check("--format", "json", AUDIT).records

    @pytest.mark.parametrize("compress", [gzip.compress, zstandard.ZstdCompressor(write_checksum=True).compress])
    @pytest.mark.parametrize("damage", ["cut", "cut at the end", "changed", "garbage behind"])
    def test_a_damaged_one_counts_as_far_as_it_was_read(
        self, check: Check, tmp_path: Path, seal: Path, compress: Any, damage: str
    ) -> None:
        entries = [f'{{"type":"request","request":{{"id":"e{number}","path":"p"}}}}\n' for number in range(50_000)]
        whole = compress("".join(entries).encode())
        middle = len(whole) // 2
        damaged = {
            "cut": whole[:middle],
            "cut at the end": whole[:-1],
            "changed": whole[:middle]
            + bytes(byte ^ 0xFF for byte in whole[middle : middle + 64])
            + whole[middle + 64 :],
            "garbage behind": whole + b"\1\xff garbage",
        }[damage]
        path = tmp_path / "damaged"
        path.write_bytes(damaged)
        found = check("--format", "json", path, seal)
        assert found.status == 2
        assert "damaged: " in found.err.splitlines()[0]
        assert found.err.splitlines()[0].startswith(f"vaultwatch: {path}: ")
        assert len(found.alerts) == 1
        read = int(found.err.splitlines()[-1].split()[0].replace(",", ""))
        assert read >= 10_000 if damage.startswith("cut") else read > 1

    @pytest.mark.parametrize("begins", [gzip.compress(b"x" * 99)[:10], zstandard.compress(b"x" * 99)[:5]])
    def test_one_that_only_begins_like_a_compressed_file_is_damaged(
        self, check: Check, tmp_path: Path, begins: bytes
    ) -> None:
        (tmp_path / "file").write_bytes(begins + b"\xff" * 200)
        found = check(tmp_path / "file")
        assert found.status == 2
        assert "damaged: " in found.err

    def test_the_last_line_before_the_damage_is_accounted_for(self, check: Check, tmp_path: Path) -> None:
        path = tmp_path / "cut.zst"
        frame = zstandard.ZstdCompressor().compressobj()
        path.write_bytes(frame.compress(AUDIT.read_bytes()[:-50]) + frame.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK))
        found = check(path)
        assert found.status == 2
        assert "17 audit entries, 0 server messages, 1 rejected line " in found.err

    @pytest.mark.parametrize("content", [b"", b"\n", b"\n\n  \n\r\n", gzip.compress(b""), zstandard.compress(b"")])
    def test_an_empty_one_is_an_error_unless_it_is_allowed(self, check: Check, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "empty"
        path.write_bytes(content)
        found = check(path)
        assert (found.status, found.out) == (2, "")
        assert found.err.splitlines()[0].startswith(f"vaultwatch: {path}: there is no log to read: it is empty")
        allowed = check("--allow-empty", path)
        assert (allowed.status, allowed.out) == (0, "")
        assert allowed.err.startswith("0 audit entries, 0 server messages, 0 rejected lines, 0 alerts")

    def test_one_that_cannot_be_opened_is_named_and_the_others_are_read(
        self, check: Check, tmp_path: Path, seal: Path
    ) -> None:
        names = [tmp_path / "no\x1b[2Jwhere", "a\nb", "", "no*\0thing"]
        found = check(*names, seal)
        assert found.status == 2
        lines = found.err.splitlines()
        assert len(lines) == len(names) + 2
        assert all(line.isprintable() and line.startswith("vaultwatch: ") for line in lines[:-2])
        assert ["No such file" in lines[n] for n in range(3)] == [True] * 3
        assert lines[-1].startswith("1 audit entry, 0 server messages, 0 rejected lines, 1 alert, ")

    def test_if_none_can_be_opened_there_is_no_line_of_zeros(self, check: Check, tmp_path: Path) -> None:
        found = check(tmp_path / "none")
        assert (found.status, found.out) == (2, "")
        assert found.err == f"vaultwatch: {tmp_path}/none: No such file or directory\n"

    def test_a_last_line_without_a_newline_counts(self, check: Check, seal: Path) -> None:
        seal.write_bytes(seal.read_bytes().rstrip(b"\n"))
        assert check(seal).status == 1

    def test_plain_text_at_the_beginning_belongs_to_the_log_that_follows(self, check: Check, tmp_path: Path) -> None:
        path = tmp_path / "server.log"
        path.write_text("  Cgo: disabled\n\n2026-11-21T07:29:41.933Z [INFO]  core: x\n")
        assert "0 audit entries, 2 server messages, 0 rejected" in check(path).err

    def test_a_server_message_ends_with_its_file(self, check: Check, tmp_path: Path) -> None:
        head = "2026-11-21T07:29:41.933Z [ERROR] core: failed: a=b\n"
        for name, text in (("one", head), ("two", "  error=\n  | x\n")):
            (tmp_path / name).write_text(text)
        found = check(
            "--source", "server", "--level", "informational", "--format", "json", tmp_path / "one", tmp_path / "two"
        )
        assert [alert["record"]["raw"] for alert in found.alerts if alert["rule"] == "server_error"] == [head.strip()]

    @pytest.mark.parametrize(
        ("source", "expected"), [("audit", "1 audit entry, 0 server"), ("server", "0 audit entries, 1 server message,")]
    )
    def test_the_source_can_be_set(self, check: Check, tmp_path: Path, source: str, expected: str) -> None:
        path = tmp_path / "both"
        path.write_text('{"type":"request","request":{}}\n2026-11-21T07:29:41.933Z [INFO]  core: x\n')
        found = check("--source", source, path)
        assert expected in found.err
        assert "1 rejected" in found.err

    @pytest.mark.parametrize(
        ("name", "read"),
        [
            ("it's.avro", "~/avro/bin/fastavro '{}/it'\"'\"'s.avro'"),
            ("a.avro.gz", "gzip -dc {}/a.avro.gz | ~/avro/bin/fastavro -"),
            ("a.zip", "unzip -p {}/a.zip b.avro | ~/avro/bin/fastavro -"),
        ],
    )
    def test_avro_is_refused_whole_with_what_reads_it(self, check: Check, tmp_path: Path, name: str, read: str) -> None:
        """The command was tried with fastavro 1.13, on blocks without compression and with deflate."""
        avro = b"Obj\x01\x04\x14avro.codec\x08null\x00" + AUDIT.read_bytes()
        content = zipped({"b.avro": avro}) if name.endswith("zip") else gzip.compress(avro) if ".gz" in name else avro
        (tmp_path / name).write_bytes(content)
        install = "python3 -m venv ~/avro && ~/avro/bin/pip install -q fastavro"
        found = check("-q", tmp_path / name)
        log = f"{tmp_path}/{name}{'/b.avro' if name.endswith('zip') else ''}"
        said = f"vaultwatch: {log}: it is Avro: {install} && {read.format(tmp_path)} | vaultwatch check\n"
        assert found == (2, "", said)


class TestFolders:
    def test_are_read_with_all_files_below_them_the_oldest_first(self, check: Check, own: Path, tmp_path: Path) -> None:
        folder = tmp_path / "logs"
        (folder / "empty").mkdir(parents=True)
        (folder / "empty" / "audit").write_bytes(b"")
        (folder / "README").write_text("notes\n")
        entry = b'{"type":"response","request":{"id":"%s","path":"sys/seal"}}\n'
        (folder / "audit.log").write_bytes(entry % b"4")
        (folder / "audit.log.1").write_bytes(entry % b"3")
        (folder / "audit.log.2.gz").write_bytes(gzip.compress(entry % b"2"))
        (folder / "audit.log.10.zst").write_bytes(zstandard.compress(entry % b"1"))
        for place in (folder, f"{folder}/a*"):
            found = check("--rules", own, "--level", "critical", "--format", "json", place)
            assert [alert["event_key"] for alert in found.alerts] == ["1", "2", "3", "4"]
            assert found.status == 1
        assert "README: its only line is rejected" in check("--rules", own, folder).err

    @pytest.mark.parametrize("files", [{}, {"a": ""}, {"a": "notes\n", "b": ""}])
    def test_one_without_any_log_is_an_error(self, check: Check, tmp_path: Path, files: dict[str, str]) -> None:
        folder = tmp_path / "folder"
        folder.mkdir()
        for name, text in files.items():
            (folder / name).write_text(text)
        found = check(folder)
        assert (found.status, found.out) == (2, "")
        assert str(folder) in found.err.splitlines()[0]

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """A folder with one log, which raises seven alerts."""
        folder = tmp_path / "logs"
        folder.mkdir()
        (folder / "audit.log").write_bytes(AUDIT.read_bytes())
        return folder

    def test_alerts_and_rejected_lines_of_vaultwatch_are_no_logs_of_a_folder(
        self, check: Check, folder: Path, tmp_path: Path
    ) -> None:
        alone = check("--format", "json", folder)
        (tmp_path / "broken").write_text('{"type":"request","request":\n{"type":"request","request":{}} {"a"\n')
        devices = DATA / "audit-device-changes" / "audit.jsonl"
        other = check("--format", "json", devices, "--rejected", folder / "rejected", tmp_path / "broken")
        (folder / "audit.alert-1.gz").write_bytes(gzip.compress(other.out.encode()))
        (folder / "old.tar").write_bytes(tarred({"audit.alert": other.out.encode()}))
        (folder / "alerts.csv").write_text(check("--format", "csv", devices).out)
        left_out = [f"{folder}/{name}" for name in ("alerts.csv", "audit.alert-1.gz", "old.tar/audit.alert")]
        for jobs in (1, 2):
            found = check("--format", "json", "--jobs", jobs, "--stats", tmp_path / "stats", folder)
            assert (found.alerts, found.status) == (alone.alerts, 1)
            assert json.loads((tmp_path / "stats").read_text())["left_out"] == 4
            said = found.err.splitlines()[0]
            assert said.startswith(f"{folder}: left out, because vaultwatch wrote it: {left_out[0]} (alerts), ")
            assert all(f"{name} (alerts)" in said for name in left_out)
            assert f"{folder}/rejected (rejected lines)" in said
            assert len(found.err.splitlines()) == 3
        named = check("--format", "json", folder / "audit.alert-1.gz")
        assert {alert["id"] for alert in named.alerts} == {alert["id"] for alert in other.alerts}

    def test_a_log_in_which_somebody_has_written_an_alert_is_read(self, check: Check, folder: Path) -> None:
        forged = check("--format", "json", AUDIT).out.splitlines()[0].encode()
        (folder / "audit.log").write_bytes(forged + b"\n" + AUDIT.read_bytes())
        assert len(check("--format", "json", folder).alerts) == 7

    def test_one_with_nothing_but_alerts_is_an_error(self, check: Check, folder: Path) -> None:
        (folder / "audit.log").write_text(check("--format", "json", AUDIT).out)
        found = check(folder)
        assert (found.status, found.out) == (2, "")
        assert found.err.splitlines()[1].startswith(f"vaultwatch: {folder}: there is no log to read: nothing else is")

    def test_output_can_be_written_into_the_folder_that_is_read(self, check: Check, folder: Path) -> None:
        (folder / "broken").write_text("plain\n" * 1_000)
        options = ("--source", "audit", "--stats", folder / "stats", "--rejected", folder / "rejected", folder)
        for _ in range(2):
            (folder / "rejected").unlink(missing_ok=True)
            found = check(*options)
            assert found.status == 1
            assert [line.split(":")[1] for line in found.err.splitlines()[:-2]] == [f" {folder}/broken"]
        assert len((folder / "rejected").read_text().splitlines()) == 1_000

    def test_one_file_that_cannot_be_read_is_an_error(self, check: Check, folder: Path) -> None:
        (folder / "mem").symlink_to("/proc/self/mem")  # reading its beginning fails, whoever tries
        found = check("--format", "json", folder)
        assert (found.status, len(found.alerts)) == (2, 7)
        assert found.err.splitlines()[0] == f"vaultwatch: {folder}/mem: Input/output error"

    def test_a_subfolder_that_cannot_be_listed_is_an_error(
        self, check: Check, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        closed, scandir = folder / "closed", os.scandir
        closed.mkdir()

        def refuse(path: str) -> Any:
            if path == str(closed):
                raise PermissionError(13, "Permission denied", path)
            return scandir(path)

        monkeypatch.setattr(os, "scandir", refuse)
        found = check("--format", "json", folder)
        assert (found.status, len(found.alerts)) == (2, 7)
        assert found.err.splitlines()[0].startswith(f"vaultwatch: {closed}: ")

    def test_foreign_files_are_counted_by_kind_and_a_few_are_named(self, check: Check, folder: Path) -> None:
        for number in range(12):
            (folder / f"notes-{number}").write_text("plain\n")
            (folder / f"cut-{number}.gz").write_bytes(gzip.compress(b"plain\n")[:-1])
        found = check("--source", "audit", folder)
        lines = found.err.splitlines()
        assert found.status == 2
        assert sum("/cut-" in line for line in lines) == 10
        said = f"vaultwatch: {folder}: nothing can be read of 12 files (notes-0, notes-1, notes-10, ...); their first"
        assert sum(line.startswith(said) for line in lines) == 1
        assert f"vaultwatch: {folder}: 2 more files cannot be read, 12 in all" in lines

    def test_the_rarest_kinds_of_foreign_files_are_counted_only(self, check: Check, folder: Path) -> None:
        for number, text in enumerate(["plain", "{", '{"a":', '{"a" 1}', "{]", '{"a":"\\q"}']):
            for copy in range(8 - number):
                (folder / f"{number}-{copy}").write_text(f"{text}\n")
        lines = check("--source", "audit", folder).err.splitlines()
        assert len(lines) == 8
        assert lines[5].endswith(": nothing can be read of 3 more files, 33 in all")

    def test_a_hint_for_several_files_works_for_the_first(self, check: Check, folder: Path) -> None:
        for name in ("a", "b"):
            (folder / name).write_text(json.dumps({"odd": {"x": "2026-03-01T10:00:00Z [INFO] x"}}) + "\n")
        err = check("--source", "audit", folder).err
        assert "nothing can be read of 2 files (a, b); their first lines: " in err
        assert f"jq -r .odd.x {folder}/a | vaultwatch check" in err

    def test_source_code_is_no_json_in_a_text(self, check: Check, folder: Path) -> None:
        (folder / "a.py").write_text('"""A module."""\n')
        assert "JSON in a text" not in check("--source", "audit", folder).err

    def test_a_place_of_which_most_lines_are_rejected_is_an_error_without_an_alert(
        self, check: Check, tmp_path: Path
    ) -> None:
        (tmp_path / "in").mkdir()
        code = tmp_path / "in" / "code.py"
        for record, status in (('{"type":"request","request":{"id":"r","path":"a"}}\n', 2), (SEALED_TEXT, 1)):
            code.write_text(record + "plain\n" * 5)
            for place in (code, tmp_path / "in"):
                found = check("--source", "audit", place)
                assert (found.status, "only 1 record can be read, and 5 lines cannot" in found.err) == (status, True)
        (tmp_path / "in" / "good.log").write_bytes(AUDIT.read_bytes())
        assert check("--source", "audit", tmp_path / "in").status == 1

    def test_alerts_in_files_that_may_be_no_logs_are_counted(self, check: Check, folder: Path) -> None:
        for number in range(4):
            (folder / f"code-{number}.py").write_text(SEALED_TEXT + "plain\n" * 5)
        lines = check("--source", "audit", folder).err.splitlines()
        torn = "of 4 files (code-0.py, code-1.py, code-2.py, ...), more lines are rejected than read"
        assert f"vaultwatch: {folder}: {torn}" in lines
        assert lines[-2] == (
            "1 of 8 alerts in files of which more lines are rejected than read: they may be no logs of Vault"
        )

    def test_a_log_with_many_other_lines_is_not_said_to_be_none(self, check: Check, tmp_path: Path) -> None:
        (log := tmp_path / "log").write_bytes(AUDIT.read_bytes() + b"row\n" * 40)
        found = check("--source", "audit", log)
        assert "18 records can be read, and 40 lines cannot" in found.err
        assert "may be no logs" not in found.err

    def test_foreign_files_among_logs_are_no_error(self, check: Check, folder: Path) -> None:
        (folder / "notes").write_text("plain\n")
        (folder / "nowhere").symlink_to("nothing")
        (folder / "empty").touch()
        found = check("--source", "audit", "--format", "json", folder)
        assert (found.status, len(found.alerts)) == (1, 7)
        assert len(found.err.splitlines()) == 3


class TestReports:
    def test_stats(self, check: Check, tmp_path: Path) -> None:
        broken = tmp_path / "broken"
        broken.write_text("{broken\n")
        check("--stats", tmp_path / "stats.json", AUDIT, SERVER, broken)
        stats = json.loads((tmp_path / "stats.json").read_text())
        counted = {
            "audit",
            "server",
            "rejected",
            "partial",
            "undecided",
            "undated",
            "future",
            "groups_dropped",
            "unclear",
            "silenced",
            "left_out",
            "alerts",
        }
        assert stats.keys() == {*counted, "seconds"}
        assert (stats["audit"], stats["server"], stats["rejected"]) == (18, 4, 1)
        assert stats["alerts"] == len(check("--format", "json", AUDIT, SERVER, broken).alerts)
        assert 0 < stats["seconds"] < 60

    def test_records_over_their_budget_are_counted_in_the_closing_line_and_the_stats(
        self, check: Check, tmp_path: Path
    ) -> None:
        line = b'{"type":"request","request":{"id":"a","path":"a","data":[%s]}}\n' % b",".join([b"[]"] * 30_000)
        (tmp_path / "log").write_bytes(line)
        found = check("--stats", tmp_path / "stats.json", tmp_path / "log")
        stats = json.loads((tmp_path / "stats.json").read_text())
        assert (stats["partial"], stats["audit"], sum(stats["undecided"].values()) > 0) == (1, 1, True)
        undecided = sum(stats["undecided"].values())
        rules = f"{undecided} rule{'' if undecided == 1 else 's'} undecided"
        assert f"0 rejected lines, 1 record over budget ({rules}), " in found.err

    @pytest.mark.parametrize(
        ("line", "has_alert"),
        [
            (b"\x7fELF\0" + b"{," * 20_000, False),
            (b"\0\0" + b'{"a",' * 20_000, True),
            (b"\x7fELF\0" + b'{"request":[],' * 20_000, True),
            (b'{"a",' * 20_000, True),
        ],
        ids=["binary", "NULs before it", "of Vault", "text"],
    )
    def test_a_line_over_the_budget_in_a_file_of_a_folder_that_is_no_text_raises_nothing(
        self, check: Check, line: bytes, has_alert: bool, tmp_path: Path
    ) -> None:
        (tmp_path / "a.log").write_bytes(b"x\n" + line + b"\n")
        rules = ["audit_entry_over_budget"] if has_alert else []
        said = "1 alert in files of which more lines are rejected than read: they may be no logs of Vault"
        for place, expected in ((tmp_path, rules), (tmp_path / "a.log", ["audit_entry_over_budget"])):
            found = check("--format", "json", place)
            assert [alert["rule"] for alert in found.alerts] == expected
            assert (said in found.err, found.status) == (bool(expected), 2)
        (tmp_path / "a.log").write_bytes(AUDIT.read_bytes() + line + b"\n")
        assert "audit_entry_over_budget" in check("--format", "json", tmp_path).out

    @pytest.mark.parametrize("jobs", [1, 4])
    def test_a_crash_in_a_file_with_nothing_else_of_vault_may_be_of_another_program(
        self, check: Check, jobs: int, tmp_path: Path
    ) -> None:
        crash = "panic: assignment to entry in nil map\n\ngoroutine 1 [running]:\nmain.main()\n\t/src/main.go:7 +0x1d\n"
        (tmp_path / "other.log").write_text(crash)
        (tmp_path / "audit.log").write_bytes(AUDIT.read_bytes())
        said = (
            "1 alert of a crash in a file with nothing else of Vault: if its stack names no package of Vault or OpenBao"
        )
        found = check("--format", "json", "--jobs", jobs, tmp_path)
        assert "server_panic" in {alert["rule"] for alert in found.alerts}
        assert said in found.err
        for number, other in enumerate((AUDIT, SERVER)):
            (tmp_path / f"{number}.log").write_text(crash.replace("entry", f"key {number}") + other.read_text())
        found = check("--format", "json", "--jobs", jobs, tmp_path)
        assert [alert["rule"] for alert in found.alerts].count("server_panic") == 3
        assert said in found.err
        (tmp_path / "other.log").unlink()
        assert "of a crash" not in check("--jobs", jobs, tmp_path).err

    @pytest.mark.parametrize("place", ["a.log", "."])
    def test_compressed_data_that_was_appended_to_a_log_is_named(
        self, check: Check, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        Path("a.log").write_bytes(AUDIT.read_bytes() + gzip.compress(SERVER.read_bytes()))
        found = check("--format", "json", place)
        what = "data that gzip has compressed, in a log that is not"
        assert f": {what}; as it is, and decompressed: cat a.log | python3 " in found.err.splitlines()[0]
        assert found.status == 1

    def test_a_file_of_which_nothing_can_be_read_is_named_with_the_first_reason(
        self, check: Check, tmp_path: Path
    ) -> None:
        (tmp_path / "notes.txt").write_text("# Notes\nnothing of Vault\n")
        found = check("--source", "audit", tmp_path / "notes.txt", AUDIT)
        said = (
            f"vaultwatch: {tmp_path}/notes.txt: none of its 2 lines can be read; the first: no JSON object in the line"
        )
        assert found.err.splitlines()[0].startswith(said)
        assert found.status == 2
        assert "notes.txt" not in check("--source", "audit", AUDIT, tmp_path / "notes.txt").err.splitlines()[-1]

    def test_of_a_file_with_more_rejected_lines_than_records_the_first_is_shown(
        self, check: Check, tmp_path: Path
    ) -> None:
        entry = AUDIT.read_bytes().splitlines()[0]
        (tmp_path / "torn").write_bytes(b"\n".join([entry, entry[:60], entry[:60]]))
        (tmp_path / "half").write_bytes(b"\n".join([entry, entry[:60]]))
        said = "torn: only 1 record can be read, and 2 lines cannot; the first: broken JSON"
        assert said in check(tmp_path / "torn").err
        assert "can be read" not in check(tmp_path / "half").err

    def test_a_file_of_which_some_can_be_read_is_counted_only(self, check: Check, tmp_path: Path) -> None:
        (tmp_path / "cut.jsonl").write_bytes(AUDIT.read_bytes() + b'{"time":')
        assert "cut.jsonl" not in check(tmp_path / "cut.jsonl").err

    def test_the_commonest_reason_is_in_the_closing_line(self, check: Check, tmp_path: Path) -> None:
        (tmp_path / "log").write_text('{"type":\n{"typ\nplain\n')
        closing = check("--source", "audit", tmp_path / "log", AUDIT).err.splitlines()[-1]
        assert "3 rejected lines (most often: broken JSON: " in closing
        assert "0 rejected lines, 7 alerts" in check(AUDIT).err

    @pytest.mark.parametrize("seed", range(5))
    def test_what_is_no_text_is_named_alike_in_every_line(self, check: Check, tmp_path: Path, seed: int) -> None:
        """A brace in noise is no JSON, and the first line has no other reason than most of the others."""
        (tmp_path / "noise").write_bytes(random.Random(seed).randbytes(20_000))
        message, closing = check(tmp_path / "noise").err.splitlines()
        assert "lines can be read; the first: it is not text; a log may be plain, gzip, " in message
        assert re.search(r"rejected lines \((?:most often: )?it is not text\)", closing)

    @pytest.mark.parametrize(
        ("line", "hint"),
        [
            ('<json:object name="auth">', "configure the audit device with format=json"),
            ('{"a":{"b-c":[{"d":"{\\"request\\":{}}"}]}}', "jq -r '.a[\"b-c\"][].d' LOG | vaultwatch check"),
            ("plain", "expected are audit entries (JSON) or messages of the server log"),
        ],
    )
    def test_a_file_of_which_nothing_can_be_read_has_a_hint(
        self, check: Check, tmp_path: Path, line: str, hint: str
    ) -> None:
        (tmp_path / "log").write_text(line + "\n")
        found = check(tmp_path / "log")
        assert found.status == 2
        assert hint.replace("LOG", f"{tmp_path}/log") in found.err.splitlines()[0]

    def test_rejected_lines_are_kept_with_their_reasons(self, check: Check, tmp_path: Path) -> None:
        broken = tmp_path / "broken"
        broken.write_bytes(b'{"type":\n@c/n/file plain \xff\0\n{"a":1}\n')
        found = check("--source", "audit", "--rejected", tmp_path / "rejected.jsonl", broken)
        kept = [json.loads(line) for line in (tmp_path / "rejected.jsonl").read_text().splitlines()]
        assert [one.get("line") for one in kept] == ['{"type":', None, '{"a":1}']
        assert (kept[1]["node"], base64.b64decode(kept[1]["line_base64"])) == ("n", b"plain \xff\0")
        assert [one["reason"].split(":")[0] for one in kept] == [
            "broken JSON", "it is not text", "JSON, but no audit entry",
        ]  # fmt: skip
        assert "3 rejected" in found.err

    def test_rejected_lines_are_kept_as_they_stood_in_the_file_whatever_was_found_in_them(
        self, check: Check, tmp_path: Path
    ) -> None:
        bad = '{"type":"request","request":'
        docker = json.dumps({"log": bad + "\n", "stream": "stdout", "time": "2026-11-21T07:29:43Z"})
        events = json.dumps(
            {"logEvents": [{"message": bad}, {"message": '{"type":"request","request":{}}'}, {"message": bad}]}
        )
        split = [
            f"2026-11-21T07:29:43Z stdout {kind} {part}" for kind, part in (("P", '{"type":"re'), ("F", 'quest"]'))
        ]
        cut = '{"type":"request","request":{"id":"cut"{"type":"request","request":{}}'
        pretty = ["{", '  "type": "request"', "}"]
        lines = [docker, events, *split, f"@c/n/file {docker}", cut, *pretty, "plain"]
        (tmp_path / "log").write_text("\n".join(lines) + "\n")
        options = ("--source", "audit", "--rejected", tmp_path / "rejected", tmp_path / "log")
        found = check(*options)
        kept = [json.loads(line) for line in (tmp_path / "rejected").read_text().splitlines()]
        texts = [docker, events, "\n".join(split), docker, cut, "\n".join(pretty), "plain"]
        assert [one["line"] for one in kept] == texts
        sizes = [(one["bytes"], one["reason"].rpartition(" of ")[2]) for one in kept if " at byte " in one["reason"]]
        assert [size for size, of in sizes if str(size) != of] == [], "a position is one in the line that is kept"
        assert "2 audit entries, 0 server messages, 8 rejected lines" in found.err

    def test_off_a_terminal_a_long_run_says_now_and_then_how_much_is_read(
        self, check: Check, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(check_run, "LINE_SECONDS", 0)
        assert re.match(r"vaultwatch: \S+: 100 % read\n", check(AUDIT).err)
        assert not any("% read" in check(option, AUDIT).err for option in ("--no-progress", "-q"))

    def test_progress_is_shown_on_a_terminal_only(self, check: Check) -> None:
        assert "%" not in check(AUDIT).err
        assert "100 %" in check("--progress", AUDIT).err


def test_ctrl_c_is_one_line(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("vaultwatch.cli.check_run.Run.read", read)
    assert check(AUDIT) == (130, "", "vaultwatch: interrupted: no record was evaluated yet\n")


def test_ctrl_c_shows_the_alerts_of_what_was_read(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    read = Run.read

    def interrupted(*arguments: Any) -> None:
        read(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(Run, "read", interrupted)
    whole = check(AUDIT)
    assert whole.err == "vaultwatch: interrupted: these are the alerts of the first 18 records\n"
    assert whole.out


def test_since_takes_a_duration_as_that_long_ago(check: Check, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    log = tmp_path / "audit.log"
    entry = '{"time":"%s","type":"request","request":{"id":"%d","operation":"update","path":"sys/policies/acl/x"}}'
    log.write_text("\n".join(entry % ((now - timedelta(hours=ago)).isoformat(), ago) for ago in (1, 3, 50)))
    found = {since: check("--since", since, "--format", "json", log)[1].count("\n") for since in ("2h", "240m", "3d")}
    assert found == {"2h": 1, "240m": 2, "3d": 3}


class TestWhatAUserCanDoWrong:
    @pytest.mark.parametrize(
        ("arguments", "why"),
        [
            (["--timezone", "Nowhere/City"], "--timezone: there is no time zone `Nowhere/City`"),
            (["--timezone", ""], "--timezone: there is no time zone"),
            (["--timezone", "../../etc/passwd"], "--timezone: there is no time zone"),
            (["--timezone", "a\0b"], "--timezone: there is no time zone"),
            (["--level", "urgent"], "urgent"),
            (
                ["--since", "today"],
                "--since: `today` is not a time such as 2026-11-21T07:29:43Z, 2026-11-21 or 2h (ago)",
            ),
            (["--since", "2026-11-31"], "--since: `2026-11-31` is not a time"),
            (
                ["--since", "2026-11-22T00:00:00+01:00", "--until", "2026-11-21T23:00:00Z"],
                "--until: 2026-11-21T23:00:00Z is not after --since 2026-11-22T00:00:00+01:00",
            ),
            (["--rule", "audit_device_disable"], "did you mean `audit_device_disabled`?"),
            (["--source", "journal"], "journal"),
            (["--format", "xml"], "xml"),
            (["--bogus"], "--bogus"),
            (["--rules", "/nowhere\x1b[2J"], "no such directory of rules"),
            (["--rules", __file__], "is a file: name the folder that it is in"),
            (["--stats", "/nowhere/stats"], "--stats: /nowhere/stats: there is no folder /nowhere"),
            (["--rejected", "/nowhere/rejected"], "--rejected: /nowhere/rejected: there is no folder /nowhere"),
            (["--stats", "/"], "--stats: /: is not a regular file"),
            (["--groups", "--format", "csv"], "--groups: is for --format table"),
            (["--groups", "--format", "html"], "--groups: is for --format table"),
            (["--alerts", "--format", "html"], "--alerts: is for --format table"),
            (
                ["--rule", "audit_login_failed"],
                "--rule: alerts of `audit_login_failed` are of level informational: add --level informational",
            ),
            (["--rule", "audit_l?sing*", "--level", "critical"], "there is no rule `audit_l?sing*`"),
            (["-q", "--format", "json"], "--quiet: shows no alerts: leave out --format"),
            (["-q", "--format", "html"], "--quiet: shows no alerts: leave out --format"),
            (["-q", "--groups"], "--quiet: shows no alerts: leave out --groups"),
            (["-q", "--alerts"], "--quiet: shows no alerts: leave out --alerts"),
            (["-q", "--progress"], "--quiet: shows no progress: leave out --progress"),
            (["--jobs", "2", "--format", "html"], "--jobs: a page is made by one process"),
        ],
    )
    def test_is_reported_in_one_line(self, check: Check, arguments: list[str], why: str) -> None:
        found = check(*arguments, AUDIT)
        assert (found.status, found.out) == (2, "")
        assert why in found.err
        assert found.err.startswith("vaultwatch: ")
        assert found.err.count("\n") == 1
        assert found.err.strip().isprintable()

    @pytest.mark.parametrize("text", ["title: [", "", sigma("s: {nothing: a}\ncondition: s", name="own_low")])
    def test_a_broken_rule(self, check: Check, own: Path, text: str) -> None:
        (own / "own_low.yml").write_text(text)
        found = check("--rules", own, AUDIT)
        assert (found.status, found.out) == (2, "")
        assert "own_low.yml" in found.err
        assert found.err.count("\n") == 1

    def test_a_folder_without_a_rule(self, check: Check, tmp_path: Path) -> None:
        for name in ("placeholders.yml", "nothing.py", "._rule.yml"):
            folder = tmp_path / name.strip("._")
            (folder / name).parent.mkdir(parents=True)
            (folder / name).write_text("")
            found = check("--rules", folder, AUDIT)
            assert (found.status, found.out, found.err) == (2, "", f"vaultwatch: no rule in {folder}\n")

    @pytest.mark.parametrize("option", ["--rejected", "--stats"])
    def test_an_output_that_is_an_input(self, check: Check, seal: Path, tmp_path: Path, option: str) -> None:
        log = seal.read_bytes()
        (tmp_path / "link").symlink_to(seal)
        for name in (seal, tmp_path / "link"):
            found = check(option, name, AUDIT, "n" * 5_000, seal)
            assert (found.status, found.out) == (2, "")
            assert found.err == f"vaultwatch: {option}: {name}: is one of the files to read\n"
            assert seal.read_bytes() == log

    def test_a_broken_installation(self, check: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        from vaultwatch.rules import pack

        for content, why in ((None, "No such file"), (b"{", "not a compiled rule pack")):
            monkeypatch.setattr(pack, "SHIPPED_PACK", tmp_path / "pack.json")
            if content:
                (tmp_path / "pack.json").write_bytes(content)
            found = check(AUDIT)
            assert found.status == 2
            assert why in found.err
