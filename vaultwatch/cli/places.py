"""The logs at a place that a user names: a file, all files below a folder, or segments on S3."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from vaultwatch.audience import S3
from vaultwatch.cli.objects import Keys, listed
from vaultwatch.errors import ArchiveError
from vaultwatch.inputs.errors import Unreadable
from vaultwatch.inputs.logs import files_at, logs_in
from vaultwatch.reconcile import Log


def local_logs(place: str, reader: str) -> list[Log]:
    """Return a file with the logs in it, all files below a folder, or those that match a pattern; "-" is stdin.

    Args:
        place: The place.
        reader: The command that reads them, as it reads stdin, for a hint; "" if that cannot read stdin.
    """
    return [_file(name, reader) for name in files_at(place)]


def _file(name: str, reader: str) -> Log:
    def read() -> Iterator[bytes]:
        for log in logs_in(name, reader=reader):
            yield from (chunk for chunk, _ in log.chunks())

    return Log(name, read)


def archived_logs(place: str, keys: Keys) -> list[Log]:
    """Return segments on S3.

    Args:
        place: s3://BUCKET or s3://BUCKET/PREFIX.
        keys: Returns the keys of the segments, given the client, the bucket and the prefix.

    Raises:
        SettingError: There is no bucket, or it cannot be listed.
    """
    return [_segment(s3, bucket, key) for s3, bucket, key in listed(place, keys)]


def _segment(s3: Any, bucket: str, key: str) -> Log:
    def read() -> Iterator[bytes]:
        from vaultwatch.archive.segments import unpack
        from vaultwatch.aws.clients import classify

        try:
            body = s3.get_object(Bucket=bucket, Key=key)["Body"]
            yield from unpack(body.iter_chunks(1 << 20))
        except ArchiveError:
            raise
        except Exception as error:
            raise Unreadable(classify(error).text) from error

    return Log(f"{S3}{bucket}/{key}", read)
