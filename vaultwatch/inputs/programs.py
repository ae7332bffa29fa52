r"""Programs in Python that make a log of a text in another form: users paste them, and `check` tries them before.

Each reads stdin and is one line. Whether it helps is known only when it was tried on a part of the log: what shows a
form is often in a log that has another one, or is read as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from vaultwatch.inputs.forms import OF_MARKUP


class Program(NamedTuple):
    """A program.

    Attributes:
        what: What the text is, in a sentence.
        script: The program.
    """

    what: str
    script: str


_OF_RUBY = (
    r"""import re, sys; sys.stdout.write(re.sub(r"(\"(?:[^\"\\]|\\.)*\")( *=>)?|\bnil\b|\[\d+\] |"""
    r"""(\d{4}-\d\d-\d\dT[\d:.]+Z)", """
    r"""lambda one: (one[1] + (":" if one[2] else "") if one[1] else f"\"{one[3]}\"" if one[3] else """
    r""""null" if one[0] == "nil" else ""), sys.stdin.read()))"""
)
_OF_FLUENT_BIT = (
    r"""import re, sys; [print(re.sub(r"\\(.)", lambda of: {"n": "\n", "t": "\t"}.get(of[1], of[1]), one) """
    r"""if re.fullmatch(r"(?:[^\"\\]|\\.)*", one) else one) """
    r"""for one in re.findall(r"\"(?:log|message|msg|MESSAGE)\"=>\"(.*?)\"(?=, \"[\w.@-]+\"=>|\}\]?\s*$)", """
    r"""sys.stdin.read(), re.M)]"""
)
"""A text may be printed as it is: then it has quotes without a backslash."""
_OF_TABLE = Program(
    "it is a table of a database client, whose cells are padded",
    r"""import re, sys; [print(row[at + 1:at + len(widest)].rstrip() if row[:1] == "|" else row.rstrip(" |")) """
    r"""for border, rows in re.findall(r"(?ms)^(\+[-+]+\+)$\n.*?^\1$\n(.*?)\n\1$", """
    r"""sys.stdin.read().replace("\r", "")) for widest in [max(border.split("+"), key=len)] """
    r"""for at in [border.index(widest)] for row in rows.split("\n")]""",
)
"""Prints the widest column of tables; in a cell of several lines, those behind the first stand alone."""
UNPACKING = Program(
    "as it is, and decompressed",
    r"""import sys, zlib; plain = lambda data: (lambda at, gzip: data if at < 0 else data[:at] + """
    r"""gzip.decompress(data[at:]) + plain(gzip.unused_data))(data.find(b"\x1f\x8b\x08"), zlib.decompressobj(31)); """
    r"""sys.stdout.buffer.write(plain(sys.stdin.buffer.read()))""",
)
_OF_BASE64 = (
    r"""import base64, re, sys, zlib; plain = lambda text: (lambda data: zlib.decompressobj(31).decompress(data) """
    r"""if data[:2] == b"\x1f\x8b" else data)(base64.b64decode(text)); sys.stdout.buffer.write("""
)
_BASE64 = (
    Program(
        "it is in base64",
        _OF_BASE64 + r"""re.sub(rb"(?m)^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$", """
        r"""lambda one: plain(one[0]).rstrip(b"\n"), sys.stdin.buffer.read()))""",
    ),
    Program("it is in base64", _OF_BASE64 + "plain(sys.stdin.buffer.read()))"),
)
"""A text in each line, between others too; and one text that was divided into lines."""
_OF_HTML = Program(
    "its quotes are those of HTML", "import html, sys; sys.stdout.write(html.unescape(sys.stdin.read()))"
)
_OF_UTF_16 = Program(
    "a part of it is in UTF-16, as PowerShell appends it",
    r"""import sys; sys.stdout.buffer.write(sys.stdin.buffer.read().translate(None, b"\0\xfe\xff"))""",
)
"""Prints ASCII as it is: other characters of that part are damaged."""
OF_PAGE = Program("it is a web page", OF_MARKUP)
_KNOWN = (
    (re.compile(rb"(?im)^<(?:!doctype html|html|head|body|pre|table)\b"), OF_PAGE),
    (
        re.compile(
            rb"(?m)^<(?:\?xml |[A-Za-z][\w.:-]{0,64}(?: [^<>]{0,512})?>\s{0,64}(?:<|$))|^<\w{1,64} [^<>]{0,512}&quot;"
        ),
        Program("it is XML", OF_MARKUP),
    ),
    (re.compile(rb"(?:[\t-~]\0){8}"), _OF_UTF_16),
    (re.compile(rb"(?m)^\+-{3,}(?:\+-{3,})*\+\s*$"), _OF_TABLE),
    (
        re.compile(
            rb"(?m)^\*{8,64} \d{1,9}\. row \*{8,64}$|^Row \d{1,9}:$|^-\[ RECORD \d{1,9} \]"
            rb"|^ {0,64}\w{1,64} = (?:\{\"|\d{4}-\d\d-)"
        ),
        Program(
            "it is a table of a database client, with a column in each line",
            r"""import re, sys; text = sys.stdin.read(); """
            r"""name = re.search(r"(?m)^ *(\w+)(?: =|:| *\|) +(?:\{\"|\d{4}-\d\d-\d\dT\S+ \[)", text)[1]; """
            r"""[print(one) for one in re.findall(rf"(?m)^ *{name}(?: =|:| *\|) ?(.*)$", text)]""",
        ),
    ),
    (re.compile(rb"&quot;[\w@]{1,64}&quot;\s?:"), _OF_HTML),
    (
        re.compile(rb"%7[Bb]%22|T\d\d%3[Aa]\d\d%3[Aa]\d\d"),
        Program(
            "it is encoded as a part of a URL",
            "import sys, urllib.parse as url; text = sys.stdin.read(); "
            'sys.stdout.write((url.unquote if "%20" in text else url.unquote_plus)(text))',
        ),
    ),
    (
        re.compile(rb"(?m)^(?:7[bB]22|3230[23])[0-9a-fA-F]{12,}\s*$"),
        Program(
            "it is in hexadecimal",
            # xxd -p divides what it prints into lines of 60 characters.
            r"""import sys; [sys.stdout.buffer.write(bytes.fromhex(one) + (b"" if len(one) == 60 else b"\n")) """
            r"""for one in sys.stdin.read().split()]""",
        ),
    ),
    (
        re.compile(rb"(?m)^[0-9a-f]{6,16}:? {1,2}(?:[0-9a-f]{2}){1,2} [0-9a-f]{2}[0-9a-f ]{8}"),
        Program(
            "it is a dump in hexadecimal, as of hexdump -C, xxd or od",
            r"""import re, sys; [sys.stdout.buffer.write(bytes.fromhex(one[1] or one[2])) for one in re.finditer("""
            r"""r"(?m)^[0-9a-f]+(?: +((?:[0-9a-f]{2} +)+)[|>]|: ((?:[0-9a-f]{2,4} )+) )", sys.stdin.read())]""",
        ),
    ),
    (
        re.compile(rb"(?m)^[0-7]{7}(?: [ \\!-~]{3}){8,16}$"),
        Program(
            "it is what od -c prints",
            r"""import re, sys; names = dict(zip("0abtnvfr", b"\0\a\b\t\n\v\f\r")); byte = lambda one: """
            r"""names[one[1]] if len(one) == 2 else int(one, 8) if len(one) == 3 else ord(one or " "); """
            r"""[sys.stdout.buffer.write(bytes(byte(one.strip()) for one in re.findall(" (...)", row))) """
            r"""for row in re.findall(r"(?m)^[0-7]{7}((?: ...)+)$", sys.stdin.read())]""",
        ),
    ),
    (
        re.compile(rb"\b_id: (?:ObjectId|UUID)\("),
        Program(
            "it is what mongosh prints",
            r"""import json, re, sys; plain = lambda text: re.sub(r"\\(.)", lambda of: """
            r"""{"n": "\n", "t": "\t", "r": "\r"}.get(of[1], of[1]), text); """
            r"""sys.stdout.write(re.sub(r"('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|`(?:[^`\\]|\\.)*`)|"""
            r"""\b[A-Z]\w*\(['\"]?([^()'\"]*)['\"]?\)|([{,]\s*)([A-Za-z_$][\w$]*)(?=:)", """
            r"""lambda one: json.dumps(plain(one[1][1:-1])) if one[1] else one[3] + json.dumps(one[4]) if one[4] """
            r"""else json.dumps(one[2]), re.sub(r"(['\"`]) \+\n\s*\1", "", sys.stdin.read())))""",
        ),
    ),
    (
        re.compile(rb"(?m)^json[.\[][^=]{0,512} = .{0,65536};$"),
        Program(
            "it is what gron prints",
            r"""import functools, json, re, sys; put = lambda of, key, value: of.append(value) """
            r"""if isinstance(of, list) else of.__setitem__(key, value); top = {}; """
            r"""keys = lambda path: ["", *(name or (int(place) if place else json.loads(text)) for name, place, text """
            r"""in re.findall(r"\.([\w$]+)|\[(\d+)\]|\[(\"(?:[^\"\\]|\\.)*\")\]", path))]; """
            r"""[print(json.dumps(one)) for part in re.split(r"(?m)^(?=json = )", sys.stdin.read()) if part.strip() """
            r"""for _ in [[put(functools.reduce(lambda of, key: of[key], way[:-1], top), way[-1], json.loads(value)) """
            r"""for path, value in re.findall(r"(?m)^json(.*?) = (.*);$", part) for way in [keys(path)]]] """
            r"""for one in (top[""] if isinstance(top[""], list) else [top[""]])]""",
        ),
    ),
    (
        re.compile(rb"(?m)^[\w.-]{1,64} ?[=:] ?(?:\{\"|\d{4}-\d\d-\d\dT\d\d\\?:|==> )"),
        Program(
            "it is a file of properties, as of Java",
            r"""import re, sys; text = sys.stdin.read(); plain = lambda value: re.sub(r"\\(.)", lambda of: """
            r"""{"n": "\n", "t": "\t", "r": "\r"}.get(of[1], of[1]), value) if "\\:" in text else value; """
            r"""[print(plain(value)) for value in re.findall(r"(?m)^[\w.-]+(?: = |[=:])(.*)$", text)]""",
        ),
    ),
    (
        re.compile(rb"(?m)^b['\"]"),
        Program(
            "it is what Python prints of bytes",
            "import ast, sys; [print(ast.literal_eval(one.strip()).decode()) for one in sys.stdin]",
        ),
    ),
    (
        re.compile(rb"(?m)^\[?\{'[\w@]{1,64}':"),
        Program(
            "it is what Python prints of an object",
            "import ast, json, sys; [print(json.dumps(ast.literal_eval(one.strip()))) for one in sys.stdin]",
        ),
    ),
    (
        re.compile(rb'(?m)^\{\s{0,64}"[^"\\]{1,128}"\s{0,64}=>'),
        Program("it is what Ruby prints of an object, also by Logstash's codec rubydebug", _OF_RUBY),
    ),
    (
        re.compile(rb'(?m)^\[\d+\] [^"]{0,256}\{.{0,2048}"(?:log|message|msg|MESSAGE)"=>"'),
        Program("it is what Fluent Bit prints for people", _OF_FLUENT_BIT),
    ),
    (
        re.compile(rb'(?m)^\[\d+\] [^"]{0,256}\{"[^"\\]{1,128}"=>'),
        Program("it is what Fluent Bit prints for people", _OF_RUBY),
    ),
    (
        re.compile(
            rb"(?m)^(?:From \S|(?:Return-Path|Received|Delivered-To|MIME-Version|Message-ID|Date|From|To|Subject): )"
        ),
        Program(
            "it is mail",
            r"""import email, re, sys; [sys.stdout.buffer.write((part.get_payload(decode=True) or b"") + b"\n") """
            r"""for mail in re.split(rb"(?m)^From .*\n", sys.stdin.buffer.read()) """
            r"""for part in email.message_from_bytes(mail).walk()]""",
        ),
    ),
    (
        # Every other sign of equality is encoded.
        re.compile(rb"(?ms)\A(?!.*=(?![0-9A-Fa-f]{2}|\r?$))(?=.*^(?=[^ {\n]{0,75}[ {])[ -~]{32,75}=\r?$)"),
        Program("it is quoted-printable", "import quopri, sys; quopri.decode(sys.stdin.buffer, sys.stdout.buffer)"),
    ),
    (re.compile(rb"(?m)^(?:eyJ|MjAy|H4sI)[A-Za-z0-9+/]{12,}={0,2}\s*$"), _BASE64[0]),
    (re.compile(rb"(?m)^(?:eyJ|MjAy|H4sI)[A-Za-z0-9+/]{12,}={0,2}\s*$"), _BASE64[1]),
    (
        re.compile(rb'\\\\"'),
        Program(
            "its backslashes are doubled",
            r"""import sys; sys.stdout.write(sys.stdin.read().replace("\\\\", "\\"))""",
        ),
    ),
    (
        re.compile("“|”".encode()),
        Program(
            "its quotes are those of a word processor",
            'import sys; sys.stdout.write(sys.stdin.read().translate({8220: "\\"", 8221: "\\""}))',
        ),
    ),
    (
        re.compile(
            rb"(?m)^ *(?:- )*(?:['\"]?[\w.@/-]{1,64}['\"]?: )?(?:'[^'\n]*(?:''[^'\n]*)*|\"(?:[^\"\\\n]|\\.)*\\?)$"
        ),
        Program(
            "it is YAML whose texts are folded",
            r"""import re, sys; sys.stdout.write(re.sub(r"(?m)(?<=[:-] )(?:'(?:[^']|'')*'|"""
            r"""\"(?:[^\"\\]|\\[\s\S])*\")$", lambda one: re.sub(r"(\\?)\n *(?:\\(?= ))?", """
            r"""lambda end: "" if end[1] else " ", one[0]), sys.stdin.read().replace("\r", "")))""",
        ),
    ),
)
"""What shows that a program can make a log of a text, and the program."""
_BEGINS = (
    r"""\{\"(?:time|type|auth|request|@\w+)\":|\d{4}-\d\d-\d\dT\S+ \[|==> |panic: |fatal error: |\[signal |"""
    r"""goroutine |\t|\n"""
)
"""How a line begins that is no part of the one before."""
_NARROWEST, _WIDEST_OF_MAIL, _WIDEST = 30, 80, 998
"""Characters: nobody wraps logs at less; mail programs wrap before 80; no line of mail (RFC 5322) is longer."""
_TERMINALS = frozenset({80, 100, 120, 132, 160})
"""Characters: the usual widths of terminals, at which one line that goes on is enough."""


_READ = """sys.stdin.read().replace("\\r", "")"""
_QUOTE = "(?m)^(?:> ?)+"


def programs_for(text: bytes) -> Iterator[Program]:
    """Yield the programs that may make a log of a text; tried, most of them do not.

    Args:
        text: Lines of a log around the first that cannot be read.
    """
    yield from (program for shows, program in _KNOWN if shows.search(text))
    whole = text.decode("utf-8", "replace").replace("\r\n", "\n")
    yield from _joining(whole, _READ)
    if re.search(_QUOTE, whole):
        yield from _joining(re.sub(_QUOTE, "", whole), f're.sub(r"{_QUOTE}", "", {_READ})')


def _joining(whole: str, read: str) -> Iterator[Program]:
    """Yield programs that join lines which a terminal, a mail program or somebody else has wrapped.

    Args:
        whole: Lines.
        read: How a program reads them.
    """
    lines = whole.split("\n")
    width = max(map(len, lines))
    goes_on = rf"(?m)^(.{{{width}}})(?<!  )\n(?!{_BEGINS})"
    if _NARROWEST <= width <= _WIDEST and len(re.findall(goes_on, whole)) > (width not in _TERMINALS):
        yield Program(
            f"its lines seem to be wrapped at {width}",
            rf"""import re, sys; [print(line.rstrip()) for line in re.sub(r"{goes_on}", """
            rf"""r"\1", {read}.rstrip("\n")).split("\n")]""",
        )
    behind_blank = rf"(?m)^(.{{0,{width - 1}}}\S |.{{{width}}})\n(?!{_BEGINS})"
    if _NARROWEST <= width <= _WIDEST and len(re.findall(behind_blank, whole)) > 1:
        yield Program(
            f"its lines seem to be wrapped at {width}, behind blanks",
            rf"""import re, sys; sys.stdout.write(re.sub(r"{behind_blank}", r"\1", {read}))""",
        )
    width = max((len(line.strip()) for line in lines if " " in line.strip()), default=0)
    before = rf"(?m)^(.+)\n(?!{_BEGINS})(?=(\S*))"
    parts = sum(len(one[1].rstrip()) + 1 + len(one[2]) > width for one in re.finditer(before, whole))
    if _NARROWEST <= width <= _WIDEST_OF_MAIL and parts > 1:  # a word alone may be longer
        yield Program(
            f"its lines seem to be wrapped at {width}, between words",
            rf"""import re, sys; sys.stdout.write(re.sub(r"{before}", lambda one: (lambda line: line + """
            rf"""("\n" if len(line) + 1 + len(one[2]) <= {width} else " " if " " in line or len(line) < {width} """
            rf"""and line[-1:] != "-" else ""))(one[1].rstrip()), {read}))""",
        )
