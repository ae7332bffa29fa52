"""The measurements of frames and of `ship` cover every line exactly once."""

from __future__ import annotations

import base64
import json
import zlib
from itertools import cycle
from pathlib import Path

import pytest

from bench import shipping
from bench.corpus import write
from bench.frames import TAGS, consume, consuming, cut, each, in_gzip, per_frame, split, zip_frame
from bench.in_process import evaluating
from bench.processes import BenchError, measure, python
from vaultwatch import frames
from vaultwatch.detection.evaluator import Ruleset
from vaultwatch.errors import FrameError
from vaultwatch.frames import Records, decode
from vaultwatch.rules.pack import shipped_rules

COUNT = 3_000


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "corpus.jsonl"
    with path.open("wb") as file:
        write(file, COUNT, seed=1)
    return path


@pytest.fixture(scope="module")
def packed(corpus: Path) -> list[bytes]:
    return cut(corpus)


def tagged(corpus: Path) -> list[bytes]:
    with corpus.open("rb") as file:
        return [tag + line for tag, line in zip(cycle(TAGS), file, strict=False)]


def test_frames_contain_each_line_once_with_its_lane(corpus: Path, packed: list[bytes]) -> None:
    assert split(packed) == tagged(corpus)
    assert len(packed) > 1
    assert all(len(data) <= frames.MAX_RECORD_BYTES for data in packed)


def test_a_frame_in_gzip_has_the_same_content(packed: list[bytes]) -> None:
    content = zlib.decompress(zip_frame(packed[0]), 31)
    head, _, lines = content.partition(b"\n")
    frame = decode(packed[0])
    assert isinstance(frame.content, Records)
    assert lines == frame.content.lines
    assert str(frame.process).encode() in head


def test_gzip_replaces_zstd_only_while_it_is_measured(packed: list[bytes]) -> None:
    read: list[object] = []
    zipped = zip_frame(packed[0])
    in_gzip(each(lambda data: read.append(decode(data)), [zipped]))()(())
    assert read == [decode(packed[0])]
    with pytest.raises(FrameError):
        decode(zipped)


def test_a_consumer_that_evaluates_fewer_lines_stops_the_bench(packed: list[bytes]) -> None:
    events = [base64.b64encode(data) for data in packed]
    consuming(shipped_rules(), events, COUNT)()(())
    with pytest.raises(SystemExit, match="evaluated 3000 of 3001 lines"):
        consuming(shipped_rules(), events, COUNT + 1)()(())


def test_frames_and_lines_in_memory_give_the_same_records(packed: list[bytes]) -> None:
    evaluating(shipped_rules())(split(packed))  # stops when it evaluates fewer
    assert consume(Ruleset(shipped_rules()), [base64.b64encode(data) for data in packed]) == COUNT


def test_a_frame_of_a_second_has_its_lines(packed: list[bytes]) -> None:
    few, some, many, full = per_frame(packed, rounds=1)
    assert (few["lines"], some["lines"], many["lines"]) == (20, 200, 2_000)
    assert few["bytes"] < some["bytes"] < many["bytes"]
    assert full["cpu_ms"] > few["cpu_ms"] > 0


def test_an_invocation_without_an_alert_logs_its_metrics_and_makes_no_call(tmp_path: Path) -> None:
    out = tmp_path / "logged.json"  # in a process of its own: a function reads its variables when it is imported
    measure(python("-c", "import json, bench.frames; print(json.dumps(bench.frames.logged()))"), stdout=out)
    found = json.loads(out.read_text())
    assert found["metrics"] >= 8
    assert 500 < found["log_bytes"] < 5_000


def test_lines_of_a_mean_size_are_as_many_as_the_corpus_has(corpus: Path, tmp_path: Path) -> None:
    assert shipping.write_lines(corpus, tmp_path / "lines", shipping.MEAN_BYTES) == COUNT
    lines = (tmp_path / "lines").read_bytes().splitlines(keepends=True)
    assert len(lines) == COUNT
    assert sum(map(len, lines)) / COUNT == pytest.approx(shipping.MEAN_BYTES, rel=0.02)
    assert set(lines) <= set(tagged(corpus))


def test_ship_sends_every_line_of_the_pipe_or_is_not_measured(corpus: Path, tmp_path: Path) -> None:
    with shipping.kinesis() as server:
        assert shipping.ship(server, tmp_path, corpus, COUNT) > 0
        with pytest.raises(BenchError, match="3000 of 3001 lines came"):
            shipping.ship(server, tmp_path, corpus, COUNT + 1)


def test_a_command_reads_a_pipe_with_its_own_variables_in_its_own_folder(tmp_path: Path) -> None:
    (tmp_path / "in").write_text("through a pipe")
    program = "import os, stat, sys; print(stat.S_ISFIFO(os.fstat(0).st_mode), sys.stdin.read(), os.environ['IT'])"
    command = python("-c", f"{program}; print(os.getcwd())")
    out = tmp_path / "out"
    measure(command, stdin=tmp_path / "in", stdout=out, piped=True, environment={"IT": "set"}, folder=tmp_path)
    assert out.read_text().splitlines() == ["True through a pipe set", str(tmp_path)]
