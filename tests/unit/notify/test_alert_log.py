"""The alert log contains every alert on a line of its own, wherever logrotate puts the file."""

from __future__ import annotations

import gzip
import json
import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from tests.support.waiting import HUNG_SECONDS
from tests.unit.notify.samples import a_message
from tests.unit.store.alerts import an_alert
from vaultwatch.errors import DeliveryError
from vaultwatch.notify.alert_log import AlertLog
from vaultwatch.rules.facts import Level

LOGROTATE = shutil.which("logrotate", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "log"
    folder.mkdir(mode=0o755)
    return folder / "audit.alert"


def keys(*files: Path) -> list[str]:
    """Return the event keys of all lines, each of which must be one alert."""
    contents = [gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes() for file in files]
    return [json.loads(line)["event_key"] for content in contents for line in content.splitlines()]


@pytest.fixture
def before_fsync(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Do something once at the worst moment: a line is written, and its file is not checked yet."""

    def arrange(action: Callable[[], None]) -> None:
        actions = [action]
        fsync = os.fsync

        def first_the_action(descriptor: int) -> None:
            if actions:
                actions.pop()()
            fsync(descriptor)

        monkeypatch.setattr("vaultwatch.notify.alert_log.os.fsync", first_the_action)

    return arrange


def test_an_alert_is_one_line_of_json_with_every_field(path: Path) -> None:
    alert = an_alert("e1", summary="a\nb\u2028c")
    AlertLog(path).send(a_message(alert))
    assert msgspec.json.decode(path.read_bytes(), type=type(alert)) == alert
    assert path.read_bytes().count(b"\n") == 1
    assert path.stat().st_mode & 0o777 == 0o640 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_it_is_on_disk_before_it_counts_as_accepted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synchronised: list[int] = []
    monkeypatch.setattr("vaultwatch.notify.alert_log.os.fsync", lambda fd: synchronised.append(os.fstat(fd).st_size))
    AlertLog(path).send(a_message())
    assert synchronised == [path.stat().st_size]


def test_staged_alerts_and_those_below_the_level_are_not_in_it(path: Path) -> None:
    log = AlertLog(path, Level.HIGH)
    log.send(a_message(an_alert("e1", level=Level.MEDIUM), an_alert("e2", staged=True), an_alert("e3")))
    log.send(a_message(an_alert("e4", level=Level.LOW)))
    assert keys(path) == ["e3"]


@pytest.mark.parametrize("create", [True, False])
def test_a_file_renamed_between_two_alerts_is_created_again(path: Path, create: bool) -> None:
    log = AlertLog(path)
    log.send(a_message(an_alert("e1")))
    path.rename(path.with_name("old"))
    if create:
        path.touch()
    log.send(a_message(an_alert("e2")))
    assert (keys(path.with_name("old")), keys(path)) == (["e1"], ["e2"])


@pytest.mark.parametrize("create", [True, False])
def test_an_alert_written_to_a_file_while_it_is_renamed_is_written_again(
    path: Path, before_fsync: Callable[[Callable[[], None]], None], create: bool
) -> None:
    def move() -> None:
        path.rename(path.with_name("old"))
        if create:
            path.touch()

    before_fsync(move)
    AlertLog(path).send(a_message(an_alert("e1")))
    assert keys(path) == ["e1"]


def test_an_alert_written_to_a_file_that_was_compressed_and_removed_is_written_again(
    path: Path, before_fsync: Callable[[Callable[[], None]], None]
) -> None:
    before_fsync(path.unlink)
    AlertLog(path).send(a_message(an_alert("e1")))
    assert keys(path) == ["e1"]


def test_an_alert_truncated_before_it_was_accepted_is_written_again(
    path: Path, before_fsync: Callable[[Callable[[], None]], None]
) -> None:
    before_fsync(lambda: os.truncate(path, 0))
    AlertLog(path).send(a_message(an_alert("e1")))
    assert keys(path) == ["e1"]


def test_after_a_truncation_the_file_has_no_hole(path: Path) -> None:
    log = AlertLog(path)
    log.send(a_message(an_alert("e1")))
    os.truncate(path, 0)
    log.send(a_message(an_alert("e2")))
    assert keys(path) == ["e2"]


@pytest.mark.skipif(LOGROTATE is None, reason="logrotate is not installed")
@pytest.mark.parametrize("how", ["create", "nocreate", "copytruncate", "compress\nnodelaycompress"])
def test_logrotate_loses_no_alert(path: Path, tmp_path: Path, how: str) -> None:
    configuration = tmp_path / "rotate.conf"
    configuration.write_text(f"{path} {{\n su {os.getuid()} {os.getgid()}\n rotate 99\n {how}\n}}\n")
    log = AlertLog(path)
    for number in range(5):
        log.send(a_message(an_alert(f"e{number}")))
        assert LOGROTATE is not None
        state = ["-f", "-s", str(tmp_path / "state")]
        subprocess.run([LOGROTATE, *state, str(configuration)], check=True, capture_output=True, timeout=HUNG_SECONDS)
    log.send(a_message(an_alert("e5")))
    assert len(list(path.parent.iterdir())) == 6
    assert sorted(keys(*path.parent.iterdir())) == [f"e{number}" for number in range(6)]


def test_an_incomplete_line_after_a_kill_is_ended(path: Path) -> None:
    path.write_bytes(b'{"event_key":"e1"}\n{"event_k')
    AlertLog(path).send(a_message(an_alert("e2")))
    whole, torn, added = path.read_bytes().splitlines()
    assert (whole, torn) == (b'{"event_key":"e1"}', b'{"event_k')
    assert json.loads(added)["event_key"] == "e2"


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Limit the size of files, as on a full disk: writes beyond the limit fail."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_reported_and_an_incomplete_line_damages_no_other(path: Path) -> None:
    log = AlertLog(path)
    log.send(a_message(an_alert("e1")))
    with files_of_at_most(path.stat().st_size + 50), pytest.raises(DeliveryError, match="File too large"):
        log.send(a_message(an_alert("e2")))
    log.send(a_message(an_alert("e2")))
    lines = path.read_bytes().splitlines()
    assert len(lines[1]) == 50
    assert [json.loads(line)["event_key"] for line in (lines[0], lines[2])] == ["e1", "e2"]


def test_a_missing_directory_is_reported_and_used_once_it_exists(path: Path) -> None:
    log = AlertLog(path)
    path.parent.rename(path.parent.with_name("gone"))
    with pytest.raises(DeliveryError, match="No such file or directory"):
        log.send(a_message(an_alert("e1")))
    path.parent.mkdir()
    log.send(a_message(an_alert("e1")))
    assert keys(path) == ["e1"]
