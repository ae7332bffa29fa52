"""Lines of the server log are taken apart alike on the fast way and on the way of all forms."""

from __future__ import annotations

import re
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaultwatch.reading import server_line
from vaultwatch.reading.affixes import Affixes
from vaultwatch.reading.plain import is_json_message, is_plain_message
from vaultwatch.reading.server_line import ServerLine, line_of, plain_message, split_line

HEADERS = (
    b"",
    b"Nov 21 07:29:41 vault-1 vault[7]: ",
    b"<14>Nov  1 07:29:41 h.example bao: ",
    b"Nov 21 07:29:41 h v [7]: ",
)
HEADS = (
    b"2026-11-21T07:29:41.006Z [INFO]  core: ",
    b"2026-11-21T07:29:41.006+0200 [ERROR] ",
    b"2026-11-21T07:29:41.006Z [WARN]   ",
)
OBJECTS = (
    b'{"@level":"info","@message":"x',
    b'{"@level":"info","@message":"x"}',
    b'{"a":1}',
    b'{"request":{"id":"x"}}',
)
TEXTS = st.sampled_from(
    (b" ", b"x=1", b'"', b" [", b"]", b"\\", b"\xc2\xa0", b"\xc3\xa9", b"\x1b[0m", b"\t", b"Root Token: hvs.x", b"\r")
)
LINES = st.tuples(
    st.sampled_from(HEADERS),
    st.lists(st.one_of(st.sampled_from((*HEADERS, *HEADS, *OBJECTS)), TEXTS), min_size=1, max_size=6).map(b"".join),
).map(b"".join)


def by_all_forms(line: bytes, known: Affixes | None = None) -> ServerLine:
    """Take a line apart on the slow way."""
    with mock.patch.object(server_line, "_PLAIN", re.compile(rb"(?!)")):
        return split_line(line, known)


@given(LINES)
def test_on_the_fast_way_as_on_the_slow_one(line: bytes) -> None:
    assert split_line(line) == by_all_forms(line)
    if found := plain_message(line):
        assert line_of(found) == by_all_forms(line)
        assert is_plain_message(line) or is_json_message(line)


@given(LINES)
def test_also_where_something_is_around_the_lines_of_the_log(line: bytes) -> None:
    known = Affixes()
    known.learn(b"node-7> x", b"node-7> ", b"}")
    known.learn(b"node-8> x", b"", b'"x"}')
    assert split_line(line, known) == by_all_forms(line, known)


@pytest.mark.parametrize("header", HEADERS[:3])
@pytest.mark.parametrize("text", [HEADS[0] + b"vault is sealed", OBJECTS[1]])
def test_what_vault_writes_today_takes_the_fast_way(header: bytes, text: bytes) -> None:
    assert plain_message(header + text)


@pytest.mark.parametrize(
    "line",
    [
        HEADS[0] + OBJECTS[3],
        HEADS[0] + b"x 2026-11-21T07:29:42.006Z [INFO]  core: y",
        OBJECTS[1] + OBJECTS[1],
        b'{"@level":"info","@message":"x","request":{}}',
        HEADS[0] + b"Root Token: hvs.secret",
        HEADS[0] + b"caf\xc3\xa9",
    ],
)
def test_what_may_hold_more_does_not(line: bytes) -> None:
    assert not plain_message(line)
