"""The text of one message: level, module, message and fields, in every layout and with every way of quoting."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import server_log
from vaultwatch.reading.hclog import read_head, read_json, read_text

HEAD = b"2026-10-02T06:28:49.851+0200 [INFO]  "
KEYS = st.from_regex(r"[a-z][a-z_.\-]{0,11}( [a-z]{1,5})?", fullmatch=True)
VALUES = st.text(st.characters(exclude_categories=["Cs"]), max_size=20).filter(lambda value: value[:1] != "[")
ESCAPES = {
    "\\": "\\\\",
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    '"': '\\"',
}


def quoted(value: str) -> str:
    """Write a value as hclog does: as it is when every character is one of `-` to `~`, else quoted and escaped."""
    if value and all("-" <= character <= "~" for character in value):
        return value
    return '"' + "".join(map(escaped, value)) + '"'


def escaped(character: str) -> str:
    if character in ESCAPES or character.isprintable():
        return ESCAPES.get(character, character)
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x20 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


@given(
    st.dictionaries(KEYS, VALUES, min_size=1, max_size=5),
    st.sampled_from(["m", "two words", "a: b", "a=b is not a pair", "http: x"]),
)
def test_quoting_is_undone(fields: dict[str, str], message: str) -> None:
    written = f"core: {message}:" + "".join(f" {key}={quoted(value)}" for key, value in fields.items())
    assert read_text(written) == ("core", message, fields)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        (r"plain", "plain"),
        (r"C:\dir\new", r"C:\dir\new"),
        (r'"a \"b\" c"', 'a "b" c'),
        (r'"a "b" c"', 'a "b" c'),
        (r'"tab\tnewline\nbell\a"', "tab\tnewline\nbell\a"),
        (r'"\x1b[31m \u2028 \U0001f600 \ud800 \Uffffffff"', "\x1b[31m \u2028 \U0001f600 \ufffd \ufffd"),
        (r'"no \q escape"', r"no \q escape"),
        ('""', ""),
        ("", ""),
        ("[a, b]", ["a", "b"]),
        ('["a, b", "c\\"d"]', ["a, b", 'c"d']),
        ("[]", []),
        ("[::]:8201", "[::]:8201"),
        ('"[a, b]"', "[a, b]"),
        ("a=b", "a=b"),
    ],
)
def test_value(written: str, value: object) -> None:
    assert read_text(f"core: message: k={written}") == ("core", "message", {"k": value})
    assert read_text(f"core: message: a=1 k={written} z=x") == ("core", "message", {"a": "1", "k": value, "z": "x"})


@pytest.mark.parametrize(
    "module", ["core", "core.cluster-listener.tcp", "secrets.kv.kv_1a2b", "physical/consul", "a(b)"]
)
def test_module_is_one_lower_case_word_before_a_colon(module: str) -> None:
    assert read_text(f"{module}: message") == (module, "message", {})


@pytest.mark.parametrize("text", ["proxy environment: http_proxy", "Error: x", "two words: x", "word", ": x", ""])
def test_text_that_is_no_module_stays_in_the_message(text: str) -> None:
    assert read_text(text) == ("", text, {})


@pytest.mark.parametrize(
    ("level", "expected"),
    [("[INFO] ", "info"), ("[INFO ]", "info"), ("[WARN] ", "warn"), ("[ERROR]", "error"), ("[ERR]", "error"),
     ("[DEBUG]", "debug"), ("[TRACE]", "trace"), ("[UNKN ]", ""), ("[?????]", "")],
)  # fmt: skip
def test_level_in_brackets(level: str, expected: str) -> None:
    line = f"2026-10-02T06:28:49.851Z {level} core: m".encode()
    head = read_head(line)
    assert head is not None
    assert (head.time, head.level, line[head.text_at :]) == ("2026-10-02T06:28:49.851Z", expected, b"core: m")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"@level":"info","@mess', "truncated JSON"),
        (b'{"@level":"info" "@message":"x"}', "invalid JSON"),
        (
            b'{"time":"2026-10-02T06:28:49Z","type":"request"}',
            "JSON without @message and @level: not a server-log message",
        ),
        (b'{"@message":' * 100_000, "JSON nested too deep"),
    ],
)
def test_json_that_is_no_message_is_refused_with_a_reason(line: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{reason}$"):
        read_json(line)


def test_json_values_keep_their_types_and_bad_utf8_is_replaced() -> None:
    line = b'{"@level":"all","@message":7,"@module":null,"n":1,"l":["a"],"bad":"\xff","@caller":"x.go:1"}'
    fields = {"n": 1, "l": ["a"], "bad": "\ufffd", "@caller": "x.go:1"}
    assert read_json(line) == ("", "", "", "7", fields)


@given(st.text(max_size=80))
def test_standard_and_json_layout_of_one_message_read_the_same(message: str) -> None:
    """For messages of one line without text that looks like pairs."""
    message = " ".join(message.split()).replace("=", "-").rstrip(": ") or "m"
    standard = read_text(f"core: {message}")
    assert standard == read_json(json.dumps({"@message": message, "@module": "core"}).encode())[2:]
    assert read_text(message)[:2] == read_json(json.dumps({"@message": message}).encode())[2:4]


@given(st.text("abk=:\"'[], \\\n-", max_size=60))
def test_any_text_is_read(text: str) -> None:
    read_text(text)
    read_text(text, quotes=False)


@pytest.mark.parametrize("part", server_log.TEXTS)
def test_hostile_text_does_not_hang(part: tuple[bytes, bytes]) -> None:
    server_log.read_hostile_text(server_log.of_length(part, 1 << 17))
