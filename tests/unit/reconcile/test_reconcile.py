"""Two sides are compared by request id and type; what each device writes for itself is no difference."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vaultwatch.reconcile import Comparison, Log, Window, reconcile
from vaultwatch.reconcile.report import Report, report
from vaultwatch.reconcile.rows import ROW_BYTES, Reader, microseconds

RECORDINGS = Path(__file__).parents[2] / "data" / "recordings"
START = datetime(2026, 11, 28, 9, tzinfo=UTC)
ALL = Window()


def entry(number: int, kind: str = "request", *, salt: str = "a", late: float = 0, **members: Any) -> bytes:
    """An entry as a device with this salt writes it."""
    time = (START + timedelta(seconds=number + late)).isoformat().replace("+00:00", "Z")
    request = {"id": f"id-{number}", "operation": "read", "path": f"secret/data/{number}", **members.pop("request", {})}
    auth = {"client_token": f"hmac-sha256:{salt * 64}", "display_name": "alice"}
    return json.dumps({"time": time, "type": kind, "auth": auth, "request": request, **members}).encode() + b"\n"


def both(number: int, *, salt: str = "a") -> list[bytes]:
    return [entry(number, salt=salt), entry(number, "response", salt=salt)]


def log(lines: Sequence[bytes], name: str = "log") -> Log:
    return Log(name, lambda: iter([b"".join(lines)]))


def compare(left: Sequence[bytes], right: Sequence[bytes], window: Window = ALL, limit: int = 20) -> Comparison:
    return reconcile([log(left)], [log(right)], Reader(), window, limit)


def reported(left: Sequence[bytes], right: Sequence[bytes], *, ignored: Sequence[str] = (), limit: int = 20) -> Report:
    logs, reader = [log(left, "l"), log(right, "r")], Reader(ignored)
    return report(reconcile(logs[:1], logs[1:], reader, ALL, limit), logs, reader)


def of_requests(*numbers: int, salt: str = "a") -> list[bytes]:
    return [line for number in numbers for line in both(number, salt=salt)]


class TestRecordings:
    @pytest.mark.parametrize("product", ["openbao-2.6.2", "vault-1.14.2"])
    def test_a_socket_that_was_down_lacks_28_entries_in_one_span(self, product: str) -> None:
        folder = RECORDINGS / product / "audit-socket-down"
        file, socket = ((folder / name).read_bytes().splitlines(True) for name in ("audit.jsonl", "audit-socket.jsonl"))
        found = compare(file, socket)
        assert [kind.count for kind in found.missing] == [0, 28]
        assert found.common == 24
        assert [(it.side, it.entries) for it in found.silences] == [(1, 28)]
        assert found.differing.count == found.without_response.count == found.without_request.count == 0

    @pytest.mark.parametrize("product", ["openbao-2.6.2", "vault-1.14.2"])
    def test_every_entry_that_real_servers_wrote_alone_is_known_to_stand_alone(self, product: str) -> None:
        files = sorted((RECORDINGS / product).glob("*/*audit*.jsonl")) + sorted(
            (RECORDINGS / product).glob("*/device-*")
        )
        lines = [line for file in files for line in file.read_bytes().splitlines(True) if line.startswith(b"{")]
        found = compare(lines, lines)
        assert found.standing_alone > 10
        assert (found.without_response.count, found.without_request.count) == (0, 0)

    @pytest.mark.parametrize("product", ["openbao-2.6.2", "vault-1.14.2"])
    def test_two_devices_log_the_same_beyond_salts_and_times(self, product: str) -> None:
        folder = RECORDINGS / product / "audit-device-changes"
        file, socket = ((folder / name).read_bytes().splitlines(True) for name in ("audit.jsonl", "audit-socket.jsonl"))
        assert compare(file, socket).equal


class TestEqual:
    def test_the_same_entries_in_another_order_are_equal(self) -> None:
        lines = of_requests(1, 2, 3)
        assert compare(lines, lines[::-1]).equal

    def test_salted_hashes_may_differ(self) -> None:
        assert compare(of_requests(1, 2), of_requests(1, 2, salt="b")).equal

    def test_times_may_differ_by_a_minute(self) -> None:
        assert compare([entry(1, late=0), *both(2)], [entry(1, late=59), *both(2)]).differing.count == 0

    def test_more_copies_are_counted_and_no_difference(self) -> None:
        found = compare(of_requests(1, 1, 1), of_requests(1))
        assert found.equal
        assert [side.repeated for side in found.sides] == [4, 0]

    def test_tags_prefixes_and_blank_lines_are_no_difference(self) -> None:
        tagged = [b"@prod/vault-1/socket " + line for line in of_requests(1)]
        assert compare(tagged, [b"\n", *of_requests(1), b" \r\n"]).equal

    def test_entries_in_envelopes_are_compared(self) -> None:
        wrapped = [
            json.dumps({"log": line.decode(), "stream": "stdout"}).encode() + b"\n" for line in of_requests(1, 2)
        ]
        assert compare(wrapped, of_requests(1, 2, salt="b")).equal

    def test_a_large_entry_is_compared_in_part(self) -> None:
        large: dict[str, Any] = {"request": {"data": {"x": "y" * 3_000_000}}}
        found = compare([entry(1, **large), *both(2)], [entry(1, salt="b", **large), *both(2)])
        assert (found.differing.count, [side.partial for side in found.sides]) == (0, [1, 1])


class TestAltered:
    @pytest.mark.parametrize(
        "members",
        [
            {"error": "permission denied"},
            {"type": "xrequest"},
            {"request": {"path": "secret/data/other"}},
            {"request": {"remote_address": "10.0.0.1"}},
            {"left_out": "x"},
            {"late": 61},
            {"late": -3600},
        ],
    )
    def test_any_field_that_differs_shows(self, members: dict[str, Any]) -> None:
        altered = entry(1, members.pop("type", "request"), **members)
        found = compare(both(1), [altered, *both(1)[1:]])
        assert found.differing.count == 1
        assert not found.equal

    @pytest.mark.parametrize("value", ["clear", "hmac-sha256:forged", "", None])
    def test_a_salted_value_that_was_replaced_or_removed_shows(self, value: str | None) -> None:
        lines = both(1)
        fields = json.loads(lines[0])
        fields["auth"]["client_token"] = value
        assert compare(lines, [json.dumps(fields).encode() + b"\n", lines[1]]).differing.count == 1

    def test_a_copy_with_other_contents_on_one_side_shows(self) -> None:
        assert compare([*both(1), entry(1, error="x")], both(1)).differing.count == 1

    def test_the_report_names_the_field_and_both_values(self) -> None:
        found = reported(both(1), [entry(1, request={"path": "sys/policies/acl/root"}), both(1)[1]])
        (altered,) = found.differing.entries
        assert [(it.field, it.value, it.other_value) for it in altered.changes] == [
            ("request.path", "secret/data/1", "sys/policies/acl/root")
        ]
        assert (altered.place, altered.other_place) == ("l:1", "r:1")

    def test_a_field_that_is_ignored_does_not_show(self) -> None:
        other = [entry(1, request={"path": "other"}), both(1)[1]]
        assert reported(both(1), other, ignored=["request.path"]).equal
        assert not reported(both(1), other, ignored=["request.pat", "auth.display_name.x"]).equal


class TestPairs:
    def test_a_request_without_response_on_either_side_shows(self) -> None:
        lines = [*both(1), entry(2)]
        assert compare(lines, lines).without_response.count == 1

    def test_a_response_without_request_on_either_side_shows(self) -> None:
        lines = [*both(1), entry(2, "response")]
        assert compare(lines, lines).without_request.count == 1

    def test_a_pair_can_be_divided_between_the_sides(self) -> None:
        found = compare([entry(1)], [entry(1, "response")])
        assert [kind.count for kind in found.missing] == [1, 1]
        assert (found.without_response.count, found.without_request.count) == (0, 0)

    @pytest.mark.parametrize(
        "members",
        [
            {"request": {"path": "sys/seal"}},
            {"request": {"path": "sys/step-down"}},
            {"request": {"path": "sys/audit/test"}},
            {"request": {"path": "sys/audit/file", "operation": "delete"}},
            {"request": {"path": "sys/wrapping/unwrap"}, "error": "wrapping token is not valid or does not exist"},
            {"error": 'request path "secret/data/1": rate limit quota exceeded'},
        ],
    )
    def test_requests_that_vault_never_answers_are_known(self, members: dict[str, Any]) -> None:
        lines = [entry(1, **members)]
        assert (compare(lines, lines).equal, compare(lines, lines).standing_alone) == (True, 1)

    def test_a_denied_request_has_a_response(self) -> None:
        lines = [entry(1, error="1 error occurred:\n\t* permission denied\n\n")]
        assert compare(lines, lines).without_response.count == 1


class TestSilences:
    def test_a_span_reaches_from_the_first_to_the_last_entry_that_a_side_lacks(self) -> None:
        found = compare(of_requests(1, 2, 3, 4, 5), of_requests(1, 5))
        second = [microseconds(START + timedelta(seconds=number)) for number in range(6)]
        assert [(it.side, it.entries, it.begin, it.end) for it in found.silences] == [(1, 6, second[2], second[4])]

    def test_an_entry_of_the_side_ends_its_silence(self) -> None:
        found = compare(of_requests(*range(9)), of_requests(0, 4, 8))
        assert [it.entries for it in found.silences] == [6, 6]

    def test_both_sides_can_be_silent_one_after_the_other(self) -> None:
        found = compare(of_requests(1, 2, 5), of_requests(3, 4, 5))
        assert [(it.side, it.entries) for it in found.silences] == [(1, 4), (0, 4)]

    def test_one_lost_entry_is_no_silence(self) -> None:
        assert compare(of_requests(1, 2, 3), of_requests(1, 2, 3)[:-1]).silences == []


class TestBounds:
    def test_all_differences_are_counted_and_the_earliest_are_kept(self) -> None:
        found = reported(of_requests(*range(50, 0, -1)), [], limit=3)
        assert found.missing_right.count == 100
        assert [it.request_id for it in found.missing_right.entries] == ["id-1", "id-1", "id-2"]

    def test_a_window_limits_what_is_reported_and_not_what_is_paired(self) -> None:
        window = Window(microseconds(START + timedelta(seconds=2)), microseconds(START + timedelta(seconds=3)))
        late = [entry(2), entry(2, "response", late=5)]
        found = compare([*both(1), *late, *both(3)], late, window)
        assert (found.equal, found.sides[0].entries) == (True, 1)

    def test_lines_that_are_no_entries_are_counted_and_a_difference(self) -> None:
        found = compare([*both(1), b"cut off: {\n"], both(1))
        assert (found.equal, found.sides[0].rejected) == (False, 1)

    def test_an_entry_behind_a_part_of_another_is_compared(self) -> None:
        left = [of_requests(1)[0][:40] + of_requests(2)[0], of_requests(2)[1]]
        found = reported(left, both(3))
        assert found.left["rejected"] == 1
        assert [it.request_id for it in found.missing_right.entries] == ["id-2", "id-2"]

    def test_entries_without_a_time_are_compared_too(self) -> None:
        lines = [line.replace(b"2026-11-28", b"nonsense") for line in of_requests(1, 2)]
        found = reported(lines, lines[:1])
        assert (found.missing_right.count, found.missing_right.first, found.silences) == (3, "", [])

    def test_a_log_that_has_changed_since_it_was_read_gives_no_texts_of_other_entries(self) -> None:
        versions = iter([both(1), both(2)])
        logs = [Log("l", lambda: iter([b"".join(next(versions))])), log(both(3), "r")]
        reader = Reader()
        found = report(reconcile(logs[:1], logs[1:], reader, ALL, 20), logs, reader)
        assert {it.path for it in found.missing_right.entries} == {""}

    def test_a_secret_in_clear_is_redacted_in_the_report(self) -> None:
        found = reported([entry(1, request={"path": "hvs." + "A" * 40})], [entry(2)])
        assert "hvs.AAAA" not in str(found)


Edits = list[tuple[str, int]]


@settings(max_examples=50)
@given(
    st.integers(1, 12),
    st.lists(st.tuples(st.sampled_from(["drop", "alter", "repeat"]), st.integers(0, 99)), max_size=8),
    st.randoms(use_true_random=False),
)
def test_every_edit_is_found_and_nothing_else(count: int, edits: Edits, random: Any) -> None:
    left, right = of_requests(*range(count)), dict(enumerate(of_requests(*range(count), salt="b")))
    altered, dropped, repeated = set(), set(), list[int]()
    for edit, at in edits:
        index = at % len(left)
        if edit == "drop":
            right.pop(index, None)
            dropped.add(index)
        elif edit == "alter" and index in right:
            right[index] = right[index].replace(b'"read"', b'"update"')
            altered.add(index)
        else:
            repeated.append(index)
    lines = [*right.values(), *(right[index] for index in repeated if index in right)]
    random.shuffle(lines)
    found = compare(left, lines)
    assert [kind.count for kind in found.missing] == [0, len(dropped)]
    assert found.differing.count == len(altered - dropped)
    assert found.common == len(left) - len(dropped)
    assert found.sides[1].repeated == len([index for index in repeated if index in right])


@settings(max_examples=50)
@given(st.lists(st.binary(max_size=40).map(lambda data: data.replace(b"\n", b"")), max_size=20))
def test_any_bytes_can_be_compared_with_themselves(noise: Sequence[bytes]) -> None:
    lines = [*both(1), *(b'{"type":"request","request":{"id":"' + data + b'"}}\n' for data in noise)]

    def chunks() -> Iterator[bytes]:
        data = b"".join(lines)
        return (data[at : at + 7] for at in range(0, len(data), 7))

    logs, reader = [Log("l", chunks), Log("r", chunks)], Reader()
    found = report(reconcile(logs[:1], logs[1:], reader, ALL, 20), logs, reader)
    assert found.missing_left.count == found.missing_right.count == found.differing.count == 0


@pytest.mark.parametrize("text", ["docs/reconcile.md", "vaultwatch/reconcile/rows.py", "vaultwatch/reconcile/run.py"])
def test_what_an_entry_takes_on_the_disk_is_said_as_it_is(text: str) -> None:
    root = Path(__file__).parents[3]
    assert set(re.findall(r"(\d+) bytes(?: an entry|, in which)", (root / text).read_text())) == {str(ROW_BYTES)}
    assert f"At most {ROW_BYTES + 8} bytes an entry" in (root / "stacks/constructs/reconciliation.py").read_text()
