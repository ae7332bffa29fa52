"""However a server log is divided into frames, each message has the same event key as in the whole log."""

from __future__ import annotations

import json
import random
import uuid
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from vaultwatch.alerts import alert_of
from vaultwatch.batches import EncodedFrame, Evaluation
from vaultwatch.detection.detector import Detector
from vaultwatch.detection.evaluator import Ruleset
from vaultwatch.frames import MAX_RECORD_BYTES, Records, Reference, decode
from vaultwatch.rules.pack import shipped_rules
from vaultwatch.ship.framing import Framer
from vaultwatch.ship.gathering import Batch, MessageGatherer
from vaultwatch.ship.options import Pace
from vaultwatch.ship.outbox import StreamRecord
from vaultwatch.ship.oversize import FolderStore
from vaultwatch.ship.timeline import Timeline

RECORDINGS = Path(__file__).parents[2] / "data" / "recordings"
NOW = datetime(2026, 11, 21, tzinfo=UTC)
TAG = b"@prod/vault-1/server "
LINES = [
    TAG + line
    for product in ("vault-1.14.2", "openbao-2.6.2")
    for line in (RECORDINGS / product / "ordinary-restart" / "server.log").read_bytes().splitlines(keepends=True)
]
RULES = [rule for rule in shipped_rules() if rule.name in ("server_shutdown", "server_sealed", "server_unsealed")]


def refused(_: Reference) -> bytes:
    raise AssertionError("nothing here is large")


def framed(cuts: list[int], log_start: str = "") -> list[bytes]:
    records: list[StreamRecord] = []
    middle = MessageGatherer(Pace()).middle
    oversize = FolderStore(Path("/nonexistent"), Pace())  # nothing here is large
    framer = Framer(("server", "log-1", uuid.uuid4()), oversize, middle, records.append, timeline=Timeline(log_start))
    edges = [0, *sorted(set(cuts)), len(LINES)]
    for start, end in pairwise(edges):
        framer.send(Batch(b"".join(LINES[start:end]), NOW, NOW))
    return [record.data for record in records]


def ids(data: list[bytes]) -> list[str]:
    evaluation = Evaluation(Ruleset(RULES), None, claim=refused)
    encoded = [EncodedFrame(str(number), one) for number, one in enumerate(data)]
    return sorted(alert.id for alerts in evaluation.frames(encoded) for alert in alerts)


def whole() -> list[str]:
    detector = Detector(RULES, source="server")
    return sorted(alert_of(verdict).id for verdict in [*detector.feed(LINES), *detector.flush()])


def starts_of_messages() -> list[int]:
    return [number for number, line in enumerate(LINES) if line[len(TAG) :][:1] not in (b" ", b"\n")]


@settings(max_examples=40)
@given(st.lists(st.sampled_from(starts_of_messages())))
def test_the_frames_raise_the_same_alerts_as_the_whole_log(cuts: list[int]) -> None:
    assert ids(framed(cuts)) == whole()


def test_a_frame_that_starts_with_a_banner_has_the_last_time_before_it() -> None:
    banner = next(n for n, line in enumerate(LINES) if b"OpenBao shutdown triggered" in line)
    _, second = framed([banner])
    time, since = decode(second).before["vault-1"]
    assert time.startswith("2026-11-21T07:29:")
    assert since >= 0


def test_a_second_process_does_not_confuse_its_first_banner_with_an_earlier_one() -> None:
    assert set(ids(framed([], log_start="2026-11-22T00:00:00Z"))) != set(whole())


def test_a_frame_without_banners_has_no_times() -> None:
    first = decode(framed([])[0])
    assert (first.log_start, first.before) == ("", {})


def message(time: str, host: str = "") -> bytes:
    header = f"<14>1 - {host} vault 1 - - ".encode() if host else TAG
    return header + json.dumps({"@level": "info", "@message": "said", "@timestamp": time}).encode() + b"\n"


def send_each(batches: list[bytes]) -> list[bytes]:
    """Send every batch as a frame; none may be too large for one."""
    records: list[StreamRecord] = []
    framer = Framer(
        ("server", "log-1", uuid.uuid4()),
        FolderStore(Path("/nonexistent"), Pace()),
        MessageGatherer(Pace()).middle,
        records.append,
        timeline=Timeline(""),
    )
    for lines in batches:
        framer.send(Batch(lines, NOW, NOW))
    return [record.data for record in records]


def test_a_long_text_in_place_of_a_time_does_not_make_a_frame_unreadable() -> None:
    """The author of a server-log message chooses it."""
    time = random.Random(1).randbytes(60_000).hex()
    frames = send_each([message(time), TAG + b"==> a banner\n"])
    assert [len(data) < MAX_RECORD_BYTES for data in frames] == [True, True]
    assert decode(frames[1]).before["vault-1"][0] == time[:64]


def test_many_nodes_do_not_make_a_frame_unreadable() -> None:
    hosts = [f"{number:04}" + "\x01" * 251 for number in range(1000)]
    banners = b"".join(f"<14>1 - {host} vault 1 - - ==> a banner\n".encode() for host in hosts)
    frames = send_each([message("2026-11-21T07:00:00Z", host) for host in hosts] + [banners])
    contents = [decode(data).content for data in frames]
    assert b"".join(content.lines for content in contents if isinstance(content, Records)).endswith(banners)
