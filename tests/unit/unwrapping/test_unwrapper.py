"""Records in other forms: envelopes, split lines, several objects a line, one object over many lines, any prefix."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.unit.detection.records import SERVER
from vaultwatch.detection.detector import Detector
from vaultwatch.detection.evaluator import Ruleset
from vaultwatch.detection.verdict import Verdict
from vaultwatch.inputs.logs import logs_in
from vaultwatch.reading.records import Position, Rejected
from vaultwatch.rules.pack import shipped_rules
from vaultwatch.unwrapping.assembly import Assembly
from vaultwatch.unwrapping.logfmt import message_of
from vaultwatch.unwrapping.split_lines import Piece
from vaultwatch.unwrapping.unwrapper import Unwrapper

FORMS = Path(__file__).parents[2] / "data" / "forms"
RULES = Ruleset(shipped_rules())
ENTRY: dict[str, Any] = {
    "time": "2026-03-01T10:00:00Z",
    "type": "request",
    "auth": {"display_name": "userpass-mara", "policies": ["default"]},
    "request": {"id": "a1", "operation": "update", "path": "sys/policies/acl/ops", "data": {"x": 'a{b"c\\'}},
}
A, B = json.dumps(ENTRY), json.dumps({**ENTRY, "type": "response"})
S = "2026-03-01T10:00:00.123Z [INFO]  core: root generation finished"
J = '{"@level":"info","@message":"root generation finished","@module":"core","@timestamp":"2026-03-01T10:00:00.1Z"}'
LONG = json.dumps({**ENTRY, "auth": {"policies": [f"policy-{number:05}" for number in range(6_000)]}})
HEADER = "Nov 21 07:29:41 host vault[12]: "
CELL, CELL_B = A.replace('"', '""'), B.replace('"', '""')


READER = Unwrapper()


class Counted(NamedTuple):
    """The audit entries, server-log messages and rejected lines in a log."""

    audit: int
    server: int
    rejected: int = 0


def evaluate(text: str | bytes, reject: Callable[[Rejected], None] = lambda _: None) -> tuple[Counted, Detector]:
    content = text.encode() if isinstance(text, str) else text
    detector = Detector(RULES, unwrap=True, on_rejected=reject)
    detector.begin_log(content[:65536], name="log")
    detector.feed(content.splitlines(keepends=True))
    detector.end_log()
    detector.flush()
    counts = detector.counts
    return Counted(counts.audit, counts.server, counts.rejected), detector


def verdicts(text: str) -> list[Verdict]:
    detector = Detector(RULES, unwrap=True)
    detector.begin_log(text.encode()[:65536], name="log")
    return detector.feed(text.encode().splitlines(keepends=True)) + detector.flush()


def counted(text: str | bytes) -> Counted:
    return evaluate(text)[0]


def lines(wrap: Callable[[str], Any], *texts: str) -> str:
    return "".join(json.dumps(wrap(text)) + "\n" for text in texts)


def coloured(text: str) -> str:
    """Return JSON as `jq -C` prints it."""
    bright = text.replace("{", "\x1b[1;39m{\x1b[0m").replace("}", "\x1b[1;39m\x1b[1;39m}\x1b[0m")
    return bright.replace('": ', '"\x1b[0m\x1b[1;39m:\x1b[0m ').replace(' "', ' \x1b[0;32m"') + "\n"


def cut(text: str, size: int) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]


def event(text: str) -> dict[str, Any]:
    return {"timestamp": 1, "message": text, "ingestionTime": 2}


def insight(field: str, value: str) -> dict[str, str]:
    return {"field": field, "value": value}


@pytest.mark.parametrize(
    ("name", "least"),
    [
        (path.name, Counted(*json.loads((FORMS / "expected.json").read_text())[path.name]))
        for path in sorted(FORMS.glob("*.log"))
    ],
)
def test_the_forms_from_the_field_are_read_whole(name: str, least: Counted) -> None:
    (log,) = [(one.head, [chunk for chunk, _ in one.chunks()]) for one in logs_in(str(FORMS / name))]
    assert counted(b"".join(log[1])) == least


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (lines(lambda text: {"log": text + "\n", "stream": "stdout"}, A, B, S, J), Counted(2, 2)),
        (lines(lambda text: {"date": 1.5, "log": text}, A, B, S), Counted(2, 1)),
        (coloured(json.dumps({"request": {"id": "a1", "path": "p"}, "type": "request"})) * 2, Counted(2, 0)),
        (coloured(json.dumps({"request": {"id": "a1"}, "type": "request"}, indent=2)) * 2, Counted(2, 0)),
        ("\0" * 5_000 + f"{S}\n{S}\n", Counted(0, 2)),
        ("".join(f"{HEADER}{part}\n" for part in cut(LONG, 420)), Counted(1, 0)),
        (lines(lambda text: {"file": "f", "message": text, "source_type": "file"}, A, S, J), Counted(1, 2)),
        (lines(lambda text: {"message": "other", "event": {"original": text}}, A), Counted(1, 0)),
        (lines(lambda text: {"log": {"file": {"path": "p"}}, "message": text}, A), Counted(1, 0)),
        (lines(lambda text: {"MESSAGE": text, "_PID": "1"}, A, S), Counted(1, 1)),
        (lines(lambda text: {"MESSAGE": list(text.encode())}, S), Counted(0, 1)),
        (lines(lambda text: {"messageType": "DATA_MESSAGE", "logEvents": [event(text)] * 2}, A, S), Counted(2, 2)),
        (lines(lambda text: {"preview": False, "result": {"_raw": text}}, A, S), Counted(1, 1)),
        (lines(lambda _: {"content": {"message": "m", "attributes": ENTRY}}, A), Counted(1, 0)),
        (lines(lambda text: {"labels": {"a": "b"}, "line": text}, A, S), Counted(1, 1)),
        (lines(lambda text: {"data": {"result": [{"values": [["1772359200000000000", text]]}]}}, A, S), Counted(1, 1)),
        (lines(lambda text: {"jsonPayload": json.loads(text)}, A, J), Counted(1, 1)),
        (lines(lambda text: {"textPayload": text}, S), Counted(0, 1)),
        (lines(lambda text: {"records": [{"properties": {"log": text}}]}, A, S), Counted(1, 1)),
        (lines(lambda text: {"log": json.dumps({"message": text})}, A), Counted(1, 0)),
        (lines(lambda text: {"results": [[insight("@ptr", "x"), insight("@message", text)]]}, A), Counted(1, 0)),
        (json.dumps({"events": [event(A), event(S)], "nextForwardToken": "f/1"}, indent=4), Counted(1, 1)),
        (lines(lambda text: {"log": "", "log_processed": json.loads(text), "kubernetes": {}}, A, J), Counted(1, 1)),
        (lines(lambda text: {"message": "parsed", "vault": json.loads(text)}, A), Counted(1, 0)),
        (f"__CURSOR=1\nMESSAGE={S}\n_PID=4\n\n__CURSOR=2\nMESSAGE={A}\n_PID=4\n", Counted(1, 1)),
    ],
)  # fmt: skip
def test_envelopes(text: str, expected: Counted) -> None:
    assert counted(text) == expected


@pytest.mark.parametrize(
    ("envelope", "expected"),
    [
        ({"log": A, "extra": {"message": B}}, Counted(2, 0)),
        ({"extra": {"a": [B]}, "message": f"{S}\n{A}"}, Counted(2, 1)),
        ({"log": S, "message": J.replace("finished", "started"), "line": f"{A}{B}", "body": A}, Counted(2, 2)),
        ({"Data": "", "File": "f", "Offset": 0, "log": A}, Counted(1, 0)),
        (["vault", [[1, {"log": A}], [2, {"log": B}]], {"chunk": "c"}], Counted(2, 0)),
        (["vault", [[1, ENTRY], [[2, {}], {"log": f"{S[:-8]}:"}], [3, {"log": "  a=b"}]]], Counted(1, 2)),
        ({"message": A, "event": {"original": f"<14>Nov 21 host vault: {A}"}}, Counted(1, 0)),
        ({"message": f"{HEADER}{S}", "event": {"original": S}}, Counted(0, 1)),
        ({"short_message": A[:80], "full_message": A}, Counted(1, 0)),
        ({"log": A, "log_processed": {**ENTRY, "time": "parsed"}}, Counted(1, 0)),
        ({"message": S, "parsed": {**json.loads(J), "@timestamp": "2026-03-01T10:00:00.123Z"}}, Counted(0, 1)),
        ({"message": S, "parsed": {**json.loads(J), "@timestamp": "2026-03-01T10:00:09Z"}}, Counted(0, 2)),
    ],
)
def test_of_several_records_in_an_envelope_each_is_read_once(envelope: Any, expected: Counted) -> None:
    assert counted(json.dumps(envelope)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (A + B, Counted(2, 0)),
        (A + ", " + B + ",", Counted(2, 0)),
        (HEADER + A + B, Counted(2, 0)),
        (f"\x1e{A}\n\x1e{B}\n", Counted(2, 0)),
        (A + "\x1b[0m", Counted(1, 0)),
        (f"[{A},{B}]", Counted(2, 0)),
        (f"[\n{A},\n{B}\n]\n", Counted(2, 0)),
        (json.dumps([ENTRY, ENTRY], indent=2), Counted(2, 0)),
        (json.dumps(ENTRY, indent=2) + "\n" + json.dumps(ENTRY, indent="\t"), Counted(2, 0)),
        (json.dumps(A), Counted(1, 0)),
        (json.dumps(A)[1:-1], Counted(1, 0)),
        (S + S, Counted(0, 2)),
        (S + J + A, Counted(1, 2)),
        ('time,@message\n"1","' + A.replace('"', '""') + f'"\n"1","{S}"\n', Counted(1, 1)),
        ('time,@message,@logStream\n1,"' + A.replace('"', '""') + f'",vault/1\n1,"{S}",vault/1\n', Counted(1, 1)),
        ('"_raw","_time",host\n"' + A.replace('"', '""') + f'",1,h\n"{S}",1,h\n', Counted(1, 1)),
        (f"timestamp,message\n1,{S}\n", Counted(0, 1)),
        ('"@timestamp","message"\n"1","' + A.replace('"', '""') + '"\n', Counted(1, 0)),
        (f'TimeGenerated [UTC],ContainerID,LogEntry\n"3/1/2026, 10:00:00.1 AM",c,{S}\n', Counted(0, 1)),
        (f'"3/1/2026, 10:00:00.1 AM",c,{S},x\n', Counted(0, 1)),
        (
            'labels,Time,Line,id\n"{""a"":""b""}",1,"' + A.replace('"', '""') + f'",2\n"{{""a"":""b""}}",1,{S},2\n',
            Counted(1, 1),
        ),
        (f"     1\t{S}\n     2\t{A}\n 999999 {S}\n", Counted(1, 2)),
        (
            'ts=2026-03-01T10:00:00.123Z level=info module=core msg="root generation finished"\n'
            'time="2026-03-01T10:00:01Z" lvl=WARN msg=sealed n=1 s="a \\"b\\"\\n"\n',
            Counted(0, 2),
        ),
        (
            lines(lambda text: {"event": {"kind": "event"}, "hashicorp_vault": {"audit": json.loads(text)}}, A),
            Counted(1, 0),
        ),
        (f"Sun 2026-03-01 10:00:00.1 UTC [s=1f;i=2]\n    PRIORITY=6\n    MESSAGE={S}\n    _PID=4\n", Counted(0, 1)),
        (f"-- Logs begin at Sat 2026-02-28 --\n{HEADER}{S}\n-- Boot 1f3 --\n{HEADER}{A}\n--\n", Counted(1, 1)),
        ("".join(f"{len(HEADER + one) + 4} <14>{HEADER}{one}" for one in (A, S, B)), Counted(2, 1)),
        (f"{HEADER}{A}#012\n{HEADER}#011{S}\n{HEADER}#033[34m{S}#033[0m\n", Counted(1, 2)),
        (f"EVENTS\t37\t1772359200123\tvault\t{A}\t1772359200123\n", Counted(1, 0)),
    ],
)
def test_objects_and_messages_that_no_line_end_separates_and_objects_over_many_lines(
    text: str, expected: Counted
) -> None:
    assert counted(text) == expected


class TestSplitLines:
    def test_of_a_container_runtime_are_joined_though_the_other_stream_writes_between_them(self) -> None:
        parts = cut(LONG, 16_384)
        time = "2026-03-01T10:00:00.1Z"
        marks = [*"P" * (len(parts) - 1), "F"]
        text = "".join(
            f"{time} stdout {mark} {part}\n{time} stderr F {S}\n" for mark, part in zip(marks, parts, strict=True)
        )
        assert counted(text) == Counted(1, len(parts))

    def test_of_docker_are_joined(self) -> None:
        parts = cut(LONG, 16_384)
        text = lines(lambda part: {"log": part + ("\n" if part is parts[-1] else ""), "stream": "stdout"}, *parts)
        assert counted(text + lines(lambda part: {"log": part, "stream": "stdout"}, A)) == Counted(2, 0)

    def test_of_journald_are_joined_though_another_program_writes_between_them(self) -> None:
        parts = cut(LONG, 49_000)
        other = "Nov 21 07:29:41 host sshd[1]: hello\n"
        assert counted("".join(HEADER + part + "\n" + other for part in parts)) == Counted(1, 0, len(parts))
        assert counted(lines(lambda part: {"MESSAGE": part, "_PID": "1"}, *parts)) == Counted(1, 0)

    @pytest.mark.parametrize(
        "text",
        [
            f"{HEADER}{LONG[:9_000]}\n{HEADER}{A}\n",
            lines(lambda part: {"log": part, "stream": "stdout"}, LONG[:9_000], A),
            f"2026-03-01T10:00:00.1Z stdout F {A}\n2026-03-01T10:00:00.1Z stdout P {LONG[:9_000]}\n",
        ],
    )
    def test_of_which_a_part_is_missing_are_rejected_as_split(self, text: str) -> None:
        rejected: list[Rejected] = []
        assert evaluate(text, rejected.append)[0] == Counted(1, 0, 1)
        assert rejected[0].reason == "a part of a split line: its other parts are missing"


@pytest.mark.parametrize(
    "prefix",
    [
        *("vault-0 vault ", "[vault-0] ", "vault-0: ", "<6>Nov 21 x: ", "file.log:12:", "file.log-12-", "ts=1 msg: "),
        *('2026-03-01T10:00:00Z {app="x"} ', "node1 | 2026-03-01T10:00:00.1Z ", "\x1b[36mvault-0\x1b[0m vault "),
        *(
            "   2026-11-21T07:29:41.12+0100 [APP/PROC/WEB/0] OUT ",
            "vault.1.x9y8z7@node-1    | ",
            "vault-1  | 2026-03-01T10:00:00.1Z ",
        ),
    ],
)
def test_records_are_found_behind_any_prefix(prefix: str) -> None:
    assert counted("".join(prefix + text + "\n" for text in (S, J, A))) == Counted(1, 2)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (f'x,"prefix: {CELL}","{CELL_B}"', Counted(2, 0)),
        (f'"{CELL_B}",x,"prefix: {CELL}"', Counted(2, 0)),
        (f'"{CELL[:-1]}","{CELL_B}"', Counted(1, 0, 1)),
        (f'"{CELL_B}","{CELL[:-1]}"', Counted(1, 0, 1)),
        (f'"{CELL}","said: {S}"', Counted(1, 1)),
        (f'"{CELL[:-1]}",{S}', Counted(0, 1, 1)),
        ('"' + json.dumps({"log": A}).replace('"', '""') + f'","{CELL_B}"', Counted(2, 0)),
        ('"{""a"":{""b"":""c""}}","' + CELL + '"', Counted(1, 0)),
        (f'"{S}","{S}"', Counted(0, 2)),
        (f'1,"{S}",{S}', Counted(0, 2)),
        (f'"{CELL}{" " * 132_000}",{S}', Counted(1, 1)),
        (f'"x",1,"{S}: path=""{S}""",2', Counted(0, 1)),
    ],
)
def test_no_cell_of_a_row_with_a_record_is_lost(row: str, expected: Counted) -> None:
    assert counted(f"{row}\n") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f'{S}: config={{"message":"x"}}\n{S}: error={{"log": "{S}"}}\n', Counted(0, 2)),
        (f'{S}:\n  error=\n  | failed at\n  | {S}\n{S}\n', Counted(0, 2)),
        (f"{S}\nVAULT_ADDR=x\n", Counted(0, 2)),
        ('{"level":"info","msg":"started"}\n{"a":1}\n', Counted(0, 0, 2)),
        ("level=info msg=x\nts=2026-03-01T10:00:00Z msg=x\nts=2026-03-01T10:00:00Z level=info\n", Counted(0, 0, 3)),
        ("ts=2026-03-01T10:00:00Z level=info msg=x and more\n", Counted(0, 0, 1)),
        ("ts=2026-03-01T10:00:00Z level=info msg=sealed msg=x\n", Counted(0, 0, 1)),
        ("ts=2026-03-01T10:00:00Z level=info msg=x message=sealed\n", Counted(0, 0, 1)),
        ("ts=2026-03-01T10:00:00Z level=info msg=x @message=sealed\n", Counted(0, 0, 1)),
        (f"{S}:\n  error=\n  | ts=2026-03-01T10:00:00Z level=info msg=x\n", Counted(0, 1)),
        (f"{A[:100]}\n{A[:90]}\n{B}\n", Counted(1, 0, 2)),
        (f'{{\n  "time": "x",\n{B}\n', Counted(1, 0, 2)),
    ],
)  # fmt: skip
def test_what_only_looks_like_another_form_is_read_as_it_is(text: str, expected: Counted) -> None:
    assert counted(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        '{"log":' * 5_000 + "1" + "}" * 5_000,
        "[" * 100_000,
        "{}" * 20_000,
        '{"log":"' + '\\"{' * 20_000 + '"}',
        "a" * 50_000 + '{"',
    ],
)
def test_a_hostile_line_is_one_rejected_line(text: str) -> None:
    assert counted(text) == Counted(0, 0, 1)


def test_a_message_that_journalctl_has_left_out_is_rejected_as_such() -> None:
    rejected: list[Rejected] = []
    text = lines(lambda text: {"_PID": "1", "MESSAGE": text or None}, A, "", S)
    assert evaluate(text, rejected.append)[0] == Counted(1, 1, 1)
    assert rejected[0].reason == "journalctl has left a long message out: only with --all it prints those of 4 KiB"


@pytest.mark.parametrize("wrap", [lambda text: {"log": f"{text}\n", "time": "x"}, lambda text: {"message": text}])
def test_a_blank_line_in_an_envelope_is_no_rejected_line(wrap: Callable[[str], Any]) -> None:
    assert counted(lines(wrap, S, "", "==> Vault server configuration:", "", "    Api Address: x", "  ", A)) == Counted(
        1, 3
    )


FOREIGN = {"message": "started", "entries": ["request", "response"], "path": "sys/seal"}


@pytest.mark.parametrize("indent", [None, 2])
def test_json_of_another_program_is_rejected_as_such_and_not_as_its_texts(indent: int | None) -> None:
    rejected: list[Rejected] = []
    assert evaluate(json.dumps(FOREIGN, indent=indent), rejected.append)[0] == Counted(0, 0, 1)
    assert rejected[0].reason == "JSON, but no audit entry: it has no request object"
    assert json.loads(rejected[0].raw) == FOREIGN


def test_texts_of_an_envelope_continue_the_message_before_them() -> None:
    message = (f"{S[:-8]}:", "  error=", "  | 1 error occurred", "  | ")
    assert counted(lines(lambda text: {"log": f"{text}\n"}, *message, "plain", S)) == Counted(0, 3)


def test_a_cut_entry_takes_no_other_line_with_it() -> None:
    torn = json.dumps(ENTRY).rpartition(", ")[0] + ","
    assert counted(f"{torn}\n{S}\n{B}\n{torn}\n{S}\n") == Counted(1, 2, 2)


def test_an_alert_on_an_object_over_many_lines_says_where_it_begins() -> None:
    text = f"{B}\n".encode() + json.dumps({**ENTRY, "request": {**ENTRY["request"], "id": "a2"}}, indent=1).encode()
    detector = Detector(RULES, unwrap=True)
    detector.begin_log(name="log")
    found = detector.feed(text.splitlines(keepends=True)) + detector.end_log() + detector.flush()
    at = [(one.event_key, one.origin.position) for one in found]
    assert at == [("a1", Position("log", 1)), ("a2", Position("log", 2))]


@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    ),
    size=st.integers(1, 40),
)
def test_an_object_is_whole_exactly_when_all_of_its_parts_have_been_added(value: Any, size: int) -> None:
    text = json.dumps({"a": value}, ensure_ascii=False).encode()
    held = Assembly(1)
    parts = [text[start : start + size] for start in range(0, len(text), size)]
    for part in parts[:-1]:
        held.add(part, part)
        assert not held.whole
    held.add(parts[-1], parts[-1])
    assert held.whole
    assert held.text() == text


OTHER = '2026-03-01T10:00:01.5+01:00 [ERROR] core: failed: error="a \\"b\\" c" paths=["a b", c]'
OLD = "2018/08/03 04:10:27.120 [WARN ] expiration: lease count: 'many'"
MESSAGES = (S, OTHER, OLD, S + ": nonce=1")
ROWS: dict[str, Callable[[list[str]], str]] = {
    "an array": json.dumps,
    "a compact array": lambda texts: json.dumps(texts, separators=(",", ":")),
    "nested arrays": lambda texts: json.dumps([["1", text] for text in texts]),
    "quotes": lambda texts: "\t".join(f'"{text}"' for text in texts),
    "cells": lambda texts: ",".join('"' + text.replace('"', '""') + '"' for text in texts),
    **{
        repr(separator): separator.join
        for separator in ("", " ", "\t", ",", ", ", "|", " | ", ";", "<br>", "</td><td>", "\u2028", "\0", "\f", "\\n")
    },
}


def texts_of_messages(text: str) -> list[str]:
    """Return the messages in a log of which each line is one."""
    detector = Detector(Ruleset([SERVER]), unwrap=True)
    detector.begin_log(text.encode(), name="log")
    found = detector.feed(text.encode().splitlines(keepends=True)) + detector.end_log() + detector.flush()
    return [verdict.record["message"] for verdict in found]


def texts_read(text: str) -> list[str]:
    unwrapper = Unwrapper()
    pieces = unwrapper.read(text.encode(), 2) + unwrapper.flush()
    return [str(piece.line, "utf-8") if isinstance(piece.line, bytes) else piece.line.reason for piece in pieces]


@given(st.lists(st.sampled_from(MESSAGES), min_size=1, max_size=4), st.sampled_from(sorted(ROWS)))
@example([MESSAGES[0], MESSAGES[1]], "'\\t'")
def test_messages_joined_on_one_line_are_those_of_as_many_lines(texts: list[str], row: str) -> None:
    assert [text for text in texts_read(ROWS[row](texts)) if text != "1"] == texts


@pytest.mark.parametrize("separator", ["\t", " ", ",", "|"])
def test_a_message_behind_another_is_evaluated(separator: str) -> None:
    first = "2026-03-01T10:00:00Z [INFO]  expiration: revoked lease: lease_id=a"
    assert counted(separator.join([first, S, A, J, S])) == Counted(1, 4)
    assert counted(separator.join([A, first, S])) == Counted(1, 2)


def test_an_object_in_a_value_of_many_lines_belongs_to_its_message() -> None:
    message = "2026-03-01T10:00:00Z [ERROR] core: failed:\n  error=\n  | " + J + "\n  | " + A + "\n"
    assert counted(message + S) == Counted(0, 2)


def base64_of(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def frame(text: str) -> str:
    return json.dumps({"Data": base64_of(text), "File": "alloc/logs/vault.stdout.0", "Offset": 1})


ROW = S.replace("10:00:00", "10:00:09")
OTHER_FORMS = {
    "Azure": json.dumps({"tables": [{"columns": [{"name": "Time"}], "rows": [["2026-03-01T10:00:00Z", A], ["x", B]]}]}),
    "Azure, dynamic": json.dumps({"tables": [{"rows": [[ENTRY], [{**ENTRY, "type": "response"}]]}]}),
    "Ansible": json.dumps({"rc": 0, "stdout": f"{A}\n{B}", "stdout_lines": [A, B]}),
    "Ansible, printed": "v | CHANGED => "
    + json.dumps({"rc": 0, "stdout": f"{A}\n{B}", "stdout_lines": [A, B]}, indent=4),
    "Ansible, ad hoc": f"vault-1 | CHANGED | rc=0 >>\n{A}\n{B}\n",
    "Ansible, slurp": json.dumps({"content": base64_of(f"{A}\n{B}\n"), "encoding": "base64"}),
    "SQS": json.dumps({"Messages": [{"MessageId": "a", "Body": A}, {"Body": B}]}, indent=4),
    "SQS in lower case": json.dumps({"messages": [{"messageId": "a", "body": A}, {"body": B}]}),
    "Nomad": frame(f"{A}\n") + "\n" + frame(f"{B}\n"),
    "Nomad, cut anywhere": frame(A[:50]) + "{}" + frame(A[50:] + "\n" + B[:9]) + frame(B[9:]),
    "Kinesis": json.dumps({"Records": [{"SequenceNumber": "1", "Data": base64_of(A)}, {"Data": base64_of(B)}]}),
    "Pub/Sub": json.dumps({"receivedMessages": [{"message": {"data": base64_of(text)}} for text in (A, B)]}),
    "Athena": json.dumps({"ResultSet": {"Rows": [{"Data": [{"VarCharValue": text}]} for text in ("line", A, B)]}}),
    "BigQuery": json.dumps({"rows": [{"f": [{"v": "x"}, {"v": A}]}, {"f": [{"v": "y"}, {"v": B}]}]}),
    "Grafana": json.dumps({"results": {"A": {"frames": [{"data": {"values": [[1, 2], [A, B]]}}]}}}),
    "Graylog": json.dumps({"messages": [{"message": {"message": A}}, {"message": {"message": B}}]}),
    "Sumo Logic": json.dumps({"messages": [{"map": {"_raw": A}}, {"map": {"_raw": B}}]}),
    "Splunk, rows": json.dumps({"fields": [{"name": "_raw"}], "rows": [[A], [B]]}),
    "Systems Manager": json.dumps({"Status": "Success", "StandardOutputContent": f"{A}\n{B}\n"}),
    "a ConfigMap": json.dumps({"kind": "ConfigMap", "data": {"vault.log": f"{A}\n{B}\n"}}),
    "HAR": json.dumps({"log": {"entries": [{"response": {"content": {"text": f"{A}\n{B}"}}}]}}),
    "CSV with semicolons": f'time;message\nx;"{CELL}"\nx;"{CELL_B}"\n',
    "CSV with semicolons, first": f'message;time\n"{CELL}";x;"{{""a"":1}}"\n"{CELL_B}";x;"{{""a"":1}}"\n',
    "CSV with tabs": f'time\tmessage\nx\t"{CELL}"\nx\t"{CELL_B}"\n',
}


@pytest.mark.parametrize("form", OTHER_FORMS)
def test_both_entries_are_read_once_and_nothing_is_rejected(form: str) -> None:
    assert counted(OTHER_FORMS[form]) == Counted(2, 0)


def test_messages_of_the_server_log_in_csv_with_semicolons_are_counted_right() -> None:
    assert counted(f'time;message\nx;"{S}"\nx;{ROW}\n') == Counted(0, 2)


@pytest.mark.parametrize(
    "text",
    [
        f"@timestamp,@message,@logStream\n2026-03-01 10:00:00.1,{S},vault-1\n",
        f"message;host\n{S};vault-1\n",
        f'message,labels\n{S},"{{""a"":1}}"\n',
        f'host|message|note\nvault-1|{S}|"a | b"\n',
        f"vault-1,{S},prod,\n",
        f'vault-1;{S};"a; b"\n',
        f"EVENTS\t1772359200999\t{S}\t1772359200123\n",
        f"{S}\t1772359200123\n",
    ],
)
def test_columns_beside_a_message_without_quotes_are_no_part_of_it(text: str) -> None:
    assert texts_of_messages(text) == ["root generation finished"]


@pytest.mark.parametrize(
    "row", ["line: '{}'", '- msg: "{}"', "  text: '{}',", "<td><span>{}</span></td></tr>", "it's `{}`"]
)
def test_the_quotes_around_a_message_behind_a_prefix_are_no_part_of_it(row: str) -> None:
    assert texts_of_messages(row.format(S) + "\n") == ["root generation finished"]


@pytest.mark.parametrize("end", [' error="x"', " by 'ops'", " can't", ' error="a \\"b\\""'])
@pytest.mark.parametrize("prefix", ["vault-1 ", "it's "])
def test_quotes_that_a_message_ends_with_are_part_of_it(prefix: str, end: str) -> None:
    assert texts_read(f"{prefix}{S}{end}") == [f"{prefix}{S}{end}"]


@pytest.mark.parametrize("rest", [", b", ",c=d", ',"c" d', ': a="b",c'])
def test_a_message_that_may_go_on_behind_a_delimiter_is_left_whole(rest: str) -> None:
    for line in (f"vault-1 {S}{rest}", f"vault-1,{S}{rest}", f"{S}\tc=d", f"{S},vault-1"):
        assert texts_read(line) == [line]


def test_an_array_of_entries_is_read() -> None:
    assert counted(json.dumps([A, B, J, S])) == Counted(2, 2)
    assert counted(json.dumps([A + "\n" + B, "other"])) == Counted(2, 0, 1)


@pytest.mark.parametrize(
    "value",
    [
        f'error="{S}"',
        f'error="a \\" {S}" b=c',
        f'paths=["a b", "{S}"]',
        f'error={{"errors":["{S}"]}}',
        f'a="" error="{S}"',
    ],
)
def test_a_text_in_a_value_is_no_message(value: str) -> None:
    """hclog writes the texts of clients in quotes: one that looks like a message must raise no alert of its own."""
    line = f"2026-03-01T10:00:00Z [ERROR] core: failed: {value}"
    assert texts_read(line) == [line]
    assert texts_read(f"{line}\t{S}") == [line, S]
    assert texts_read(json.dumps([line, line])) == [line, line]


@pytest.mark.parametrize("opening", ['error="a', 'a=["b', "a=[", 'x "y', 'error={"a":"'])
def test_a_quote_without_an_end_hides_no_message(opening: str) -> None:
    first, third = f"2026-03-01T10:00:00Z [ERROR] core: failed: {opening}", S + ': a="b c"'
    assert texts_read(f"{first}\t{S}\t{third}") == [first, S, third]


def test_lines_that_end_with_cr_alone_are_lines() -> None:
    text = f"{A}\r\r{S}\r{S}\r".encode()
    assert Unwrapper().read(text, 1) == [Piece(line.encode(), 1) for line in (A, S, S)]


def test_a_binary_value_of_an_exported_journal_is_read() -> None:
    """journald writes the length of a value with line ends or colours in front of it, as eight bytes."""
    value = A.encode()
    field = b"MESSAGE\n" + len(value).to_bytes(8, "little") + value + b"\n_PID=4\n"
    assert counted(b"__CURSOR=1\n" + field + b"\n__CURSOR=2\n" + field) == Counted(2, 0)


def test_a_message_in_pairs_is_what_hclog_writes_in_json() -> None:
    line = b'ts=2026-03-01T10:00:00Z level=warning logger=core.raft msg="a \\"b\\"" path=sys/seal empty= n=1'
    assert json.loads(message_of(line) or b"") == {
        "@timestamp": "2026-03-01T10:00:00Z",
        "@level": "warn",
        "@module": "core.raft",
        "@message": 'a "b"',
        "path": "sys/seal",
        "n": "1",
    }


RULE = "| :-- | ---: |\n"
VALUE = "2026-03-01T10:00:00.1Z [ERROR] core: x:\n  error=\n  | a\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"| when | entry |\n|---|---|\n| 10:00 | {A} |\n| 10:01 | `{B}` |\n", Counted(2, 0, 1)),
        (f"# Incident\n\n| entry | note |\n{RULE}| {A} | it was \\| Mara |\n\nText\n", Counted(1, 0, 3)),
        (
            f"| entry |\n|-|\n| {A.replace('ops', 'o|p')} |\n| {B.replace('ops', 'o' + chr(92) + '|p')} |\n",
            Counted(2, 0, 1),
        ),
        (f"| node | message | note |\n{RULE}| v-1 | {S} | x |\n| v-2 | `{J}` | y |\n", Counted(0, 2, 1)),
        (f"| a |\n|---|\n| {A} {B} |\n| nothing |\n", Counted(2, 0, 2)),
        (f"| a |\n| {A} |\n", Counted(0, 0, 2)),  # no table: nothing says that its lines are rows
        # as clients could write it into a value:
        (f"{VALUE}  | --- |\n  | {A} |\n  | {S} |\n", Counted(0, 1)),
        (f'2026-03-01T10:00:00.1Z [ERROR] core: x: error="a\n| --- |\n| {S} |\n"\n{S}\n', Counted(0, 2)),
    ],
)
def test_a_table_of_markdown(text: str, expected: Counted) -> None:
    assert counted(text) == expected


def nested(value: Any, levels: int) -> Any:
    return value if not levels else nested({"in": value} if levels % 2 else [value], levels - 1)


@pytest.mark.parametrize("record", [{**ENTRY, "type": "response"}, B, S], ids=["object", "entry", "message"])
@pytest.mark.parametrize("levels", [7, 8, 9, 20, 63, 64, 65, 66, 100, 150])
def test_a_record_at_any_level_beside_another_is_read(record: Any, levels: int) -> None:
    found = counted(lines(lambda text: {"message": text, "other": nested(record, levels)}, A))
    assert found == (Counted(1, 1) if record is S else Counted(2, 0))


def test_what_is_too_deep_to_be_searched_is_rejected() -> None:
    found = counted(lines(lambda text: {"message": text, "other": nested(B, 900)}, A))
    assert found == Counted(1, 0, 1)
    labels = counted(lines(lambda text: {"message": text, "other": nested({"x": 1}, 150)}, A))
    assert labels == Counted(1, 0)


def in_sql(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def escaped_in_sql(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'").replace('"', '\\"') + "'"


def rows(row: Callable[[str], str], *texts: str) -> str:
    return "".join(row(text) for text in texts)


@pytest.mark.parametrize("texts", [(A, S, B), (S, A, B, S), (A, B, S, S)], ids=["between", "around", "behind"])
@pytest.mark.parametrize(
    "document",
    [
        lambda texts: "logs:\n" + rows(lambda one: f"- at: 1\n  message: {in_sql(one)}\n  stream: stdout\n", *texts),
        lambda texts: "---\nlogs:\n" + rows(lambda one: f"  - n: 1\n    line: {json.dumps(one)}\n", *texts),
        lambda texts: "logs:\n" + rows(lambda one: f"- name: x\n  message: |\n    {one}\n", *texts),
        lambda texts: "- at: 2026-11-21\n  text: >-\n" + "\n".join(f"    {one}\n- at: 1" for one in texts) + "\n",
        lambda texts: "-- MySQL dump 10.13\nDROP TABLE IF EXISTS `l`;\nCREATE TABLE `l` (\n  `id` int NOT NULL,\n"
        "  `msg` text\n);\n" + rows(lambda one: f"INSERT INTO `l` VALUES (1,{in_sql(one)});\n", *texts) + "COMMIT;\n",
        lambda texts: "INSERT INTO `l` VALUES "
        + ",".join(f"(1,{escaped_in_sql(one)})" for one in texts)
        + ";\nUNLOCK TABLES;\n",
        lambda texts: "INSERT INTO l (id, msg) VALUES\n" + ",\n".join(f"(1, {in_sql(one)})" for one in texts) + ";\n",
        lambda texts: "--\n-- PostgreSQL database dump\n--\nSET statement_timeout = 0;\nCOPY public.l (id, msg) FROM "
        "stdin;\n" + "".join(f"1\t{one}\n" for one in texts) + "\\.\n",
        lambda texts: "+----+-----+\n" + rows(lambda one: f"| 1 | {one} |\n", *texts) + "+----+-----+\n",
    ],
    ids=["yaml", "yaml-quoted", "yaml-block", "yaml-folded", "sql", "sql-escaped", "sql-rows", "sql-copy", "sql-table"],
)  # fmt: skip
def test_a_document_around_records_is_not_counted(document: Callable[[tuple[str, ...]], str], texts: Any) -> None:
    assert counted(document(texts)) == Counted(texts.count(A) + texts.count(B), texts.count(S))


def test_an_entry_that_is_yaml_itself_is_rejected() -> None:
    assert counted("- time: 1\n  type: request\n  request:\n    path: sys/seal\n") == Counted(0, 0, 1)


def test_a_table_of_psql() -> None:
    table = " id | msg\n----+-----\n" + rows(lambda one: f"  1 | {one}\n", A, S, B) + "(3 rows)\n"
    assert counted(table) == Counted(2, 1)


SEALED = "2026-03-01T10:00:00.123Z [INFO]  core: vault is sealed"


@pytest.mark.parametrize("delimiter", [",", ";", "|", "\t"])
@pytest.mark.parametrize(
    "columns", [["vault-1", "core"], ["1772359200", "a b"], [""], ["2026-03-01 10:00:00", "stdout", ""]]
)
def test_columns_behind_a_message_without_quotes_and_heading_are_no_part_of_it(
    delimiter: str, columns: list[str]
) -> None:
    row = delimiter.join(["{}", *columns]) + "\n"
    log = row.format(S) + row.format(SEALED)
    assert evaluate(log)[1].counts.server == 2
    assert [verdict.rule.name for verdict in verdicts(log)] == [
        verdict.rule.name for verdict in verdicts(f"{S}\n{SEALED}\n")
    ]


def test_a_text_behind_a_comma_is_part_of_a_message_unless_all_messages_have_columns() -> None:
    log = f"{S}\n{SEALED},now\n"
    assert verdicts(log)[-1].record["message"] == "vault is sealed,now"


@pytest.mark.parametrize("delimiter", [",", ";", "|", "\t", " | "])
def test_columns_behind_an_entry_are_no_rejected_line(delimiter: str) -> None:
    assert counted("".join(f"{text}{delimiter}vault-1{delimiter}a b\n" for text in (A, B, J))) == Counted(2, 1)
    assert counted(f'{A}{delimiter}{{"type":"re\n') == Counted(1, 0, 1)
    assert counted(f"{A} behind\n") == Counted(1, 0)


@pytest.mark.parametrize("texts", [(A, S, B), (S, A, B, S), (A, B, S, S), (A, B), (S, S)])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda texts: "[" + ", ".join(f"'{one}'" for one in texts) + "]\n",
        lambda texts: "(" + ", ".join(f"'{one}'" for one in texts) + ")\n",
        lambda texts: ", ".join(f"`{one}`" for one in texts) + "\n",
        lambda texts: "<logs>\n" + rows(lambda one: f"<entry><![CDATA[{one}]]></entry>\n", *texts),
        lambda texts: "".join(f"```{one}```\n" for one in texts),
        lambda texts: rows(
            lambda one: f'{{"index":{{"_index":"vault","_id":null}}}}\n{json.dumps({"message": one})}\n', *texts
        ),
    ],
    ids=["list", "tuple", "code", "xml", "fences", "bulk"],
)
def test_what_is_around_records_is_no_rejected_line(wrap: Callable[[Any], str], texts: Any) -> None:
    found = counted(wrap(texts))
    assert (found.audit, found.server + found.rejected) == (texts.count(A) + texts.count(B), texts.count(S))


@pytest.mark.parametrize("before", ["|07:29 |", "  msg = "])
def test_a_message_behind_what_is_not_known_is_rejected_as_such(before: str) -> None:
    rejected: list[str] = []
    found, _ = evaluate(f"{A}\n{before}{S}\nnothing\n", lambda line: rejected.append(line.reason))
    assert found == Counted(1, 0, 2)
    assert rejected == [
        "a message of the server log in an audit log, or behind an unknown text",
        "no JSON object in the line",
    ]


def test_an_entry_whose_members_stand_alone_beside_a_blank_line_is_read() -> None:
    flat = {"message": "", "type": "request", "request.path": "sys/seal", "request.operation": "update"}
    lines = ({"message": S}, flat, {"message": "", "host": "vault-1"})
    assert counted("".join(f"{json.dumps(line)}\n" for line in lines)) == Counted(1, 1)


def flattened(value: Any, path: str = "") -> dict[str, Any]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = {} if items else {path: value}
    for name, inner in items:
        found |= flattened(inner, f"{path}.{name}" if path else str(name))
    return found


def in_pairs(flat: dict[str, Any]) -> str:
    return " ".join(f"{name}={json.dumps(value)}" for name, value in flat.items())


def in_columns(flat: dict[str, Any]) -> str:
    rows = [list(flat), [value if isinstance(value, str) else json.dumps(value) for value in flat.values()]]
    return "\n".join(",".join('"{}"'.format(cell.replace('"', '""')) for cell in row) for row in rows)


@pytest.mark.parametrize("above", ["", "vault.", "json.audit."])
@pytest.mark.parametrize("write", [json.dumps, in_pairs, in_columns])
def test_an_entry_whose_members_stand_alone_is_put_together(write: Callable[[Any], str], above: str) -> None:
    ttl = {
        "id": "a1",
        "operation": "update",
        "path": "auth/token/create",
        "data": {"ttl": 7, "policies": ["root", "a"]},
    }
    entry = {"time": "2026-03-01T10:00:00Z", "type": "request", "auth": {"policies": ["root"]}, "request": ttl}
    text = write({above + name: value for name, value in flattened(entry).items()} | {"host": "vault-1"})
    found = [piece.line for at, line in enumerate(text.split("\n"), 1) for piece in READER.read(line.encode(), at)]
    READER.flush()
    assert [json.loads(line) for line in found if isinstance(line, bytes)] == [
        entry | ({} if above else {"host": "vault-1"})
    ]


def test_members_that_contradict_each_other_are_rejected() -> None:
    text = json.dumps({"type": "request", "request.path": "sys/seal", "request": "x", "request.id": "a"})
    assert counted(f"{text}\n") == Counted(0, 0, 1)
