"""Settings that cannot be used are found before anything is read, and the error names the option."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.watching import options
from vaultwatch.cli.common import load_rules
from vaultwatch.errors import SettingError
from vaultwatch.rules.facts import Level
from vaultwatch.watch.checks import notes
from vaultwatch.watch.checks import problems as problems_of
from vaultwatch.watch.options import WatchOptions
from vaultwatch.watch.slack_options import WEBHOOK_VARIABLE
from vaultwatch.zones import find_zone

SECRET = "T0SECRET"
TOPIC = "arn:aws:sns:eu-central-1:123456789012:alerts"


@pytest.fixture
def good(tmp_path: Path) -> WatchOptions:
    return options(tmp_path)


def problems(options: WatchOptions) -> list[str]:
    """Return the texts of all problems, each of which is permanent in `watch`."""
    found = problems_of(options)
    assert all(problem.permanent for problem in found)
    return [problem.text for problem in found]


def with_webhook(good: WatchOptions, tmp_path: Path, text: bytes) -> WatchOptions:
    (tmp_path / "webhook").write_bytes(text)
    return replace(good, slack_webhook_file=tmp_path / "webhook")


def test_valid_settings_have_no_problem(good: WatchOptions, tmp_path: Path) -> None:
    everything = replace(
        with_webhook(good, tmp_path, b"https://hooks.slack.com/services/T0/B0/x\n"),
        sns_topic=TOPIC,
        rejected=tmp_path / "rejected",
        stats=tmp_path / "stats",
        metrics=tmp_path / "audit.prom",
    )
    assert problems(everything) == []
    assert [sink.name for sink in everything.sinks()] == ["alert-log", "slack", "sns"]
    assert {sink.minimum_level for sink in everything.sinks()} == {Level.LOW}


def test_metrics_that_cannot_be_written_are_noted_and_nothing_waits_for_them(good: WatchOptions) -> None:
    unwritable = replace(good, metrics=Path("/proc/nowhere/audit.prom"))
    assert problems(unwritable) == []
    assert [note for note in notes(unwritable) if "--metrics" in note] == [
        "--metrics: /proc/nowhere/audit.prom: No such file or directory: there are no metrics until this is fixed"
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"source": "metrics"}, "--source: 'metrics' is neither audit nor server"),
        ({"level": "loud"}, "--level: 'loud' is not one of informational, low, medium, high, critical"),
        ({"load_rules": lambda: load_rules([Path("/proc/nowhere")])}, "--rules: /proc/nowhere: no such directory"),
        ({"load_rules": list}, "--rules: there is no rule"),
        ({"load_zone": lambda: find_zone("Mars/Base", "--timezone")}, "--timezone: there is no time zone `Mars/Base`"),
        ({"sns_topic": "alerts"}, "--sns-topic: not the ARN of a standard SNS topic: alerts"),
        ({"state": Path("/proc/nowhere")}, "--state: /proc/nowhere: No such file or directory"),
        ({"alert_log": Path("/proc/nowhere/x")}, "--alert-log: /proc/nowhere/x: No such file or directory"),
        ({"alert_log": Path("/dev/null")}, "--alert-log: /dev/null: is not a regular file"),
        ({"alert_log": Path("/")}, "--alert-log: /: is not a regular file"),
        ({"rejected": Path("/dev/full")}, "--rejected: /dev/full: is not a regular file"),
        ({"stats": Path("/dev/null")}, "--stats: /dev/null: is not a regular file"),
        ({"log_file": Path("/")}, "--log-file: /: Is a directory"),
        ({"slack_webhook_file": Path("/proc/nowhere")}, "--slack-webhook-file: /proc/nowhere: No such file"),
        ({"slack_webhook_file": Path("/")}, "--slack-webhook-file: /: Is a directory"),
        ({"environment": {WEBHOOK_VARIABLE: SECRET}}, f"{WEBHOOK_VARIABLE}: the Slack webhook URL"),
    ],
)
def test_an_invalid_setting_is_one_line_that_starts_with_its_name(
    good: WatchOptions, change: dict[str, Any], said: str
) -> None:
    (problem,) = problems(replace(good, **change))
    assert problem.startswith(said)
    assert "\n" not in problem
    assert SECRET not in problem


def test_all_invalid_settings_are_reported_together(good: WatchOptions) -> None:
    nowhere = Path("/proc/nowhere/x")
    wrong = replace(
        good, load_rules=list, load_zone=lambda: find_zone("Mars", "--timezone"), state=nowhere, alert_log=nowhere,
        level="loud", slack_webhook_file=nowhere, sns_topic="x", rejected=nowhere, stats=nowhere, log_file=nowhere,
    )  # fmt: skip
    assert {problem.split(":")[0] for problem in problems(wrong)} == {
        "--rules", "--timezone", "--state", "--alert-log", "--level", "--slack-webhook-file", "--sns-topic",
        "--rejected", "--stats", "--log-file",
    }  # fmt: skip
    assert len(problems(wrong)) == 10


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize(
    ("one", "other"),
    [("alert_log", "rejected"), ("alert_log", "log_file"), ("rejected", "stats"), ("stats", "metrics")],
)
def test_one_file_for_two_options_is_refused(
    good: WatchOptions, tmp_path: Path, one: str, other: str, exists: bool
) -> None:
    file, link = tmp_path / "file", tmp_path / "link"
    if exists:
        file.touch()
    link.symlink_to(file)
    change: dict[str, Any] = {one: file, other: link}
    named = [f"--{option.replace('_', '-')}" for option in (one, other)]
    assert problems(replace(good, **change)) == [f"{named[1]}: {link}: is the file of {named[0]} too"]


def test_a_file_of_the_state_is_no_output(good: WatchOptions) -> None:
    good.state_directory.mkdir()
    found = problems(replace(good, rejected=good.store_file))
    assert found == [f"--rejected: {good.store_file}: is the file of --state too"]


def test_a_file_with_something_else_is_not_replaced(good: WatchOptions, tmp_path: Path) -> None:
    notes_of_mine = tmp_path / "notes"
    notes_of_mine.write_text("mine\n")
    why = f"{notes_of_mine}: has something else than"
    (problem,) = problems(replace(good, stats=notes_of_mine))
    assert problem.startswith(f"--stats: {why} counts of vaultwatch")
    (note,) = notes(replace(good, metrics=notes_of_mine))
    assert note.startswith(f"--metrics: {why} metrics of vaultwatch")
    assert notes_of_mine.read_text() == "mine\n"


@pytest.mark.parametrize(
    "text",
    [
        b"", b" \n", b"\xff\xfe", b"http://hooks.slack.com/T0SECRET", b"https://[T0SECRET", b"T0SECRET",
        b"https://hooks.slack.com/T0SECRET\nhttps://hooks.slack.com/T0SECRET", b"https://hooks.slack.com/ T0SECRET",
    ],
)  # fmt: skip
def test_an_invalid_webhook_is_reported_and_not_shown(good: WatchOptions, tmp_path: Path, text: bytes) -> None:
    wrong = with_webhook(good, tmp_path, text)
    (problem,) = problems(wrong)
    assert problem.startswith(f"--slack-webhook-file: {tmp_path}/webhook: ")
    assert SECRET not in problem
    with pytest.raises(SettingError) as raised:
        wrong.sinks()
    shown: BaseException | None = raised.value
    while shown is not None:
        assert SECRET not in repr(shown)
        shown = shown.__cause__ or shown.__context__


@pytest.mark.parametrize("option", ["alert_log", "rejected", "stats", "log_file", "slack_webhook_file"])
def test_a_named_pipe_is_refused_rather_than_waited_for(good: WatchOptions, tmp_path: Path, option: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    change: dict[str, Any] = {option: tmp_path / "pipe"}
    (problem,) = problems(replace(good, **change))
    assert problem.startswith(f"--{option.replace('_', '-')}: {tmp_path}/pipe: ")


@pytest.mark.parametrize("name", ["store_file", "journal_file"])
def test_a_state_that_cannot_be_used_is_reported_before_anything_is_read(good: WatchOptions, name: str) -> None:
    path: Path = getattr(good, name)
    path.mkdir(parents=True)
    assert problems(good) == [f"--state: {path}: is not a regular file"]


def test_a_lock_that_is_a_link_is_refused(good: WatchOptions) -> None:
    good.state_directory.mkdir()
    good.lock_file.symlink_to("/etc/passwd")
    (problem,) = problems(good)
    assert problem.startswith("--state: ")


def test_files_are_not_readable_by_everybody(good: WatchOptions, tmp_path: Path) -> None:
    problems(replace(good, rejected=tmp_path / "rejected"))
    for path in (good.alert_log, tmp_path / "rejected", good.log_file, good.lock_file):
        assert path is not None
        assert path.stat().st_mode & 0o007 == 0
    assert good.state_directory.stat().st_mode & 0o777 == 0o700


def test_a_note_says_that_nobody_would_be_notified(good: WatchOptions) -> None:
    assert notes(good) == []
    (note,) = notes(replace(good, alert_log=None))
    assert "nobody is notified" in note
    assert notes(replace(good, alert_log=None, environment={WEBHOOK_VARIABLE: "https://x"})) == []


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({"logs": "/var/log/vault"}, "/var/log/vault"),
        ({"logs": "/var/log/it's here"}, "'/var/log/it'\"'\"'s here'"),
        ({"logs": "s3://vault-archive"}, "s3://vault-archive"),
        ({"alert_log": Path("/var/log/vault/audit.alert")}, "/var/log/vault"),
        ({"alert_log": Path("audit.alert")}, "{here}"),
        ({"logs": "logs"}, "{here}/logs"),
        ({"alert_log": None}, ""),
    ],
)
def test_a_notification_says_to_search_where_the_log_is(
    good: WatchOptions, given: dict[str, Any], place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert replace(good, **given).audience().place == place.format(here=tmp_path)


UNITS = Path(__file__).parents[3] / "assets" / "systemd"


def test_the_unit_is_hardened_as_those_of_a_deployment() -> None:
    unit = (UNITS / "vaultwatch-watch.service").read_text().splitlines()
    other = (UNITS / "vaultwatch-archive.service").read_text().splitlines()
    protects = re.compile(r".*=(?:yes|strict)|(?:SystemCall|Restrict).*")
    wanted = list(filter(protects.fullmatch, other))
    assert len(wanted) > 15
    assert set(wanted) <= set(unit)
    assert "CapabilityBoundingSet=" in unit


def test_the_unit_searches_the_folder_of_the_log_that_it_reads() -> None:
    unit = (UNITS / "vaultwatch-watch.service").read_text()
    assert "vaultwatch-follow.sh /var/log/vault/audit.log | " in unit
    assert " --logs /var/log/vault " in unit


def test_the_state_is_in_the_system_s_directory_or_in_the_user_s(
    good: WatchOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    default = replace(good, state=None, environment={"HOME": "/home/x"})
    monkeypatch.setattr("os.access", lambda path, mode: True)
    assert default.state_directory == Path("/var/lib/vaultwatch")
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert default.state_directory == Path("/home/x/.local/state/vaultwatch")
    assert replace(default, environment={"XDG_STATE_HOME": "/s"}).state_directory == Path("/s/vaultwatch")


def test_audit_and_server_share_a_directory_and_the_store_and_no_other_file(good: WatchOptions) -> None:
    other = replace(good, source="server")
    assert good.store_file == other.store_file
    for name in ("journal_file", "threads_file", "lock_file"):
        assert getattr(good, name).parent == getattr(other, name).parent == good.store_file.parent
        assert getattr(good, name) != getattr(other, name)


def test_a_note_says_that_the_store_of_an_earlier_version_is_not_used(good: WatchOptions) -> None:
    good.state_directory.mkdir()
    old = good.state_directory / "audit.sqlite"
    old.touch()
    assert notes(good) == [
        f"{old}: was written by an earlier version and is not used; what it had not sent yet stays there"
    ]
