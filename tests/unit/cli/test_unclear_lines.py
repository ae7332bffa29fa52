"""Nobody misses a log half in another form: lines that are messages only because nothing else is known are named."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from tests.unit.cli.test_check import AUDIT, SERVER, Check, check  # noqa: F401  the fixture

HEX = b"00000000: 7b22 7479 7065 223a 2272 6571 7565 7374  .type.:.request\n"
MESSAGE = "2026-11-21T07:29:41.065Z [INFO]  core: " + "successful mount " * 10


def test_they_are_named_with_the_first_and_a_command_and_counted(check: Check, tmp_path: Path) -> None:  # noqa: F811
    log = tmp_path / "log"
    encoded = b"".join(base64.b64encode(line) + b"\n" for line in AUDIT.read_bytes().splitlines()[:2])
    log.write_bytes(SERVER.read_bytes() + encoded)
    found = check(log)
    said = f"{log}: 2 lines are read as messages though they have neither time nor level, and no server is known to"
    assert f"{said} write such; the first: {encoded[:79].decode()}" in found.err.replace('"', "")
    assert f"; it is in base64: cat {log} | " in found.err
    assert " server messages (2 unclear), " in found.err
    assert found.status == 1


@pytest.mark.parametrize("lines", [3, 40])
def test_a_log_of_which_most_lines_are_such_is_an_error_if_it_raises_no_alert(
    check: Check,  # noqa: F811
    tmp_path: Path,
    lines: int,
) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"2026-11-21T07:29:41.100Z [INFO]  core: x\n" + HEX * lines)
    found = check(log)
    assert (found.status, found.alerts) == (2, [])
    assert f" ({lines} unclear), " in found.err


def test_a_log_without_such_lines_is_read_without_a_word(check: Check) -> None:  # noqa: F811
    assert "unclear" not in check(SERVER).err


@pytest.mark.parametrize("line", [HEX, f"{MESSAGE[:80]}\n{MESSAGE[80:160]}\n{MESSAGE[160:]}\n".encode()])
def test_what_makes_it_an_error_is_said_even_if_only_errors_are(check: Check, line: bytes, tmp_path: Path) -> None:  # noqa: F811
    (log := tmp_path / "log").write_bytes(b"2026-11-21T07:29:41.100Z [INFO]  core: x\n" + line * 6)
    found = check("-q", log)
    assert found.status == 2
    assert found.err.startswith(f"vaultwatch: {log}: ")
    assert found.err.count("\n") == 1
