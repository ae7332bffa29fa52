"""`vaultwatch watch` as a command: options, signals, exit status, and what it never shows."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from testbed.slack import SlackStandIn
from tests.support.waiting import HUNG_SECONDS, eventually
from tests.support.watching import ROOT, alerts_in, entry, harmless, numbers
from vaultwatch.cli import main

SECRET = "https://hooks.slack.com/services/T0SECRET"


class TestUsage:
    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (
                [],
                "--source is missing: give the log that stdin has, audit or server, as in "
                "`tail -n +1 -F /var/log/vault/audit.log | vaultwatch watch --source audit`",
            ),
            (["--source"], "Option '--source' requires an argument."),
            (["--source", "audit", "--nope"], "no such option `--nope`"),
            (["--source", "audit", "file"], "Got unexpected extra argument (file)"),
        ],
    )
    def test_a_usage_error_is_one_line(
        self, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["watch", *arguments]) == 2
        assert capsys.readouterr() == ("", f"vaultwatch: {said}\n")

    @pytest.mark.parametrize("verb", ["watch", "ship"])
    def test_a_usage_error_under_syslog_ng_waits_for_the_end_of_the_input_and_reads_nothing(
        self, verb: str, tmp_path: Path
    ) -> None:
        """syslog-ng restarts a handler that exits, at once, and each start swallows a pipe full of lines."""
        (syslog_ng := tmp_path / "syslog-ng").symlink_to("/bin/sh")
        text = shlex.join([sys.executable, "-m", "vaultwatch", verb, "--source", "audit", "--stream", "s", "--nope"])
        command = [str(syslog_ng), "-c", f"{text}; exit $?"]
        reading, writing = os.pipe()
        with subprocess.Popen(command, stdin=reading, stderr=subprocess.PIPE, bufsize=0, cwd=ROOT) as process:
            assert process.stderr is not None
            os.write(writing, b"line\n")
            assert b"no such option" in process.stderr.readline()
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.2)
            os.close(writing)
            assert process.wait(20) == 2
            assert process.stderr.read() == b""
        assert os.read(reading, 100) == b"line\n"
        os.close(reading)

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["--source", "audit", "--nope"], "vaultwatch: no such option `--nope`"),
            (["--source", "foo"], "vaultwatch watch: --source: 'foo' is neither audit nor server"),
            (["--source", "audit", "--level", "x"], "vaultwatch watch: --level: 'x' is not one of "),
            (["--source", "audit", "--timezone", "x"], "vaultwatch watch: --timezone: "),
        ],
    )
    def test_what_no_waiting_can_mend_ends_a_command_that_syslog_ng_has_not_started(
        self, arguments: list[str], said: str, tmp_path: Path
    ) -> None:
        command = [sys.executable, "-m", "vaultwatch", "watch", "--state", str(tmp_path), *arguments]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, text=True) as process:
            assert process.wait(20) == 2
            assert process.stderr is not None
            [line] = process.stderr.readlines()
            assert line.startswith(said)

    def test_check_config_reports_a_usage_error_at_once(self) -> None:
        command = [sys.executable, "-m", "vaultwatch", "watch", "--check-config", "--nope"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT) as process:
            assert process.wait(20) == 2
            assert process.stderr is not None
            assert process.stderr.read() == b"vaultwatch: no such option `--nope`\n"


class TestTerminal:
    def watch(self, folder: Path, *arguments: str) -> str:
        """Return what `watch` prints on a terminal of one alert."""
        command = [sys.executable, "-m", "vaultwatch", "watch", "--source", "audit", "--state", str(folder / "state")]
        screen, stdout = os.openpty()
        with os.fdopen(screen, "rb", buffering=0) as reading:
            subprocess.run([*command, *arguments], input=entry(1), stdout=stdout, stderr=subprocess.PIPE, check=True)
            os.write(stdout, b"\n--\n")
            shown = b""
            while b"--" not in shown:
                shown += reading.read(4096)
            os.close(stdout)
        return shown.decode()

    def test_alerts_are_printed_on_it(self, tmp_path: Path) -> None:
        shown = self.watch(tmp_path)
        assert "rule       audit_device_enabled" in shown
        assert "What to do next:" in shown

    def test_with_another_sink_nothing_is(self, tmp_path: Path) -> None:
        log = tmp_path / "audit.alert"
        assert self.watch(tmp_path, "--alert-log", str(log)).split() == ["--"]
        assert len(alerts_in(log)) == 1


class TestCheckConfig:
    def test_valid_settings_exit_with_0(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        state, log = str(tmp_path / "state"), str(tmp_path / "audit.alert")
        assert main(["watch", "--source", "audit", "--state", state, "--alert-log", log, "--check-config"]) == 0
        out, err = capsys.readouterr()
        assert err == ""
        said = out.splitlines()
        assert re.fullmatch(r"\d+ rules evaluate the audit log", said[0])
        assert said[1:] == [
            f"alerts are stored in {state}/alerts.sqlite",
            "alerts of level low and above go to: alert-log",
            "rejected lines are only counted",
            "all settings can be used",
        ]

    def test_metrics_that_cannot_be_written_keep_nothing_back_and_are_not_among_what_can_be_used(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        settings = ["--state", str(tmp_path / "state"), "--metrics", "/proc/nowhere/x"]
        assert main(["watch", "--source", "audit", "--check-config", *settings]) == 0
        out, err = capsys.readouterr()
        assert "there are no metrics until this is fixed" in err
        assert out.endswith("\nall other settings can be used\n")

    def test_what_silences_a_shipped_rule_is_said(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "overrides.yml").write_text("audit_seal_requested: {enabled: false}\n")
        rules = ["--rules", str(ROOT / "rules"), "--rules", str(tmp_path)]
        state = ["--state", str(tmp_path / "state"), "--alert-log", str(tmp_path / "audit.alert")]
        assert main(["watch", "--source", "audit", "--check-config", *rules, *state]) == 0
        said = capsys.readouterr().err
        assert said == "vaultwatch watch: --rules: 1 shipped rule is not used: audit_seal_requested\n"

    def test_each_invalid_setting_is_a_line_with_its_name(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "webhook").write_text(SECRET.replace("https", "http"))
        monkeypatch.setenv("VAULTWATCH_SLACK_WEBHOOK_URL", SECRET)
        wrong = {
            "--alert-log": "/proc/nowhere/x", "--slack-webhook-file": str(tmp_path / "webhook"), "--sns-topic": "x",
            "--level": "loud", "--state": "/proc/nowhere", "--rules": "/proc/nowhere", "--timezone": "Mars",
            "--rejected": "/proc/nowhere/x", "--stats": "/proc/nowhere/x", "--log-file": "/proc/nowhere/x",
        }  # fmt: skip
        arguments = [word for pair in wrong.items() for word in pair]
        assert main(["watch", "--source", "audit", "--check-config", *arguments]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert sorted(line.split(": ")[1] for line in err.splitlines()) == sorted(wrong)
        assert "SECRET" not in err


class TestTestNotification:
    def test_slack_gets_it_and_the_alert_log_does_not(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        log = tmp_path / "alerts"
        with SlackStandIn() as slack:
            monkeypatch.setenv("VAULTWATCH_SLACK_WEBHOOK_URL", slack.webhook_url)
            arguments = ["--state", str(tmp_path), "--alert-log", str(log), "--test-notification"]
            assert main(["watch", "--source", "audit", *arguments]) == 0
            page = slack.page()
        assert "Vaultwatch can reach you" in page
        assert "This is a test: no alert was stored, and there is nothing to do." in page
        assert "Repeats" not in page
        assert "vaultwatch search" not in page
        assert capsys.readouterr().out.endswith("slack: accepted the test notification\n")
        assert log.read_bytes() == b""

    def test_a_sink_that_does_not_accept_it_is_an_error(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("VAULTWATCH_SLACK_WEBHOOK_URL", "http://127.0.0.1:9/services/T0SECRET")
        assert main(["watch", "--source", "audit", "--state", str(tmp_path), "--test-notification"]) == 1
        err = capsys.readouterr().err
        assert err.startswith("vaultwatch watch: slack: Slack could not be reached")
        assert "SECRET" not in err

    def test_without_a_sink_for_people_it_says_so(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        arguments = ["--state", str(tmp_path), "--alert-log", str(tmp_path / "alerts"), "--test-notification"]
        assert main(["watch", "--source", "audit", *arguments]) == 2
        assert capsys.readouterr().err == "vaultwatch: --test-notification: neither Slack nor SNS is set\n"


@contextmanager
def watching(folder: Path, *arguments: str, **changes: object) -> Iterator[subprocess.Popen[bytes]]:
    """Run the command, with all its files in `folder`."""
    command = [sys.executable, "-m", "vaultwatch", "watch", "--source", "audit", "--state", str(folder / "state")]
    command += ["--alert-log", str(folder / "alerts"), "--log-file", str(folder / "log"), *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0, cwd=ROOT,
        env=environment | {str(name): str(value) for name, value in changes.items()},
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None and not stream.closed:
                stream.close()


def finish(process: subprocess.Popen[bytes]) -> tuple[int, bytes]:
    """End its input; return its exit status and its output."""
    out, err = process.communicate(timeout=HUNG_SECONDS)
    return process.returncode, out + err


def write(process: subprocess.Popen[bytes], data: bytes) -> None:
    assert process.stdin is not None
    while data:
        data = data[process.stdin.write(data) :]


def test_sigterm_and_sighup_do_not_end_it_before_the_end_of_the_input(tmp_path: Path) -> None:
    """syslog-ng sends SIGTERM, closes the pipe and does not wait: the pipe still has to be read."""
    with watching(tmp_path) as process:
        write(process, entry(1))
        eventually((tmp_path / "alerts").exists)
        eventually(lambda: (tmp_path / "alerts").stat().st_size)
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        write(process, b"".join(map(harmless, range(100, 2000))) + entry(2) + entry(3, kind="request"))
        process.send_signal(signal.SIGTERM)
        assert finish(process) == (0, b"")
    assert sorted(numbers(alerts_in(tmp_path / "alerts"))) == [1, 2, 3]
    assert "exiting: all notifications are sent" in (tmp_path / "log").read_text()


def test_sigint_ends_it_at_once_and_the_next_process_sends_what_is_unsent(tmp_path: Path) -> None:
    with watching(tmp_path) as process:
        write(process, entry(1, kind="request"))
        waiting = tmp_path / "state" / "audit.waiting"
        eventually(lambda: waiting.exists() and waiting.stat().st_size)
        process.send_signal(signal.SIGINT)
        status = process.wait(HUNG_SECONDS)
        assert process.stderr is not None
        assert (status, process.stderr.read().strip()) == (130, b"")
    with watching(tmp_path) as process:
        assert finish(process) == (0, b"")
    assert numbers(alerts_in(tmp_path / "alerts")) == [1]


def test_a_closed_standard_input_is_an_error_of_one_line(tmp_path: Path) -> None:
    command = f"exec {sys.executable} -m vaultwatch watch --source audit --state {tmp_path} --log-file {tmp_path}/l <&-"
    ended = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, timeout=HUNG_SECONDS, check=False)
    assert (ended.returncode, ended.stdout) == (2, b"")
    assert ended.stderr == b"vaultwatch: standard input is not open: Bad file descriptor\n"


@pytest.mark.parametrize("given", ["file", "environment"])
def test_the_webhook_is_never_shown(tmp_path: Path, given: str) -> None:
    """It is used, it fails (nobody listens there), and it is not in the output, the log, the state or the arguments."""
    url = "http://127.0.0.1:9/services/T0SECRET"
    (tmp_path / "webhook").write_text(url)
    arguments = ["--slack-webhook-file", str(tmp_path / "webhook")] if given == "file" else []
    changes = {} if given == "file" else {"VAULTWATCH_SLACK_WEBHOOK_URL": url}
    with watching(tmp_path, *arguments, "--stats", str(tmp_path / "stats"), **changes) as process:
        write(process, entry(1) + b"nonsense\n")
        eventually(
            lambda: (tmp_path / "log").exists() and "Slack could not be reached" in (tmp_path / "log").read_text()
        )
        assert b"SECRET" not in Path(f"/proc/{process.pid}/cmdline").read_bytes()
        status, said = finish(process)
    assert (status, said) == (0, b"")
    assert "unsent notifications are sent after the next start" in (tmp_path / "log").read_text()
    (tmp_path / "webhook").unlink()
    for file in tmp_path.rglob("*"):
        assert file.is_dir() or b"SECRET" not in file.read_bytes(), file


def test_its_counters_equal_those_of_check(tmp_path: Path) -> None:
    data = b"".join(map(harmless, range(50))) + entry(50) + b"nonsense\n"
    with watching(tmp_path, "--stats", str(tmp_path / "stats")) as process:
        write(process, data)
        assert finish(process) == (0, b"")
    (tmp_path / "file").write_bytes(data)
    assert main(["check", "--source", "audit", "--stats", str(tmp_path / "c"), str(tmp_path / "file")]) == 1
    mine, theirs = (json.loads((tmp_path / name).read_bytes()) for name in ("stats", "c"))
    for name in ("audit", "server", "rejected", "alerts"):
        assert mine[name] == theirs[name]
