"""Odd lines raise the same alerts and give the same counts in `check`, `watch`, evaluate and sweep."""

from __future__ import annotations

import gc
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import pytest

from tests.support.watching import Watching, options
from vaultwatch.alerts import Alert
from vaultwatch.batches import EncodedFrame, Findings
from vaultwatch.cli import main
from vaultwatch.detection.evaluator import Ruleset
from vaultwatch.errors import FrameError
from vaultwatch.frames import Frame, Records, Reference, encode
from vaultwatch.isolated_batches import IsolatedEvaluation, IsolatedSweep
from vaultwatch.isolation import Limits, Patience
from vaultwatch.reading.budget import MAX_BYTES, MAX_LENIENT_BYTES, MAX_MESSAGE_BYTES, MAX_WIDE_BYTES
from vaultwatch.rules.facts import Service
from vaultwatch.rules.pack import shipped_rules
from vaultwatch.store.encoding import decode_alert

HEAD = (
    b'{"time":"2026-11-28T00:00:00Z","type":"request","auth":{"display_name":"eve"},"request":{"id":"@",'
    b'"operation":"delete","path":"sys/audit/file","data":'
)
TAIL = b',"remote_address":"192.0.2.7"},"error":"permission denied"}'
ARRAYS = b"[" + b",".join([b"[]"] * 30_000) + b"]"
LIST = HEAD.replace(b'"request","auth"', b'"response","auth"').replace(b"delete", b"list")
MESSAGE = b"2026-11-28T00:00:00.000Z [ERROR] core: failed: "
RULES = Ruleset(shipped_rules())
LIMITS = Limits(memory_bytes=640 * 1024 * 1024, stalled_seconds=600)
NOW = datetime(2026, 11, 28, tzinfo=UTC)
PROCESS = UUID(int=1)


def deep(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


ENTRIES = {
    "too many bytes": HEAD + b'"' + b"x" * MAX_BYTES + b'"' + TAIL,
    "too many values": HEAD + ARRAYS + TAIL,
    "too many wide characters": HEAD + b'"\xf0\x9f\x98\x80' + b"x" * MAX_WIDE_BYTES + b'"' + TAIL,
    "too much that strict JSON refuses": HEAD + b'"' + b"\x01\xff" * MAX_LENIENT_BYTES + b'"' + TAIL,
    "nested 300 deep": HEAD + deep(300) + TAIL,
    "nested 20,000 deep": HEAD + deep(20_000) + TAIL,
    "cut off": HEAD + b"[" + ARRAYS,
    "a long list": LIST + b'{}},"response":{"data":{"keys":' + ARRAYS + b"}}}",
    "no JSON, too many bytes": b"x" * (MAX_BYTES + 1),
    "no number": HEAD + b"[NaN," + ARRAYS + b"]" + TAIL,
    "no JSON": b"noise",
    "broken": HEAD + b"[" + TAIL,
    "no entry": b'{"a":1}',
    "braces": b"{" * 100 + HEAD + b"0" + TAIL,
    "a path twice": HEAD + b"0" + TAIL.replace(b"},", b',"path":"sys/audit/other"},', 1),
    "nulls": HEAD.replace(b'{"display_name":"eve"}', b"null") + b"null" + TAIL,
    "behind a part of another": HEAD[:90] + HEAD + b"0" + TAIL,
    "two on one line": HEAD + b"0" + TAIL + HEAD.replace(b"@", b"@-2") + b"0" + TAIL,
    "in an envelope": json.dumps({"log": (HEAD + b"0" + TAIL + b"\n").decode(), "stream": "stdout"}).encode(),
}
JSON_MESSAGE = (
    b'{"@level":"info","@message":"vault is sealed","@module":"core","@timestamp":"2026-11-28T00:01:0%d.000Z"}'
)
MESSAGES = {
    "too many bytes": MESSAGE + b"x" * MAX_MESSAGE_BYTES,
    "no message, too many bytes": b"\x01" * (2 * MAX_MESSAGE_BYTES),
    "broken JSON": b'{"@message":"' + b"x" * 100,
    "no message": b"\xff\xfe",
    "two on one line": MESSAGE
    + b"first\t"
    + MESSAGE.replace(b"[ERROR] core: failed", b"[INFO]  core: vault is sealed"),
    "two in JSON on one line": JSON_MESSAGE % 1 + JSON_MESSAGE % 2,
    "in an envelope": json.dumps({"log": (MESSAGE + b"third\n").decode(), "stream": "stdout"}).encode(),
    "in logfmt": b'ts=2026-11-28T00:02:00Z level=info msg="core: vault is sealed"',
}


class Found(NamedTuple):
    """What a way found.

    Attributes:
        alerts: The id of each alert, with its rule, event, outcome and sentence.
        records: Audit entries and server-log messages.
        rejected: Rejected lines.
        partial: Records over their budget.
        undecided: How often rules were undecided on them.
    """

    alerts: dict[str, tuple[str, ...]]
    records: int
    rejected: int
    partial: int
    undecided: int


def log_of(service: Service) -> list[bytes]:
    """Return odd lines, each followed by one that has to raise an alert."""
    lines = list[bytes]()
    for number, odd in enumerate((ENTRIES if service == "audit" else MESSAGES).values()):
        entry = HEAD.replace(b"@", b"ordinary-%d" % number) + b"0" + TAIL
        message = MESSAGE.replace(b"00.000Z", b"%02d.000Z" % (number + 1)) + b"ordinary"
        named = odd.replace(b"@", b"odd-%d" % number) if service == "audit" else odd
        lines += [named, entry if service == "audit" else message]
    tag = b"@prod/vault-1/file " if service == "audit" else b"@prod/vault-1/server "
    return [tag + line + b"\n" for line in lines]


def described(alerts: list[Alert]) -> dict[str, tuple[str, ...]]:
    return {one.id: (one.rule, one.event_key, one.outcome, one.summary) for one in alerts}


def refuse(_: Reference) -> bytes:
    raise FrameError("reference: nothing is there")


def checked(service: Service, lines: list[bytes], folder: Path, out: Callable[[], str]) -> Found:
    log, stats = folder / "log", folder / "stats"
    log.write_bytes(b"".join(lines))
    threshold = gc.get_threshold()
    main(
        ["check", str(log), "--source", service, "--level", "informational", "--format", "json", "--stats", str(stats)]
    )
    gc.set_threshold(*threshold)
    gc.unfreeze()
    alerts = map(json.loads, out().splitlines())
    found = {one["id"]: tuple(one[name] for name in ("rule", "event_key", "outcome", "summary")) for one in alerts}
    return Found(found, *counted(stats))


def watched(service: Service, lines: list[bytes], folder: Path) -> Found:
    given = options(folder, source=service, stats=folder / "figures")
    with Watching(given) as watching:
        watching.write(b"".join(lines))
    with closing(sqlite3.connect(given.store_file)) as db:
        alerts = [decode_alert(body) for (body,) in db.execute("SELECT body FROM alert")]
    return Found(described(alerts), *counted(folder / "figures"))


def counted(stats: Path) -> tuple[int, int, int, int]:
    found = json.loads(stats.read_bytes())
    return found["audit"] + found["server"], found["rejected"], found["partial"], sum(found["undecided"].values())


def evaluated(service: Service, lines: list[bytes]) -> Found:
    evaluation = IsolatedEvaluation(RULES, UTC, claim=refuse, limits=LIMITS, patience=Patience(6000))
    frame = encode(Frame(service, "log-1", PROCESS, 0, NOW, NOW, Records(b"".join(lines))))
    alerts = [alert for some in evaluation.frames([EncodedFrame("frame", frame)]) for alert in some]
    return found_by(alerts, evaluation.findings)


def swept(service: Service, lines: list[bytes]) -> Found:
    sweep = IsolatedSweep(RULES, UTC, claim=refuse, limits=LIMITS, patience=Patience(6000))
    tag = lines[0].partition(b" ")[0] + b" "
    bare = [line.removeprefix(tag) for line in lines]
    alerts = [alert for some in sweep.segment("key", lambda: bare, tag, "") for alert in some]
    return found_by(alerts, sweep.findings)


def found_by(alerts: list[Alert], findings: Findings) -> Found:
    assert not findings.unreadable
    return Found(described(alerts), findings.records, findings.rejected, findings.partial, findings.undecided)


@pytest.mark.parametrize("service", ["audit", "server"])
def test_every_way_raises_the_same_alerts_and_counts_the_same(
    service: Service, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    lines = log_of(service)
    found = evaluated(service, lines)
    assert sum("ordinary" in " ".join(alert) for alert in found.alerts.values()) == len(lines) // 2
    assert found.partial > 0
    assert found.rejected > 0
    summaries = " ".join(" ".join(alert) for alert in found.alerts.values())
    assert service == "server" or all(f"odd-{number}" in summaries for number in (16, 17, 18))
    assert "server_sealed" not in [one[0] for one in found.alerts.values()], "a tagged line is one message, as it is"
    assert swept(service, lines) == found
    assert checked(service, lines, tmp_path, lambda: capfd.readouterr().out) == found
    assert watched(service, lines, tmp_path) == found
