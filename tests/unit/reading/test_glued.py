"""What is joined to the line of a message is read: its further lines, and a crash or a banner behind it."""

from __future__ import annotations

import json

import pytest

from tests.unit.unwrapping.test_unwrapper import J, S, verdicts
from vaultwatch.reading.records import MISPLACED_MESSAGE, NO_ORIGIN, Rejected, ServerMessage
from vaultwatch.reading.server_log import ServerLogReader

CRASH = ["panic: runtime error: index out of range", "[signal SIGSEGV: x]", "", "goroutine 1 [running]:", "main.main()"]
FAILED = "2026-03-01T10:00:00.123Z [ERROR] audit: backend failed to log request: backend=siem/"
FURTHER = ["  error=", "  | 2 errors occurred:", "  | \t* no route to host", "  | ", "  "]
ENDS = ["", " ", "\t", ",", "; ", " | ", "\\n", "#012", "<br>"]


def rules(text: str) -> list[str]:
    return sorted(verdict.rule.name for verdict in verdicts(text))


def messages(line: str) -> list[ServerMessage]:
    reader = ServerLogReader()
    found = reader.feed(line.encode(), NO_ORIGIN, 0.0) + reader.flush()
    return [one for one in found if isinstance(one, ServerMessage)]


@pytest.mark.parametrize("message", [S, J, FAILED], ids=["text", "JSON", "a pair"])
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("crash", [CRASH, ["fatal error: all goroutines are asleep", "", "goroutine 1 [running]:"]])
def test_a_crash_behind_a_message_is_one_of_its_own(message: str, end: str, crash: list[str]) -> None:
    plain = "\n".join([S, message, *crash]) + "\n"
    assert "server_panic" in rules(plain)
    assert rules(end.join([S, message, *crash]) + "\n") == rules(plain)


@pytest.mark.parametrize("message", [S, J, FAILED], ids=["text", "JSON", "a pair"])
def test_a_crash_of_which_only_the_first_line_is_behind_a_message_is_one_of_its_own(message: str) -> None:
    assert "server_panic" in rules("\n".join([S, message + CRASH[0], *CRASH[1:]]) + "\n")


@pytest.mark.parametrize("end", ENDS)
def test_objects_that_are_joined_are_read(end: str) -> None:
    further = [J.replace(":00.1Z", f":00.{number}Z") for number in range(2, 5)]
    assert rules(end.join([J, *further])) == rules("\n".join([J, *further]))


def test_a_banner_behind_a_message_is_one_of_its_own() -> None:
    plain = f"{S}\n==> Vault shutdown triggered\n"
    assert "server_shutdown" in rules(plain)
    assert rules(plain.replace("finished\n", "finished")) == rules(plain)


@pytest.mark.parametrize(
    "text",
    [
        'x: error="a panic: runtime error: b goroutine 1 [running]"',
        "x: recovered: panic: runtime error: b",
        "x: recovered from panic: b",
        'x: path="a==> b" error="c\\" ==> panic: d"',
        "x: name=(panic: a)",
    ],
)
def test_a_message_that_names_a_crash_is_one(text: str) -> None:
    [message] = messages(f"2026-03-01T10:00:00.123Z [ERROR] core: {text}")
    assert message.raw.decode().endswith(text)


@pytest.mark.parametrize("end", ENDS)
def test_the_further_lines_of_a_message_are_read_in_its_line(end: str) -> None:
    [plain] = [m for text in ["\n".join([FAILED, *FURTHER])] for m in _of_lines(text)]
    [joined] = messages(end.join([FAILED, *FURTHER]))
    assert (joined.message, joined.fields, joined.own) == (plain.message, plain.fields, plain.own)


def _of_lines(text: str) -> list[ServerMessage]:
    reader = ServerLogReader()
    for line in text.encode().split(b"\n"):
        reader.feed(line, NO_ORIGIN, 0.0)
    return [one for one in reader.flush() if isinstance(one, ServerMessage)]


def test_a_value_in_quotes_has_no_further_lines() -> None:
    [message] = messages(f'{FAILED} error="a\\n  path=\\n  | b"')
    assert message.fields == {"backend": "siem/", "error": "a\n  path=\n  | b"}


@pytest.mark.parametrize(
    "behind", [S, f" {S}", "panic: runtime error: x", " panic: runtime error: x", "==> Vault shutdown"]
)
def test_what_is_behind_a_line_of_a_value_is_a_rejected_line(behind: str) -> None:
    reader = ServerLogReader()
    lines = [FAILED, *FURTHER[:3], FURTHER[2] + behind, *FURTHER[3:]]
    found = [one for line in lines for one in reader.feed(line.encode(), NO_ORIGIN, 0.0)]
    [message] = reader.flush()
    assert found == [Rejected(behind.encode(), MISPLACED_MESSAGE)]
    assert message.raw.decode().count("no route to host") == 2


@pytest.mark.parametrize("between", ["\t", ", ", " | ", ""])
def test_a_crash_behind_an_object_is_no_column(between: str) -> None:
    assert "server_panic" in rules("\n".join([S, J + between + CRASH[0], *CRASH[1:]]) + "\n")


def test_a_row_of_cloudwatch_insights_is_no_message() -> None:
    rows = [{"@timestamp": "2026-03-01 10:00:00.123", "@message": line} for line in [S, *CRASH]]
    assert rules(json.dumps(rows, indent=2)) == rules("\n".join([S, *CRASH]))
