"""Check the settings of `ship` before it reads its input."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.util import find_spec

from vaultwatch.aws.clients import Clients, classify
from vaultwatch.errors import BOTO3_MISSING, SettingError
from vaultwatch.handler.checks import (
    Problem,
    log_file_problems,
    metrics_notes,
    shared_file_problems,
    source_problems,
    state_problems,
)
from vaultwatch.ship.options import ShipOptions

_STREAM = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


def problems(options: ShipOptions, clients: Clients) -> list[Problem]:
    """Return what is wrong with the settings.

    The stream and the bucket are looked up only if everything on this host is right. Nothing is written, except that
    the state directory, the lock file and the log file are created.
    """
    local = list(_names(options)) or list(_files(options))
    return local or [*_stream(options, clients), *_bucket(options, clients)]


def notes(options: ShipOptions) -> list[str]:
    """Return what the operator should know about settings that can be used."""
    return [*_bucket_notes(options), *metrics_notes(options.metrics, "ship")]


def _bucket_notes(options: ShipOptions) -> Iterator[str]:
    if not options.oversize_bucket:
        yield (
            "--oversize-bucket is not set: lines above 1 MB (compressed) are kept in files on this host, "
            "up to 256 MiB in all; then it stops reading"
        )


def _names(options: ShipOptions) -> Iterator[Problem]:
    if find_spec("boto3") is None:
        yield Problem(BOTO3_MISSING)
    yield from source_problems(options.source)
    if not _STREAM.fullmatch(options.stream):
        yield Problem(f"--stream: {options.stream!r} is not the name of a Kinesis stream")
    if options.oversize_bucket and not _BUCKET.fullmatch(options.oversize_bucket):
        yield Problem(f"--oversize-bucket: {options.oversize_bucket!r} is not the name of an S3 bucket")


def _files(options: ShipOptions) -> Iterator[Problem]:
    try:
        yield from state_problems(options.state_directory, options.lock_file)
    except SettingError as error:
        yield Problem(str(error))
    yield from log_file_problems(options.log_file)
    yield from shared_file_problems([("--metrics", options.metrics), ("--log-file", options.log_file)])


def _stream(options: ShipOptions, clients: Clients) -> Iterator[Problem]:
    try:
        answer = clients.kinesis().describe_stream_summary(StreamName=options.stream)
        status = answer["StreamDescriptionSummary"]["StreamStatus"]
    except Exception as error:  # noqa: BLE001 (the user has to see any error that boto3 raises for these settings)
        why = classify(error)
        yield Problem(f"--stream {options.stream}: {why.text}", why.permanent)
        return
    if status not in ("ACTIVE", "UPDATING"):
        yield Problem(f"--stream {options.stream}: its status is {status}", permanent=status == "DELETING")


def _bucket(options: ShipOptions, clients: Clients) -> Iterator[Problem]:
    if not options.oversize_bucket:
        return
    try:
        clients.s3().head_bucket(Bucket=options.oversize_bucket)
    except Exception as error:  # noqa: BLE001 (as above)
        why = classify(error)
        if why.name != "403":  # the bucket exists; a role that may only write to it gets 403 here
            yield Problem(f"--oversize-bucket {options.oversize_bucket}: {why.text}", why.permanent)
