"""Figures and rejected lines: their content and their limits."""

from __future__ import annotations

import json
from pathlib import Path

from vaultwatch.detection.evaluator import Counts
from vaultwatch.reading.records import Rejected
from vaultwatch.reading.rejected import encode_rejected
from vaultwatch.watch.files import Figures, RejectedLines


def test_the_figures_say_what_was_read_and_found(tmp_path: Path) -> None:
    path = tmp_path / "stats.json"
    counts = Counts(audit=3, server=0, rejected=1)
    counts.rule_errors["odd"] += 2
    Figures(path, 0.0).write(counts, 4, final=True)
    assert json.loads(path.read_bytes()) == {
        "audit": 3, "server": 0, "rejected": 1, "partial": 0, "undecided": {}, "undated": 0, "future": 0,
            "groups_dropped": 0, "unclear": 0,
                "rule_errors": {"odd": 2}, "alerts": 4,
        "ended": True}  # fmt: skip
    assert list(tmp_path.iterdir()) == [path]


def test_figures_are_written_once_per_interval_and_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "stats.json"
    figures = Figures(path, 3600.0)
    figures.write(Counts(), 0, final=False)
    figures.write(Counts(audit=1), 0, final=False)
    assert json.loads(path.read_bytes())["audit"] == 0
    assert 3000 < figures.seconds_to_next <= 3600
    figures.write(Counts(audit=1), 0, final=True)
    assert json.loads(path.read_bytes())["audit"] == 1


def test_without_a_file_there_is_nothing_to_do(tmp_path: Path) -> None:
    figures = Figures(None, 0.0)
    figures.write(Counts(), 0, final=True)
    RejectedLines(None).add(Rejected(b"x", "why"))
    assert figures.seconds_to_next == 3600
    assert list(tmp_path.iterdir()) == []


def test_a_rejected_line_is_kept_complete_with_its_reason(tmp_path: Path) -> None:
    path = tmp_path / "rejected"
    kept = RejectedLines(path)
    lines = [Rejected(b'{"a":\x00\xff"\n', 'no "JSON"'), Rejected("für".encode(), "why")]
    for line in lines:
        kept.add(line)
    assert path.read_bytes() == b"".join(piece for line in lines for piece in encode_rejected(line))
    assert path.stat().st_mode & 0o007 == 0


def test_an_incomplete_line_does_not_damage_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "rejected"
    path.write_bytes(b'{"reason":"a","li')
    RejectedLines(path).add(Rejected(b"x", "why"))
    assert json.loads(path.read_bytes().splitlines()[1])["line"] == "x"


def test_rejected_lines_are_bounded_and_the_newest_are_kept(tmp_path: Path) -> None:
    kept = RejectedLines(tmp_path / "rejected", max_bytes=1000)
    for number in range(200):
        kept.add(Rejected(b"%d" % number + b"x" * 100, "why"))
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 2 * 1200
    assert sorted(file.name for file in tmp_path.iterdir()) == ["rejected", "rejected.1"]
    lines = [json.loads(line)["line"] for line in (tmp_path / "rejected").read_bytes().splitlines()]
    assert lines[-1].startswith("199x")
