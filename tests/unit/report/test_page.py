"""`vaultwatch report`: what its page says, its file and its exit status."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from tests.unit.report.parsed import Page
from tests.unit.store.alerts import an_alert
from vaultwatch.alerts import REFUSED
from vaultwatch.cli import main

RULES = Path(__file__).parents[3] / "rules"
DATA = Path(__file__).parents[2] / "data" / "recordings"
DEVICES = DATA / "vault-1.14.2" / "audit-device-changes" / "audit.jsonl"
HOSTILE = [
    *('"><img src=x onerror=alert(1)>', "</style><script>alert(1)</script>", "' onmouseover='alert(1)", "-->"),
    *("javascript:alert(1)", "a\u202eb", "\x1b[31m", "&lt;b&gt;", "\u2028"),
]


class Report(NamedTuple):
    status: int
    markup: str
    err: str

    @property
    def page(self) -> Page:
        return Page(self.markup)


Make = Callable[..., Report]


@pytest.fixture
def report(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Make:
    def run(*arguments: object) -> Report:
        output = tmp_path / "report.html"
        status = main(["report", *map(str, arguments), "-o", str(output)])
        return Report(status, output.read_text() if output.exists() else "", capfd.readouterr().err)

    return run


def entry(**changes: Any) -> str:
    request = {"id": "r-1", "operation": "delete", "path": "sys/audit/file", "mount_point": "sys/"}
    fields = {"time": "2026-11-21T07:30:00Z", "type": "response", "request": {**request, "remote_address": "10.0.0.1"}}
    return json.dumps({**fields, "auth": {"display_name": "userpass-alice", "accessor": "acc-1"}, **changes}) + "\n"


def hostile_log(path: Path) -> Path:
    texts = []
    for text in HOSTILE:
        request = {"id": text, "operation": "delete", "path": f"sys/audit/{text}", "remote_address": text}
        auth = {"display_name": text, "accessor": text, "entity_id": text}
        texts.append(entry(auth=auth, error=text, time=text, request={**request, "mount_point": text}))
    path.write_text("".join(texts) + "<script>alert(1)</script>\n")
    return path


def test_the_page_loads_and_runs_nothing(report: Make) -> None:
    found = report(DEVICES)
    policy = next(a["content"] for name, a in found.page.elements if a.get("http-equiv") == "Content-Security-Policy")
    css = re.search(r"<style>(.*?)</style>", found.markup, re.DOTALL)
    assert css
    digest = base64.b64encode(hashlib.sha256(css[1].encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert not found.page.tags() & {"script", "img", "link", "iframe", "object", "form", "input"}
    assert not found.page.attributes() & {"src", "style", "onload", "action"}
    assert all(str(a["href"]).startswith("#") for _, a in found.page.elements if "href" in a)
    assert "url(" not in css[1]
    assert "@import" not in css[1]


def test_the_page_says_what_happened_who_did_it_and_what_to_do(report: Make) -> None:
    found = report("--rules", "shipped", "--rule", "audit_device_disabled", DEVICES)
    text = found.page.text
    assert found.status == 1
    assert "4 alerts in 2 groups. Most important: Audit device disabled, by userpass-alice" in text
    assert "sys/audit/raw 127.0.0.1 succeeded 1 2026-11-21 07:29:43" in text
    assert "List the audit devices" in text
    assert re.search(rf"vaultwatch search [0-9a-f-]{{36}} {DEVICES}", text)
    selected = "--rules shipped --rule audit_device_disabled"
    assert re.search(rf"vaultwatch report -o \S+report.html {selected} {DEVICES}", text)


def test_what_was_refused_is_said_above_what_to_do(report: Make, tmp_path: Path) -> None:
    """One that succeeded as well is what to act upon: then it is not said."""
    log, denied = tmp_path / "log", entry(error="1 error occurred:\n\t* permission denied\n\n")
    succeeded = entry(request={**json.loads(entry())["request"], "id": "r-2"})
    for lines, said in ((denied, True), (denied + succeeded, False)):
        log.write_text(lines)
        page = report(log)
        assert (REFUSED in page.page.text) is said
        assert "List the audit devices" in page.page.text
        assert page.markup.count("vault token revoke -accessor acc-1") == 1


def test_every_alert_has_an_anchor_that_is_its_id(report: Make, capfd: pytest.CaptureFixture[str]) -> None:
    main(["check", "--format", "json", str(DEVICES)])
    ids = [json.loads(line)["id"] for line in capfd.readouterr().out.splitlines()]
    found = report(DEVICES).page.ids
    assert {f"alert-{one}" for one in ids} <= set(found)
    assert len(found) == len(set(found))


def test_a_log_without_alerts_shows_who_called_what(report: Make, tmp_path: Path) -> None:
    log = tmp_path / "quiet.log"
    quiet = {"request": {"id": "q", "operation": "read", "path": "secret/data/a", "remote_address": "10.0.0.7"}}
    log.write_text(entry(**quiet) * 3 + entry(**quiet, error="permission denied"))
    found = report(log)
    assert found.status == 0
    text = found.page.text
    assert "No rule raised an alert." in text
    assert "userpass-alice 4 1 0" in text
    assert "10.0.0.7 4 1 0" in text
    assert "secret/ 4 1 0" in text
    assert "What no rule looks for" in text


def test_hostile_texts_stay_texts(report: Make, tmp_path: Path) -> None:
    found = report(hostile_log(tmp_path / "hostile.log"))
    page = found.page
    assert page.tags() <= report(DEVICES).page.tags() | {"em", "li"}
    assert not {name for name in page.attributes() if name.startswith("on")}
    assert "<img src=x onerror=alert(1)>" in page.text
    assert "</style><script>alert(1)</script>" in page.text
    assert "\\u202e" in page.text
    assert "\\u001b[31m" in page.text
    assert not set(found.markup) & {"\u202e", "\x1b", "\u2028"}


def test_the_page_is_well_formed(report: Make, tmp_path: Path) -> None:
    page = report(DEVICES, hostile_log(tmp_path / "hostile.log")).page
    headings = [name for name, _ in page.elements if name in ("h1", "h2")]
    assert headings == ["h1"] + ["h2"] * 5
    tables = [name for name, _ in page.elements if name in ("table", "caption")]
    assert tables == ["table", "caption"] * (len(tables) // 2)
    assert all(a.get("scope") for name, a in page.elements if name == "th")
    links = {str(a["href"])[1:] for _, a in page.elements if "href" in a}
    assert links <= set(page.ids)
    assert ("html", {"lang": "en"}) in page.elements


def test_requests_without_a_response_are_counted_by_device_across_rotated_files(report: Make, tmp_path: Path) -> None:
    request = {"operation": "read", "path": "secret/data/a"}
    asked = [entry(type="request", request={**request, "id": f"r-{number}"}) for number in range(3)]
    (tmp_path / "audit.log.1").write_text("".join(asked))
    (tmp_path / "audit.log").write_text(entry(request={**request, "id": "r-0"}) + entry(request={**request, "id": "x"}))
    text = report(tmp_path / "audit.log*").page.text
    assert "audit.log 5 2 1 none" in text


def test_two_devices_of_one_server_are_compared(report: Make, tmp_path: Path) -> None:
    one, other = tmp_path / "one.log", tmp_path / "other.log"
    one.write_bytes(DEVICES.read_bytes())
    other.write_bytes(DEVICES.read_bytes())
    assert "one.log other.log 36 36 the same entries" in report(one, other).page.text
    other.write_bytes(b"".join(DEVICES.read_bytes().splitlines(keepends=True)[:-2]))
    text = report(one, other).page.text
    assert "one.log other.log 36 34 they differ: the other lacks at least 2" in text
    assert f"vaultwatch reconcile {one} {other}" in text


def test_each_log_has_the_times_of_its_first_and_last_record(report: Make, tmp_path: Path) -> None:
    (tmp_path / "audit.log").write_text("".join(entry(time=f"2026-11-21T07:29:4{second}Z") for second in range(3)))
    (tmp_path / "server.log").write_text(
        "==> Vault server started!\n"
        "2026-11-21T09:00:01.5+02:00 [INFO]  core: a\n"
        "2026-11-21T06:59:59Z [ERROR] core: failed:\n  error=\n  | x\n"
        '{"@level":"info","@message":"b","@timestamp":"2026-11-22T00:00:00Z"}\n'
    )
    (tmp_path / "local.log").write_text("2026/11/21 07:29:41.1 [INFO ] core: in no zone\n")
    by_log = report(tmp_path).page.text.partition("By log")[2]
    assert " audit.log 3 0 0 2026-11-21 07:29:40 2026-11-21 07:29:42 " in by_log
    assert " server.log 0 4 0 2026-11-21 06:59:59 2026-11-22 00:00:00 " in by_log
    assert " local.log 0 1 0 server.log " in by_log


def test_a_gap_is_shaded_and_named(report: Make, tmp_path: Path) -> None:
    times = [f"2026-11-21T0{hour}:{minute:02}:00Z" for hour in (1, 2, 6) for minute in range(60)]
    (tmp_path / "audit.log").write_text("".join(entry(time=time) for time in times))
    found = report(tmp_path / "audit.log")
    assert "1 gap without any audit entry, the longest 3 h 1 min from 2026-11-21 02:59:0" in found.page.text
    assert any(a.get("class") == "gap" for name, a in found.page.elements if name == "rect")


def test_one_forged_time_does_not_flatten_the_timeline(report: Make, tmp_path: Path) -> None:
    times = [f"2026-11-21T01:{minute:02}:{second:02}Z" for minute in range(60) for second in range(0, 60, 10)]
    (tmp_path / "audit.log").write_text("".join(entry(time=time) for time in [*times, "9000-01-01T00:00:00Z"]))
    text = report(tmp_path / "audit.log").page.text
    assert "Alerts by level and audit entries from 2026-11-21 01:0" in text
    assert re.search(r"Not drawn: \d+ records with a time far from all others", text)


def test_the_timeline_says_what_it_does_not_draw(report: Make, tmp_path: Path) -> None:
    request = json.loads(entry())["request"]
    (log := tmp_path / "a.log").write_text(entry() + entry(time="", request={**request, "id": "r-2"}))
    assert "Not drawn: 1 alert without a time." in report(log).page.text
    log.write_text("2026-11-21T07:30:00.000Z [INFO]  core: vault is sealed\n")
    assert "Messages of the server log are not drawn, only the alerts on them." in report(log).page.text


def test_a_card_without_groups_says_where_its_alerts_are(report: Make, tmp_path: Path) -> None:
    """A denied call is of a lower level than those of its group that succeeded."""
    request = {"id": "r-1", "operation": "read", "path": "sys/raw/core/keyring", "mount_point": "sys/"}
    denied = entry(request={**request, "id": "r-2"}, error="permission denied")
    (log := tmp_path / "a.log").write_text(entry(request=request) + denied)
    assert "0 high groups 1 alert, in groups of other levels" in " ".join(report(log).page.text.split())


def test_unreadable_lines_have_their_reasons(report: Make, tmp_path: Path) -> None:
    (tmp_path / "audit.log").write_text(entry() + "no entry\n" * 2)
    text = report(tmp_path / "audit.log").page.text
    assert "2 unreadable lines no JSON object in the line" in text
    assert "Why lines are unreadable reason lines no JSON object in the line 2" in text


def test_a_log_that_cannot_be_read_is_named_and_ends_with_2(report: Make, tmp_path: Path) -> None:
    (tmp_path / "cut.gz").write_bytes(gzip.compress(entry().encode() * 9)[:-9])
    found = report(DEVICES, tmp_path / "cut.gz")
    assert found.status == 2
    assert "This report is not complete." in found.page.text
    assert "cut.gz" in found.page.text


def test_other_files_of_a_folder_are_named_and_make_a_report_no_less_complete(report: Make, tmp_path: Path) -> None:
    (tmp_path / "audit.log").write_text(entry())
    (tmp_path / "notes.txt").write_text("no log\n")
    found = report(tmp_path)
    assert found.status < 2
    above, _, below = found.page.text.partition("What happened")
    assert "notes.txt" not in above
    assert "Files that are no logs of Vault" in below
    assert "notes.txt" in below
    assert "This report is not complete." not in found.page.text
    assert report(tmp_path / "audit.log", tmp_path / "notes.txt").status == 2


def test_a_page_about_nothing_that_could_be_read_says_so_in_its_first_sentence(report: Make, tmp_path: Path) -> None:
    (tmp_path / "audit.log").touch()
    found = report("--allow-empty", tmp_path / "audit.log")
    assert found.status == 0
    assert "No log of Vault could be read: this page says nothing about what happened." in found.page.text
    assert "No rule raised an alert" not in found.page.text
    (tmp_path / "empty.log").touch()
    assert "0 unreadable lines no line was read" in report("--allow-empty", tmp_path / "empty.log").page.text


def test_what_vaultwatch_wrote_itself_is_named_as_left_out(report: Make, tmp_path: Path) -> None:
    (tmp_path / "audit.log").write_text(entry())
    (tmp_path / "old.alert").write_bytes(msgspec.json.encode(an_alert()))
    text = report(tmp_path).page.text
    assert "Left out, because vaultwatch wrote it: alerts and rejected lines log old.alert" in text.replace(
        f"{tmp_path}/", ""
    )


def test_rules_are_listed_with_their_state(report: Make) -> None:
    found = report(DEVICES, "--exclude", "audit_policy*")
    text = found.page.text
    assert "Audit device disabled audit_device_disabled critical audit 4 matched" in text
    assert "Left out by an option" in text
    assert "medium Policy written audit_policy_written" in text.partition("Left out by an option")[2]
    assert "high Seal requested audit_seal_requested" in text.partition("No match (")[2].partition("Not tried")[0]
    assert "server_rekey_started" in text.partition("Not tried: no server log was read (")[2]
    assert "audit_login_failed" in text.partition("Not shown: alerts are shown from level low on (")[2]
    assert "Left out" not in report(DEVICES).page.text
    assert "No server log was read" in text
    assert "No server log was read: " in found.err


def test_large_numbers_of_alerts_are_bounded_and_counted_exactly(
    report: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vaultwatch.report.cases.MOST_GROUPS", 5)
    monkeypatch.setattr("vaultwatch.report.cases.MOST_ALERTS", 8)
    request = {"operation": "delete", "path": "sys/audit/f"}
    lines = [
        entry(auth={"display_name": f"user-{number % 12}"}, request={**request, "id": f"r-{number}"})
        for number in range(60)
    ]
    (tmp_path / "audit.log").write_text("".join(lines))
    page = report("--rule", "audit_device_disabled", tmp_path / "audit.log").page
    assert "Not shown: 7 more groups (7 critical) with 35 alerts." in page.text
    assert len([one for one in page.ids if one.startswith("alert-")]) == 8
    assert "60 alerts in 12 groups" in page.text


def test_a_report_is_replaced_and_another_file_is_not(report: Make, tmp_path: Path) -> None:
    report(DEVICES)
    assert report(DEVICES).status == 1
    (tmp_path / "report.html").write_text("my notes")
    refused = report(DEVICES)
    assert refused.status == 2
    assert "has something else than a report of vaultwatch, and is left as it is" in refused.err
    assert (tmp_path / "report.html").read_text() == "my notes"
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_a_report_is_left_if_no_log_can_be_read(report: Make, tmp_path: Path) -> None:
    before = report(DEVICES).markup
    misspelt = report(tmp_path / "audit.lgo")
    assert (misspelt.status, misspelt.markup) == (2, before)
    assert misspelt.err == f"vaultwatch: {tmp_path}/audit.lgo: No such file or directory\n"


def test_no_page_is_written_of_an_empty_log_unless_that_is_allowed(report: Make, tmp_path: Path) -> None:
    (empty := tmp_path / "audit.log").touch()
    refused = report(empty)
    assert (refused.status, (tmp_path / "report.html").exists()) == (2, False)
    assert refused.err.startswith(f"vaultwatch: {empty}: there is no log to read: ")
    assert refused.err.count("\n") == 1
    allowed = report("--allow-empty", empty)
    assert (allowed.status, (tmp_path / "report.html").exists()) == (0, True)


def test_no_page_is_written_of_files_that_are_no_logs(report: Make, tmp_path: Path) -> None:
    (folder := tmp_path / "foreign").mkdir()
    (folder / "core").write_bytes(b"\x93\x00\n\xfe\n")
    for place in (folder / "core", folder):
        refused = report(place)
        assert (refused.status, (tmp_path / "report.html").exists()) == (2, False)
        assert refused.err.startswith(f"vaultwatch: {place}")
        assert refused.err.count("\n") == 1


def test_a_report_with_a_log_that_cannot_be_read_says_so(report: Make, tmp_path: Path) -> None:
    partly = report(DEVICES, tmp_path / "audit.lgo")
    assert partly.status == 2
    assert "audit.lgo: No such file or directory" in partly.page.text


def test_a_report_on_messages_that_were_wrapped_says_so(report: Make, tmp_path: Path) -> None:
    message = f"2026-11-21T07:29:41Z [INFO]  core: {'word ' * 20}end"
    (tmp_path / "server.log").write_text(f"{message[:80]}\n{message[80:]}\n" * 2)
    text = report(tmp_path).page.text.partition("This report is not complete.")[2]
    assert f"{tmp_path}/server.log: 2 lines are read as messages though they have neither time nor level" in text
    assert "its lines seem to be wrapped at 80: cat " in text


def test_a_rule_names_the_filters_that_are_applied_to_it_and_what_is_silenced_is_counted(
    report: Make, tmp_path: Path
) -> None:
    (own := tmp_path / "own").mkdir()
    for name in ("audit_device_disabled.yml", "audit_device_enabled.yml"):
        (own / name).write_bytes((RULES / name).read_bytes())
    (own / "calm.yml").write_text(
        "title: Calm\nlogsource: {product: vault, service: audit}\n"
        "filter: {rules: [audit_device_disabled], raw: {request.path: sys/audit/raw}, condition: not raw}\n"
    )
    (own / "overrides.yml").write_text("audit_device_enabled: {enabled: false}\n")
    text = report(DEVICES, "--rules", own).page.text
    assert len(re.findall(r"filtered by \S*calm\.yml", text)) == 1
    silenced = text[text.index("What is silenced") :]
    assert re.search(r"calm\.yml audit_device_disabled 1\b", silenced)
    assert re.search(r"overrides\.yml audit_device_enabled [1-9]", silenced)


def test_without_filters_nothing_is_said_of_them(report: Make) -> None:
    assert "What is silenced" not in report(DEVICES).page.text


def test_what_rules_that_count_could_not_count_makes_a_report_incomplete(report: Make, tmp_path: Path) -> None:
    login = {"id": "r", "operation": "update", "path": "auth/userpass/login/a", "mount_type": "userpass"}
    failed = {"error": "invalid username or password", "auth": {}}
    text = entry(time="", request={**login, "remote_address": "10.0.0.1"}, **failed)
    (tmp_path / "audit.log").write_text(text)
    assert "matches not counted, because their records have no time: 1" in report(tmp_path / "audit.log").page.text


def test_a_folder_that_does_not_exist_is_named(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["report", str(DEVICES), "-o", f"{tmp_path}/no/report.html"]) == 2
    assert (
        capfd.readouterr().err == f"vaultwatch: --output: {tmp_path}/no/report.html: there is no folder {tmp_path}/no\n"
    )


def test_a_report_can_go_to_stdout(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(DEVICES), "-o", "-"]) == 1
    out = capfd.readouterr().out
    assert out.startswith("<!doctype html>")
    assert out.endswith("</html>\n")
