"""A file of which nothing can be read is named with a command that makes logs of it, and that works when pasted."""

from __future__ import annotations

import base64
import gzip
import html
import json
import os
import quopri
import re
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
import yaml

from tests.support.archives import zipped
from vaultwatch.findings.trials import best_of
from vaultwatch.inputs.errors import Unreadable
from vaultwatch.inputs.hints import hint_for
from vaultwatch.inputs.logs import logs_in
from vaultwatch.inputs.rejects import Rejects
from vaultwatch.inputs.torn import Torn
from vaultwatch.reading.records import Rejected

MESSAGE = "2026-03-01T10:00:00.123Z [INFO]  core: vault is unsealed"
WRAPPED = json.dumps({"odd name": {"x": MESSAGE}})


def hint(name: str, text: bytes | str) -> str:
    """Return the hint for a log, of which a line was rejected, and a part was tried."""
    raw = text if isinstance(text, bytes) else text.encode()
    first = Rejected(raw, "no JSON object in the line")
    return hint_for(name, first, sample=content(name) or raw, choose=best_of)


def content(name: str) -> bytes:
    try:
        return b"".join(chunk for log in logs_in(name) for chunk, _ in log.chunks())
    except Unreadable:
        return Path(name).read_bytes() if Path(name).is_file() else b""


def pasted(text: str) -> str:
    """Return what the command in a hint gives to check."""
    command = text.partition(": ")[2].removesuffix(" | vaultwatch check")
    return subprocess.run(["sh", "-c", command], check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("name", ["plain.log", "it's a log", "-o.log", "packed.gz"])
def test_the_command_of_a_hint_gives_what_is_in_the_envelope(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    raw = WRAPPED.encode()
    Path(name).write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    assert pasted(hint(name, WRAPPED)) == f"{MESSAGE}\n"


def test_a_log_in_an_archive_is_taken_out_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile("logs.zip", "w") as archive:
        archive.writestr("deep/a.log", WRAPPED)
    assert hint("logs.zip/deep/a.log", WRAPPED).endswith(
        ": unzip -p logs.zip deep/a.log | jq -r '.[\"odd name\"].x' | vaultwatch check"
    )


@pytest.mark.parametrize("name", ["outer.zip", "outer.data"])
def test_a_zip_archive_in_another_is_taken_out(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    inner = zipped({"a.log": MESSAGE.encode()})
    Path(name).write_bytes(zipped({"deep/it's.zip": inner}))
    found = hint(f"{name}/deep/it's.zip", inner)
    assert found.startswith("; it is a zip archive in another archive: unzip -p ")
    assert pasted(found.replace("&& vaultwatch check", "&& test -f")) == ""
    assert Path("it's.zip").read_bytes() == inner


def test_what_is_compressed_in_an_event_is_decompressed(tmp_path: Path) -> None:
    packed = [base64.b64encode(gzip.compress(f"{MESSAGE}\n".encode())).decode() for _ in range(2)]
    event = json.dumps({"Records": [{"kinesis": {"data": data}} for data in packed]})
    (file := tmp_path / "event.json").write_text(event)
    assert pasted(hint(str(file), event)) == f"{MESSAGE}\n" * 2


@pytest.mark.parametrize(
    "wrap",
    [
        lambda texts: {"events": [{"timestamp": 1, "message": text} for text in texts]},
        lambda texts: [[{"field": "@ptr", "value": "x"}, {"field": "@message", "value": text}] for text in texts],
        lambda texts: {"hits": [{"_source": json.loads(text)} for text in texts]},
    ],
)
def test_the_records_in_an_envelope_that_is_too_large_are_printed(wrap: Any, tmp_path: Path) -> None:
    texts = [json.dumps({**ENTRY, "error": f"{{{number}"}) for number in range(500)]
    text = json.dumps(wrap(texts))
    (file := tmp_path / "it's large.json").write_text(text)
    found = hint(str(file), text)
    assert found.startswith("; it is too large to be read as one line: jq -r ")
    assert [json.loads(line) for line in pasted(found).splitlines()] == [json.loads(line) for line in texts]


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("s3://logs/a.json", "aws s3 cp s3://logs/a.json - | jq -r .a"),
        ("s3://logs/a.json.gz", "aws s3 cp s3://logs/a.json.gz - | gzip -dc | jq -r .a"),
    ],
)
def test_what_is_no_file_has_a_command_of_its_own(name: str, command: str) -> None:
    assert hint(name, json.dumps({"a": MESSAGE})) == f"; a record is inside .a: {command} | vaultwatch check"


@pytest.mark.parametrize("change", [lambda _: WRAPPED, html.escape, quote, lambda text: text.replace('"', "\u201c")])
def test_a_hint_for_stdin_reads_a_file_that_is_saved_before(
    change: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a file it would wait for the terminal."""
    monkeypatch.chdir(tmp_path)
    Path("stdin.log").write_text(text := change(json.dumps({"type": "request", "request": {"path": "a"}})))
    found = hint("stdin", text)
    command = found.partition(": save it as stdin.log, then: ")[2]
    assert command.endswith(" | vaultwatch check")
    assert subprocess.run(["sh", "-c", command.removesuffix(" | vaultwatch check")], check=True).returncode == 0


ENTRY = {"type": "request", "request": {"path": 'a"b'}}
TEXT = json.dumps(ENTRY)


def dump(content: bytes, mark: str = "") -> str:
    """Return what hexdump -C prints, or xxd, which has a mark behind the place."""
    rows = [(at, content[at : at + 16]) for at in range(0, len(content), 16)]
    shown = {at: "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row) for at, row in rows}
    if mark:
        return "\n".join(f"{at:08x}: {row.hex(' ', -2):<39}  {shown[at]}" for at, row in rows)
    return "\n".join(f"{at:08x}  {row[:8].hex(' '):<24} {row[8:].hex(' '):<24} |{shown[at]}|" for at, row in rows)


@pytest.mark.parametrize(
    ("text", "hint_begins"),
    [
        (html.escape(TEXT), "; its quotes are those of HTML: cat "),
        (quote(TEXT), "; it is encoded as a part of a URL: cat "),
        (TEXT.encode().hex(), "; it is in hexadecimal: cat "),
        (dump(f"{TEXT}\n".encode()), "; it is a dump in hexadecimal, as of hexdump -C, xxd or od: cat "),
        (dump(f"{TEXT}\n".encode(), ":"), "; it is a dump in hexadecimal, as of hexdump -C, xxd or od: cat "),
        (repr(TEXT.encode()), "; it is what Python prints of bytes: cat "),
        (repr(ENTRY), "; it is what Python prints of an object: cat "),
        (TEXT.replace('": ', '"=>'), "; it is what Ruby prints of an object, also by Logstash's codec rubydebug: cat "),
        ("1\t" + TEXT.replace("\\", "\\\\"), "; its backslashes are doubled: cat "),
    ],
)
def test_a_text_in_another_form_becomes_the_entry(text: str, hint_begins: str, tmp_path: Path) -> None:
    (file := tmp_path / "log").write_text(f"{text}\n" * 2)
    found = hint(str(file), text)
    assert found.startswith(hint_begins)
    assert [json.loads(line[line.index("{") :]) for line in pasted(found).splitlines()] == [ENTRY] * 2


@pytest.mark.parametrize("end", ["\n", ""])
def test_a_log_in_base64_on_one_line_becomes_its_entry(end: str, tmp_path: Path) -> None:
    text = base64.b64encode(TEXT.encode()).decode()
    (file := tmp_path / "log").write_text(text + end)
    assert json.loads(pasted(hint(str(file), text))) == ENTRY


def test_a_log_that_xxd_has_written_in_lines_becomes_its_entries(tmp_path: Path) -> None:
    encoded = f"{TEXT} é\n{TEXT}\n".encode().hex()
    lines = [encoded[at : at + 60] for at in range(0, len(encoded), 60)]
    (file := tmp_path / "log").write_text("\n".join(lines) + "\n")
    assert pasted(hint(str(file), lines[0])).split("\n")[:2] == [f"{TEXT} é", TEXT]


@pytest.mark.parametrize("encode", [quote, quote_plus])
def test_a_server_log_in_a_url_becomes_its_messages(encode: Callable[[str], str], tmp_path: Path) -> None:
    text = encode("2026-03-01T10:00:00.123Z [INFO]  core: 1 + 1%\n")
    (file := tmp_path / "log").write_text(text)
    found = hint(str(file), text)
    assert found.startswith("; it is encoded as a part of a URL: cat ")
    assert pasted(found) == "2026-03-01T10:00:00.123Z [INFO]  core: 1 + 1%\n"


@pytest.mark.parametrize(("wrap", "path"), [(lambda key: {key: 1}, "."), (lambda key: {"a": {key: 1, "b": 2}}, ".a")])
def test_records_that_are_names_in_an_object_are_printed(wrap: Any, path: str, tmp_path: Path) -> None:
    text = json.dumps(wrap(TEXT))
    (file := tmp_path / "log").write_text(f"{text}\n" * 2)
    found = hint(str(file), text)
    assert found.startswith(f"; a record is a name in an object: jq -r '{path} | keys_unsorted[]' ")
    assert [line for line in pasted(found).splitlines() if line != "b"] == [TEXT] * 2


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_records_in_a_table_of_a_database_client_are_printed(end: str, tmp_path: Path) -> None:
    several = "2026-03-01T10:00:00.123Z [ERROR] core: failed:\n  error=\n  | a | b\n  "
    texts = [TEXT, MESSAGE, several, '{"request": {"path": "a | b"}}']
    width = max(len(line) for text in texts for line in text.splitlines())
    border = f"+----+{'-' * (width + 2)}+-------+"
    rows = [border, f"| id | {'line':{width}} | host  |", border]
    rows += [f"|  {number} | {text:{width}} | v1    |" for number, text in enumerate(texts)] + [border, "4 rows in set"]
    (file := tmp_path / "it's a table").write_text(end.join("\n".join(rows).split("\n")), newline="")
    found = hint_for(str(file), Rejected(rows[0].encode(), "no JSON object in the line"), Torn(9, {width: 9}))
    assert found.startswith("; it is a table of a database client, whose cells are padded: cat ")
    lines = pasted(found).splitlines()
    assert [line for line in lines if not line.startswith("  ")] == [*texts[:2], several.partition("\n")[0], texts[3]]


@pytest.mark.parametrize("between", ["\n", ""])
def test_compressed_data_in_a_log_is_decompressed(between: str, tmp_path: Path) -> None:
    whole = f"{TEXT}\n{TEXT}\n".encode()
    packed = gzip.compress(whole)
    (file := tmp_path / "log").write_bytes(f"{TEXT}{between}".encode() + packed * 2 + whole)
    rejects = Rejects(None)
    rejects.add(Rejected(f"{TEXT}{between}".encode() * (not between) + packed[:20], "broken JSON: Extra data"))
    rejects.add(Rejected(packed[20:], "no JSON object in the line"))
    assert rejects.first
    assert rejects.first.reason == "data that gzip has compressed, in a log that is not"
    found = hint_for(str(file), rejects.first)
    assert found.startswith("; as it is, and decompressed: cat ")
    assert pasted(found).encode() == f"{TEXT}{between}".encode() + whole * 3


@pytest.mark.parametrize("begins", ["auth:", "- request:", "---", "time: '2026-03-01T10:00:00Z'"])
def test_yaml_becomes_json_by_either_program_of_this_name(
    begins: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = hint("a.yaml", begins)
    assert found.startswith("; it is YAML, which the package yq reads: ")
    (yq := tmp_path / "yq").write_text('#!/bin/sh\n[ "$1" = --version ] && cat "$0.version" || echo "$@"\n')
    yq.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for version, called in {"yq (github.com/mikefarah/yq) version v4.44.3": "-o json", "yq 3.1.0": "."}.items():
        (tmp_path / "yq.version").write_text(version)
        assert pasted(found) == f"{called} a.yaml\n"


@pytest.mark.skipif(shutil.which("yq") is None, reason="yq is not on PATH")
def test_yaml_becomes_the_entries(tmp_path: Path) -> None:
    (file := tmp_path / "a.yaml").write_text(f"---\n{yaml.safe_dump(ENTRY)}" * 2)
    shown = pasted(hint(str(file), "---"))
    assert [json.loads(one) for one in re.split(r"(?m)^(?={)", shown)[1:]] == [ENTRY] * 2


def test_what_logstash_prints_for_people_becomes_json(tmp_path: Path) -> None:
    printed = '{\n    "@timestamp" => 2026-03-01T10:00:00.123Z,\n       "message" => "MESSAGE a \\" => nil [0] ",\n'
    printed += '          "tags" => [\n        [0] "a"\n    ],\n          "none" => nil\n}\n'
    (file := tmp_path / "log").write_text(printed := printed.replace("MESSAGE", MESSAGE))
    message = f'{MESSAGE} a " => nil [0] '
    expected = {"@timestamp": "2026-03-01T10:00:00.123Z", "message": message, "tags": ["a"], "none": None}
    assert json.loads(pasted(hint(str(file), printed))) == expected


@pytest.mark.parametrize("escape", [str, lambda text: text.replace("\\", "\\\\").replace('"', '\\"')])
@pytest.mark.parametrize("begins", ["[12] vault.audit: [[1772359200.1, {}], {", "[12] vault.audit: [1772359200.1, {"])
def test_what_fluent_bit_prints_of_lines_becomes_the_lines(
    begins: str, escape: Callable[[str], str], tmp_path: Path
) -> None:
    """It prints a text as it is; before 1.9, and of bytes, with escapes."""
    lines = [TEXT, MESSAGE, 'panic: a "b"', "", "\t/go/src/net/http/server.go:3086 +0x5cb", TEXT]
    printed = "".join(f'{begins}"stream"=>"stdout", "log"=>"{escape(line)}", "_p"=>"F"}}]\n' for line in lines)
    (file := tmp_path / "log").write_text(printed)
    assert pasted(hint(str(file), printed.partition("\n")[0])).splitlines() == lines


def test_what_fluent_bit_prints_of_entries_becomes_json(tmp_path: Path) -> None:
    printed = f"[12] vault.audit: [[1772359200.1, {{}}], {TEXT.replace(': ', '=>')}]\n"
    (file := tmp_path / "log").write_text(printed * 2)
    (found, _) = pasted(hint(str(file), printed)).splitlines()
    assert json.JSONDecoder().raw_decode(found, found.index('{"'))[0] == ENTRY


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-8"])
def test_a_file_that_powershell_has_saved_is_decoded_before_it_is_joined(encoding: str, tmp_path: Path) -> None:
    wrapped = [TEXT[start : start + 30] for start in range(0, len(TEXT), 30)]
    (file := tmp_path / "log").write_text("\r\n".join(wrapped * 2) + "\r\n", encoding=encoding, newline="")
    assert pasted(hint(str(file), wrapped[0])).splitlines() == [TEXT] * 2


MAIL = "From: a@example.org\nSubject: logs\nContent-Transfer-Encoding: "


@pytest.mark.parametrize("mbox", ["", "From a@example.org Sun Mar  1 10:00:00 2026\n"])
def test_logs_are_taken_out_of_mails(mbox: str, tmp_path: Path) -> None:
    encoded = (("base64", base64.encodebytes(TEXT.encode())), ("quoted-printable", quopri.encodestring(TEXT.encode())))
    mails = [f"{mbox}{MAIL}{name}\n\n{body.decode()}\n" for name, body in encoded]
    text = "".join(mails) if mbox else mails[0]
    (file := tmp_path / "mail").write_text(text)
    found = [json.loads(line) for line in pasted(hint(str(file), text.partition("\n")[0])).splitlines() if line]
    assert found == [ENTRY] * (2 if mbox else 1)


LONG = json.dumps({"time": "2026-03-01T10:00:00.123Z", **ENTRY, "error": "1 error = a"}, separators=(",", ":"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (quopri.encodestring(f"{LONG}\n{LONG}\n".encode()).decode(), "; it is quoted-printable: cat "),
        ("".join(f"{LONG[:60]}\n{LONG[60:]}\n" for _ in range(2)), "; its lines seem to be wrapped at 60: cat "),
    ],
)
def test_lines_that_were_divided_are_joined(text: str, says: str, tmp_path: Path) -> None:
    (file := tmp_path / "log").write_text(text)
    found = hint(str(file), text.partition("\n")[0])
    assert found.startswith(says)
    assert pasted(found).splitlines() == [LONG] * 2


@pytest.mark.parametrize("width", [64, 76, 0])
def test_base64_is_decoded(tmp_path: Path, width: int) -> None:
    """The lines of one text, as programs divide it, or a text in each line."""
    content = f"{MESSAGE}\n".encode() * 5
    if width:
        whole = base64.b64encode(content).decode()
        text = "".join(whole[start : start + width] + "\n" for start in range(0, len(whole), width))
    else:
        text = "".join(base64.b64encode(line).decode() + "\n" for line in content.splitlines(keepends=True))
    (file := tmp_path / "logs.txt").write_text(text)
    assert pasted(hint(str(file), text.partition("\n")[0])) == content.decode()


def test_base64_in_an_envelope_is_decoded(tmp_path: Path) -> None:
    frame = json.dumps({"File": "vault.stdout.0", "Data": base64.b64encode(f"{MESSAGE}\n".encode()).decode()})
    (file := tmp_path / "logs.json").write_text(f"{frame}\n" * 2)
    assert pasted(hint(str(file), frame)) == f"{MESSAGE}\n" * 2


OF_JIRA = "<rss><channel><item><description>&lt;pre&gt;{rows}&lt;/pre&gt;</description></item></channel></rss>\n"
OF_FEED = "<rss><channel><item><description><![CDATA[<pre>{rows}</pre>]]></description></item></channel></rss>\n"
SEVERAL_LINES = (
    '2026-11-21T07:29:41.933Z [ERROR] core: failed:\n  error=\n  | 1 error occurred:\n  | \t* <nil> & "x"\n  '
)


@pytest.mark.parametrize(("whole", "times"), [(OF_JIRA, 2), (OF_FEED, 1)])
def test_records_in_markup_that_markup_holds_are_taken_out(whole: str, times: int, tmp_path: Path) -> None:
    lines = [TEXT, MESSAGE, *SEVERAL_LINES.splitlines(), "panic: x", "goroutine 1 [running]:", "\t/go/a.go:1 +0x1"]
    escaped = [html.escape(html.escape(text) if times == 2 else text).replace("\t", "&#9;") for text in lines]
    (file := tmp_path / "it's.xml").write_text(whole.format(rows="".join(f"{raw}\n" for raw in escaped)))
    found = hint(str(file), whole.partition("{")[0].partition("\n")[0])
    assert found.startswith("; it is XML: cat ")
    assert [line for line in pasted(found).splitlines() if line.strip()] == [line for line in lines if line.strip()]


def test_a_token_in_json_is_not_taken_for_a_log() -> None:
    assert "base64" not in hint("a.log", json.dumps({"jwt": "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"}))


def test_the_quotes_of_a_word_processor_are_replaced(tmp_path: Path) -> None:
    (file := tmp_path / "chat.txt").write_text("{\u201ctype\u201d:\u201drequest\u201d,\u201crequest\u201d:{}}\n")
    assert pasted(hint(str(file), file.read_bytes())) == '{"type":"request","request":{}}\n'


@pytest.mark.parametrize(
    ("start", "says"),
    [
        (b"\x7fELF\0", "it is not text"),
        (b"\x89PNG", "it is not text"),
        (b"\xa7\x01\r\x1f", "it is not text"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        (b"<!DOCTYPE html><html><body>Sign in</body>", "it is a web page, as of a login: download the log itself"),
        (b"hello", "expected are audit entries"),
    ],
)
def test_other_forms_are_known_by_how_they_begin(start: bytes, says: str) -> None:
    assert says in hint("no.log", start)


def of_mongosh(value: Any, indent: int = 0) -> str:
    """Return a value as mongosh prints it."""
    between = ",\n" + " " * (indent + 2)
    if isinstance(value, dict):
        members = between.join(f"{name}: {of_mongosh(one, indent + 2)}" for name, one in value.items())
        return f"{{{between[1:]}{members}{between[1:-2]}}}"
    if not isinstance(value, str):
        return str(value)
    quote = "'" if "'" not in value else '"' if '"' not in value else "`"
    escaped = value.replace("\\", "\\\\").replace("\t", "\\t").replace(quote, f"\\{quote}")
    return f"{quote}{escaped}{quote}".replace("\n", f"\\n{quote} +\n{' ' * indent}  {quote}")


def of_gron(value: Any, path: str = "json") -> list[str]:
    """Return a value as gron prints it."""
    if isinstance(value, dict):
        return [f"{path} = {{}};", *(line for name in sorted(value) for line in of_gron(value[name], f"{path}.{name}"))]
    if isinstance(value, list):
        return [f"{path} = [];", *(line for at, one in enumerate(value) for line in of_gron(one, f"{path}[{at}]"))]
    return [f"{path} = {json.dumps(value)};"]


def of_od(content: bytes) -> str:
    """Return what `od -c` prints."""
    named = {9: "\\t", 10: "\\n", 0: "\\0"}
    shown = [named.get(one) or (chr(one) if 32 <= one < 127 else f"{one:03o}") for one in content]
    rows = (shown[at : at + 16] for at in range(0, len(shown), 16))
    return "".join(f"{number * 16:07o}{''.join(f' {one:>3}' for one in row)}\n" for number, row in enumerate(rows))


PARTS = {**ENTRY, "auth": {"policies": ["a", "b"], "n": 2}, "error": 'it\'s "ö"\n\tand \\ `more`'}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (f"[\n  {of_mongosh({'_id': 1, **PARTS})}\n]".replace("_id: 1", "_id: ObjectId('65a1')"), "mongosh prints"),
        (
            of_mongosh({"_id": 1, "line": json.dumps(PARTS)}).replace("_id: 1", "_id: ObjectId('65a1')"),
            "mongosh prints",
        ),
        ("\n".join(of_gron([PARTS, PARTS])), "gron prints"),
        ("\n".join(of_gron(PARTS) * 2), "gron prints"),
        (of_od(f"{json.dumps(PARTS)}\n".encode() * 2), "od -c prints"),
        (
            f"#Sun Mar 01\nlog.1={json.dumps(PARTS)}\n".replace("\\", "\\\\").replace(":", "\\:"),
            "properties, as of Java",
        ),
    ],
)
def test_what_programs_print_of_an_entry_becomes_the_entry(text: str, what: str, tmp_path: Path) -> None:
    (file := tmp_path / "log").write_text(f"{text}\n")
    found = hint(str(file), text)
    assert f"{what}: cat " in found
    printed = pasted(found)
    entries = json.loads(printed) if printed.startswith("[") else [json.loads(one) for one in split_objects(printed)]
    found_in = [json.loads(entry["line"]) if "line" in entry else entry for entry in entries]
    assert [{name: one[name] for name in one if name != "_id"} for one in found_in] == [PARTS] * len(found_in)


def split_objects(text: str) -> list[str]:
    return [f"{part}}}" for part in re.split(r"(?m)\}$", text) if part.strip()]


WRAPPED_AT = json.dumps({**ENTRY, "auth": {"policies": [f"policy {number}" for number in range(40)]}})


def folded(text: str, width: int) -> str:
    """Return what `fold -s` prints, which breaks lines behind blanks."""
    command = ["fold", "-s", "-w", str(width)]
    return subprocess.run(command, input=text, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize(
    "wrapped",
    [
        pytest.param(folded(f"{WRAPPED_AT}\n" * 3, 100), id="fold -s"),
        pytest.param(folded(f"{WRAPPED_AT}\n" * 3, 200), id="fold -s, wider than mail"),
        pytest.param(re.sub(r"(?m) $", "", folded(f"{WRAPPED_AT}\n" * 3, 72)).replace("\n", "\n> "), id="quoted"),
    ],
)
def test_lines_that_were_wrapped_behind_blanks_or_quoted_are_joined(wrapped: str, tmp_path: Path) -> None:
    wrapped = f"> {wrapped.removesuffix('> ')}" if "\n> " in wrapped else wrapped
    (file := tmp_path / "log").write_text(wrapped)
    assert [json.loads(line) for line in pasted(hint(str(file), wrapped)).splitlines()] == [json.loads(WRAPPED_AT)] * 3
