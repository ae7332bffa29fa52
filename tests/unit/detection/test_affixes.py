"""A crash is read behind what is before the messages of its log, and between what is around them."""

from __future__ import annotations

import csv
import io
import json
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.unwrapping.test_unwrapper import A, Counted, counted, verdicts
from tests.unit.unwrapping.test_unwrapper import S as SEALED
from vaultwatch.reading.affixes import Affixes
from vaultwatch.reading.server_line import split_line

S = "2026-11-21T07:29:59.352Z [INFO]  core: vault is sealed"
J = '{"@level":"info","@message":"vault is sealed","@module":"core","@timestamp":"2026-11-21T07:29:59.352000Z"}'
CRASH = ["panic: runtime error: index out of range", "", "goroutine 1 [running]:", "main.main()", "\t/a/b.go:7 +0x1"]
TIME = "2026-11-21T07:31:00.{:03}Z"
Wrap = Callable[[int, str], str]


def row(*cells: str, **form: object) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="", **form).writerow(cells)  # type: ignore[arg-type]
    return out.getvalue()


WRAPPED: dict[str, Wrap] = {
    **{
        f"{before!r} before each line": lambda _, text, before=before: before + text  # type: ignore[misc]
        for before in (
            *(
                "- ",
                "* ",
                "# ",
                "• ",
                "— ",
                "→ ",
                ">> ",
                "'",
                "\u200b",
                "\ufeff",
                "INFO ",
                "E ",
                "msg: ",
                "a,b,",
                "a;b;",
            ),
            *("a\tb\t", "MESSAGE=", "$ ", "~ ", "vault-0 vault ", "@ "),
        )
    },
    "numbers and dots": lambda number, text: f"{number}. {text}",
    "numbers in brackets": lambda number, text: f"{number}) {text}",
    "numbers and lines": lambda number, text: f"{number}| {text}",
    "numbers of lines": lambda number, text: f"L{number}: {text}",
    "numbers to the right": lambda number, text: f"{number:4} {text}",
    "GitLab": lambda number, text: f"2026-11-21T07:31:00.{number:06}Z 01O {text}",
    "git blame": lambda number, text: f"^{number * 7919:07x}a1 (Alice 2026-11-21 07:31:00 +0000  {number}) {text}",
    "a table without a heading": lambda number, text: row(TIME.format(number), text, quoting=csv.QUOTE_ALL),
    "a table of two texts": lambda number, text: row(TIME.format(number), "vault", text, quoting=csv.QUOTE_ALL),
    "bars": lambda number, text: f"{TIME.format(number)} | vault-0 | {text}",
    "bars around": lambda number, text: f"{TIME.format(number)} | vault-0 | {text} | prod | {number}",
    "tabs": lambda number, text: row(TIME.format(number), "vault", text, delimiter="\t"),
    "jq @sh": lambda _, text: shlex.quote(text) if "'" not in text and text else f"'{text}'",
    "numbers in JSON": lambda number, text: json.dumps({"message": f"{number} {text}"}),
    "bat": lambda number, text: f"{number:4} │ {text}",
    "blanks of a web page": lambda _, text: text if text.startswith("{") else text.replace("  ", " \u00a0"),
    "TOML": lambda number, text: f"[[log]]\nts = {TIME.format(number)}\nline = {json.dumps(text)}\n",
}
TABLES: dict[str, tuple[Sequence[str], Callable[[int, str], Sequence[str]]]] = {
    "CloudWatch": (["@timestamp", "@message", "@logStream"], lambda n, text: [TIME.format(n), text, "s,123:vault"]),
    "Cloud Logging": (
        ["insertId", "severity", "textPayload", "timestamp"],
        lambda n, text: [f"{n * 7919:08x}{n}", "INFO", text, TIME.format(n)],
    ),
    "Azure": (["TimeGenerated [UTC]", "LogEntry", "Id"], lambda n, text: [f"11/21/2026, 07:31:0{n} AM", text, "abc"]),
    "MongoDB": (["_id", "ts", "line"], lambda n, text: [f"ObjectId({n * 7919:x}0)", TIME.format(n), text]),
}
for name, (heading, cells) in TABLES.items():
    WRAPPED[name] = lambda n, text, heading=heading, cells=cells: (  # type: ignore[misc]
        (row(*heading) + "\n" if n == 1 else "") + row(*cells(n, text))
    )


def rules(lines: Sequence[str]) -> list[str]:
    return sorted(verdict.rule.name for verdict in verdicts("\n".join(lines) + "\n"))


@pytest.mark.parametrize("message", [S, J], ids=["text", "JSON"])
@pytest.mark.parametrize("name", sorted(WRAPPED))
def test_a_crash_is_read_as_behind_it_as_messages_are(name: str, message: str) -> None:
    plain = [A, message, message.replace("59.3", "59.4"), *CRASH]
    wrapped = [WRAPPED[name](number, line) for number, line in enumerate(plain, 1)]
    assert "server_panic" in rules(plain)
    assert rules(wrapped) == rules(plain)


@pytest.mark.parametrize("name", sorted(WRAPPED))
def test_a_crash_before_the_first_message_is_read(name: str) -> None:
    plain = [A, *CRASH, S, S.replace("59.3", "59.4")]
    wrapped = [WRAPPED[name](number, line) for number, line in enumerate(plain, 1)]
    assert rules(wrapped) == rules(plain)


@settings(max_examples=200)
@given(st.text(st.sampled_from("ab1 ,:-|\t\"'x=[{"), max_size=8), st.text(max_size=20))
def test_what_has_not_all_of_it_stays_as_it_is(before: str, text: str) -> None:
    known = Affixes()
    for number in range(2):
        known.learn(b"%d" % number, before.encode())
    line = text.encode("utf-8", "replace")
    assert line.endswith(known.remove(line))
    assert known.remove(b"\1" + line) == b"\1" + line


def test_a_short_text_before_one_message_is_not_learned() -> None:
    known = Affixes()
    for _ in range(2):
        split_line(f"- {S}".encode(), known)
        assert split_line(b"- panic: x", known).text == b"- panic: x"
    split_line(f"- {S}: again".encode(), known)
    assert split_line(b"- panic: x", known).text == b"panic: x"


def test_a_line_of_a_value_teaches_nothing() -> None:
    known = Affixes()
    for number in range(3):
        split_line(f"  | {S} {number}".encode(), known)
        known.learn(b"%d" % number, b"  | ")
    assert split_line(b"  | panic: x", known).text == b"  | panic: x"


@pytest.mark.parametrize("behind", [" 2026-11-21T07:31:00.000Z", "$", "<br>", " ; vault-0", "^M$", ")", " # 1"])
def test_an_entry_is_read_once_whatever_is_behind_it(behind: str) -> None:
    assert counted(f"{A}{behind}\n" * 3) == Counted(3, 0)


@pytest.mark.parametrize(
    "behind", ['"path":"sys/mounts"}}', "}", "panic: runtime error: x", '{"type":"request"', "a" * 300]
)
def test_what_could_be_of_another_record_behind_an_entry_is_not_left_out(behind: str) -> None:
    found = counted(f"{A}{behind}\n" * 3)
    assert (found.audit, found.server + found.rejected) == (3, 3)


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
    split_line(f"2026-11-21T07:29:41Z app[1] iad [info] {SEALED}".encode(), known)
    for text in (b"  | 1 error occurred", b"==> Vault shutdown triggered", b"app[x] iad [info] x", b""):
        assert split_line(text, known).text == text
    assert split_line(b"2027-01-02T07:29:41Z app[2] iad [info]", known).text == b""


def test_a_prefix_is_of_one_log_only() -> None:
    prefixed = f"vault-node-1 says {SEALED}\n"
    assert counted(prefixed + "vault-node-1 says ==> Vault shutdown triggered\n") == Counted(0, 2)
    known = Affixes()
    known.learn(b"a x", b"a ")
    assert known.remove(b"a b") == b"a b"
