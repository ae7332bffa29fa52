"""Measures reading the server log, in a process of its own: `python -m bench.server_log` prints CPU seconds as JSON.

The reference for ordinary messages, those of a recorded Vault, is `json.loads` of the same messages in the JSON layout.
The reference for hostile ones is hostile ones of half their length: four times as long would be quadratic. Evaluating a
log with the shipped rules is compared with searching it as the original does, and with a hundred rules.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from functools import partial

from bench.in_process import Method, Ready, interleaved
from bench.processes import ROOT
from bench.stand_in import check_message
from vaultwatch.detection.detector import Detector
from vaultwatch.reading.hclog import read_text
from vaultwatch.reading.records import NO_ORIGIN, ServerMessage
from vaultwatch.reading.server_line import split_line
from vaultwatch.reading.server_log import ServerLogReader
from vaultwatch.reading.syslog_header import strip_syslog_header
from vaultwatch.rules.conditions import Text
from vaultwatch.rules.facts import Level
from vaultwatch.rules.pack import CompiledRule, Rule, shipped_rules

RECORDED = ROOT / "tests" / "data" / "recordings" / "vault-1.14.2"
TIMES = 20
MANY_RULES = 100
SYSLOG = b"Nov 21 07:29:41 vault-1 vault[7]: "
Reader = Callable[[bytes], object]
HEAD = b"2026-11-21T07:29:48.933Z [ERROR] core: failed:"
HOSTILE_BYTES = 1 << 15
"""Quadratic, one text of this length takes some ten times as long as all together do."""

TEXTS = [
    (start, body)
    for start in (b"", b"core: x: ", b'core: x: a="', b"x: a=[")
    for body in (
        b": ", b": a=", b'a=" ', b' a="x', b': a="x ', b" a=[", b": a=[ ", b' a=["x", ', b'\\"', b": a b c d=",
        b'k="y" "', b"a.", b'["a"b,', b'"', b"a", b"a,", b'\\"a,b',
    )
]  # fmt: skip
HEADERS = [
    (start, body)
    for start in (b"", b"<13>Nov 21 07:29:41 ", b"2026-10-02T06:28:49Z ", b"<14>1 2026-10-02T06:28:49Z h p 1 - ")
    for body in (
        b"a", b"a.", b"a: ", b"a[1]: ", b"[a ", b'[a "', b'"', b" ", b"<1>", b"1 ", b"\\", b"a-1 | ", b"[pod/a",
    )
]  # fmt: skip
LINES = [
    (start, body)
    for start in (b"", b"panic", b"  ", b'{"', b"\x1b[0mRoot Token", b"VAULT_")
    for body in (b" ", b")", b"a(b", b"  a=", b'"', b'\\"', b"\x1b[", b"\x1b[0m", b"Root Token ", b"TOKEN")
]


def of_length(part: tuple[bytes, bytes], size: int) -> bytes:
    """Return a start and as many bodies as fit into `size` bytes."""
    start, body = part
    return start + body * (size // len(body))


def read_hostile_text(text: bytes) -> None:
    """Return it as the text of a message, in both ways of quoting."""
    read_text(text.decode())
    read_text(text.decode(), quotes=False)


def read_hostile_line(line: bytes) -> None:
    """Return it as a line by itself, in an open quote and in a stack trace."""
    _ = split_line(line).opens_message
    read_lines([HEAD + b' panic occurred: a="', line, HEAD + b" panic", line, line + b"}"])


def read_lines(lines: Sequence[bytes]) -> None:
    """Return it as the log of one server."""
    reader = ServerLogReader()
    for line in lines:
        reader.feed(line, NO_ORIGIN, 0.0)
    reader.flush()


HOSTILE: dict[str, tuple[Reader, list[tuple[bytes, bytes]]]] = {
    "messages": (read_hostile_text, TEXTS),
    "syslog headers": (strip_syslog_header, HEADERS),
    "lines": (read_hostile_line, LINES),
}


def ordinary() -> tuple[list[bytes], list[bytes]]:
    """Return lines of one message each, and the same messages in the JSON layout."""
    logs = [path.read_bytes() for path in sorted(RECORDED.glob("*/server.log"))]
    lines = [line for log in logs for line in log.split(b"\n") if line.startswith(b"2026-")]
    reader, as_json = ServerLogReader(), []
    for line in lines:
        reader.feed(line, NO_ORIGIN, 0.0)
        for found in reader.flush():
            if isinstance(found, ServerMessage):
                head = {"@level": found.level, "@message": found.message, "@module": found.module}
                as_json.append(json.dumps({**head, "@timestamp": found.time, **found.fields}).encode())
    if len(as_json) != len(lines):
        raise SystemExit(f"read {len(as_json)} of {len(lines)} messages")
    return lines * TIMES, as_json * TIMES


def reading(read: Reader, texts: Sequence[bytes]) -> Method:
    """Return a function that reads all of these, whatever lines it gets."""

    def run(_: Sequence[bytes]) -> None:
        for text in texts:
            read(text)

    return run


def with_rules(lines: Sequence[bytes], as_json: Sequence[bytes], many: Sequence[Rule]) -> dict[str, Method]:
    """Return the evaluation of a log with the shipped rules, with many, and by the original's patterns.

    The log is that of an ordinary day: one message in a hundred is a warning or an error. A handler gets it with a
    syslog header.
    """
    loud = [b"[ERROR]" in line or b"[WARN]" in line for line in lines]
    kept = [number for number, is_loud in enumerate(loud) if not is_loud]
    kept += [number for number, is_loud in enumerate(loud) if is_loud][: len(kept) // 100]
    runs: dict[str, Method] = {}
    for layout, texts in (("standard", lines), ("JSON", as_json)):
        log = [SYSLOG + texts[number] + b"\n" for number in kept]
        runs[f"rules, {layout}"] = partial(evaluated, shipped_rules(), log)
        runs[f"many rules, {layout}"] = partial(evaluated, many, log)
        runs[f"original, {layout}"] = partial(searched, log)
    return runs


def evaluated(rules: Sequence[Rule], log: Sequence[bytes], _: Sequence[bytes]) -> None:
    """Evaluate a server log as `check` does."""
    detector = Detector(rules)
    detector.feed(log, now=0.0)
    detector.flush()
    if detector.counts.server != len(log):
        raise SystemExit(f"evaluated {detector.counts.server} of {len(log)} messages")


def searched(log: Sequence[bytes], _: Sequence[bytes]) -> None:
    """Search a server log as the original does, which reads each line as text."""
    for line in log:
        check_message(line.decode())


def many_rules() -> list[Rule]:
    """Return a hundred rules with the shipped ones among them."""
    shipped = [rule for rule in shipped_rules() if rule.service == "server"]
    names = [f"bench_{number}" for number in range(MANY_RULES - len(shipped))]
    return shipped + [
        Rule(CompiledRule(name=name, title="bench", level=Level.LOW, service="server", condition=_never_logged(name)))
        for name in names
    ]


def _never_logged(name: str) -> Text:
    return Text("message", "contains", f"never logged: {name}")


def methods() -> dict[str, Ready]:
    """Return what is measured, by name."""
    lines, as_json = ordinary()
    read_line = partial(ServerLogReader().feed, origin=NO_ORIGIN, now=0.0)
    runs = {"ordinary": reading(read_line, lines), "json.loads": reading(json.loads, as_json)}
    for name, (read, parts) in HOSTILE.items():
        for times in (1, 2):
            runs[f"{name}, {times}"] = reading(read, [of_length(part, times * HOSTILE_BYTES) for part in parts])
    runs |= with_rules(lines, as_json, many_rules())
    return {name: partial(lambda run: run, run) for name, run in runs.items()}


def main() -> int:
    """Run the command, whose output is one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m bench.server_log")
    parser.add_argument("--rounds", type=int, default=5)
    print(json.dumps(interleaved(methods(), (), parser.parse_args().rounds)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
