"""Of the files in a folder only those are left out whose every line is an alert or a rejected line of Vaultwatch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.unit.store.alerts import an_alert
from vaultwatch.findings.formats import as_csv
from vaultwatch.findings.found import Finding, Source
from vaultwatch.inputs.errors import Unreadable
from vaultwatch.inputs.logs import Log, logs_in
from vaultwatch.inputs.own import AlertLine, AlertRow, own_output, set_apart
from vaultwatch.reading.records import Origin, Rejected
from vaultwatch.reading.rejected import encode_rejected

ENTRY = b'{"time":"2026-03-01T10:00:00Z","type":"request","request":{"id":"a","path":"sys/seal"}}\n'
REJECTED = b"".join(encode_rejected(Rejected(b"plain", "no JSON", Origin("prod", "n", "file"))))
FORGED = b'{"reason":"x","cluster":"'
ALERT: dict[str, object] = dict.fromkeys(AlertLine.__struct_fields__, "") | {
    "staged": False, "late": False, "actions": [], "group_values": [], "window_seconds": None, "same_as": [],
    "record": {}, "source": {"file": "a", "line": 1},
}  # fmt: skip
ALERTS = msgspec.json.encode(ALERT) + b"\n"
HOSTILE = '=1;"=2,\r\n\x1b[31m\u2028,,"'
ODD = {"path": HOSTILE, "summary": HOSTILE, "who": "a\tb", "title": "\udc80 \\ ü", "namespace": ENTRY.decode()}
ROWS = [an_alert(), an_alert("e2", outcome="failed", **ODD)]
FOUND = [Finding(**{"source": Source("audit.log", 1)} | msgspec.structs.asdict(one)) for one in ROWS]
CSV = "".join(f"{line}\n" for line in as_csv(FOUND)).encode()
HEADER, ROW, _ = CSV.splitlines(keepends=True)
REAL_LOGS = {
    "behind a heading of CSV": HEADER + ENTRY,
    "behind rows": CSV + ENTRY,
    "in the prefix of a heading": HEADER.strip() + ENTRY,
    "in the prefix of a row": HEADER + ROW.strip() + b',"' + ENTRY,
    "a row without an id": HEADER + ROW.rpartition(b",")[0] + b",x\n",
    "a row behind alerts": ALERTS + ROW,
    "alerts behind rows": CSV + ALERTS,
    "rows without a heading": ROW * 3,
    "a row as another program writes it": HEADER + b'"' + ROW.replace(b",", b'",', 1),
    "behind one long line": FORGED + b"a" * 70_000 + b'"}\n' + ENTRY,
    "behind many short lines": (FORGED + b'"}\n') * 2_200 + ENTRY,
    "behind a prefix": (FORGED + ENTRY) * 2,
    "without a line end": REJECTED + ENTRY.strip(),
    "behind many rejected lines": REJECTED * 700 + ENTRY,
    "between alerts": ALERTS + ENTRY + ALERTS,
    "in the prefix of an alert": ALERTS.partition(b'"record":')[0] + b'"record":' + ENTRY,
    "cut off": ALERTS[:-9],
    "of both kinds": ALERTS + REJECTED,
    "a member more": ALERTS.replace(b'"who"', b'"type":"request","who"'),
}


def test_an_alert_has_the_members_that_are_written() -> None:
    assert AlertLine.__struct_fields__ == Finding.__struct_fields__
    assert ",".join(AlertRow.__struct_fields__) == next(as_csv([]))


@pytest.mark.parametrize(
    "content", [REJECTED * 3, ALERTS, ALERTS[:-1], ALERTS + b"\n" + ALERTS, CSV, CSV[:-1], HEADER, CSV * 2]
)
@pytest.mark.parametrize("size", [1 << 20, 99])
def test_what_vaultwatch_wrote_is_its_own(content: bytes, size: int) -> None:
    assert own_output(content[at : at + size] for at in range(0, len(content), size))


@pytest.mark.parametrize("content", REAL_LOGS.values(), ids=list(REAL_LOGS))
def test_a_log_with_any_other_line_is_read_from_its_beginning(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(content)
    for log in logs_in(str(tmp_path / "log")):
        own, again = set_apart(log)
        assert (own, b"".join(chunk for chunk, _ in again.chunks())) == ("", content)


def test_what_could_be_read_of_a_damaged_one_is_read() -> None:
    def chunks() -> Iterator[tuple[bytes, int]]:
        yield REJECTED, len(REJECTED)
        raise Unreadable("damaged")

    own, log = set_apart(Log("log", REJECTED, 0, chunks))
    found = log.chunks()
    assert (own, next(found)) == ("", (REJECTED, len(REJECTED)))
    with pytest.raises(Unreadable, match="damaged"):
        next(found)
