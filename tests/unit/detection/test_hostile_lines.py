"""Lines as only an attacker sends them raise the alert of the act, and one that says what nobody sends."""

import pytest

from vaultwatch.alerts import alert_of
from vaultwatch.canary import CANARY
from vaultwatch.detection.detector import Detector
from vaultwatch.reading.budget import MAX_BYTES, MAX_DEPTH
from vaultwatch.reading.records import Rejected
from vaultwatch.rules.pack import shipped_rules

HEAD = (
    b'{"time":"2026-11-28T00:00:00Z","type":"request","auth":{"display_name":"eve"},"request":{"id":"a",'
    b'"operation":"delete","path":"sys/audit/file","data":'
)
TAIL = b'},"error":"permission denied"}'
ORDINARY_PATH = HEAD.replace(b"sys/audit/file", b"app/config")
ARRAYS = b"[" + b",".join([b"[]"] * 30_000) + b"]"


def alerts(*lines: bytes) -> set[str]:
    detector = Detector(shipped_rules())
    verdicts = detector.feed(lines) + detector.flush()
    assert detector.counts.rejected == 0
    return {verdict.rule.name for verdict in verdicts}


@pytest.mark.parametrize("depth", [MAX_DEPTH - 1, 300, 900, 5_000])
@pytest.mark.parametrize("brackets", [(b"[", b"]"), (b'{"a":', b"}"), (b"[0,", b"]"), (b'{"b":0,"a":', b"}")])
def test_nesting_that_no_rule_asks_for_raises_an_alert(depth: int, brackets: tuple[bytes, bytes]) -> None:
    opening, closing = brackets
    line = ORDINARY_PATH + opening * depth + b"0" + closing * depth + TAIL
    assert alerts(line) == {"audit_entry_over_budget"}


@pytest.mark.parametrize("levels", [MAX_DEPTH // 2, 400, 4_500])
@pytest.mark.parametrize("before", [b'"time"', b'"operation"', b'"display_name"', b'"keys"'])
def test_so_does_nesting_that_is_not_in_the_data_of_a_request(levels: int, before: bytes) -> None:
    answered = ORDINARY_PATH.replace(b'"request","auth"', b'"response","auth"') + b'0},"response":{"data":{"keys":[]}}}'
    nested = b'"x":' + b'{"a":[0,' * levels + b"0" + b'],"b":0}' * levels + b","
    assert alerts(answered) == set()
    assert alerts(answered.replace(before, nested + before)) == {"audit_entry_over_budget"}


@pytest.mark.parametrize("depth", [MAX_DEPTH, 999, 9_000])
def test_so_does_a_message_of_the_server_log(depth: int) -> None:
    line = (
        b'{"@level":"info","@message":"x","@timestamp":"2026-11-28T00:00:00Z","a":' + b"[" * depth + b"]" * depth + b"}"
    )
    assert alerts(line) == {"server_message_over_budget"}


def test_an_entry_that_looks_like_one_of_the_canary_raises_its_alert() -> None:
    canary = HEAD.replace(b'"eve"', b'"cert-%s","policies":["%s"]' % (CANARY.encode(), CANARY.encode()))
    assert alerts(canary + b"{}" + TAIL) == {"audit_device_disabled"}


def test_many_brackets_side_by_side_are_no_nesting() -> None:
    assert alerts(ORDINARY_PATH + b"[" + b",".join([b"[{}]"] * 500) + b"]" + TAIL) == set()


@pytest.mark.parametrize("item", [b"\x00", b"\x01\t", b"\\ud800", b"\\udc00\\ud800", b"\\\\ud800\\udfff", b"\xff"])
@pytest.mark.parametrize("name", [b"a", b""])
def test_text_that_strict_json_refuses_hides_nothing_of_an_entry_over_its_budget(item: bytes, name: bytes) -> None:
    data = b'{"%s":"%s","list":%s}' % (name or item, item * 5, ARRAYS)
    assert alerts(HEAD + data + TAIL) == {"audit_device_disabled", "audit_entry_over_budget"}


def test_text_that_strict_json_refuses_is_decoded_where_it_is_known() -> None:
    line = HEAD.replace(b'"eve"', b'"e\x01\\ud800"') + ARRAYS + TAIL
    (verdict, *_) = Detector(shipped_rules()).feed([line])
    assert verdict.record["auth"] == {"display_name": "e \ufffd"}


@pytest.mark.parametrize("text", [b"\x01", b"a\\ud800"])
def test_an_emoji_beside_what_strict_json_refuses_is_kept(text: bytes) -> None:
    pairs = b"\\ud83d\\ude00" * 20_000  # longer than the blocks in which lone surrogates are replaced
    line = HEAD.replace(b'"eve"', b'"%s%s"' % (text, pairs[:120])) + b'["%s%s"],"x":%s' % (text, pairs, ARRAYS) + TAIL
    (verdict, *_) = Detector(shipped_rules()).feed([line])
    assert verdict.record["auth"]["display_name"].endswith("\U0001f600" * 10)


@pytest.mark.parametrize(
    "line",
    [
        HEAD + b"[NaN," + ARRAYS + b"]" + TAIL,
        HEAD + b"[-Infinity," + ARRAYS + b"]" + TAIL,
        b"x" * (MAX_BYTES + 1),
        b'{"request":' + ARRAYS + b"}",
    ],
    ids=["NaN", "Infinity", "no JSON", "no entry"],
)
def test_a_line_over_its_budget_that_cannot_be_decoded_is_rejected_and_raises_an_alert(line: bytes) -> None:
    rejected: list[Rejected] = []
    detector = Detector(shipped_rules(), source="audit", on_rejected=rejected.append)
    verdicts = detector.feed([line, ORDINARY_PATH + b"0" + TAIL]) + detector.flush()
    assert [verdict.rule.name for verdict in verdicts] == ["audit_entry_over_budget"]
    assert [one.raw for one in rejected] == [line]
    assert (detector.counts.audit, detector.counts.partial) == (1, 1)
    assert alert_of(verdicts[0]).outcome == "unknown"


@pytest.mark.parametrize("line", [b"\x01" * 200_000, b"\xff" * 200_000, b'{"@message":"' + b"x" * 200_000])
def test_a_server_line_over_its_budget_that_is_no_message_raises_an_alert_too(line: bytes) -> None:
    detector = Detector(shipped_rules(), source="server")
    verdicts = detector.feed([line]) + detector.flush()
    assert [verdict.rule.name for verdict in verdicts] == ["server_message_over_budget"]
    assert (detector.counts.server, detector.counts.rejected) == (0, 1)


@pytest.mark.parametrize("count", [1, 8, 5_000])
def test_braces_before_an_entry_hide_nothing(count: int) -> None:
    assert alerts(b"{" * count + HEAD + b"0" + TAIL) == {"audit_device_disabled"}


def test_so_many_braces_before_an_entry_that_the_line_is_over_its_budget_raise_an_alert() -> None:
    assert alerts(b"{" * 30_000 + HEAD + b"0" + TAIL) == {"audit_device_disabled", "audit_entry_over_budget"}


@pytest.mark.parametrize(
    "data",
    [
        b'{"a":1,"a":%s}' % ARRAYS,
        b'{"%s":%s}' % (b"k" * 100_000, ARRAYS),
        b'{"a":%s,"b":%s}' % (b"9" * 10_000, ARRAYS),
        b"{%s}" % b",".join(b'"%d" : 0' % number for number in range(20_001)),
        b'{"type":"response","request":{"path":"sys/seal"},"auth":null,"list":%s}' % ARRAYS,
        b'"\\u0022},\\"request\\":{\\"path\\":\\"sys/seal\\"}","x":%s' % ARRAYS,
    ],
    ids=["duplicate names", "a long name", "a long number", "blanks before colons", "an entry in it", "quotes"],
)
def test_no_data_hides_what_the_entry_says(data: bytes) -> None:
    assert alerts(HEAD + data + TAIL) == {"audit_device_disabled", "audit_entry_over_budget"}


ACT = HEAD + b"0" + TAIL
DEEP = b'{"a":' * 900 + b"0" + b"}" * 900


@pytest.mark.parametrize(
    "line",
    [
        b"\xef\xbb\xbf" + ACT,
        b"@prod/vault-1/file \xef\xbb\xbf" + ACT,
        b"\0\0" + ACT + b"\0\r",
        ACT.replace(b"eve", b"e\0ve"),
        ACT.replace(b"sys/audit/file", b"sys/audit/f\xffile"),
        ACT.replace(b"sys/audit/file", b"sys/audit/f\\ud800"),
        ACT.replace(b"sys/audit/file", b"\\u0073ys/audit/file"),
        ACT.replace(b'"path"', b'"\\u0070ath"'),
        ACT.replace(b'"path":', b'"path":"app/config","path":'),
        ACT.replace(b'"request":{', b'"request":{"path":"app/config"},"request":{'),
        ACT.replace(b'"type":', b'"type":"x","type":'),
        b"{ {x} {" + ACT,
        ACT.replace(b'"eve"', b'"eve","metadata":' + DEEP),
    ],
)
def test_what_is_odd_about_a_line_neither_hides_its_act_nor_the_line_behind_it(line: bytes) -> None:
    following = ACT.replace(b'"id":"a"', b'"id":"b"')
    detector = Detector(shipped_rules())
    verdicts = detector.feed([line + b"\n", following + b"\n"]) + detector.flush()
    disabled = {verdict.event_key for verdict in verdicts if verdict.rule.name == "audit_device_disabled"}
    assert disabled == {"a", "b"}
    assert (detector.counts.audit, detector.counts.rejected) == (2, 0)


@pytest.mark.parametrize("line", [ACT + ACT, ACT + b" " + ACT])
def test_two_entries_on_one_line_are_both_read_not_only_the_first(line: bytes) -> None:
    detector = Detector(shipped_rules())
    verdicts = detector.feed([line.replace(b'"id":"a"', b'"id":"b"', 1), ORDINARY_PATH + b"0" + TAIL])
    verdicts += detector.flush()
    disabled = {verdict.event_key for verdict in verdicts if verdict.rule.name == "audit_device_disabled"}
    assert disabled == {"a", "b"}
    assert (detector.counts.audit, detector.counts.rejected) == (3, 0)
