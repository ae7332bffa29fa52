"""Lines that hold nothing are rejected without being searched, and with the same result."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaultwatch.detection import searching
from vaultwatch.detection.detector import Detector
from vaultwatch.reading.plain import holds_nothing
from vaultwatch.reading.records import Rejected

ROOT = Path(__file__).parents[3]
RECORDED = sorted((ROOT / "tests" / "data" / "recordings").rglob("*.log"))
ENTRY = b'{"time":"2026-11-21T07:29:41Z","type":"request","request":{"id":"e1","path":"sys/seal","operation":"update"}}'
MESSAGE = b"2026-11-21T07:29:41.933Z [INFO]  core: vault is sealed"
FRAGMENTS = (
    *(b"a", b" ", b"  ", b"\t", b"\0", b",", b";", b"[", b"]", b'"', b"\x1e", b"|", b"-", b"--", b"---", b"+", b"("),
    *(b"@", b"@c/n/file ", b"@c/n/server ", b"==> ", b"<json:", b"@message", b"__CURSOR=a", b"MESSAGE=", b"12 <13>a"),
    *(b"{", b"}", b'{"', b"{}", b"12:30:41", b"2026-11-21", b"h | SUCCESS >>", b"(2 rows)", b"goroutine 1 [", b"* x"),
    *(b"ts=2 level=info msg=a", b"  | a", b"  error=", b"panic: x", b"message,time", b"\xff", b"a: b", b"CREATE TABLE"),
    *(b"\x1b[31m", b"\r", ENTRY, ENTRY[:80], MESSAGE, b'["a"]', b"[pod/a/b] x", b"vault: x", b"vault[1]: x", b"<13>x"),
)

Found = tuple[int, int, int, int, list[tuple[str, bytes, bytes]]]
"""Entries, messages, rejected lines, lines, and what was rejected."""


def read(lines: Sequence[bytes]) -> Found:
    rejected = list[Rejected]()
    one = Detector([], on_rejected=rejected.append, unwrap=True)
    one.begin_log(b"\n".join(lines)[:65536], name="log")
    one.feed([line + b"\n" for line in lines])
    one.flush()
    counts = one.counts
    found = [(line.reason, line.raw, line.whole) for line in rejected]
    return counts.audit, counts.server, counts.rejected, one.lines, found


def searched(lines: Sequence[bytes]) -> Found:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(searching, "holds_nothing", lambda _: False)
        return read(lines)


@given(st.lists(st.lists(st.sampled_from(FRAGMENTS), max_size=4).map(b"".join), min_size=2, max_size=8))
def test_what_is_rejected_at_once_would_be_rejected_when_searched(lines: list[bytes]) -> None:
    assert read(lines) == searched(lines)


def files() -> Iterator[Path]:
    for pattern in ("*.md", "*.toml", "docs/*.md", "tools/*", "vaultwatch/**/*.py", "assets/**/*", "docs/images/*.png"):
        yield from (path for path in sorted(ROOT.glob(pattern))[:12] if path.is_file())


@pytest.mark.parametrize("path", [*files(), *RECORDED[:6]], ids=lambda path: str(path.relative_to(ROOT)))
def test_the_same_is_read_of_any_file(path: Path) -> None:
    lines = path.read_bytes().split(b"\n")[:1000]
    assert read(lines) == searched(lines)


def test_most_lines_of_texts_hold_nothing() -> None:
    lines = (ROOT / "docs" / "architecture.md").read_bytes().splitlines()
    assert sum(map(holds_nothing, filter(bytes.strip, lines))) > len(lines) / 3


def test_a_log_behind_a_long_foreign_text_is_read() -> None:
    text = [b"a line of a text", b"# another"] * 5_000
    for line in (ENTRY, MESSAGE, b'{"log":"' + MESSAGE + b'\\n"}'):
        audit, server, count, *_ = read([*text, line, *text[:10], line])
        assert (audit, server) == ((2, 0) if line == ENTRY else (0, 12)), "what follows a message is of its log"
        assert audit + server + count == len(text) + 12
