"""However a server log is divided into frames, each message has the event key that it has in the whole."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from vaultwatch.detect import Detector, Ruleset
from vaultwatch.evaluation import Evaluation, Packet
from vaultwatch.frames import Reference, decode
from vaultwatch.rules.pack import shipped_rules
from vaultwatch.ship.framing import Framer
from vaultwatch.ship.gathering import Batch, MessageGatherer
from vaultwatch.ship.options import Pace
from vaultwatch.ship.outbox import Parcel
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


def framed(cuts: list[int], begun: str = "") -> list[bytes]:
    parcels: list[Parcel] = []
    middle = MessageGatherer(Pace()).middle
    oversize = FolderStore(Path("/nonexistent"), Pace())  # nothing here is large
    framer = Framer(("server", "log-1", uuid.uuid4()), oversize, middle, parcels.append, timeline=Timeline(begun))
    edges = [0, *sorted(set(cuts)), len(LINES)]
    for start, end in pairwise(edges):
        framer.send(Batch(b"".join(LINES[start:end]), NOW, NOW))
    return [parcel.data for parcel in parcels]


def ids(data: list[bytes]) -> list[str]:
    evaluation = Evaluation(Ruleset(RULES), None, claim=refused, keep=lambda _name, _rejected: None)
    packets = [Packet(str(number), one) for number, one in enumerate(data)]
    return sorted(alert.id for alerts in evaluation.frames(packets) for alert in alerts)


def whole() -> list[str]:
    detector = Detector(RULES, source="server")
    return sorted(alert.id for alert in [*detector.feed(LINES), *detector.flush()])


def starts_of_messages() -> list[int]:
    return [number for number, line in enumerate(LINES) if line[len(TAG) :][:1] not in (b" ", b"\n")]


@settings(max_examples=40)
@given(st.lists(st.sampled_from(starts_of_messages())))
def test_the_alerts_of_the_frames_are_those_of_the_whole(cuts: list[int]) -> None:
    assert ids(framed(cuts)) == whole()


def test_a_frame_that_begins_with_a_banner_says_what_was_before_it() -> None:
    banner = next(n for n, line in enumerate(LINES) if b"OpenBao shutdown triggered" in line)
    _, second = framed([banner])
    time, since = decode(second).before["vault-1"]
    assert time.startswith("2026-11-21T07:29:")
    assert since >= 0


def test_a_second_process_does_not_take_its_first_banner_for_the_one_before() -> None:
    assert set(ids(framed([], begun="2026-11-22T00:00:00Z"))) != set(whole())


def test_what_needs_nothing_says_nothing() -> None:
    first = decode(framed([])[0])
    assert (first.begun, first.before) == ("", {})
