"""Recognise the lines of a document that holds records in some of its lines: YAML, a JSON array, a dump of SQL.

    logs:                                 CREATE TABLE `logs` (
    - timestamp: 2026-11-21                 `message` text
      message: '{"time":...}'             );
      stream: stdout                      INSERT INTO `logs` VALUES (1,'{"time":...}');

    LogRecord #0                              of the debug exporter of OpenTelemetry
    Timestamp: 2026-11-21 07:29:41 +0000 UTC
    Body: Str({"time":...})

They hold no record and are no part of one: as rejected lines they would outnumber the records. Only the first line of a
log decides that it is such a document, so that no text that a client can write into a log makes a line disappear.
"""

from __future__ import annotations

import re

_YAML = re.compile(
    rb"---|- [^{]{0,512}|- [\w.@/-]{1,64}: ['\"]\{.{1,65536}|[\w.@/-]{1,64}:(?: [|>][+-]?)?|apiVersion: [\w./]{1,64}"
)
OF_YAML = re.compile(
    rb"(?!(?:- )?['\"]?(?:request|@level)['\"]?:)"  # of a record that is YAML itself
    rb"(?:---|\.\.\.|-|(?:- {1,8}){1,8}[^{:]{0,512}|(?:- {1,8}){0,8}['\"]?[\w.@/-]{1,64}['\"]?:(?: [^{]{0,512})?)"
)
_ARRAY = re.compile(rb"\[[\[\s]{0,64}")
OF_ARRAY = re.compile(
    rb'(?:"[\w.@/:-]{0,128}"|-?\d{1,32}(?:\.\d{1,32})?(?:[eE][+-]?\d{1,4})?|true|false|null)[ \t]{0,8},?'
)
"""A tag, a time or a number beside texts and objects."""
_SQL = re.compile(
    rb"--(?! (?:Logs|Journal|Boot|Reboot)\b)(?: |\Z)|/\*|(?:CREATE|DROP|INSERT|SET|LOCK|BEGIN|PRAGMA|COPY)\b"
)
OF_SQL = re.compile(
    rb"--.{0,512}|/\*.{0,512}|\).{0,512}|\\\.|;"
    rb"|(?:CREATE|DROP|ALTER|INSERT|SET|LOCK|UNLOCK|BEGIN|COMMIT|COPY|PRAGMA|SELECT|START|PRIMARY|KEY|UNIQUE)\b.{0,512}"
    rb"|[`\"\[]?\w{1,64}[`\"\]]? (?i:\w{0,8}(?:INT|TEXT|CHAR|TIME|SERIAL|BLOB)|INTEGER|CHARACTER|TIMESTAMP|DATE|JSONB?"
    rb"|BOOLEAN|NUMERIC|UUID|BYTEA)\b.{0,512}"
)
_TIME_OF_OTEL = rb"(?:\d{4}-\d\d-\d\dT[\d:.]{8,20}(?:Z|[+-][\d:]{4,5})\t)?(?:[a-z]{4,5}\t)?"
OF_OTEL = re.compile(
    _TIME_OF_OTEL + rb"(?:(?:Logs|LogsExporter)\t\{.{0,1024}\}|(?:ResourceLogs?|ScopeLogs|LogRecord) #\d{1,9})"
    rb"|(?:Resource |ScopeLogs )SchemaURL:.{0,512}|InstrumentationScope.{0,512}|Resource attributes:|Attributes:"
    rb"|(?:(?:Observed)?Timestamp|SeverityText|SeverityNumber|EventName|Trace ID|Span ID|Flags|DroppedAttributesCount):"
    rb"[^{]{0,512}|-> [^{]{0,4096}: [A-Z][a-z]{2,8}\([^{]{0,4096}\)"
)
_OBJECT_OF_OTEL = re.compile(
    _TIME_OF_OTEL
    + rb'(?:(?:Logs|LogsExporter)\t)?\{"(?:kind|resource|resource logs|log records|otelcol\.[\w.]{1,64})":.{0,1024}\}'
)
"""What the exporter itself says behind the records."""
_BODY_OF_OTEL = re.compile(rb"Body: Str\((?:(.*)\)|(.*))")
"""The text of a record, of which the first of several lines is not closed."""


def document_of(first: bytes) -> re.Pattern[bytes] | None:
    """Return what the lines match that a document has around records; None if a log is no such document.

    Args:
        first: The first line of the log, stripped.
    """
    if _SQL.match(first):
        return OF_SQL
    if OF_OTEL.fullmatch(first):
        return OF_OTEL
    if _ARRAY.fullmatch(first):
        return OF_ARRAY
    return OF_YAML if _YAML.fullmatch(first) else None


def body_of_otel(line: bytes) -> bytes | None:
    """Return the text of a record of OpenTelemetry; b"" if the exporter says it itself; None if it is neither."""
    if _OBJECT_OF_OTEL.fullmatch(line):
        return b""
    found = _BODY_OF_OTEL.fullmatch(line)
    return (found[1] or found[2] or b"") if found else None
