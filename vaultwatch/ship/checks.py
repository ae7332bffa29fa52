"""What is wrong with the settings, found before a single byte is read."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import NamedTuple

from vaultwatch.errors import SettingError
from vaultwatch.handler.stdin import open_log
from vaultwatch.ship.aws import Clients, trouble
from vaultwatch.ship.options import ShipOptions

SOURCES = ("audit", "server")
_STREAM = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


class Problem(NamedTuple):
    """One line that names the setting; `permanent` when somebody must change something."""

    text: str
    permanent: bool


def problems(options: ShipOptions, clients: Clients) -> list[Problem]:
    """Find what is wrong, AWS's side only when ours is right; nothing is written but the state folder and the log."""
    ours = [Problem(text, permanent=True) for text in list(_names(options)) or _files(options)]
    return ours or [*_stream(options, clients), *_bucket(options, clients)]


def notes(options: ShipOptions) -> list[str]:
    """Tell what works and should be known."""
    if options.oversize_bucket:
        return []
    return [
        "--oversize-bucket is not set: lines that take more than 1 MB packed are kept in files on this host, "
        "up to 256 MiB in all; then reading stops"
    ]


def _names(options: ShipOptions) -> Iterator[str]:
    if options.source not in SOURCES:
        yield f"--source: {options.source!r} is neither audit nor server"
    if not _STREAM.fullmatch(options.stream):
        yield f"--stream: {options.stream!r} is not the name of a Kinesis stream"
    if options.oversize_bucket and not _BUCKET.fullmatch(options.oversize_bucket):
        yield f"--oversize-bucket: {options.oversize_bucket!r} is not the name of an S3 bucket"


def _files(options: ShipOptions) -> Iterator[str]:
    try:
        options.state_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(options.open_lock())
    except SettingError as error:
        yield str(error)
    except OSError as error:
        yield f"--state: {error.filename}: {error.strerror}"
    if options.log_file is not None:
        try:
            os.close(open_log(options.log_file))
        except OSError as error:
            yield f"--log-file: {error.filename}: {error.strerror}"


def _stream(options: ShipOptions, clients: Clients) -> Iterator[Problem]:
    try:
        answer = clients.kinesis().describe_stream_summary(StreamName=options.stream)
        status = answer["StreamDescriptionSummary"]["StreamStatus"]
    except Exception as error:  # noqa: BLE001 (whatever boto3 says of our settings is the user's to know)
        why = trouble(error)
        yield Problem(f"--stream {options.stream}: {why.text}", why.permanent)
        return
    if status not in ("ACTIVE", "UPDATING"):
        yield Problem(f"--stream {options.stream}: it is {status}", permanent=status == "DELETING")


def _bucket(options: ShipOptions, clients: Clients) -> Iterator[Problem]:
    if not options.oversize_bucket:
        return
    try:
        clients.s3().head_bucket(Bucket=options.oversize_bucket)
    except Exception as error:  # noqa: BLE001 (as above)
        why = trouble(error)
        if why.name != "403":  # it is there; who may only write to it cannot look at it
            yield Problem(f"--oversize-bucket {options.oversize_bucket}: {why.text}", why.permanent)
