"""What a platform writes before every line of a log is removed from the lines that continue a message, too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.reading.test_unwrapping import A, Counted, S, counted, verdicts
from vaultwatch.reading.affixes import Affixes
from vaultwatch.reading.server_log import split_line

RECORDINGS = Path(__file__).parents[2] / "data" / "recordings" / "vault-1.14.2"
TEXT = "".join((RECORDINGS / name / "server.log").read_text() for name in ("ordinary-restart", "audit-socket-down"))
WHOLE = counted(TEXT)
DIM, BLUE, OFF = "\x1b[2m", "\x1b[34m", "\x1b[0m"
PLATFORMS: dict[str, Callable[[int, str], str]] = {
    "Fly.io": lambda second, text: f"2026-11-21T07:29:{second}Z app[148ed193f95089] iad [info]{text}",
    "Fly.io, with a blank": lambda second, text: f"2026-11-21T07:29:{second}.933 app[148ed193f95089] iad [info] {text}",
    "Fly.io, in colours": lambda second, text: (
        f"{DIM}2026-11-21T07:29:{second}Z{OFF} app{DIM}[{OFF}148ed19{DIM}]{OFF} iad [{BLUE}info{OFF}]{text}"
    ),
    "Railway": lambda second, text: f"2026-11-21T07:29:{second}.933456789Z [inf]  {text}",
    "Render": lambda second, text: f"Nov 21 07:29:{second} AM  {text}",
    "Logback": lambda second, text: f"2026-11-21 07:29:{second}.933  INFO 1 --- [main] vault : {text}",
    "klog": lambda second, text: f"I1121 07:29:{second}.933456       1 log.go:12] {text}",
    "Python": lambda second, text: f"2026-11-21 07:29:{second},933 [INFO] vault: {text}",
    "Go": lambda second, text: f"2026/11/21 07:29:{second} {text}",
    "journalctl -o short-delta": lambda second, text: f"[   41.0658{second} <    0.000021 >] host vault[12]: {text}",
    "grep -n": lambda second, text: f"{second}:{text}",
    "diff": lambda _, text: f"+{text}",
    "Markdown": lambda _, text: f"> {text}",
    "cat -n": lambda second, text: f"{second:6}\t{text}",
}


@pytest.mark.parametrize("platform", sorted(PLATFORMS))
def test_messages_of_many_lines_are_joined_behind_any_prefix(platform: str) -> None:
    wrap = PLATFORMS[platform]
    lines = [wrap(10 + number % 50, line) for number, line in enumerate([A, *TEXT.splitlines()])]
    text = "\n".join(lines) + "\n"
    assert counted(text) == WHOLE._replace(audit=1)
    rules = sorted(verdict.rule.name for verdict in verdicts(A + "\n" + TEXT))
    assert sorted(verdict.rule.name for verdict in verdicts(text)) == rules


@pytest.mark.parametrize("platform", sorted(PLATFORMS))
def test_entries_behind_any_prefix_are_entries(platform: str) -> None:
    assert counted("".join(PLATFORMS[platform](10 + number, A) + "\n" for number in range(9))) == Counted(9, 0)


def test_a_line_without_a_prefix_stays_as_it_is() -> None:
    known = Affixes()
    split_line(f"2026-11-21T07:29:41Z app[1] iad [info] {S}".encode(), known)
    for text in (b"  | 1 error occurred", b"==> Vault shutdown triggered", b"app[x] iad [info] x", b""):
        assert split_line(text, known).text == text
    assert split_line(b"2027-01-02T07:29:41Z app[2] iad [info]", known).text == b""


def test_a_prefix_is_of_one_log_only() -> None:
    prefixed = f"vault-node-1 says {S}\n"
    assert counted(prefixed + "vault-node-1 says ==> Vault shutdown triggered\n") == Counted(0, 2)
    known = Affixes()
    known.learn(b"a x", b"a ")
    assert known.remove(b"a b") == b"a b"
