"""Server-log records: every layout is read, messages of many lines are joined, and no line is lost."""

import json
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bench import server_log
from vaultwatch.reading.hclog import without_colours
from vaultwatch.reading.records import NO_ORIGIN, Origin, Rejected, ServerMessage, ServerRecord
from vaultwatch.reading.server_line import mask_secrets, split_line
from vaultwatch.reading.server_log import ServerLogReader
from vaultwatch.reading.syslog_header import Header, strip_syslog_header

DATA = Path(__file__).parents[2] / "data"
LAYOUTS = [json.loads(line) for line in (DATA / "server" / "layouts.jsonl").read_text("utf-8").splitlines()]
HEAD = b"2026-11-21T07:29:48.933Z [ERROR] core: failed:"
SYSLOG = b"<13>Nov 21 07:29:41 host vault[%d]: "

Completed = list[ServerRecord]


def recorded(product: str) -> list[bytes]:
    """Return all lines of a recorded server, its scenarios in their order."""
    folder = DATA / "recordings" / product
    names = [scenario["scenario"] for scenario in json.loads((folder / "index.json").read_bytes())["scenarios"]]
    logs = [folder / name / "server.log" for name in names]
    return [line for log in logs if log.exists() for line in log.read_bytes().split(b"\n")[:-1]]


def read(lines: Iterable[bytes], origin: Origin = NO_ORIGIN, **limits: Any) -> Completed:
    reader = ServerLogReader(**limits)
    return [record for line in lines for record in reader.feed(line, origin, 0.0)] + reader.flush()


def messages(records: Completed) -> list[ServerMessage]:
    assert not [record for record in records if isinstance(record, Rejected)]
    return messages_among(records)


def messages_among(records: Completed) -> list[ServerMessage]:
    return [record for record in records if isinstance(record, ServerMessage)]


def meaning(records: Completed) -> list[tuple[Any, ...]]:
    return [(record.time, record.level, record.module, record.message, record.fields) for record in messages(records)]


VAULT = recorded("vault-1.14.2")
OPENBAO = recorded("openbao-2.6.2")


class TestRecordings:
    def test_every_line_with_a_time_opens_one_record_and_the_rest_are_banners(self) -> None:
        levels = Counter(record.level for record in messages(read(VAULT)))
        assert levels == {"info": 305, "error": 52, "": 30, "warn": 8}
        assert levels.total() - levels[""] == sum(line.startswith(b"2026-") for line in VAULT)

    def test_json_lines_are_one_record_each(self) -> None:
        levels = Counter(record.level for record in messages(read(OPENBAO)))
        assert levels == {"info": 511, "error": 54, "": 26, "warn": 6}
        assert levels.total() - levels[""] == sum(line.startswith(b"{") for line in OPENBAO)

    def test_messages_of_many_lines_are_whole(self) -> None:
        """There are 47 of them; none of their lines is a record of its own or part of another message."""
        records = messages(read(VAULT))
        many = [record for record in records if b"\n" in record.raw]
        assert len(many) == 47
        assert sum(record.raw.count(b"\n  |") for record in many) == sum(line.startswith(b"  |") for line in VAULT)
        assert all(record.raw.count(b"2026-11-21T") == 1 and b"==>" not in record.raw for record in many)
        assert all("error" in record.fields and record.level in {"warn", "error"} for record in many)
        assert not [record for record in records if not record.level and "|" in record.message]

    def test_a_value_of_many_lines_is_the_same_in_both_layouts(self) -> None:
        def failures(lines: list[bytes]) -> list[str]:
            found = [record for record in messages(read(lines)) if record.message == "failed to audit response"]
            return [record.fields["error"].rstrip("\n") for record in found]

        wanted = "1 error occurred:\n\t* no audit backend succeeded in logging the response"
        assert set(failures(VAULT)) == set(failures(OPENBAO)) == {wanted}

    def test_both_layouts_give_the_same_level_module_and_message(self) -> None:
        """For texts that Vault and OpenBao share; a dozen have another module or level in OpenBao."""

        def kinds(lines: list[bytes]) -> set[tuple[str, str, str]]:
            return {(record.level, record.module, record.message) for record in messages(read(lines))}

        shared = kinds(VAULT) & kinds(OPENBAO)
        assert shared >= {
            ("info", "core", "vault is sealed"),
            ("info", "core", "vault is unsealed"),
            ("info", "core", "marked as sealed"),
            ("info", "core", "root generation initialized"),
            ("info", "core", "root generation finished"),
            ("info", "core", "security barrier initialized"),
            ("info", "core", "enabled audit backend"),
            ("info", "core", "enabled credential backend"),
            ("info", "core", "Recorded vault version"),
            ("info", "", "proxy environment"),
            ("error", "audit", "backend failed to log request"),
            ("error", "core", "failed to audit request"),
            ("error", "core", "unlocking HA lock failed"),
            ("warn", "storage.raft", "heartbeat timeout reached, starting election"),
        }

    def test_two_nodes_interleaved(self) -> None:
        """Line by line, distinguished by the tag: each node's records are the same as without the other node."""
        reader, nodes = ServerLogReader(), [Origin("c", "n1", "server"), Origin("c", "n2", "server")]
        records: Completed = []
        for line in VAULT:
            for node in nodes:
                records += reader.feed(line, node, 0.0)
        records += reader.flush()
        for node in nodes:
            assert meaning([record for record in records if record.origin == node]) == meaning(read(VAULT))

    def test_every_line_with_a_syslog_header_of_its_own(self) -> None:
        """Two processes on one host, journald's lines of one between those of the other."""
        lines = [SYSLOG % pid + line for line in VAULT for pid in (1, 2)]
        records = messages(read(lines))
        expected = Counter(str(item) for item in meaning(read(VAULT)))
        assert Counter(str(item) for item in meaning(list(records))) == expected + expected
        assert {(record.host, record.header_time) for record in records} == {("host", "Nov 21 07:29:41")}
        assert sum(b"\n" in record.raw for record in records) == 94

    @pytest.mark.parametrize("header", [b"", SYSLOG % 1, b"2026-11-21T07:29:41.06Z stderr F "])
    def test_blank_lines_and_trailing_space_dropped_on_the_way(self, header: bytes) -> None:
        """Journald and syslog do both."""
        lines = [(header + line).rstrip() for line in VAULT if line.strip()]
        records = messages(read(lines))
        assert sum(b"\n" in record.raw for record in records) == 47
        assert [item[:4] for item in meaning(list(records))] == [item[:4] for item in meaning(read(VAULT))]


class TestLayouts:
    @pytest.mark.parametrize("sample", LAYOUTS, ids=lambda sample: sample["about"])
    @pytest.mark.parametrize("header", [b"", SYSLOG % 7, b"2026-11-21T07:29:41.06Z stderr F ", b"bao[7]: "])
    def test_layout(self, sample: dict[str, Any], header: bytes) -> None:
        lines = [header + line.encode() for line in sample["lines"]]
        (record,) = messages(read(lines))
        assert record.raw == b"\n".join(lines)
        expected = (sample["time"], sample["level"], sample["module"], sample["message"], sample["fields"])
        assert (record.time, record.level, record.module, record.message, record.fields) == expected

    @pytest.mark.parametrize("sample", LAYOUTS, ids=lambda sample: sample["about"])
    def test_first_line_looks_like_a_server_line_where_it_opens_a_message(self, sample: dict[str, Any]) -> None:
        line = sample["lines"][0].encode()
        opens = bool(sample["time"] or "==> " in sample["message"] or sample["about"] == "a start that fails")
        assert split_line(line).opens_message == split_line(SYSLOG % 7 + line).opens_message == opens

    @pytest.mark.parametrize(
        "line",
        [
            b'{"time":"2026-11-21T07:29:41Z","type":"request","request":{"id":"x"}}',
            b'{"auth":{"metadata":{"@level":"info","@message":"x"}},"request":{},"type":"request"}',
            b'{"auth":{"metadata":{"@level":"info"',
            b"",
            b"  | text",
            b"\x00\xff",
        ],
    )
    def test_audit_entries_and_loose_lines_do_not_look_like_server_lines(self, line: bytes) -> None:
        assert not split_line(line).opens_message
        assert not split_line(SYSLOG % 7 + line).opens_message

    @pytest.mark.parametrize("before", [b" ", b"        ", b"\t", b"\t    "])
    def test_a_pasted_log_may_be_indented(self, before: bytes) -> None:
        lines = [before + line for line in (HEAD + b" a=1", b"2017/07/15 19:18:28.663808 [INFO ] core: x")]
        assert [(one.level, one.module) for one in messages(read(lines))] == [("error", "core"), ("info", "core")]
        assert all(split_line(line).opens_message for line in lines)

    def test_carriage_return_at_the_end_is_ignored(self) -> None:
        (record,) = messages(read([HEAD + b" a=1\r"]))
        assert (record.fields, record.raw) == ({"a": "1"}, HEAD + b" a=1\r")


class TestContinuation:
    def test_banner_lines_are_records_of_their_own_and_close_what_is_open(self) -> None:
        lines = [b"==> Vault server configuration:", b"", b"     Cgo: enabled", HEAD, b"   Storage: raft", b"==> x"]
        assert [record.raw for record in messages(read(lines))] == [line for line in lines if line]

    def test_only_a_message_with_a_time_is_continued(self) -> None:
        lines = [b'{"@level":"info","@message":"m"}', b"  error=", b"  | a", b"==> b", b"  error="]
        assert [record.raw for record in read(lines)] == lines

    def test_line_without_marker_ends_a_message(self) -> None:
        lines = [HEAD, b"  error=", b"  | a", b"Loose: text", b"  | b"]
        assert [record.raw for record in read(lines)] == [b"\n".join(lines[:3]), *lines[3:]]

    def test_rejected_line_between_does_not_break_a_message(self) -> None:
        lines = [HEAD, b"  error=", b"\x00\x01", b"  | a", b"  "]
        bad, whole = read(lines)
        assert isinstance(bad, Rejected)
        assert whole.raw == b"\n".join([*lines[:2], *lines[3:]])

    def test_backslash_before_the_closing_quote_does_not_hide_what_follows(self) -> None:
        """Hclog does not escape backslashes since 2022."""
        lines = [HEAD + b' path="C:\\my dir\\"', b"Loose: text"]
        assert [record.raw for record in read(lines)] == lines

    @pytest.mark.parametrize("after", [b"Loose: text", b'{"@level":"info","@message":"m"}', b"==> banner"])
    def test_quoted_value_ends_with_its_quote(self, after: bytes) -> None:
        lines = [HEAD + b' error="1 error occurred:', b"\t* a", b'"', after]
        assert [record.raw for record in read(lines)] == [b"\n".join(lines[:3]), after]

    @pytest.mark.parametrize("after", [b'{"@level":"info","@message":"m"}', b"==> banner", HEAD])
    def test_the_start_of_a_message_ends_an_open_quote(self, after: bytes) -> None:
        lines = [HEAD + b' error="cut off', after]
        assert [record.raw for record in read(lines)] == lines

    def test_message_whose_values_all_have_many_lines_has_no_colon_at_its_end(self) -> None:
        (record,) = messages(read([HEAD, b"  error=", b"  | a"]))
        assert (record.message, record.fields) == ("failed", {"error": "a"})

    def test_message_is_returned_when_the_next_one_begins(self) -> None:
        reader = ServerLogReader()
        assert reader.feed(HEAD + b" n=1", NO_ORIGIN, 0.0) == []
        (record,) = reader.feed(HEAD + b" n=2", NO_ORIGIN, 0.0)
        assert record.raw == HEAD + b" n=1"

    def test_continues_returns_whether_the_reader_would_add_a_line(self) -> None:
        reader = ServerLogReader()
        assert not reader.continues(split_line(b"  error="), NO_ORIGIN)
        reader.feed(HEAD, NO_ORIGIN, 0.0)
        assert reader.continues(split_line(b"  error="), NO_ORIGIN)
        assert not reader.continues(split_line(b"  error="), Origin("c", "other", "server"))
        assert not reader.continues(split_line(b"Loose: text"), NO_ORIGIN)
        assert not reader.continues(split_line(HEAD), NO_ORIGIN)


class TestBounds:
    def test_waiting_message_is_due_after_its_time(self) -> None:
        reader = ServerLogReader(max_wait_seconds=5.0)
        reader.feed(HEAD, Origin(node="a"), 100.0)
        reader.feed(HEAD, Origin(node="b"), 102.0)
        reader.feed(b"  error=", Origin(node="a"), 104.0)
        assert reader.next_due == 105.0
        assert reader.due(104.9) == []
        (record,) = reader.due(105.0)
        assert (record.origin.node, record.raw) == ("a", HEAD + b"\n  error=")
        assert reader.next_due == 107.0
        assert len(reader.due(1000.0)) == 1

    def test_nothing_is_due_when_nothing_waits(self) -> None:
        reader = ServerLogReader()
        reader.feed(b"==> banner", NO_ORIGIN, 0.0)
        assert reader.next_due is None
        assert reader.due(1000.0) == reader.flush() == []

    def test_lines(self) -> None:
        lines = [HEAD, b"  error=", b"  | 1", b"  | 2", b"  | 3"]
        assert [record.raw for record in read(lines, max_lines=4)] == [b"\n".join(lines[:4]), lines[4]]

    def test_bytes(self) -> None:
        lines = [HEAD, b"  error=", b"  | " + b"x" * 100]
        assert [record.raw for record in read(lines, max_bytes=100)] == [b"\n".join(lines[:2]), lines[2]]

    def test_single_longer_line_is_one_record(self) -> None:
        (record,) = messages(read([HEAD + b" x" * 1000], max_bytes=100))
        assert record.raw == HEAD + b" x" * 1000

    def test_open_messages_the_oldest_closed_first(self) -> None:
        reader = ServerLogReader(max_open=2)
        assert [reader.feed(HEAD, Origin(node=name), 0.0) for name in "ab"] == [[], []]
        (record,) = reader.feed(HEAD, Origin(node="c"), 0.0)
        assert record.origin.node == "a"
        assert [record.origin.node for record in reader.flush()] == ["b", "c"]


class TestBadInput:
    @pytest.mark.parametrize(
        ("line", "reason"),
        [
            (b'{"@level":"info","@message":"cut o', "truncated JSON"),
            (b'{"@level":"info"}}', "invalid JSON"),
            (b'{"time":"x","type":"request"}', "JSON without @message and @level: not a server-log message"),
            (b"abc\x00def", "NUL or control characters"),
            (b"abc\x07", "NUL or control characters"),
            (HEAD + b" \x01", "NUL or control characters"),
            (b"\xff\xfe\xfd\xfc abc", "not UTF-8 text"),
        ],
    )
    @pytest.mark.parametrize("header", [b"", SYSLOG % 1])
    def test_is_rejected_completely_with_a_reason(self, header: bytes, line: bytes, reason: str) -> None:
        origin = Origin("c", "n", "server")
        assert read([header + line], origin) == [Rejected(header + line, reason, origin)]

    def test_invalid_utf8_in_fine_text_is_replaced_and_kept(self) -> None:
        (record,) = messages(read([HEAD + b' path="caf\xe9 x"']))
        assert record.fields == {"path": "caf\ufffd x"}
        assert record.raw == HEAD + b' path="caf\xe9 x"'

    def test_blank_lines_are_no_records_at_all(self) -> None:
        assert read([b"", b"  ", b"\t", b"\r", SYSLOG % 1, b"vault[1]:"]) == []

    def test_line_of_64_mebibytes(self) -> None:
        body = b'" a=' * (1 << 24)
        (record,) = messages(read([HEAD + body]))
        assert record.level == "error"
        assert len(record.raw) == len(HEAD) + (1 << 26)

    @pytest.mark.parametrize("part", server_log.LINES)
    def test_hostile_text_does_not_hang(self, part: tuple[bytes, bytes]) -> None:
        server_log.read_hostile_line(server_log.of_length(part, 1 << 18))


class TestSecrets:
    @pytest.mark.parametrize(
        ("line", "masked"),
        [
            (b"Root Token: hvs.secret", b"Root Token: [redacted]"),
            (b"Unseal Key: c2VjcmV0+/=", b"Unseal Key: [redacted]"),
            (b"Initial Root Token: s.secret", b"Initial Root Token: [redacted]"),
            (b"Unseal Key 1 (base64): secret", b"Unseal Key 1 (base64): [redacted]"),
            (b"Unseal Key 1 (hex)   : secret", b"Unseal Key 1 (hex)   : [redacted]"),
            (b"Recovery Key 5: secret", b"Recovery Key 5: [redacted]"),
            (b"    export VAULT_TOKEN='secret'", b"    export VAULT_TOKEN='[redacted]'"),
            (b"BAO_DEV_ROOT_TOKEN_ID=secret x", b"BAO_DEV_ROOT_TOKEN_ID=[redacted] x"),
            (b"\x1b[1mRoot Token\x1b[0m: \x1b[32mhvs.secret\x1b[0m", b"\x1b[1mRoot Token\x1b[0m: \x1b[32m[redacted]"),
            (
                b'{"@level":"info","@message":"Root Token: secret"}',
                b'{"@level":"info","@message":"Root Token: [redacted]"}',
            ),
            (HEAD + b" Root Token: secret", HEAD + b" Root Token: [redacted]"),
            (b"Root Token: secret\x00", b"Root Token: [redacted]"),
        ],
    )
    def test_root_tokens_and_unseal_keys_never_reach_a_record(self, line: bytes, masked: bytes) -> None:
        assert mask_secrets(line) == masked
        (record,) = read([line])
        assert record.raw == masked
        assert not re.search("secret|c2VjcmV0", repr(record))

    @pytest.mark.parametrize("line", [*VAULT[:40], b"Environment Variables: HOME, VAULT_TOKEN, X", b"core: Key: x"])
    def test_everything_else_is_left_alone(self, line: bytes) -> None:
        assert mask_secrets(line) is line or mask_secrets(line) == line


PIECES = st.one_of(
    st.sampled_from(VAULT),
    st.sampled_from(OPENBAO),
    st.sampled_from([line.encode() for sample in LAYOUTS for line in sample["lines"]]),
    st.binary(max_size=40).map(lambda data: data.replace(b"\n", b"")),
    st.from_regex(re.compile(rb'[ |="\\:{\[*a>]{0,12}'), fullmatch=True),
)
HEADERS = st.sampled_from([b"", b"", SYSLOG % 1, SYSLOG % 2, b"vault: ", b"2026-11-21T07:29:41.06Z stderr F "])


NBSP = "\u00a0".encode()
WITH_LIST = b'2026-11-21T07:29:41.000Z [ERROR] audit: backend failed to log request: error="2 errors occurred:'
JSON_LINE = (
    b'{"@level":"info","@message":"vault is sealed","@module":"core","@timestamp":"2026-11-21T07:30:05.059008Z"}'
)


def process(line: bytes) -> Header:
    return strip_syslog_header(without_colours(line))[0]


def said(raw: bytes) -> list[bytes]:
    """Return the lines of a record, or of the input, that are not empty after their header.

    NUL is emptiness, and so are the blanks of web pages.
    """
    texts = {line: without_colours(line).removesuffix(b"\r").strip(b"\0") for line in raw.split(b"\n")}
    return [line for line in raw.split(b"\n") if strip_syslog_header(texts[line])[1].replace(NBSP, b" ").strip()]


@given(
    st.lists(st.tuples(st.sampled_from([NO_ORIGIN, Origin("c", "n", "server")]), HEADERS, PIECES), max_size=40),
    st.integers(1, 5),
    st.integers(1, 300),
    st.integers(1, 3),
)
@example([(NO_ORIGIN, SYSLOG % 1, b"\0")], 1, 1, 1)
@example([(NO_ORIGIN, b"", NBSP)], 1, 1, 1)
@example(
    [(NO_ORIGIN, b"vault: ", WITH_LIST), (NO_ORIGIN, b"", b"\t* i/o timeout"), (NO_ORIGIN, b"", JSON_LINE)], 3, 300, 1
)
@example(
    [
        (NO_ORIGIN, SYSLOG % 1, VAULT[0]),
        (NO_ORIGIN, b"", b'"='),
        (NO_ORIGIN, SYSLOG % 2, VAULT[0]),
        (NO_ORIGIN, b"", VAULT[0]),
        (NO_ORIGIN, b"", VAULT[0]),
    ],
    2,
    300,
    3,
)
def test_every_line_is_in_exactly_one_record(
    pieces: list[tuple[Origin, bytes, bytes]], max_lines: int, max_bytes: int, max_open: int
) -> None:
    """Also, the lines of one process that are not rejected keep their order."""
    lines = [(origin, mask_secrets(header + piece)) for origin, header, piece in pieces]
    reader = ServerLogReader(max_lines=max_lines, max_bytes=max_bytes, max_open=max_open, max_wait_seconds=10)
    records: Completed = []
    for second, (origin, line) in enumerate(lines):
        records += reader.due(second) + reader.feed(line, origin, second)
    records += reader.flush()

    sent = [(origin, part) for origin, line in lines for part in said(line)]
    assert Counter(sent) == Counter((record.origin, part) for record in records for part in said(record.raw))
    kept = [(record.origin, part) for record in messages_among(records) for part in said(record.raw)]
    for origin, header in {(origin, process(part)) for origin, part in kept}:
        remaining = iter([part for node, part in sent if (node, process(part)) == (origin, header)])
        assert all(part in remaining for node, part in kept if (node, process(part)) == (origin, header))


@pytest.mark.parametrize("header", [b"", b"Nov 21 07:29:41 vault-1 vault: "])
def test_a_value_whose_blanks_syslog_has_stripped_is_of_its_message(header: bytes) -> None:
    lines = [HEAD, b"error=", b"| 1 error occurred:", b"| #011* no audit backend succeeded", b"|"]
    (record,) = messages(read([header + line for line in lines]))
    assert record.fields["error"] == "1 error occurred:\n#011* no audit backend succeeded"
