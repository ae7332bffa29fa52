"""A server log that a terminal or a mail program has wrapped: `check` names a command that works when pasted."""

from __future__ import annotations

import json
import quopri
import subprocess
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from vaultwatch.cli import main

RECORDINGS = Path(__file__).parents[2] / "data" / "recordings"
LOGS = sorted({*RECORDINGS.rglob("server*.log")})
IN_JSON = RECORDINGS / "openbao-2.6.2" / "crash" / "server.log"
WITH_BANNERS = RECORDINGS / "vault-1.14.2" / "ordinary-restart" / "server.log"
WITH_MANY_LINES = RECORDINGS / "vault-1.14.2" / "audit-socket-down" / "server.log"
Wrap = Callable[..., list[str]]


def by_terminal(line: str, width: int = 80) -> list[str]:
    return [line[start : start + width] for start in range(0, len(line), width)] or [line]


def by_mail(line: str, width: int = 76) -> list[str]:
    return textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False) if len(line) > width else [line]


def messages(lines: list[str]) -> list[list[str]]:
    """Return the words of the lines that are no part of a banner."""
    return [line.split() for line in lines if "] " in line or line.startswith(("{", "  |"))]


def ran(capfd: pytest.CaptureFixture[str], log: Path) -> tuple[list[str], list[str]]:
    """Return the rules that match, and what is said on stderr."""
    capfd.readouterr()
    main(["check", "--format", "json", str(log)])
    out, err = capfd.readouterr()
    return sorted(json.loads(line)["rule"] for line in out.splitlines()), err.splitlines()


def count_of(said: list[str]) -> str:
    return said[-1].split(", ")[1]


@pytest.mark.parametrize(
    ("wrap", "log"),
    [
        *((wrap, log) for wrap in (by_terminal, by_mail) for log in (WITH_BANNERS, WITH_MANY_LINES)),
        (by_terminal, IN_JSON),
    ],
)
def test_the_command_joins_what_was_wrapped(
    wrap: Wrap, log: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    whole, (wrapped, joined) = ran(capfd, log), (tmp_path / name for name in ("it's wrapped", "joined"))
    lines = log.read_text().splitlines()
    wrapped.write_text("".join(f"{part}\n" for line in lines for part in wrap(line)))
    _, said = ran(capfd, wrapped)
    hint = next(line for line in said if "wrapped at" in line)
    assert hint.startswith(f"vaultwatch: {wrapped}: ")
    assert count_of(said) != count_of(whole[1])
    command = hint.partition("be wrapped at ")[2].partition(": ")[2].removesuffix(" | vaultwatch check")
    joined.write_bytes(subprocess.run(["sh", "-c", command], check=True, capture_output=True).stdout)
    assert messages(joined.read_text().splitlines()) == messages(lines)
    again = ran(capfd, joined)
    assert again[0] == whole[0]
    assert " 0 rejected lines, " in again[1][-1]


@pytest.mark.parametrize(
    ("log", "address"),
    [
        *((WITH_BANNERS, address) for address in ("127.0.0.1", "[::1]", "0.0.0.0", "10.1.2.3")),
        *((IN_JSON, address) for address in ("[::1]", "10.1.2.3")),
    ],
)
def test_the_address_of_a_listener_in_a_wrapped_banner_is_that_of_its_line(
    log: Path, address: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    text = log.read_text().replace('(addr: "127.0.0.1', f'(addr: "{address}')
    widths = [*range(47, 120, 7), 120, 160, 240]
    for name, wrap in (("exact", by_terminal), ("words", by_mail)):
        for width in widths if name == "exact" else (76,):
            lines = [
                part for line in text.splitlines() for part in (wrap(line, width) if "Listener" in line else [line])
            ]
            (tmp_path / f"{name}-{width}").write_text("".join(f"{part}\n" for part in lines))
    (tmp_path / "plain").write_text(text)
    alerts = []
    for path in tmp_path.iterdir():
        capfd.readouterr()
        main(["check", "--format", "json", "--rule", "server_listener_without_tls", "--jobs", "1", str(path)])
        alerts.append([json.loads(line)["id"] for line in capfd.readouterr().out.splitlines()])
    assert alerts == [alerts[0]] * len(alerts)
    assert len(alerts[0]) == (address in ("0.0.0.0", "10.1.2.3"))


def test_of_what_servers_wrote_nothing_is_taken_for_wrapped(capfd: pytest.CaptureFixture[str]) -> None:
    assert len(LOGS) > 20
    said = {log: [line for line in ran(capfd, log)[1] if "wrapped" in line] for log in LOGS}
    assert {log: lines for log, lines in said.items() if lines} == {}


def test_a_text_that_had_room_in_the_line_before_is_no_part_of_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """As `vault server -dev` prints its warning behind the first messages."""
    (log := tmp_path / "dev.log").write_text(
        '2026-11-21T07:29:41.065Z [INFO]  core: successful mount: namespace="" path=secret/ type=kv version=""\n'
        "2026-11-21T07:29:41.066Z [INFO]  core: vault is unsealed, and active\n"
        "WARNING! dev mode is enabled! In this mode, Vault runs entirely in-memory\n"
        "and starts unsealed with a single unseal key.\n"
    )
    _, said = ran(capfd, log)
    assert [line for line in said if "wrapped" in line] == []
    assert count_of(said) == "4 server messages"


@pytest.mark.parametrize(("width", "is_named"), [(80, True), (132, True), (81, False), (60, False)])
def test_a_single_message_that_a_terminal_has_wrapped_is_named(
    width: int, is_named: bool, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    message = f"2026-11-21T07:29:41.065Z [INFO]  core: {'successful mount ' * 9}"[: width + 20]
    short = "2026-11-21T07:29:41.066Z [INFO]  core: x\n"
    (log := tmp_path / "server.log").write_text(f"{short}{message[:width]}\n{message[width:]}\n{short}")
    _, said = ran(capfd, log)
    named = [line for line in said if f"its lines seem to be wrapped at {width}: cat" in line]
    assert len(named) == is_named


def test_a_text_behind_the_longest_message_is_no_part_of_it(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    message = "2026-11-21T07:29:41.065Z [INFO]  core: successful mount: path=secret/ type=kv\n"
    (log := tmp_path / "server.log").write_text(
        f"{message}2026-11-21T07:29:41.066Z [INFO]  core: x\n{message}ended by hand\n"
    )
    _, said = ran(capfd, log)
    assert [line for line in said if "wrapped" in line] == []


@pytest.mark.parametrize(("width", "is_named"), [(998, True), (1_830, False)])
def test_lines_that_are_wider_than_mail_and_terminals_are_those_of_a_table(
    width: int, is_named: bool, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = (
        "2026-11-21T07:29:41.065Z [INFO]  core: x",
        "one cell",
        "2026-11-21T07:29:41.066Z [INFO]  core: y",
        "another",
    )
    (log := tmp_path / "table").write_text("".join(f"{row.ljust(width - 1)}|\n" for row in rows))
    _, said = ran(capfd, log)
    assert any("wrapped" in line for line in said) is is_named


def test_a_server_log_in_quoted_printable_is_decoded(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (encoded := tmp_path / "mail.txt").write_bytes(quopri.encodestring(IN_JSON.read_bytes()))
    _, said = ran(capfd, encoded)
    hint = next(line for line in said if "it is quoted-printable: cat" in line)
    command = hint.partition("quoted-printable: ")[2].removesuffix(" | vaultwatch check")
    decoded = subprocess.run(["sh", "-c", command], check=True, capture_output=True).stdout
    assert decoded == IN_JSON.read_bytes()
