"""What somebody without the key writes to the table in advance silences no rule that remembers, waits or counts.

He knows everything else. Without the names of rows, what he writes is not even read.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest

from tests.support.dynamodb import SEAL, TABLE, Listed, all_rows, make_client
from tests.support.functions import ARCHIVE, AUDIT_TAG, World, started, total
from tests.unit.detection.test_absences import event, expecting
from tests.unit.detection.test_firsts import DAY, learning
from tests.unit.lambdas.test_counting import LINES, raised
from tests.unit.lambdas.test_first_seen import EXPECTED, LIVE, USES, with_rules
from vaultwatch.seals import Seal
from vaultwatch.store.absences import Absences
from vaultwatch.store.dynamodb.counts import DynamoCounts
from vaultwatch.store.dynamodb.expectations import DynamoExpectations
from vaultwatch.store.dynamodb.memory import DynamoMemory
from vaultwatch.store.dynamodb.schema import count_key

THIEVES = {"without names": Seal("another key than that of the deployment"), "with names": Listed(SEAL)}


@pytest.fixture(params=THIEVES)
def thief(request: pytest.FixtureRequest) -> Seal:
    return THIEVES[request.param]


def test_seen_before(aws: World, capsys: pytest.CaptureFixture[str], thief: Seal) -> None:
    seen, remember = set[str](), DynamoMemory.remember

    def note(memory: DynamoMemory, names: Collection[str], until: float) -> None:
        seen.update(names)
        remember(memory, names, until)

    aws.monkeypatch.setattr(DynamoMemory, "remember", note)
    aws.now = LIVE
    with_rules(aws, "evaluate").STORE().live_since({rule.name: rule.digest for rule in learning()}, LIVE)
    aws.now = LIVE + 30 * DAY
    frame = aws.frame(*(AUDIT_TAG + line for line in USES))
    aws.evaluate(frame)
    aws.monkeypatch.setattr(DynamoMemory, "remember", remember)
    assert seen
    wipe()
    aws.published()

    DynamoMemory(make_client("dynamodb"), TABLE, thief).remember(seen, aws.now + 90 * DAY)
    with_rules(aws, "evaluate")
    capsys.readouterr()
    aws.evaluate(frame)

    assert set(aws.alerts()) == EXPECTED
    assert len([one for one in aws.published() if one.disposition == "first"]) == 2
    foreign = total(capsys.readouterr().out, "ForeignRows")
    assert foreign >= len(seen) if isinstance(thief, Listed) else foreign == 0


def test_live_since_a_moment_ago_so_that_a_rule_learns_again(aws: World) -> None:
    aws.now = LIVE
    store = with_rules(aws, "evaluate").STORE
    store().live_since({rule.name: rule.digest for rule in learning()}, LIVE)
    aws.now = LIVE + 30 * DAY
    for row in all_rows():
        if row["sk"]["S"] == "live":
            make_client("dynamodb").put_item(TableName=TABLE, Item={**row, "body": {"B": str(aws.now).encode()}})
    aws.evaluate(aws.frame(*(AUDIT_TAG + line for line in USES)))
    assert set(aws.alerts()) >= EXPECTED


@pytest.mark.every_rule
def test_come_as_expected(aws: World, capsys: pytest.CaptureFixture[str], thief: Seal) -> None:
    rules = expecting()
    digest, module = started("digest", few=False), with_rules(aws, "evaluate", rules)
    aws.monkeypatch.setattr(digest, "ABSENCES", Absences(rules, digest.ABSENCES._expectations))
    aws.now = LIVE + 2001 * 3600
    aws.evaluate(aws.frame(event(2000)))
    [come] = module.EXPECTATIONS().due(LIVE + 2030 * 3600)
    wipe()

    aws.now = LIVE + 25 * 3600
    DynamoExpectations(make_client("dynamodb"), TABLE, thief).expect([come], aws.now)
    capsys.readouterr()
    aws.evaluate(aws.frame(event(0), event(24)))
    assert total(capsys.readouterr().out, "ForeignRows") == isinstance(thief, Listed)
    aws.now += 25 * 3600
    aws.digest()
    assert len(aws.alerts()) == 1
    assert len([one for one in aws.published() if one.disposition == "first"]) == 1


@pytest.mark.parametrize("mark", [{"N": "1"}, {"B": b"0" * 16}], ids=["a number", "a wrong seal"])
def test_counted_to_the_threshold(aws: World, capsys: pytest.CaptureFixture[str], mark: Any) -> None:
    halves = [b"\n".join(AUDIT_TAG + line for line in part) for part in (LINES[:90], LINES[90:])]
    aws.evaluate(aws.frame(*halves[0].splitlines()))
    assert raised(aws) == []
    counts = [row for row in all_rows() if row["sk"]["S"] == "count"]
    for row in counts:
        make_client("dynamodb").put_item(TableName=TABLE, Item={**row, "reached": mark})
    capsys.readouterr()
    aws.sweep(ARCHIVE, aws.archive("00000002-20261121T075958", b"\n".join(LINES[90:])))
    assert counts
    assert len(raised(aws)) == 1
    assert total(capsys.readouterr().out, "ForeignRows") > 0


def test_counted_less(aws: World, thief: Seal) -> None:
    """Who knows the window, and the name of its row, can take from it; who does not know the name, cannot."""
    windows, add = set[str](), DynamoCounts.add

    def note(counts: DynamoCounts, window: str, *given: Any) -> Any:
        windows.add(window)
        return add(counts, window, *given)

    aws.monkeypatch.setattr(DynamoCounts, "add", note)
    aws.evaluate(aws.frame(*(AUDIT_TAG + line for line in LINES[:90])))
    assert windows
    for window in windows:
        pk, sk = count_key(window)
        key = {"pk": {"S": thief.name(pk)}, "sk": {"S": sk}}
        make_client("dynamodb").update_item(TableName=TABLE, Key=key, UpdateExpression="REMOVE hashes")
    aws.sweep(ARCHIVE, aws.archive("00000002-20261121T075958", b"\n".join(LINES[90:])))
    assert len(raised(aws)) == (0 if isinstance(thief, Listed) else 1)


def wipe() -> None:
    """Delete all rows but those that say since when rules are live."""
    for row in all_rows():
        if row["sk"]["S"] != "live":
            make_client("dynamodb").delete_item(TableName=TABLE, Key={"pk": row["pk"], "sk": row["sk"]})
