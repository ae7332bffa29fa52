"""Whatever was done to an archive shows, given what was known of it; and nothing shows if nothing was done."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaultwatch.archive.chain import HIDDEN, Known, Segment, faults, not_evaluated
from vaultwatch.archive.known import merged
from vaultwatch.aws import keys
from vaultwatch.aws.keys import Fingerprint, Place, segment_start

START = datetime(2026, 11, 28, 9, tzinfo=UTC)
NAME = "source=audit/node=log-server segment"


def digest(text: object) -> str:
    return sha256(str(text).encode()).hexdigest()


def key(number: int, node: str = "log-server") -> str:
    return keys.segment("audit", node, number, START + timedelta(hours=number))


def chain(count: int, node: str = "log-server") -> list[Segment]:
    """An untouched archive."""
    digests = ["", *(digest((node, number)) for number in range(1, count + 1))]
    return [Segment(key(it, node), digests[it], digests[it - 1], 100, 3) for it in range(1, count + 1)]


def known(segments: list[Segment]) -> Known:
    found = {keys.place_of(it.key): frozenset([Fingerprint(it.sha256, segment_start(it.key))]) for it in segments}
    return {place: digests for place, digests in found.items() if place}


def found(segments: list[Segment], of: Known | None = None) -> list[tuple[str, str]]:
    return [(fault.where, fault.what.partition(":")[0].partition(";")[0]) for fault in faults(segments, of or {})]


def changed(segment: Segment, **fields: Any) -> Segment:
    return Segment(**{name: fields.get(name, getattr(segment, name)) for name in segment.__struct_fields__})


def test_an_untouched_archive_has_no_fault() -> None:
    segments = chain(4) + chain(2, "other")
    assert found(segments) == found(segments, known(segments)) == []


@pytest.mark.parametrize(("left_out", "name"), [({1}, "1"), ({3}, "3"), ({2, 3}, "2 to 3")])
def test_a_segment_before_another_one_is_missed(left_out: set[int], name: str) -> None:
    left = [it for number, it in enumerate(chain(5), start=1) if number not in left_out]
    assert found(left) == [(f"{NAME} {name}", "missing")]


@pytest.mark.parametrize("kept", [0, 1, 4])
def test_the_newest_segments_are_missed_if_they_were_known(kept: int) -> None:
    segments = chain(5)
    assert found(segments[:kept]) == []
    assert found(segments[:kept], known(segments)) == [(f"{NAME} {it}", "missing") for it in range(kept + 1, 6)]


def test_an_altered_segment_breaks_the_chain() -> None:
    segments = chain(3)
    segments[1] = changed(segments[1], sha256=digest("forged"))
    assert found(segments) == [(key(3), "it follows another segment than the one before it")]
    assert (key(2), "altered") in found(segments, known(chain(3)))


def test_the_altered_newest_segment_shows_if_it_was_known() -> None:
    segments = chain(3)
    segments[2] = changed(segments[2], sha256=digest("forged"))
    assert found(segments, known(chain(3))) == [(key(3), "altered")]


def test_a_whole_new_chain_shows_if_the_old_one_was_known() -> None:
    forged = [changed(it, sha256=digest(it.sha256), previous=it.previous and digest(it.previous)) for it in chain(3)]
    assert found(forged) == []
    assert found(forged, known(chain(3))) == [(key(number), "altered") for number in (1, 2, 3)]


def test_a_second_segment_with_the_same_number_shows() -> None:
    other = Segment(keys.segment("audit", "log-server", 2, START), digest("other"), digest("x"))
    assert (f"{NAME} 2", "there are 2 segments with this number") in found([*chain(3), other])


def test_a_segment_that_was_copied_under_another_number_shows() -> None:
    segments = chain(3)
    copy = changed(segments[1], key=key(4), previous=segments[2].sha256)
    assert found([*segments, copy]) == [(key(4), "doubled")]


def test_a_segment_that_was_copied_to_another_host_shows() -> None:
    copy = changed(chain(1)[0], key=key(1, "other"))
    assert found([*chain(1), copy]) == [(key(1, "other"), "doubled")]


def test_a_segment_under_the_key_of_another_time_shows_if_it_was_known() -> None:
    moved = changed(chain(2)[1], key=keys.segment("audit", "log-server", 2, START))
    assert found([chain(2)[0], moved], known(chain(2))) == [(moved.key, "moved")]


def test_two_segments_that_changed_places_show() -> None:
    one, two, three = chain(3)
    swapped = [one, changed(three, key=key(2)), changed(two, key=key(3))]
    assert len(found(swapped)) == 2


def test_a_chain_without_its_beginning_shows() -> None:
    segments = chain(4)[1:]
    renumbered = [changed(it, key=key(number)) for number, it in enumerate(segments, start=1)]
    assert found(renumbered) == [(key(1), "it names a segment before it, but is the first")]


@pytest.mark.parametrize(
    "name",
    [
        key(1).replace("hour=10", "hour=11"),
        key(1).replace("dt=2026-11-28", "dt=2026-11-27"),
        key(1).replace("00000001", "1"),
        key(1).replace("00000001", "000000001"),
        key(1).replace("source=audit", "source=other"),
        key(1) + "x",
        "archive/readme",
    ],
)
def test_an_object_under_a_key_of_another_form_shows(name: str) -> None:
    assert (name, "not the key of a segment") in found([changed(chain(1)[0], key=name)])


def test_the_largest_number_that_a_key_can_have_takes_no_time() -> None:
    assert found([*chain(1), Segment(keys.segment("audit", "log-server", 10**17, START), digest(0))]) == [
        (f"{NAME} 2 to {10**17 - 1}", "missing")
    ]


def test_what_is_wrong_with_an_object_by_itself_is_reported() -> None:
    assert found([changed(chain(1)[0], faults=("cut off",))]) == [(key(1), "cut off")]


def test_a_segment_without_a_known_predecessor_is_compared_by_its_own_digest_only() -> None:
    copies = [changed(it, previous=None) for it in chain(3)]
    assert found(copies) == found(copies, known(chain(3))) == []


def test_two_sources_that_disagree_about_a_digest_show() -> None:
    disagreeing = merged([known(chain(1)), {Place("audit", "log-server", 1): frozenset([Fingerprint(digest("x"))])}])
    assert found(chain(1), disagreeing) == [(key(1), "altered")]


@given(st.integers(1, 8), st.data())
def test_every_single_change_shows(count: int, data: st.DataObject) -> None:
    segments = chain(count)
    at = data.draw(st.integers(0, count - 1))
    change = data.draw(st.sampled_from(["remove", "alter", "move", "add", "unlink"]))
    if change == "remove":
        del segments[at]
    elif change == "alter":
        segments[at] = changed(segments[at], sha256=digest("forged"))
    elif change == "move":
        segments[at] = changed(segments[at], key=key(count + 1 + at))
    elif change == "add":
        segments.append(Segment(keys.segment("audit", "log-server", at + 1, START), digest("forged"), ""))
    else:
        segments[at] = changed(segments[at], previous=digest("forged"))
    assert found(segments, known(chain(count)))


class TestExpiry:
    """S3 has expired what was stored before the fifth segment; every segment is stored when it begins."""

    SINCE = START + timedelta(hours=5)

    def found(self, segments: list[Segment], of: Known | None = None) -> list[str]:
        return [f"{fault.where}: {fault.what.partition(';')[0]}" for fault in faults(segments, of or {}, self.SINCE)]

    @pytest.mark.parametrize("notes_from", [1, 3, 5])
    def test_segments_may_be_missing_with_and_without_their_notes(self, notes_from: int) -> None:
        whole = chain(8)
        assert self.found(whole[4:], known(whole[notes_from - 1 :])) == []
        assert self.found([whole[1], *whole[4:]], known(whole[notes_from - 1 :])) == []  # S3 deletes in any order

    def test_without_saying_so_they_may_not(self) -> None:
        assert found(chain(8)[4:]) == [(f"{NAME} 1 to 4", "missing")]

    def test_a_younger_one_may_not(self) -> None:
        whole = chain(8)
        left = [it for number, it in enumerate(whole, start=1) if number not in (1, 2, 6, 8)]
        assert self.found(left, known(whole)) == [f"{NAME} 6: missing", f"{NAME} 8: missing"]

    def test_nor_what_is_before_one_that_is_far_from_expiring(self) -> None:
        late = [changed(it, stored_at="2026-12-28T09:00:00+00:00") for it in chain(8)[4:]]
        assert self.found(late) == [f"{NAME} 1 to 4: missing"]

    def test_they_may_be_hidden_and_others_may_not(self) -> None:
        hidden = [changed(it, faults=(HIDDEN,)) for it in chain(8)]
        assert self.found(hidden) == [f"{key(number)}: {HIDDEN}" for number in (5, 6, 7, 8)]

    def test_what_expires_needs_no_note_of_sweep(self) -> None:
        stored = [changed(it, stored_at=f"{segment_start(it.key):%Y-%m-%dT%H:%M:%S+00:00}") for it in chain(8)]
        left = not_evaluated(stored, {}, START + timedelta(days=9), self.SINCE)
        assert [fault.where for fault in left] == [key(number) for number in (5, 6, 7, 8)]
