"""`vaultwatch archive`: the archive of all lines in S3."""

from __future__ import annotations

from pathlib import Path

import click

_FOLDER = click.Path(path_type=Path, file_okay=False)
_FILE = click.Path(path_type=Path)


@click.group("archive")
def command() -> None:
    """Upload rotated logs to the archive."""


@command.command("upload", short_help="Upload the rotated files in folders.")
@click.option("--bucket", required=True, metavar="NAME", help="The archive bucket.")
@click.option(
    "--node", required=True, metavar="NAME", help="The name of this host, which is in the keys of its segments."
)
@click.option(
    "--audit-file", "audit_files", type=_FILE, multiple=True, metavar="FILE",
    help="The file of an audit device: uploads its rotated files, FILE-<time>.",
)  # fmt: skip
@click.argument("folders", type=_FOLDER, nargs=-1, metavar="[DIR...]")
def upload(bucket: str, node: str, audit_files: tuple[Path, ...], folders: tuple[Path, ...]) -> int:
    """Upload the rotated files in folders, each as one segment, and create FILE.archived once S3 has confirmed it.

    These are `audit-<time>.zst` and `messages-<time>.zst` of a log server, and `audit.log-<time>` of a node. A file
    that is open, has just changed or is incomplete is left for the next run. Exit status: 1 if a file could not be
    uploaded; the next run tries again.
    """
    import logging

    from vaultwatch.archive.upload import Uploads
    from vaultwatch.archive.waiting import LOGS, audit_file_log
    from vaultwatch.aws.clients import Clients
    from vaultwatch.errors import BOTO3_MISSING, SettingError

    try:
        import boto3  # noqa: F401
    except ImportError:
        raise SettingError(BOTO3_MISSING) from None
    logging.basicConfig(level=logging.WARNING, format="vaultwatch: %(message)s")
    uploads = Uploads(Clients(connect_timeout_seconds=10, read_timeout_seconds=60).s3, bucket, node)
    found = [(folder, LOGS) for folder in folders] + [
        (file.parent, (audit_file_log(file.name),)) for file in audit_files
    ]
    if not found:
        raise click.UsageError("name at least one DIR or --audit-file")
    for folder, logs in found:
        for key in uploads.run(folder, logs) if folder.is_dir() else ():
            click.echo(f"uploaded: {key}")
    return int(uploads.failed)
