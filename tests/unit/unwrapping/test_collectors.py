"""A log with a crash, as programs that collect logs write it, has the records and the alerts of the log itself."""

from __future__ import annotations

import base64
import gzip
import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pytest

from tests.unit.unwrapping.test_unwrapper import ENTRY, Counted
from vaultwatch.detection.detector import Detector
from vaultwatch.detection.evaluator import Ruleset
from vaultwatch.rules.pack import shipped_rules

RULES = Ruleset(shipped_rules())
FAILED = """2026-03-01T10:00:00.123Z [ERROR] audit: backend failed to log response: backend=siem/
  error=
  | 1 error occurred:
  | \t* write tcp 10.0.0.1: broken pipe
  """
SEALED = "2026-03-01T10:00:01.123Z [INFO]  core: vault is sealed"
SERVED = """2026-03-01T10:00:02.001Z [INFO]  http: panic serving 10.1.2.3:40412: runtime error: index out of range
goroutine 4411 [running]:
net/http.(*conn).serve.func1()
\t/usr/local/go/src/net/http/server.go:1868 +0xb9"""
CRASH = """panic: runtime error: invalid memory address or nil pointer dereference
[signal SIGSEGV: segmentation violation code=0x1 addr=0x18 pc=0x1c3f2aa]
goroutine 1523 [running]:
\t/go/src/github.com/hashicorp/vault/vault/request_handling.go:841 +0x1a2b"""
MESSAGES = [FAILED, SEALED, SERVED, SEALED.replace("01.1", "03.1"), CRASH]
LINES = [line for message in MESSAGES for line in message.split("\n")]
JSON = [
    '{"@level":"info","@message":"vault is sealed","@module":"core","@timestamp":"2026-03-01T10:00:01.123Z"}',
    *CRASH.split("\n"),
    '{"@level":"info","@message":"vault is unsealed","@module":"core","@timestamp":"2026-03-01T10:00:03.123Z"}',
]
AUDIT = [json.dumps({**ENTRY, "request": {**ENTRY["request"], "id": f"a{number}"}}) for number in range(4)]
LOGS = [pytest.param(MESSAGES, id="text"), pytest.param(JSON, id="json"), pytest.param(AUDIT, id="audit")]


class Read(NamedTuple):
    """How many records a log has, how many lines that no server writes, and its alerts with their event keys."""

    counts: Counted
    unclear: int
    alerts: Counter[tuple[str, str]]

    @property
    def names(self) -> Counter[str]:
        return Counter(name for name, _ in self.alerts.elements())


def read(content: str | bytes) -> Read:
    text = content.encode() if isinstance(content, str) else content
    detector = Detector(RULES, unwrap=True)
    detector.begin_log(text[:65536], name="log")
    found = detector.feed(text.splitlines(keepends=True)) + detector.flush()
    counts = detector.counts
    alerts = Counter((one.rule.name, one.event_key) for one in found)
    return Read(Counted(counts.audit, counts.server, counts.rejected), counts.unclear, alerts)


def plain(records: Sequence[str]) -> Read:
    """Return what is read of the log itself."""
    return read("".join(f"{record}\n" for record in records))


def parsed(text: str) -> Any:
    """Return a line in JSON as a shipper has parsed it; the text if it is another one."""
    return json.loads(text) if text.startswith("{") else text


def each(wrap: Callable[[str], Any], records: Sequence[str]) -> str:
    return "".join(json.dumps(wrap(record)) + "\n" for record in records)


def lines_of(records: Sequence[str]) -> list[str]:
    return [line for record in records for line in record.split("\n")]


def test_the_log_itself_has_five_messages_and_a_crash_with_its_lines() -> None:
    assert plain(MESSAGES).counts == Counted(0, 8)
    assert plain(MESSAGES).names["server_panic"] == 2
    assert plain(JSON).names["server_panic"] == 1
    assert plain(AUDIT).counts == Counted(4, 0)


@pytest.mark.parametrize("records", LOGS)
@pytest.mark.parametrize(
    "wrap",
    [
        pytest.param(lambda text: {"id": "e", "detail-type": "log", "detail": {"message": text}}, id="EventBridge"),
        pytest.param(
            lambda text: {"id": "e", "detail": json.loads(text) if text.startswith("{") else {"message": text}},
            id="EventBridge, parsed",
        ),
        pytest.param(
            lambda text: {"agent": {"id": "3"}, "full_log": text, "data": {"x": 1}, "location": "/v.log"}, id="Wazuh"
        ),
        pytest.param(
            lambda text: {"full_log": text, **({"data": parsed(text)} if text.startswith("{") else {})},
            id="Wazuh, decoded",
        ),
        pytest.param(lambda text: {"@rawstring": text, "@timestamp": 1}, id="LogScale"),
        pytest.param(lambda text: {"__CONTENT__": text, "__SOURCE__": "10.0.0.1"}, id="CLS"),
        pytest.param(lambda text: {"TimeStamp": "2026-03-01T10:00:00", "Log": text}, id="Container Apps"),
        pytest.param(lambda text: {"message": text[:80], "full_message": text, "source": "v"}, id="Graylog"),
    ],
)
def test_messages_of_many_lines_in_objects(records: list[str], wrap: Callable[[str], Any]) -> None:
    assert read(each(wrap, records)) == plain(records)


@pytest.mark.parametrize("records", LOGS)
@pytest.mark.parametrize(
    "wrap",
    [
        pytest.param(lambda text: {"msg": f" {text}", "hostname": "v", "pri": "30"}, id="rsyslog, msg"),
        pytest.param(
            lambda text: {"msg": f" {text}", "rawmsg": f"<30>Nov 21 07:31:00 v vault[8]: {text}", "pri": "30"},
            id="rsyslog, jsonmesg",
        ),
    ],
)
def test_lines_with_the_blank_that_rsyslog_has_before_them(records: list[str], wrap: Callable[[str], Any]) -> None:
    """The indentation of a further line is behind that blank."""
    assert read(each(wrap, lines_of(records))) == plain(records)


@pytest.mark.parametrize("end", ["", "\n"])
@pytest.mark.parametrize("per_line", [False, True])
@pytest.mark.parametrize("records", LOGS)
def test_frames_of_syslog_that_begin_with_the_count_of_their_bytes(
    records: list[str], per_line: bool, end: str
) -> None:
    """RFC 6587: a frame may have several lines, and the next one begins where its bytes end."""
    header = "<30>1 2026-03-01T10:00:09.000000Z v vault 812 - - "
    frames = [header + one + end for one in (lines_of(records) if per_line else records)]
    found, alone = read("".join(f"{len(frame)} {frame}" for frame in frames)), plain(records)
    assert (found.counts, found.unclear, found.names) == (alone.counts, 0, alone.names)


@pytest.mark.parametrize("records", LOGS)
@pytest.mark.parametrize(
    "header",
    [
        pytest.param("2026-03-01T10:00:09.000Z vault-1 ", id="Logstash"),
        pytest.param("2026-03-01T10:00:09.000Z {name=vault-1} ", id="Logstash, an object as host"),
        pytest.param("2026-03-01T10:00:09.000Z vault/vault/0f3c ", id="aws logs tail"),
        pytest.param("<30>1 2026-03-01T10:00:09Z v vault 812 - - ", id="syslog"),
    ],
)
def test_a_header_in_front_of_the_first_line_of_a_message_only(records: list[str], header: str) -> None:
    found, alone = read("".join(f"{header}{record}\n" for record in records)), plain(records)
    assert (found.counts, found.unclear, found.names) == (alone.counts, 0, alone.names)


@pytest.mark.parametrize("records", LOGS)
@pytest.mark.parametrize(
    "header",
    [
        pytest.param('2026-03-01T10:00:09Z {app="vault", pod="vault-0"}    ', id="logcli, labels of several widths"),
        pytest.param('2026-03-01T10:00:09Z {app="vault"} ', id="logcli"),
        pytest.param("2026-03-01T10:00:09Z {} ", id="logcli, without labels"),
        pytest.param("2026-03-01T10:00:09.123456789Z vault ", id="k9s"),
        pytest.param("2026-03-01T10:00:09.123456Z 01O ", id="GitLab"),
        pytest.param("2026-03-01T10:00:09.123456Z ", id="docker logs -t"),
        pytest.param("[pod/vault-0/vault] 2026-03-01T10:00:09.123456Z ", id="kubectl --prefix --timestamps"),
        pytest.param(
            "<190>1 2026-03-01T10:00:09.123456+00:00 host app vault.1 - ", id="Heroku, without structured data"
        ),
        pytest.param("EVENTS\t3754\t1772359209123\tvault/vault/ab\t", id="aws logs filter-log-events, text"),
    ],
)
def test_a_header_in_front_of_every_line(records: list[str], header: str) -> None:
    end = "\t1772359209124" if "\t" in header else ""
    found, alone = read("".join(f"{header}{line}{end}\n" for line in lines_of(records))), plain(records)
    assert (found.counts, found.unclear, found.names) == (alone.counts, 0, alone.names)


@pytest.mark.parametrize("records", LOGS)
def test_objects_over_many_lines_behind_a_header(records: list[str]) -> None:
    """As `aws logs tail --format json` prints them."""
    shown = [json.dumps(json.loads(one), indent=2) if one.startswith("{") else one for one in records]
    text = "".join(f"2026-03-01T10:00:09.000000+00:00 vault/vault/ab {one}\n" for one in shown)
    found, alone = read(text), plain(records)
    assert (found.counts, found.unclear, found.names) == (alone.counts, 0, alone.names)


def packed(content: object) -> str:
    return base64.b64encode(gzip.compress(json.dumps(content).encode())).decode()


@pytest.mark.parametrize("records", LOGS)
def test_what_cloudwatch_sends_compressed_in_base64(records: list[str]) -> None:
    events = {"messageType": "DATA_MESSAGE", "logEvents": [{"id": "3", "message": one} for one in records]}
    assert read(json.dumps({"awslogs": {"data": packed(events)}})) == plain(records)
    assert read(json.dumps({"requestId": "r", "records": [{"data": packed(events)}]})) == plain(records)
    assert read(each(lambda text: {"kinesis": {"data": packed({"message": text})}}, records)) == plain(records)


def test_what_becomes_too_large_when_it_is_decompressed_is_rejected() -> None:
    bomb = base64.b64encode(gzip.compress(b" " * 65 * 1024 * 1024)).decode()
    assert read(json.dumps({"awslogs": {"data": bomb}})).counts == Counted(0, 0, 1)


def of_otlp(value: object) -> dict[str, Any]:
    """Return a value as OTLP has it in JSON."""
    if isinstance(value, dict):
        return {"kvlistValue": {"values": [{"key": key, "value": of_otlp(one)} for key, one in value.items()]}}
    if isinstance(value, list):
        return {"arrayValue": {"values": [of_otlp(one) for one in value]}}
    if isinstance(value, bool):
        return {"boolValue": value}
    return {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}


@pytest.mark.parametrize("records", LOGS)
def test_records_that_the_collector_of_opentelemetry_has_parsed(records: list[str]) -> None:
    bodies = [{"body": of_otlp(parsed(one)), "attributes": []} for one in records]
    exported = {"resourceLogs": [{"resource": {}, "scopeLogs": [{"scope": {}, "logRecords": bodies}]}]}
    assert read(json.dumps(exported)) == plain(records)


@pytest.mark.parametrize("records", LOGS)
@pytest.mark.parametrize(
    "heading",
    [
        "time,host,message,stream",
        '"time","host","LogMessage","stream"',
        pytest.param('"#","Time","Message","_sourceHost"', id="Sumo Logic"),
        pytest.param('"@timestamp","#host","@rawstring","#repo"', id="LogScale"),
        pytest.param("TimeGenerated [UTC],Computer,RawData,Type", id="Sentinel"),
    ],
)
def test_cells_of_several_lines_with_columns_behind_them(records: list[str], heading: str) -> None:
    """Of a text that ends with a line end, only columns are in the last line: that is no line of the log."""
    rows = [f'"10:00","vault-1","{one.replace(chr(34), chr(34) * 2)}","stdout"\n' for one in records]
    found = read(f"{heading}\n{''.join(rows)}")
    assert (found, found.unclear) == (plain(records), 0)
