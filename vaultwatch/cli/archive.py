"""`vaultwatch archive`: the archive of all lines in S3."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vaultwatch.audience import S3
from vaultwatch.cli.examples import examples
from vaultwatch.cli.groups import Group
from vaultwatch.cli.outputs import write_output
from vaultwatch.errors import BOTO3_MISSING, SettingError
from vaultwatch.outputs import metrics_by
from vaultwatch.printable import counted, one_line

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from vaultwatch.archive.chain import Known
    from vaultwatch.archive.storing import Storing
    from vaultwatch.archive.waiting import Log
    from vaultwatch.aws.clients import Clients

_EVALUATED_AFTER = timedelta(days=1)  # sweep retries for hours, and what it gives up is swept again by hand
_FOLDER = click.Path(path_type=Path, file_okay=False)
_FILE = click.Path(path_type=Path)
_place = click.argument("place", metavar="PLACE")
_format = click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)


@click.group("archive", cls=Group, epilog=examples("vaultwatch archive verify s3://ARCHIVE"))
def command() -> None:
    """Upload logs to the archive, list its segments, and verify that none was lost or altered."""


_bucket = click.option("--bucket", required=True, metavar="NAME", help="The archive bucket.")
_node = click.option(
    "--node", required=True, metavar="NAME", help="The name of this host, which is in the keys of its segments."
)

_metrics = click.option(
    "--metrics", type=_FILE, metavar="FILE", help="Write metrics to this file, in Prometheus's text format."
)


@command.command(
    "upload",
    short_help="Upload the rotated files in folders.",
    epilog=examples(
        "vaultwatch archive upload --bucket ARCHIVE --node log-server /var/log/vault/archive",
    ),
)
@_bucket
@_node
@_metrics
@click.argument("folders", type=_FOLDER, nargs=-1, required=True, metavar="DIR...")
def upload(bucket: str, node: str, metrics: Path | None, folders: tuple[Path, ...]) -> int:
    """Upload the rotated files in folders, each as one segment, and create FILE.archived once S3 has confirmed it.

    These are `audit-<time>.zst` and `messages-<time>.zst` of a log server. A file that is open, has just changed or is
    incomplete is left for the next run. Exit status: 1 if a file could not be uploaded; the next run tries again.
    """
    from vaultwatch.archive.upload import Uploads
    from vaultwatch.archive.waiting import LOGS

    places = [(folder, LOGS) for folder in folders]
    return _store("archive upload", Uploads(_clients().s3, bucket, node), places, metrics)


@command.command(
    "follow",
    short_help="Upload the file of an audit device while it grows.",
    epilog=examples(
        "vaultwatch archive follow --bucket ARCHIVE --node vault-1 /var/log/vault/audit.log",
    ),
)
@_bucket
@_node
@_metrics
@click.argument("files", type=_FILE, nargs=-1, required=True, metavar="FILE...")
def follow(bucket: str, node: str, metrics: Path | None, files: tuple[Path, ...]) -> int:
    """Upload what was written to the file of an audit device since the last run, in segments of at most 64 MiB.

    Only whole lines are uploaded. A rotated file, FILE-<time>, is uploaded to its end first; FILE-<time>.archived is
    created once S3 has confirmed all of it. How far S3 has each file is in `.FILE.uploads.json` beside it. Run it every
    few minutes. Exit status: 1 if something could not be uploaded; the next run tries again.
    """
    from vaultwatch.archive.follow import Follower
    from vaultwatch.archive.waiting import audit_file_log

    places = [(it.parent, [audit_file_log(it.name)]) for it in files]
    return _store("archive follow", Follower(_clients().s3, bucket, node), places, metrics)


def _clients() -> Clients:
    """Return clients that do not retry.

    Raises:
        SettingError: boto3 is not installed.
    """
    from vaultwatch.aws.clients import Clients

    try:
        import boto3  # noqa: F401
    except ImportError:
        raise SettingError(BOTO3_MISSING) from None
    return Clients(connect_timeout_seconds=10, read_timeout_seconds=60)


def _store(command: str, storing: Storing, places: Sequence[tuple[Path, Sequence[Log]]], metrics: Path | None) -> int:
    import logging

    logging.basicConfig(level=logging.WARNING, format="vaultwatch: %(message)s")
    uploaded = 0
    for folder, logs in places:
        for key in storing.run(folder, logs) if folder.is_dir() else ():
            uploaded += 1
            click.echo(f"uploaded: {key}")
    if metrics:
        _write_metrics(metrics, command, storing, uploaded, places)
    return int(storing.failed)


def _write_metrics(
    path: Path, command: str, storing: Storing, uploaded: int, places: Iterable[tuple[Path, Sequence[Log]]]
) -> None:
    """Replace the file with the metrics of a run.

    Raises:
        SettingError: A folder cannot be read.
        UsageError: The file must not be written, or cannot be.
    """
    from vaultwatch.archive.metrics import metrics_of
    from vaultwatch.archive.waiting import waiting

    try:
        left = sum(len(waiting(log, folder)) for folder, logs in places if folder.is_dir() for log in logs)
    except OSError as error:
        raise SettingError(f"--metrics: {error.filename or path}: {error.strerror}") from error
    text = metrics_of(command, uploaded=uploaded, waiting=left, complete=not storing.failed)
    write_output("--metrics", path, metrics_by(command), [text])


@command.command(
    "list",
    short_help="List the segments of an archive.",
    epilog=examples(
        "vaultwatch archive list --format json s3://ARCHIVE >manifest.jsonl",
        "vaultwatch archive verify --manifest manifest.jsonl s3://ARCHIVE",
    ),
)
@_format
@_place
def list_segments(form: str, place: str) -> int:
    """List the segments of an archive: SHA-256, size, lines, key, and what is wrong with the object by itself.

    PLACE is s3://BUCKET, or a folder with a copy of the archive. The list as JSON lines is a manifest: kept
    elsewhere, it shows later that nothing in it was removed or altered.
    """
    import msgspec

    for segment in _segments(place, read=False):
        if form == "json":
            click.echo(msgspec.json.encode(segment))
        else:
            faults = "".join(f"; {fault}" for fault in segment.faults)
            line = f"{segment.sha256 or '-':64} {segment.size:>13,} {segment.lines:>11,} {segment.key}{faults}"
            click.echo(one_line(line))
    return 0


@command.command(
    "verify",
    short_help="Find what is missing or altered in an archive.",
    epilog=examples(
        "vaultwatch archive verify s3://ARCHIVE",
        "vaultwatch archive verify --expiry-days 400 s3://ARCHIVE",
        "vaultwatch archive verify --manifest manifest.jsonl s3://ARCHIVE",
    ),
)
@click.option("--read", is_flag=True, help="Read each segment on S3 to its end, and do not rely on S3's checksums.")
@click.option(
    "--manifest", "manifests", type=_FILE, multiple=True, metavar="FILE",
    help="Compare with what `archive list --format json` wrote; may be given again.",
)  # fmt: skip
@click.option(
    "--expiry-days", type=click.IntRange(1, 36_500), metavar="DAYS",
    help="The setting archive_expiry_days of the deployment: older segments may be missing. Without it, none may.",
)  # fmt: skip
@_format
@_place
def verify(read: bool, manifests: tuple[Path, ...], expiry_days: int | None, form: str, place: str) -> int:
    """Find segments that are missing, altered, doubled, cut off, or not written by Vaultwatch.

    PLACE is s3://BUCKET, or a folder with a copy of the archive, such as `aws s3 sync` makes. Each source and host
    has its own numbers, from 1, and each segment names the SHA-256 of the one before it. They are also compared with
    the notes of the function sweep, which no host may write, so that the removal of the newest segments shows as
    well, and on S3 a segment that was not noted within a day. A copy has notes if seen/ was copied too, and never
    what each segment names. A manifest that was kept elsewhere shows more than both.

    S3 deletes segments that have expired, and notes of them. --expiry-days says so; the lifecycle rule itself is not
    asked, because whoever can change it could hide with it what was removed.

    Exit status: 0 if nothing is wrong, 1 if something is, 2 if it could not run.
    """
    import msgspec

    from vaultwatch.archive.chain import faults, not_evaluated
    from vaultwatch.archive.known import merged, of_manifest

    seen = _seen(place)
    known = merged([*map(of_manifest, manifests), seen])
    segments = list(_segments(place, read=read))
    if not segments and not known:
        raise SettingError(f"{place}: it has no segment")
    now = datetime.now(UTC)
    kept_since = now - timedelta(days=expiry_days) if expiry_days else None
    unevaluated = not_evaluated(segments, seen, now - _EVALUATED_AFTER, kept_since) if place.startswith(S3) else ()
    found = 0
    for fault in chain(faults(segments, known, kept_since), unevaluated):
        found += 1
        click.echo(msgspec.json.encode(fault._asdict()) if form == "json" else one_line(f"{fault.where}: {fault.what}"))
    click.echo(f"{counted(len(segments), 'segment')}, {counted(found, 'fault')}", err=True)
    return int(found > 0)


def _seen(place: str) -> Known:
    from vaultwatch.archive.inventory import seen_in, seen_on_s3

    if not place.startswith(S3):
        return seen_in(Path(place))
    noted: list[Known] = list(_asked(place, lambda s3, bucket: [seen_on_s3(s3, bucket)]))
    return noted[0]


def _segments(place: str, *, read: bool) -> Iterator[Any]:
    """Yield the segments at a place.

    Raises:
        SettingError: It cannot be listed or read.
    """
    from vaultwatch.archive.inventory import stored_in, stored_on_s3

    if place.startswith(S3):
        yield from _asked(place, lambda s3, bucket: stored_on_s3(s3, bucket, read=read))
    elif Path(place).is_dir():
        yield from stored_in(Path(place))
    else:
        raise SettingError(f"{place}: neither a folder nor s3://BUCKET")


def _asked(place: str, ask: Callable[[S3Client, str], Iterable[Any]]) -> Iterator[Any]:
    """Yield what S3 answers.

    Raises:
        SettingError: It fails.
    """
    try:
        from vaultwatch.aws.clients import classify, make_client

        s3 = make_client("s3")
    except ImportError:
        raise SettingError(BOTO3_MISSING) from None
    try:
        yield from ask(s3, place.removeprefix(S3).strip("/"))
    except Exception as error:
        raise SettingError(f"{place}: {classify(error).text}") from error
