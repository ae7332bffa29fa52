"""The metrics in the functions' logs are exactly those that are declared, with their units and dimensions."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
import zstandard

from tests.support.dynamodb import make_client
from tests.support.functions import (
    ARCHIVE,
    AUDIT_TAG,
    BUCKET,
    SOCKET_TAG,
    Context,
    World,
    entry,
    kinesis,
    object_created,
    queue_record,
)
from tests.support.functions import metrics as read_metrics
from vaultwatch.aws import metrics
from vaultwatch.aws.keys import segment
from vaultwatch.aws.metrics import Metric
from vaultwatch.canary import CANARY
from vaultwatch.detection.evaluator import Ruleset
from vaultwatch.frames import Counter, Heartbeat
from vaultwatch.rules.conditions import Exists
from vaultwatch.rules.facts import Level
from vaultwatch.rules.pack import CompiledRule, Rule

DECLARED = [value for value in vars(metrics).values() if isinstance(value, Metric)]
Written = set[tuple[str, str, frozenset[str]]]
Invocation = Callable[[], Any]


def declared(function: str) -> Written:
    """Return name, unit and dimensions of a function's metrics."""
    return {
        (metric.name, metric.unit, frozenset({"service", "deployment", *metric.dimensions}))
        for metric in DECLARED
        if function in metric.functions
    }


def written(printed: str) -> Written:
    """Return the same from the lines of a log."""
    found: Written = set()
    for directives in (json.loads(line)["_aws"]["CloudWatchMetrics"] for line in printed.splitlines()):
        for directive in directives:
            assert directive["Namespace"] == metrics.NAMESPACE
            (dimensions,) = directive["Dimensions"]
            found |= {(metric["Name"], metric["Unit"], frozenset(dimensions)) for metric in directive["Metrics"]}
    return found


def with_a_broken_rule(rules: Ruleset) -> Ruleset:
    """Return these rules, and one that raises for every entry."""

    def raises(view: Any) -> bool:
        raise ZeroDivisionError

    facts: Any = {"title": "Odd", "level": Level.LOW, "service": "audit", "condition": Exists("time", True)}
    return Ruleset([*rules.rules, Rule(CompiledRule(name="audit_odd", **facts), matches=raises)])


def a_bit_of_everything(aws: World) -> list[bytes]:
    """Return frames with alerts, rejected lines and counters, and one that cannot be read."""
    heartbeat = aws.heartbeat(Heartbeat((Counter("prod", "vault-1", "file", 7, 70),)))
    return [b"no frame", heartbeat, aws.frame(entry(1), of_canary(2), AUDIT_TAG + b'{"broken')]


def of_canary(number: int, tag: bytes = AUDIT_TAG) -> bytes:
    auth = {"display_name": "cert-vaultwatch-canary", "policies": [CANARY], "token_policies": [CANARY]}
    return tag + entry(number, "auth/token/lookup-self", auth=auth).removeprefix(AUDIT_TAG)


def test_entries_of_the_canary_are_counted_by_lane_once_each(aws: World, capsys: pytest.CaptureFixture[str]) -> None:
    one = aws.frame(of_canary(1, SOCKET_TAG), entry(2), of_canary(3, SOCKET_TAG), of_canary(1), b"bare " + of_canary(4))
    aws.evaluate(one, aws.frame(entry(5, "kv/data/vaultwatch-canary")))
    found = {row["lane"]: row["CanaryEntries"] for row in read_metrics(capsys.readouterr().out)["CanaryEntries"]}
    assert found == {"socket": [2.0], "file": [1.0]}


def evaluate(aws: World) -> Invocation:
    module = aws.function("evaluate")
    aws.monkeypatch.setattr(module, "RULES", with_a_broken_rule(module.RULES))
    return partial(module.handler, kinesis(*a_bit_of_everything(aws)), Context())


def sweep(aws: World) -> Invocation:
    module, key = aws.function("sweep"), aws.discard(*a_bit_of_everything(aws))
    aws.monkeypatch.setattr(module, "RULES", with_a_broken_rule(module.RULES))
    return partial(module.handler, object_created(BUCKET, key), Context(900_000))


def digest(aws: World) -> Invocation:
    return partial(aws.function("digest").handler, {}, Context(55_000))


def notify(aws: World) -> Invocation:
    return partial(aws.function("notify").handler, {"Records": [queue_record("no notification")]}, Context())


def reconcile(aws: World) -> Invocation:
    for source in ("audit", "audit-file"):
        key = segment(source, "host", 1, datetime(2026, 11, 21, 8, 0, 1, tzinfo=UTC))
        make_client("s3").put_object(Bucket=ARCHIVE, Key=key, Body=zstandard.compress(b""))
    body = '{"hour": "2026-11-21T07:00:00Z"}'
    return partial(aws.function("reconcile").handler, {"Records": [queue_record(body)]}, Context(900_000))


@pytest.mark.parametrize("invocation", [evaluate, sweep, digest, notify, reconcile])
def test_a_function_writes_exactly_what_is_declared_for_it(
    aws: World, capsys: pytest.CaptureFixture[str], invocation: Callable[[World], Invocation]
) -> None:
    invoke = invocation(aws)
    capsys.readouterr()
    invoke()
    assert written(capsys.readouterr().out) == declared(invocation.__name__)
