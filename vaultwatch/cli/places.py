"""The logs at a place that a user names: a file, all files below a folder, or segments on S3."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from vaultwatch.audience import S3
from vaultwatch.errors import BOTO3_MISSING, ArchiveError, SettingError
from vaultwatch.inputs.errors import Unreadable
from vaultwatch.inputs.logs import files_at, logs_in
from vaultwatch.reconcile import Log

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def local_logs(place: str) -> list[Log]:
    """Return a file with the logs in it, all files below a folder, or those that match a pattern; "-" is stdin."""
    return [_file(name) for name in files_at(place)]


def _file(name: str) -> Log:
    def read() -> Iterator[bytes]:
        for log in logs_in(name):
            yield from (chunk for chunk, _ in log.chunks())

    return Log(name, read)


def archived_logs(place: str, keys: Callable[[S3Client, str, str], Sequence[str]]) -> list[Log]:
    """Return segments on S3.

    Args:
        place: s3://BUCKET or s3://BUCKET/PREFIX.
        keys: Returns the keys of the segments, given the client, the bucket and the prefix.

    Raises:
        SettingError: There is no bucket, or it cannot be listed.
    """
    bucket, _, prefix = place.removeprefix(S3).partition("/")
    if not bucket:
        raise SettingError(f"{place}: names no bucket")
    try:
        from vaultwatch.aws.clients import classify, make_client

        s3: Any = make_client("s3")
    except ImportError as error:
        raise SettingError(f"{place}: {BOTO3_MISSING}") from error
    try:
        return [_segment(s3, bucket, key) for key in keys(s3, bucket, prefix)]
    except Exception as error:
        raise SettingError(f"{place}: {classify(error).text}") from error


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
