"""`vaultwatch status`: what it shows of handlers that run, have ended, or were killed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.waiting import eventually
from tests.support.watching import Watching, entry, options
from vaultwatch.cli import main


@pytest.fixture
def ended(tmp_path: Path) -> Path:
    """The metrics of a handler that has read three lines and has ended."""
    file = tmp_path / "vaultwatch-audit.prom"
    with Watching(options(tmp_path, metrics=file)) as watching:
        watching.write(b"no entry\n" + entry(1) + entry(2))
        watching.wait_for_alerts(2)
    return file


def test_it_shows_what_a_handler_has_read_rejected_and_sent(ended: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", str(ended.parent)]) == 1
    shown = re.sub(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME", capsys.readouterr().out)
    assert re.sub(r"version .*|\d notifications? sent", "", shown).splitlines() == [
        "watch audit: ended at TIME, ",
        "  read      3 lines, the last TIME",
        "  rejected  1 line",
        "  alerts    2; one notification can hold several",
        "  alert-log , 0 unsent, 0 failed attempts, the last TIME",
    ]


def test_it_names_a_handler_that_runs_and_one_that_was_killed(ended: Path, capsys: pytest.CaptureFixture[str]) -> None:
    running = re.sub(r"(vaultwatch_running\{.*\}) 0", r"\1 1", ended.read_text())
    ended.write_text(running)
    assert main(["status", str(ended.parent)]) == 0
    assert capsys.readouterr().out.startswith("watch audit: running since 20")
    ended.write_text(re.sub(r"(vaultwatch_metrics_timestamp_seconds\{.*\}) .*", r"\1 86400", running))
    assert main(["status", str(ended.parent)]) == 1
    said = "watch audit: was killed or hangs: nothing written since 1970-01-02T00:00:00Z, version"
    assert capsys.readouterr().out.startswith(said)


def test_without_metrics_it_says_who_writes_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", str(tmp_path)]) == 2
    said = f"vaultwatch: {tmp_path}: has no vaultwatch-*.prom, which `watch` writes\n"
    assert capsys.readouterr().err == said


def test_without_a_folder_it_shows_what_the_user_has_started(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`vaultwatch watch` without options writes its metrics where it keeps its state."""
    for module in ("watch.options", "cli.status"):
        monkeypatch.setattr(f"vaultwatch.{module}.SYSTEM_STATE", tmp_path / "nowhere")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert main(["status"]) == 2
    said = f"{tmp_path}/nowhere: no such folder: name that of `watch --metrics`; {tmp_path}/vaultwatch: no such folder"
    assert said in capsys.readouterr().err
    plain = options(tmp_path, state=None, alert_log=None, environment={"XDG_STATE_HOME": str(tmp_path)})
    with Watching(plain) as watching:
        watching.write(entry(1))
        eventually(lambda: main(["status"]) == 0)
    assert main(["status"]) == 1
    shown = capsys.readouterr().out
    assert "watch audit: running since 20" in shown
    assert "  read      1 line, the last 20" in shown
    assert "  alerts    1\n  nobody is notified: no sink is set\n" in shown


def test_files_of_other_commands_are_no_handlers(ended: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = ended.with_name("vaultwatch-probe.prom")
    other.write_text('vaultwatch_probe_timestamp_seconds{command="probe"} 1\n')
    main(["status", str(ended.parent)])
    assert "probe" not in capsys.readouterr().out
    ended.write_text("garbled")
    assert main(["status", str(ended.parent)]) == 1  # what cannot be read is no handler that runs
    assert capsys.readouterr().out.startswith("? ?: ")
    ended.unlink()
    assert main(["status", str(ended.parent)]) == 2
    assert "no vaultwatch-*.prom there is of `watch` or `ship --metrics`" in capsys.readouterr().err


def test_a_folder_that_is_not_there_or_may_not_be_read_is_named_with_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["status", str(tmp_path / "nowhere")]) == 2
    assert (
        capsys.readouterr().err == f"vaultwatch: {tmp_path}/nowhere: no such folder: name that of `watch --metrics`\n"
    )
    monkeypatch.setattr("os.access", lambda *_: False)  # root may read everything
    assert main(["status", str(tmp_path)]) == 2
    assert f"{tmp_path}: you may not read it: run `sudo vaultwatch status`" in capsys.readouterr().err
