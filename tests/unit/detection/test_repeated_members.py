"""Members that stand in an entry twice: they raise an alert of their own, and hide no act from the rules."""

from __future__ import annotations

import pytest

from tests.unit.detection.records import request, response
from vaultwatch.detection.detector import Detector
from vaultwatch.detection.evaluator import Ruleset
from vaultwatch.rules.pack import shipped_rules

OWN = "audit_member_repeated"
ACT = "audit_seal_requested"
RULES = Ruleset([rule for rule in shipped_rules() if rule.name in (OWN, ACT)])

REAL = '"request":{"id":"e1","operation":"update","path":"sys/seal"}'
DECOY = '"request":{"id":"e1","operation":"read","path":"kv/app"}'


def entry(*members: str) -> bytes:
    return ('{"time":"2026-11-21T07:29:41Z",' + ",".join(members) + "}\n").encode()


def raised(lines: list[bytes], *, is_thorough: bool = False) -> set[str]:
    detector = Detector(RULES, is_thorough=is_thorough)
    return {verdict.rule.name for verdict in detector.feed(lines) + detector.flush()}


@pytest.mark.parametrize(
    "members",
    [
        ('"type":"response"', REAL, DECOY),
        ('"type":"response"', DECOY, REAL),
        (REAL, DECOY, '"auth":null', '"type":"response"'),
        ('"type":"response"', '"auth":{"policies":["a"]}', REAL, DECOY),
        ('"type":"request"', REAL, '"type":"response"'),
        ('"type":"response"', '"request":{"id":"e1","path":"kv/app","operation":"update","path":"sys/seal"}'),
    ],
)
def test_the_alert_of_the_act_is_raised_and_one_of_its_own(members: tuple[str, ...]) -> None:
    assert raised([entry(*members)]) == {OWN, ACT}


@pytest.mark.parametrize(
    "members",
    [
        ('"auth":{"policies":["root"]}', DECOY, '"type":"response"', '"auth":{"policies":["default"]}'),
        ('"auth":{"policies":["root"]}', DECOY, '"type":"response"', '"auth":null'),
        ('"request":{"id":"e1","path":"kv/app","namespace":{"path":"a/"},"namespace":{}}', '"type":"response"'),
    ],
)
def test_objects_that_no_rule_would_match_raise_it_too(members: tuple[str, ...]) -> None:
    assert raised([entry(*members)]) == {OWN}


def test_what_sweep_reads_is_searched_for_any_member() -> None:
    hidden = entry('"type":"response"', '"request":{"id":"e1","operation":"update","path":"sys/seal","path":"kv/app"}')
    assert raised([hidden], is_thorough=True) == {OWN, ACT}


@pytest.mark.parametrize("is_thorough", [False, True])
def test_what_vault_writes_raises_nothing(is_thorough: bool) -> None:
    lines = [
        request("e1", "kv/app", auth=None),
        response("e1", "kv/app", auth={"policies": ["root"], "metadata": {"path": "a", "type": "b"}}),
        request("e2", "kv/app", data={"request": {"path": "sys/seal"}, "text": '"path":1,"path":2'}),
        b'{"type":"request","request":{"id":"e3","path":"kv/app","data":{"\xff":1,"\xfe":2}}}\n',
        request("e4", "kv/app"),
    ]
    assert raised(lines, is_thorough=is_thorough) == set()


def test_an_entry_as_vault_writes_it_is_not_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    searched: list[bytes] = []

    def search(text: bytes, _object_of: object) -> None:
        searched.append(text)

    monkeypatch.setattr("vaultwatch.reading.lenient.decode_pairs", search)
    assert raised([entry('"type":"response"', REAL)]) == {ACT}
    assert searched == []
    for text in (REAL.replace(",", ", "), REAL.replace("e1", r"\u003ce1"), REAL.replace("e1", r"\ud800")):
        assert raised([entry('"type":"response"', text)]) == {ACT}
    assert len(searched) == 3


def test_the_rest_of_a_log_is_read_by_the_index() -> None:
    detector = Detector(RULES)
    detector.feed([entry(REAL, REAL, '"type":"request"'), *(request(f"e{n}", "kv/app") for n in range(3))])
    assert (detector.counts.audit, detector.counts.rejected) == (4, 0)
