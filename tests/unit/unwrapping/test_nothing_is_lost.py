"""Whatever wraps the lines of a log in JSON: each line is read as it is without that, or is counted as rejected."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.unit.detection.records import SERVER, rule
from vaultwatch.detection.detector import Detector
from vaultwatch.detection.evaluator import Ruleset
from vaultwatch.reading.budget import exceeded
from vaultwatch.reading.records import Rejected
from vaultwatch.rules.conditions import Exists
from vaultwatch.unwrapping.envelopes import Envelopes

RULES = Ruleset([SERVER, rule(Exists("request.path", True), "entry")])
_MARK = re.compile(r"mark-\d+-")
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4}){4,}[A-Za-z0-9+/]{0,3}")
_TIME = "2026-03-01T10:00:{:02}.123Z"
BLOCKS = (
    [f"{_TIME} [INFO]  core: vault is sealed: mark"],
    [
        f"{_TIME} [ERROR] core: failed to unseal: mark",
        "  error=",
        "  | 2 errors occurred: mark",
        "  | \t* permission denied mark",
        "  | ",
        "  ",
    ],
    [
        f"{_TIME} [ERROR] core: panic serving 10.0.0.1:443: mark",
        "goroutine 18 [running]: mark",
        "main.serve(mark)",
        "\t/go/src/net/http/server.go:1868 mark",
        "created by net/http.(*Server).Serve mark",
    ],
    ["==> Vault server configuration: mark", "", "       Api Address: http://127.0.0.1:8200 mark", "   Cgo: mark", ""],
    ["panic: runtime error mark", "", "goroutine 1 [running]: mark", "main.main(mark)", "exit status 2 mark"],
    [
        '{"@level":"warn","@message":"lease count mark","@module":"expiration",'
        f'"@timestamp":"{_TIME.replace("{", "{{").replace("}", "}}")}"}}'.replace("{{:02}}", "{:02}")
    ],
    ['{"time":"2026-03-01T10:00:01Z","type":"request","request":{"id":"mark","path":"sys/mark"}}'],
    ['{"time":"2026-03-01T10:00:01Z","type":"response","request":{"id":"mark","path":"sys/mark"}}'],
)


def lines_of(blocks: list[int]) -> list[str]:
    """Return the lines of a log of which each has a mark of its own, unless it is blank."""
    numbers, found = count(), list[str]()
    for place, block in enumerate(blocks):
        for line in BLOCKS[block]:
            timed = line.replace("{:02}", f"{place % 60:02}")
            found.append(timed.replace("mark", f"mark-{next(numbers)}-"))
    return found


class Read(NamedTuple):
    """The marks in each record of a log, in each rejected line, and how many of these there are."""

    records: list[frozenset[str]]
    rejected: frozenset[str]
    lines: int

    @property
    def marks(self) -> frozenset[str]:
        return self.rejected.union(*self.records)


def marks_in(text: str) -> set[str]:
    """Return the marks in a rejected line, also in base64."""
    found = set(_MARK.findall(text))
    for encoded in _BASE64.findall(text.replace("\\n", "").replace("\n", "")):
        found |= marks_in(base64.b64decode(encoded + "=" * (-len(encoded) % 4)).decode("utf-8", "replace"))
    return found


def read(text: str, *, unwrap: bool = True) -> Read:
    rejected: list[Rejected] = []
    detector = Detector(RULES, unwrap=unwrap, on_rejected=rejected.append)
    if unwrap:
        detector.begin_log(text.encode()[:65536], name="log")
    found = detector.feed([line + b"\n" for line in text.encode().split(b"\n")]) + detector.end_log() + detector.flush()
    shown = [json.dumps([verdict.record, verdict.response]) for verdict in found]
    marks = frozenset(mark for line in rejected for mark in marks_in(line.raw.decode()))
    return Read([frozenset(_MARK.findall(one)) for one in shown], marks, detector.counts.rejected)


Wrap = Callable[[str, str], Any]
"""Makes an envelope of a name and a text."""
TWIN = "\0twin"
"""Behind the name of a member that JSON has twice."""
SIBLINGS: dict[str, Wrap] = {
    "alone": lambda name, text: {name: text},
    "with its end": lambda name, text: {name: f"{text}\n"},
    "first": lambda name, text: {name: text, "stream": "stdout", "@ts": "2026-03-01T10:00:00Z", "n": 1},
    "last": lambda name, text: {"pod": "vault-0", "labels": {"app": "a b", "x": ["y"]}, name: text},
    "beside a message": lambda name, text: {"message": "a line", name: text},
    "beside a blank": lambda name, text: {"short_message": "", name: text},
    "nested": lambda name, text: {"stream": "stdout", "in": {"it": {name: text}, "pod": "vault-0"}},
    "in a list beside a word": lambda name, text: {name: ["vault-0", text], "pod": "v"},
    "in a list": lambda name, text: {"k": [{"of": [text]}], "pod": "v"} if name == "k" else {name: [text], "pod": "v"},
    "behind a member of its name": lambda name, text: {name: "up", name + TWIN: text},
    "before a member of its name": lambda name, text: {"in": {name: text, name + TWIN: "up"}, "pod": "v"},
    "in a row": lambda name, text: [_TIME, "vault-0", text],
    "in a pair": lambda name, text: [{"key": "pod", "value": "vault-0"}, {"key": name, "value": {"stringValue": text}}],
    "in a field": lambda name, text: [{"field": name, "value": text}, {"field": "@ptr", "value": "a b"}],
}
Encode = Callable[[str], str]
"""Writes a text of an envelope in another form."""
ENCODINGS: dict[str, Encode] = {
    "text": str,
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 with its end": lambda text: base64.b64encode(text.encode() + b"\n").decode(),
    "base64 in lines": lambda text: base64.encodebytes(text.encode()).decode(),
    "a text of JSON": json.dumps,
    "quotes": lambda text: "\n".join(map('"{}"'.format, text.split("\n"))),
    "JSON": lambda text: json.dumps({"doc": text, "stream": "stdout"}),
    "JSON in base64": lambda text: base64.b64encode(json.dumps({"doc": text, "pod": "vault-0"}).encode()).decode(),
    "base64 in JSON": lambda text: json.dumps({"doc": base64.b64encode(text.encode()).decode()}),
}
All = Callable[[list[Any], str], str]
"""Makes a log of envelopes and a name."""
LOGS: dict[str, All] = {
    "a line each": lambda envelopes, _: "".join(json.dumps(one) + "\n" for one in envelopes),
    "many lines each": lambda envelopes, _: "".join(json.dumps(one, indent=2) + "\n" for one in envelopes),
    "one line": lambda envelopes, _: "".join(map(json.dumps, envelopes)),
    "a list": lambda envelopes, name: json.dumps({name: envelopes}),
    "a list over many lines": lambda envelopes, name: json.dumps({"took": 1, name: envelopes}, indent=2),
    "an array": lambda envelopes, _: json.dumps(envelopes),
    "an array over many lines": lambda envelopes, _: json.dumps(envelopes, indent=1),
    "an array, a line each": lambda envelopes, _: "[\n" + ",\n".join(map(json.dumps, envelopes)) + "\n]\n",
    "numbered": lambda envelopes, name: json.dumps({name: {str(at): one for at, one in enumerate(envelopes)}}),
    "by key": lambda envelopes, _: json.dumps({f"k{at}": one for at, one in enumerate(envelopes)}),
    "lists of some": lambda envelopes, name: json.dumps({name: [envelopes[:3], envelopes[3:]], "pod": "vault-0"}),
    "in lists": lambda envelopes, name: json.dumps({name: [[[1, 2], [one]] for one in envelopes]}),
}
IN_QUOTES = {"a text of JSON", "quotes"}
BANNERS = {3, 4}
IN_LISTS = {"in a row", "in a pair", "in a field"}
BARE = {"a line each", "many lines each", "one line", "an array over many lines", "an array, a line each"}
"""Logs of which a list is a line: its elements are read as lines, because nothing says that they are columns."""
OF_RECORDS = {"request", "type", "@level", "@message"}
NAMES = st.sampled_from(["log", "doc", "message", "text", "a b", "x", "größe", "_", "msg", "v", "Data"]) | st.text(
    min_size=1
).filter(lambda name: name not in OF_RECORDS and not name.isdigit())


def wrapped(lines: list[str], log: str, sibling: str, name: str, encoding: str = "text", *, per_text: int = 1) -> str:
    texts = ["\n".join(lines[at : at + per_text]) for at in range(0, len(lines), per_text)]
    texts = list(map(ENCODINGS[encoding], texts))
    return LOGS[log]([SIBLINGS[sibling](name, text) for text in texts], name).replace(json.dumps(TWIN)[1:-1], "")


def is_shown(first: int, encoding: str) -> bool:
    """Return whether the first line shows how all are written: a banner in quotes shows it only in lines of a file."""
    return encoding not in IN_QUOTES or first not in BANNERS


@pytest.fixture(params=[False, True], ids=["small", "large"], scope="module")
def _sizes(request: pytest.FixtureRequest) -> Iterator[None]:
    """Read every envelope as a small one, or as one with more values than a record has."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vaultwatch.unwrapping.envelopes._is_large", lambda text: request.param and len(text) > 1_000)
        yield


@pytest.mark.usefixtures("_sizes")
@given(
    st.lists(st.integers(0, len(BLOCKS) - 1), min_size=1, max_size=6),
    st.sampled_from(sorted(LOGS)),
    st.sampled_from(sorted(SIBLINGS)),
    NAMES,
    st.sampled_from(sorted(ENCODINGS)),
    st.integers(1, 3),
)
@example([1, 2, 0], "a list", "alone", "doc", "text", 1)
@example([2, 1], "a list", "first", "doc", "text", 1)
@example([1, 3], "an array over many lines", "alone", "log", "text", 1)
@example([0, 4], "a list", "last", "Data", "base64", 1)
@example([0, 1], "a line each", "first", "data", "base64", 1)
@example([4, 5], "a line each", "alone", "doc", "a text of JSON", 2)
@example([0, 4], "a list", "in a list beside a word", "x", "text", 1)
def test_each_line_in_an_envelope_is_read_or_counted(
    blocks: list[int], log: str, sibling: str, name: str, encoding: str, per_text: int
) -> None:
    lines = lines_of(blocks)
    plain, found = read("\n".join(lines) + "\n"), read(wrapped(lines, log, sibling, name, encoding, per_text=per_text))
    assert not plain.marks - found.marks
    if not (plain.lines or found.lines or (sibling in IN_LISTS and log in BARE)) and is_shown(blocks[0], encoding):
        assert found.records == plain.records


@given(
    st.lists(st.integers(0, len(BLOCKS) - 1), min_size=1, max_size=6),
    st.sampled_from(["a line each", "one line", "a list", "an array", "numbered", "by key"]),
    st.sampled_from(sorted(SIBLINGS)),
    NAMES,
    st.sampled_from(sorted(ENCODINGS)),
    st.integers(1, 3),
)
@example([4], "an array", "in a field", "log", "text", 1)
def test_each_line_in_an_envelope_of_a_stream_is_read_or_counted(
    blocks: list[int], log: str, sibling: str, name: str, encoding: str, per_text: int
) -> None:
    lines = lines_of(blocks)
    text = wrapped(lines, log, sibling, name, encoding, per_text=per_text)
    plain, found = read("\n".join(lines) + "\n", unwrap=False), read(text, unwrap=False)
    assert not plain.marks - found.marks
    if not (plain.lines or found.lines or (sibling in IN_LISTS and log in BARE)) and is_shown(blocks[0], encoding):
        assert found.records == plain.records


ALL = [0, 1, 2, 3, 4, 5, 6, 7, 0, 2, 1, 6]


@pytest.mark.usefixtures("_sizes")
@pytest.mark.parametrize(
    ("sibling", "log"), [(one, log) for one in SIBLINGS for log in LOGS if one not in IN_LISTS or log not in BARE]
)
def test_each_line_under_a_name_that_is_not_known_is_read(sibling: str, log: str) -> None:
    lines = lines_of(ALL)
    text = wrapped(lines, log, sibling, "doc")
    assert read(text) == read("\n".join(lines) + "\n")


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("log", ["a line each", "a list", "an array"])
def test_each_line_that_is_encoded_is_read(encoding: str, log: str) -> None:
    lines = lines_of(ALL)
    assert read(wrapped(lines, log, "last", "doc", encoding)) == read("\n".join(lines) + "\n")


def test_each_of_thousands_of_lines_in_one_envelope_is_read() -> None:
    lines = lines_of(ALL * 60)
    text = wrapped(lines, "a list", "first", "doc")
    assert exceeded(text.encode(), len(text)) == "values"
    assert read(text) == read("\n".join(lines) + "\n")


HEAD = "2026-03-01T10:00:00.123Z [ERROR] core: failed: x"


@pytest.mark.parametrize(
    ("envelope", "texts"),
    [
        ({"logs": [{"doc": "before"}, {"doc": HEAD}, {"doc": "behind"}]}, ["before", HEAD, "behind"]),
        ({"1": HEAD, "2": "behind", "3": HEAD}, [HEAD, "behind", HEAD]),
        ({"doc": HEAD, "pod": "vault 0"}, [HEAD]),
        ({"rows": [["10:00 h", "before"], ["10:01 h", HEAD]]}, ["before", HEAD]),
        ({"rows": [[HEAD, "behind"], ["further", HEAD]]}, [HEAD, "behind", "further", HEAD]),
        ({"logs": [{"out": HEAD}, {"err": "panic: x"}]}, [HEAD, '{"err":"panic: x"}']),
        ({"logs": [{"doc": HEAD}, {"doc": ""}]}, [HEAD, ""]),
        ({"log": HEAD, "whole": f"{HEAD}\n  error=\n  | x"}, [HEAD, "  error=", "  | x"]),
        ({"f": [{"v": "10:00 h"}, {"v": HEAD}]}, [HEAD]),
        ({"logs": [{"doc": HEAD}, {"doc": "12345"}]}, [HEAD, "12345"]),
        ({"values": [["1795246203000000000", HEAD], ["1795246204000000000", "12345"]]}, [HEAD, "12345"]),
        ({"logs": [{"doc": ["vault-0", HEAD]}, {"doc": ["vault-0", "behind"]}]}, [HEAD, "behind"]),
        ({"doc": HEAD, f"doc{TWIN}": "it is behind"}, [HEAD, "it is behind"]),
        ({"in": [{"doc": "it is before", f"doc{TWIN}": HEAD}], "pod": "v"}, ["it is before", HEAD]),
        ({"message": "a line"}, ["a line"]),
        ({"message": "a line", "doc": "another line"}, []),
        ({"message": "", "doc": "a line"}, []),
        ({"message": "", "stream": "stdout"}, [""]),
    ],
)
def test_of_an_envelope_the_texts_are_taken_that_are_lines(envelope: Any, texts: list[str]) -> None:
    written = json.dumps(envelope).replace(json.dumps(TWIN)[1:-1], "")
    assert Envelopes().texts_in(written.encode()) == [text.encode() for text in texts]


def test_the_name_of_the_lines_is_remembered_until_the_log_ends() -> None:
    first, *further = [json.dumps({"doc": text}).encode() for text in (HEAD, "  error=", "  | x")]
    rejected: list[Rejected] = []
    detector = Detector(RULES, unwrap=True, on_rejected=rejected.append)
    for lines in ([first, *further], [HEAD.encode(), *further]):
        detector.begin_log(name="log")
        detector.feed(lines)
        detector.end_log()
    assert (detector.counts.server, [line.raw for line in rejected]) == (2, further)


def of_otel(lines: list[str]) -> str:
    head = '2026-11-21T07:29:41.123Z\tinfo\tLogs\t{"resource logs": 1, "log records": 9}\n'
    more = "Resource attributes:\n     -> service.name: Str(vault)\nScopeLogs #0\nInstrumentationScope  \n"
    records = "".join(
        f"LogRecord #{number}\nObservedTimestamp: 2026-11-21 07:29:41.1 +0000 UTC\nSeverityText: \nBody: Str({line})\n"
        "Attributes:\n     -> log.file.name: Str(vault.log)\nTrace ID: \nSpan ID: \nFlags: 0\n"
        for number, line in enumerate(lines)
    )
    return f'{head}Resource SchemaURL: \n{more}{records}\t{{"otelcol.component.id": "debug", "resource": {{}}}}\n'


def of_cef(line: str) -> str:
    text = line.replace("\\", "\\\\").replace("=", "\\=")
    return f"Nov 21 07:29:41 host CEF:0|HashiCorp|Vault|1.15|log|vault|3|rt=1 msg={text} dvchost=vault-0\n"


def of_endings(ending: str, lines: list[str]) -> str:
    return "".join(f"{line}{ending}\n" for line in lines)


def of_rows(lines: list[str], row: str, between: str) -> str:
    return between.join(row.format(line.replace("'", "''")) for line in lines)


def of_bars(rule: tuple[str, str, str], row: tuple[str, str, str], lines: list[str]) -> str:
    """Return a table as a database client draws it."""
    rows = [(str(number), line) for number, line in enumerate(lines)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    drawn = rule[0] + rule[1].join(rule[1][0] * width for width in widths) + rule[2]
    cells = ((cell.ljust(width) for cell, width in zip(one, widths, strict=True)) for one in rows)
    return f"{drawn}\n" + "".join(f"{row[0]}{row[1].join(one)}{row[2]}\n" for one in cells) + f"{drawn}\n"


def of_export(line: str) -> str:
    size = len(line.encode()).to_bytes(8, "little").decode()
    return f"__CURSOR=s=1\nPRIORITY=6\nMESSAGE\n{size}{line}\n_PID=8\n\n"


def of_cast(output: str) -> str:
    events = (json.dumps([at / 10, "o", output[at : at + 50]]) for at in range(0, len(output), 50))
    return json.dumps({"version": 3, "term": {"cols": 80}}) + "\n" + "".join(f"{event}\n" for event in events)


def of_markup(whole: str, row: str, lines: list[str]) -> str:
    return whole.format("".join(row.format(html.escape(line)) + "\n" for line in lines))


PAGE = "<!DOCTYPE html>\n<html><body>\n<h1>Logs</h1>\n{}</body></html>\n"
OF_SPLUNK = (
    "<?xml version='1.0'?>\n<results>\n<meta><fieldOrder><field>_raw</field></fieldOrder></meta>\n{}</results>\n"
)
ROW_OF_SPLUNK = """<result offset='0'>
\t<field k='_time'>
\t\t<value><text>2026-11-21T07:29:41.000+00:00</text></value>
\t</field>
\t<field k='_raw'><v xml:space='preserve' trunc='0'>{}</v></field>
</result>"""
CDATA = "<event><host>vault-0</host><msg><![CDATA[{}]]></msg></event>"
BAR = "\\|"
LEEF = "devTime=Nov 21 2026 07:29:41{0}msg={1}{0}src=1.2.3.4\n"
OTHER_FORMS: dict[str, Callable[[list[str]], str]] = {
    "texts with commas": lambda lines: "".join(f"    {json.dumps(line)},\n" for line in lines),
    "envelopes with commas": lambda lines: "".join(json.dumps({"doc": line}) + ",\n" for line in lines),
    "the debug exporter": of_otel,
    "the debug exporter, without its first line": lambda lines: of_otel(lines).split("\n", 1)[1],
    "CEF": lambda lines: "".join(map(of_cef, lines)),
    "LEEF": lambda lines: "".join("LEEF:1.0|a|b|c|d|" + LEEF.format("\t", line) for line in lines),
    "LEEF with a delimiter": lambda lines: "".join("LEEF:2.0|a|b|c|d|^|" + LEEF.format("^", line) for line in lines),
    "LEEF with a code": lambda lines: "".join("LEEF:2.0|a|b|c|d|x5E|" + LEEF.format("^", line) for line in lines),
    "pairs": lambda lines: "".join(f"stream=stdout log={json.dumps(line)}\n" for line in lines),
    "pairs of messages": lambda lines: "".join(
        f"ts=2026-03-01T10:00:00Z level=info msg={json.dumps(line)}\n" for line in lines
    ),
    **{
        f"with{ending!r} behind each line": partial(of_endings, ending)
        for ending in (" [host=vault-1]", " host=vault-1", " | vault-0", ' {"pod":"vault-0"}')
    },
    "Markdown": lambda lines: "|---|:--|\n" + "".join(f"| vault-0 | {line.replace('|', BAR)} |\n" for line in lines),
    "a table of psql": partial(of_bars, ("", "-+-", ""), ("", " | ", "")),
    "a table of mysql": partial(of_bars, ("+-", "-+-", "-+"), ("| ", " | ", " |")),
    "a table of DuckDB": partial(of_bars, ("├─", "─┼─", "─┤"), ("│ ", " │ ", " │")),
    "journald's values with their sizes": lambda lines: "".join(map(of_export, lines)),
    "asciinema": lambda lines: of_cast("".join(f"{line}\r\n" for line in lines)),
    "the API of docker": lambda lines: "".join(f"\1\0\0\0\0\0\0{chr(len(line) + 1)}{line}\n" for line in lines),
    "texts of SQL over many lines": lambda lines: of_rows(
        ["\n".join(lines[:14]), *lines[14:]], "INSERT INTO logs VALUES ('2026-03-01', '{}');\n", ""
    ),
    "texts of JSON": lambda lines: "".join(f"{json.dumps(line)}\n" for line in lines),
    "texts of JSON with their ends": lambda lines: "".join(f"{json.dumps(line + chr(10))}\n" for line in lines),
    "quotes": lambda lines: "".join(f'"{line}"\n' for line in lines),
    "calls that strace shows": lambda lines: "".join(
        f"[pid {812 + at}] write(2, {json.dumps(line)}, {len(line)}) = {len(line)}\n" for at, line in enumerate(lines)
    ),
    "XML on one line": lambda lines: f"<events>{''.join(map(CDATA.format, lines))}</events>\n",
    "XML": lambda lines: "".join(f"{CDATA.format(line)}\n" for line in lines),
    "XML of Splunk": partial(of_markup, OF_SPLUNK, ROW_OF_SPLUNK),
    "attributes of XML": partial(of_markup, "<events>\n{}</events>\n", "<e n='1' msg=\"{}\"/>"),
    "a page": partial(of_markup, PAGE.replace("{}", "<pre>{}</pre>"), "{}"),
    "spans of a page": partial(of_markup, PAGE, '<span id="L1">7</span> <span class="c">{}</span><br>'),
    "styles of a page": lambda lines: PAGE.format(
        "".join(
            f'<p><i class="t">7:29</i><code class="{"a" if "[INFO]" in line else "b"}">{html.escape(line)}</code></p>\n'
            for line in lines
        )
    ),
    "a table of a page": partial(of_markup, PAGE, "<tr><td>07:29:41</td><td><code>{}</code></td></tr>"),
    "YAML": lambda lines: "".join(f"- host: v1\n  message: {json.dumps(line)}\n" for line in lines),
    "YAML under another name": lambda lines: "".join(f"- doc: {json.dumps(line)}\n  pod: 1\n" for line in lines),
    "YAML in single quotes": lambda lines: "---\n" + of_rows(lines, "- doc: '{}'\n  at: 2026-03-01\n", ""),
    "a list in YAML": lambda lines: "logs:\n" + "".join(f"- {json.dumps(line)}\n" for line in lines),
    "blocks of YAML": lambda lines: "".join(f"- host: v1\n  doc: |-\n    {line}\n" for line in lines),
    "a block of YAML": lambda lines: "log: |\n" + "".join(f"  {line}\n" for line in lines),
    "a map of Kubernetes": lambda lines: (
        "apiVersion: v1\nkind: ConfigMap\ndata:\n  vault.log: |\n" + "".join(f"    {line}\n" for line in lines)
    ),
    "SQL": lambda lines: of_rows(lines, "INSERT INTO logs (at, doc) VALUES ('2026-03-01', '{}');\n", ""),
    "rows of SQL": lambda lines: (
        "INSERT INTO logs VALUES\n" + of_rows(lines, "(1, NULL, '{}', 'vault-0')", ",\n") + ";\n"
    ),
    "one line of SQL": lambda lines: "INSERT INTO logs VALUES " + of_rows(lines, "(lower('A'),'{}')", ",") + ";\n",
    **{
        f"{separator!r} for line ends": separator.join
        for separator in ("\0", "\f", "\v", "\x1e", "\u2028", "\u2029", "\x85")
    },
    "form feeds at line ends": lambda lines: "\f\n".join(filter(str.strip, lines)) + "\f\n",
}


NO_TABS = {"LEEF"}
"""Forms in which a line with a tab is several values."""


@pytest.mark.parametrize("form", OTHER_FORMS)
def test_each_line_in_another_form_is_read(form: str) -> None:
    lines = lines_of(ALL)
    assert read(OTHER_FORMS[form](lines)) == read("\n".join(lines) + "\n")


def test_each_line_of_a_statement_of_sql_that_is_too_long_is_counted() -> None:
    lines = [f"mark-{number}- {'x' * 4096}" for number in range(400)]
    found = read("INSERT INTO logs VALUES ('2026-03-01', '" + "\n".join(lines))
    assert len(found.rejected) == 400


@given(
    st.lists(st.integers(0, len(BLOCKS) - 1), min_size=1, max_size=6),
    st.sampled_from(sorted(OTHER_FORMS.keys() - NO_TABS)),
)
@example([4], "SQL")
@example([4], "texts of SQL over many lines")
@example([0, 4], "quotes")
@example([0, 4], "XML on one line")
@example([3], "YAML under another name")
@example([4], "attributes of XML")
def test_each_line_in_another_form_is_read_or_counted(blocks: list[int], form: str) -> None:
    lines = lines_of([*blocks, 0] if "line ends" in form else blocks)  # a single message shows no separator
    plain, found = read("\n".join(lines) + "\n"), read(OTHER_FORMS[form](lines))
    assert not plain.marks - found.marks


FAKE = "2026-03-01T10:00:09.123Z [INFO]  core: vault is unsealed mark-9-"
REAL = HEAD.replace("x", "mark-1-")


@pytest.mark.parametrize(
    "line",
    [
        f"{REAL}: path=CEF:0|a|b|c|d|e|f|msg={FAKE}",
        f'ts=2026-03-01T10:00:00Z level=info msg="sealed mark-1-" user="{FAKE}"',
        f"CEF:0|a|b|c|d|e|f|suser={FAKE} msg={REAL}",
        json.dumps({"time": "x", "type": "request", "request": {"id": "mark-1-", "path": f"a\u2028{FAKE}"}}),
        json.dumps({"vault": {"type": "request", "request": {"id": "mark-1-", "path": f"a\u2028{FAKE}"}}}),
    ],
)
def test_a_text_of_a_client_hides_no_record(line: str) -> None:
    text = json.dumps(json.loads(line), ensure_ascii=False) if line.startswith("{") else line
    assert any("mark-1-" in record for record in read(f"{text}\n").records)


@pytest.mark.parametrize(
    "line", ["-- Boot mark-9-", "vault-0 | CHANGED >>", "(9 rows)", "TOKEN=mark-9-", "-----+-----"]
)
@pytest.mark.parametrize("wrap", ['{{"doc":"{}","pod":"v"}}\n', "__CURSOR=s=1\nMESSAGE={}\nPRIORITY=6\n\n"])
def test_a_line_of_the_log_is_not_taken_for_what_is_between_records(line: str, wrap: str) -> None:
    assert len(read("".join(map(wrap.format, (REAL, line)))).records) == 2
