"""Texts of clients inside messages of the server log: whatever they are, the message raises its own alert and no other.

A server that logs in JSON writes such a text with its quotes escaped, as a member of the message.
"""

import json
import re
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vaultwatch.alerts import alert_of
from vaultwatch.detection.detector import Detector
from vaultwatch.detection.evaluator import Ruleset
from vaultwatch.detection.line_reader import Source
from vaultwatch.reading.records import Origin, Rejected
from vaultwatch.rules.pack import shipped_rules

TIME = "2026-11-29T20:00:05.1Z"
ENTRY = (
    '{"time":"2026-11-29T00:00:00Z","type":"response","auth":{"display_name":"x"},"request":{"id":"f","operation":'
    '"delete","path":"sys/audit/file"}}'
)
HEAD = "2026-11-29T00:00:00.000Z [INFO]  core: security barrier initialized: shares=1 threshold=1"
TEXTS = {
    "an entry": ENTRY,
    "the beginning of an object": '{"a":1',
    "the beginning of an entry": '{"request":[',
    "the beginning of an envelope": '{"log":"',
    "a message": HEAD,
    "a message in JSON": '{"@level":"info","@message":"security barrier initialized","@module":"core"}',
    "lines with the tag of another node": f"a\n@c/n/server {HEAD}\n@c/n/file {ENTRY}",
    "an envelope": json.dumps({"log": ENTRY}),
    "an array of lines": json.dumps([HEAD, HEAD]),
    "a row": f"| {HEAD} | {ENTRY} |",
    "a part": "2026-11-29T00:00:00Z stdout P {",
    "very many brackets": "{" * 5_000,
}
RULES = Ruleset(shipped_rules())
SERVER = Origin("prod", "n1", "server")


def message(level: str, **members: str) -> bytes:
    found = {"@level": level, "@message": "login failed", "@module": "core", "@timestamp": TIME, **members}
    return json.dumps(found, separators=(",", ":")).encode()


def envelope(line: bytes) -> bytes:
    return json.dumps({"log": line.decode() + "\n", "stream": "stderr"}).encode()


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("member", ["@message", "error", "log", "message"])
@pytest.mark.parametrize("source", ["auto", "server"])
@pytest.mark.parametrize("unwrap", [True, False])
@pytest.mark.parametrize("way", ["untagged", "tagged", "segment", "envelope"])
def test_a_text_in_a_message_in_json_makes_no_record_and_hides_none(
    text: str, member: str, source: Source, unwrap: bool, way: str
) -> None:
    lines = [message("info"), message("error", **{member: text}), message("info")]
    if way != "untagged":
        lines = [
            {"tagged": b"@prod/n1/server %s" % line, "segment": line, "envelope": envelope(line)}[way] for line in lines
        ]
    rejected: list[Rejected] = []
    detector = Detector(RULES, source=source, unwrap=unwrap, on_rejected=rejected.append)
    detector.begin_log(lines[0])
    verdicts = detector.feed(lines, origin=SERVER if way == "segment" else None) + detector.flush()

    of = ("prod", "n1") if way in ("tagged", "segment") else ("", "")
    assert [(it.rule, it.time, it.cluster, it.node) for it in map(alert_of, verdicts)] == [("server_error", TIME, *of)]
    assert rejected == []


def escaped(text: str) -> str:
    """A value as hclog writes it today: control characters and quotes are escaped, backslashes are not."""
    return re.sub(r'[\x00-\x1f"\x7f\x85]', lambda one: '\\"' if one[0] == '"' else f"\\x{ord(one[0]):02x}", text)


def quoted(text: str) -> str:
    """A value as hclog wrote it for a year from 2021, with Go's quoting: backslashes are escaped, too."""
    return escaped(text.replace("\\", "\\\\"))


PARTS = st.sampled_from(
    [
        "\\",
        '"',
        '\\"',
        " ",
        "=",
        '="',
        ",",
        "]",
        "[",
        "|",
        "\n",
        "\t",
        "a",
        ": b=c",
        f" {HEAD}",
        f"\t{HEAD}",
        ENTRY,
        '{"',
    ]
)
LAYOUTS: dict[str, Callable[[str], str]] = {
    "a value": lambda text: f'login failed: error="{text} x"',
    "a whole value": lambda text: f'login failed: error="{text}"',
    "a value between others": lambda text: f'login failed: path="a b" error="{text} x" by="c d" n=1',
    "a list": lambda text: f'login failed: paths=["{text} x", "c d"]',
    "the end of a list": lambda text: f'login failed: paths=[a, "{text} x"] by="c d"',
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("write", [escaped, quoted])
@given(st.lists(PARTS, max_size=8).map("".join))
@example(f'\\" {HEAD}')
@example(f"a {HEAD}\\")
@example(f'\\" {HEAD}\\')
@example(f'\\\\" {HEAD}: a="b')
@example(f'\\"\\" {HEAD}: a=\\"\\" {HEAD}')
def test_no_text_in_quotes_begins_a_message(
    write: Callable[[str], str], layout: Callable[[str], str], text: str
) -> None:
    line = f"2026-11-29T20:00:05.1Z [ERROR] core: {layout(write(text))}".encode()
    detector = Detector(RULES, source="server", on_rejected=lambda rejected: pytest.fail(rejected.reason))
    found = map(alert_of, detector.feed([line]) + detector.flush())
    assert [(it.rule, it.time) for it in found] == [("server_error", TIME)]


@pytest.mark.parametrize("end", ["\\", "\\\\", "\\\\\\"])
@pytest.mark.parametrize("separator", ["\t", "\u2028", "\r", "\t "])
@pytest.mark.parametrize("later", ['a "quote', 'b: c="', f'b: c="{escaped(ENTRY)}', 'c\\"'])
def test_no_end_of_a_text_in_quotes_hides_the_message_behind_it(end: str, separator: str, later: str) -> None:
    head = "2026-11-29T20:00:05.1Z [ERROR] core:"
    line = separator.join([f'{head} login failed: error="a{end}"', HEAD, f"{head} {later}"])
    detector = Detector(RULES, source="server")
    assert "server_barrier_initialized" in {it.rule.name for it in detector.feed([line.encode()]) + detector.flush()}
