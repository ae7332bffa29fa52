"""An envelope of any number of records on one line holds what its lines would hold."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.unwrapping.test_unwrapper import ENTRY, Counted, S, counted, event, insight
from vaultwatch.reading.budget import MAX_VALUES, exceeded
from vaultwatch.reading.elements import elements_of

COUNT = 1_500
ENTRIES = [{**ENTRY, "request": {**ENTRY["request"], "id": f"id-{number}"}} for number in range(COUNT)]
TEXTS = [json.dumps(entry) for entry in ENTRIES]
Wrap = Callable[[list[dict[str, Any]], list[str]], Any]


def of_insights(_: Any, texts: list[str]) -> Any:
    columns = [("@timestamp", "2026-03-01 10:00:00.000"), ("@ptr", "x" * 80)]
    rows = [[insight("@message", text), *(insight(*column) for column in columns)] for text in texts]
    return {"status": "Complete", "results": rows, "statistics": {"recordsMatched": 1.0}}


def of_loki(_: Any, texts: list[str]) -> Any:
    values = [["1772359200000000000", text] for text in texts]
    return {"status": "success", "data": {"resultType": "streams", "result": [{"stream": {}, "values": values}]}}


def of_elastic(entries: list[dict[str, Any]], _: Any) -> Any:
    return {"took": 1, "hits": {"total": 9, "hits": [{"_id": "1", "_source": {"audit": entry}} for entry in entries]}}


def of_otlp(_: Any, texts: list[str]) -> Any:
    return {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": {"stringValue": text}} for text in texts]}]}]}


WRAPS: dict[str, Wrap] = {
    "CloudWatch Logs Insights": of_insights,
    "CloudWatch Logs": lambda _, texts: {"events": [event(text) for text in texts], "nextForwardToken": "f/1"},
    "Loki": of_loki,
    "Elasticsearch": of_elastic,
    "OpenTelemetry": of_otlp,
    "Fluentd": lambda entries, _: ["vault", [[1, {"log": entry}] for entry in entries], {"chunk": "c"}],
    "Ansible": lambda _, texts: {"stdout": "\n".join(texts), "stdout_lines": texts, "rc": 0},
    "an array of envelopes": lambda _, texts: [event(text) for text in texts],
    "an array of entries": lambda entries, _: entries,
    "an array of texts": lambda _, texts: texts,
    "arrays in an array": lambda _, texts: [[1, text] for text in texts],
}


@pytest.mark.parametrize(
    ("name", "indent"),
    [
        *((name, None) for name in sorted(WRAPS)),
        *((name, 2) for name in ("an array of entries", "CloudWatch Logs", "Fluentd")),
    ],
)
def test_all_records_of_a_large_envelope_are_read(name: str, indent: int | None) -> None:
    text = json.dumps(WRAPS[name](ENTRIES, TEXTS), indent=indent)
    assert exceeded(text.encode(), len(text)) == "values" or indent
    beside = 1 if indent and name == "Fluentd" else 0  # the options, which are an object
    assert counted(f"{text}\n") == Counted(COUNT, 0, beside)


def test_messages_stay_in_their_order_in_a_large_envelope() -> None:
    texts = [text for number in range(2_000) for text in (f"{S[:-8]} {number}:", "  error=", f"  | {number}, [a], {{")]
    assert counted(json.dumps({"events": [event(text) for text in texts]})) == Counted(0, 2_000)
    for indent in (None, 2):
        assert counted(json.dumps(texts, indent=indent)) == Counted(0, 2_000)


def test_entries_that_follow_each_other_on_one_line_may_be_many() -> None:
    assert counted("".join(TEXTS)) == Counted(COUNT, 0)
    assert counted(f"[{', '.join(TEXTS)}]") == Counted(COUNT, 0)


def test_an_entry_over_the_budget_in_an_envelope_is_read_in_part() -> None:
    large = {**ENTRY, "request": {**ENTRY["request"], "data": {"x": list(range(MAX_VALUES + 1))}}}
    for envelope in ({"hits": [{"_source": large}, *ENTRIES]}, {"message": json.dumps(large)}, [[large]]):
        count = 1 + (COUNT if isinstance(envelope, dict) and "hits" in envelope else 0)
        assert counted(json.dumps(envelope)) == Counted(count, 0)


def test_a_record_of_the_journal_in_bytes_may_be_long() -> None:
    text = json.dumps({**ENTRY, "error": "x" * MAX_VALUES})
    assert counted(json.dumps({"MESSAGE": list(text.encode()), "_PID": "1"})) == Counted(1, 0)


@pytest.mark.parametrize(
    "text",
    [
        '{"log":[' + "[]," * 2_000_000 + "1]}",
        '{"log":{' + ",".join(f'"{number}":1' for number in range(1_000_000)) + "}}",
        '{"log":' * 60 + "[" + "{}," * 2_000_000 + "1]" + "}" * 60,
        "[" + "[]," * 2_000_000 + "1]",
        "[" + '"",' * 2_000_000 + "1]",
        "{}," * 2_000_000,
        '{"log":' * 5_000 + "[" + "1," * 20_000 + "1]" + "}" * 5_000,
        '{"log":[' + "1," * 20_000 + '"\x01"]}',
    ],
)
def test_a_hostile_envelope_is_one_rejected_line_at_once(text: str) -> None:
    began = time.process_time()
    assert counted(text) == Counted(0, 0, 1)
    assert time.process_time() - began < 5


@pytest.mark.parametrize("value", [{"a": 1, "b c": [2, {"d": "},"}]}, [], {}, [1, "x", None, [[]], {"a": "]"}], ["é"]])
@pytest.mark.parametrize("indent", [None, 2])
def test_elements_are_those_of_the_decoded_value(value: Any, indent: int | None) -> None:
    text = memoryview(json.dumps(value, indent=indent).encode())
    found = [(name, json.loads(bytes(raw))) for name, raw in elements_of(text)]
    assert found == (list(value.items()) if isinstance(value, dict) else [("", item) for item in value])
