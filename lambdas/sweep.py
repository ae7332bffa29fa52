"""Evaluates a second time: archived segments, and frames that `evaluate` parked or the event source mapping discarded.

Of each segment it notes the digest where no host can write: `vaultwatch archive verify` finds what was removed or
altered since. Such frames are read from the stream again, never from the alerts bucket: a function that can write there
could forge lines. An alert that `evaluate` has raised is recognised by its id. A new alert is marked late; if it is
older than its rule, or than the alerts that are remembered, it appears only in a summary. Bad content never raises, and
never ends the function, which reads it in child processes: a record that ends its child is stored as rejected, and all
others are evaluated. Failures of the infrastructure raise, and SQS delivers the message again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from functools import cache, partial
from tempfile import TemporaryFile
from typing import IO, Any

import msgspec

from lambdas._environment import limits_of_children, load_rules, make_audience, read_environment, seconds_left
from vaultwatch.alerts import Alert
from vaultwatch.archive.seen import note_seen
from vaultwatch.archive.segments import tag_of, unpack
from vaultwatch.aws import keys, metrics
from vaultwatch.aws.alerts_bucket import AlertsBucket
from vaultwatch.aws.alerts_first import PromptFetch
from vaultwatch.aws.clients import make_client
from vaultwatch.aws.counting import SharedCounting, open_counts
from vaultwatch.aws.first_seen import SharedFirsts, open_expectations, open_memory
from vaultwatch.aws.publishing import AlertPublisher, History, Topic, open_store
from vaultwatch.aws.stream import MAX_REPORT_BYTES, StreamReader, discarded_batch, parked_batch
from vaultwatch.batches import EncodedFrame, UnreadableFrame
from vaultwatch.detection.evaluator import Ruleset
from vaultwatch.dispatch.groups import file_late
from vaultwatch.errors import ArchiveError, BucketError, FrameError
from vaultwatch.isolated_batches import IsolatedSweep
from vaultwatch.printable import one_line
from vaultwatch.seals import Seal, SecretKey

_CHUNK_BYTES = 1024 * 1024
_log = logging.getLogger(__name__)


class Environment(msgspec.Struct, frozen=True):
    """Variables of this function."""

    alert_memory_days: int
    archive_bucket_name: str
    bucket_name: str
    history_stream_name: str
    mail_key: SecretKey
    row_seal_key: SecretKey
    stream_arn: str
    table_name: str
    timezone: str
    topic_arn: str


ENVIRONMENT = read_environment(Environment)
RULES = Ruleset(load_rules())
AUDIENCE = make_audience(ENVIRONMENT.timezone, ENVIRONMENT.archive_bucket_name)
SNS, S3 = make_client("sns"), make_client("s3")
HISTORY_STREAM = History(cache(partial(make_client, "firehose")), ENVIRONMENT.history_stream_name)
DYNAMODB = make_client("dynamodb")
SEAL = Seal(ENVIRONMENT.row_seal_key)
ALERTS_TOPIC = Topic(SNS, ENVIRONMENT.topic_arn, SEAL, ENVIRONMENT.mail_key)
TABLE = (DYNAMODB, ENVIRONMENT.table_name, SEAL)
STORE = partial(open_store, *TABLE, ENVIRONMENT.alert_memory_days)
COUNTING = SharedCounting(RULES.correlations, partial(open_counts, *TABLE))
MEMORY = partial(open_memory, *TABLE)
EXPECTATIONS = partial(open_expectations, *TABLE)
FIRSTS = SharedFirsts(RULES.rules, MEMORY, EXPECTATIONS, ENVIRONMENT.alert_memory_days, of_archive=True)
STREAM = StreamReader(cache(partial(make_client, "kinesis")), ENVIRONMENT.stream_arn)
BUCKET = AlertsBucket(lambda: S3, ENVIRONMENT.bucket_name)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Evaluate the objects that the S3 events in these queue messages name."""
    for record in event["Records"]:
        detail = json.loads(record["body"])["detail"]
        created = detail["object"]
        _sweep(detail["bucket"]["name"], created["key"], created["version-id"], context)
    return {"batchItemFailures": []}


def _sweep(bucket: str, key: str, version: str, context: Any) -> None:
    """Evaluate one object; what is wrong with its content is counted and logged, and not tried again."""
    limits, patience = limits_of_children(context)
    fetch = PromptFetch(BUCKET)
    sweep = IsolatedSweep(RULES, AUDIENCE.zone, claim=fetch, limits=limits, patience=patience)
    try:
        _publish_alerts(_evaluate(sweep, bucket, key, version), context)
        for shared in (COUNTING, FIRSTS):
            _publish_alerts(shared.take(sweep.findings, seconds_left(context)), context)
    except (ArchiveError, FrameError) as error:
        sweep.findings.unreadable.append(UnreadableFrame(EncodedFrame(key, b""), str(error)))
    if fetch.failure:
        raise BucketError(fetch.failure)
    for unreadable in sweep.findings.unreadable:
        _log.error("%s is not evaluated to its end: %s", one_line(key), one_line(unreadable.reason))
    if sweep.findings.excluded_lines:
        BUCKET.keep_excluded(key, b"".join(sweep.findings.excluded_lines))
    metrics.write_findings(sweep.findings)


def _publish_alerts(found: Generator[list[Alert], None, None], context: Any) -> None:
    publisher = AlertPublisher(STORE, ALERTS_TOPIC, HISTORY_STREAM, seconds_left(context), AUDIENCE)
    now, memory = time.time(), ENVIRONMENT.alert_memory_days * 86400.0
    live_since = cache(lambda: STORE().live_since({rule.name: rule.digest for rule in RULES.rules}, now))
    try:
        with closing(found):
            for alerts in found:
                publisher.add(alerts, lambda alert: file_late(alert, now, live_since(), memory))
    finally:
        publisher.write_metrics()
    for failed in publisher.failed:
        BUCKET.keep_failed(failed)


def _evaluate(sweep: IsolatedSweep, bucket: str, key: str, version: str) -> Generator[list[Alert], None, None]:
    """Yield the alerts of an archived segment, or of frames that the stream still has."""
    if bucket == ENVIRONMENT.archive_bucket_name:
        yield from _evaluate_segment(sweep, key)
    else:
        batch = parked_batch(key) if key.startswith(keys.PARKED) else discarded_batch(_report(key, version))
        yield from sweep.frames(STREAM.frames(batch))


def _evaluate_segment(sweep: IsolatedSweep, key: str) -> Generator[list[Alert], None, None]:
    segment = keys.parse_segment(key)
    answer = S3.get_object(Bucket=ENVIRONMENT.archive_bucket_name, Key=key)
    log_start = "" if segment.is_first else answer["LastModified"].isoformat()
    digest = hashlib.sha256()
    with closing(answer["Body"]) as body, TemporaryFile() as file:
        for chunk in body.iter_chunks(_CHUNK_BYTES):
            file.write(chunk)
            digest.update(chunk)
        file.flush()
        has_tags, chunks = segment.source in keys.LOG_SERVER_SOURCES, partial(_unpacked, file)
        yield from sweep.segment(key, chunks, tag_of(segment), log_start, has_tags=has_tags)
        # Behind the alerts, and also of a segment that cannot be evaluated to its end: its removal shows.
        note_seen(S3, ENVIRONMENT.archive_bucket_name, key, digest.hexdigest())


def _unpacked(file: IO[bytes]) -> Iterator[bytes]:
    file.seek(0)
    return unpack(iter(partial(file.read, _CHUNK_BYTES), b""))


def _report(key: str, version: str) -> bytes:
    """Return a report as Lambda wrote it: whoever has the credential of `evaluate` could write another one over it."""
    answer = S3.get_object(Bucket=ENVIRONMENT.bucket_name, Key=key, VersionId=version)
    with closing(answer["Body"]) as body:
        report: bytes = body.read(MAX_REPORT_BYTES)
        return report
